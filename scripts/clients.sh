#!/usr/bin/env bash
# Runs clients that others wrote for Kafka Connect's REST interface, as they are, against any server that speaks it.
# Everything they need lies under .kafka/clients/.
#
#   clients.sh fetch               gets them, if they are not there
#   clients.sh run python|java URL FILE KEY=VALUE REQUIRED_KEY
#                                  has one go through all it can do; FILE is the body that creates a connector, KEY=VALUE a
#                                  change of its configuration, and without REQUIRED_KEY it is invalid
#   clients.sh run openapi URL SEED FOLDER
#                                  has schemathesis hold a host to its OpenAPI document; what it keeps of a run lies in FOLDER.
#                                  What it asks for changes and deletes connectors and plugins: never run it on a host that is
#                                  of use to anybody
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

clients="$kafka_dir/clients"
client_pom="$root/tests/clients/java/pom.xml"

# What was fetched carries copies of the files that say what: new versions in them make it stale.
fetched() {
    cmp -s tests/clients/requirements.txt "$clients/requirements.txt" &&
        cmp -s tests/clients/openapi/requirements.txt "$clients/openapi/requirements.txt" &&
        jars_fetched "$client_pom" "$clients/java"
}

fetch() {
    if fetched; then return 0; fi
    have python3 || die "Python 3 is missing: run scripts/setup.sh --kafka"
    say "downloading clients of the REST interface with pip into .kafka/clients (125 MB)"
    rm -rf "$clients"
    mkdir -p "$clients"
    fetch_python "$clients/python" tests/clients/requirements.txt
    fetch_python "$clients/openapi" tests/clients/openapi/requirements.txt
    fetch_jars "$client_pom" "$clients/java" "a client of Kafka Connect's in Java, 4 MB,"
    cp tests/clients/openapi/requirements.txt "$clients/openapi/requirements.txt"
    cp tests/clients/requirements.txt "$clients/requirements.txt"
}

fetch_python() { # INTO, REQUIREMENTS
    python3 -m venv "$1" || die "Python's venv is missing: run scripts/setup.sh --kafka"
    "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2" || die "pip could not install what $2 says"
}

hold_to_document() { # URL, SEED, FOLDER
    local config="$root/tests/clients/openapi/schemathesis.toml"
    export SCHEMATHESIS_HOOKS="$root/tests/clients/openapi/modules.py" PYTHONDONTWRITEBYTECODE=1
    cd "$3"
    exec "$clients/openapi/bin/schemathesis" --no-color --config-file "$config" run "$1/openapi.json" --seed "$2"
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
    openapi) hold_to_document "$@" ;;
    *) die "unknown client: $which (known: python, java, openapi)" ;;
    esac
}

case ${1:-} in
fetch) fetch ;;
run) run "${@:2}" ;;
*) die "usage: clients.sh fetch | run python|java URL FILE KEY=VALUE REQUIRED_KEY | run openapi URL SEED FOLDER" ;;
esac
