#!/usr/bin/env bash
# Runs clients that others wrote for Kafka Connect's REST interface, as they are, against any server that speaks it.
# Everything they need lies under .kafka/clients/.
#
#   clients.sh fetch               gets them, if they are not there
#   clients.sh run python|java URL FILE KEY=VALUE REQUIRED_KEY
#                                  has one go through all it can do; FILE is the body that creates a connector, KEY=VALUE a
#                                  change of its configuration, and without REQUIRED_KEY it is invalid
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

clients="$kafka_dir/clients"

# What was fetched carries copies of the files that say what: new versions in them make it stale.
fetched() {
    cmp -s tests/clients/requirements.txt "$clients/requirements.txt" &&
        cmp -s tests/clients/java/pom.xml "$clients/java/pom.xml"
}

fetch() {
    if fetched; then return 0; fi
    have python3 || die "Python 3 is missing: run scripts/setup.sh --kafka"
    have mvn || die "Maven is missing: run scripts/setup.sh --kafka"
    say "downloading two clients of Kafka Connect's REST interface, with pip and Maven, into .kafka/clients (15 MB)"
    rm -rf "$clients"
    mkdir -p "$clients"
    python3 -m venv "$clients/python" || die "Python's venv is missing: run scripts/setup.sh --kafka"
    "$clients/python/bin/pip" install --quiet --disable-pip-version-check -r tests/clients/requirements.txt ||
        die "pip could not install the client in Python"
    mvn --batch-mode --quiet -Dstyle.color=never --file tests/clients/java/pom.xml \
        dependency:copy-dependencies -DoutputDirectory="$clients/java" ||
        die "Maven could not download the client in Java"
    cp tests/clients/java/pom.xml "$clients/java/pom.xml"
    cp tests/clients/requirements.txt "$clients/requirements.txt"
}

run() { # WHICH, ARGUMENTS...
    local which=$1 java
    shift
    fetched || die "the clients are missing: run scripts/clients.sh fetch"
    case $which in
    python) exec "$clients/python/bin/python" tests/clients/python.py "$@" ;;
    java)
        java=$(find_java) || die "Java $java_needed or newer is missing: run scripts/setup.sh --kafka"
        exec "$java" -cp "$clients/java/*" tests/clients/java/Client.java "$@"
        ;;
    *) die "unknown client: $which (known: python, java)" ;;
    esac
}

case ${1:-} in
fetch) fetch ;;
run) run "${@:2}" ;;
*) die "usage: clients.sh fetch | run python|java URL FILE KEY=VALUE REQUIRED_KEY" ;;
esac
