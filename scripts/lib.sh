#!/usr/bin/env bash
# What the project's scripts share: where things are, how they speak, which Java will do. Sourced, never run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# A shell that nobody logged in to (CI, cron) may not know where rustup puts its programs.
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

# In CI a Cargo.lock that is out of date is a defect; at a desk it is Tuesday.
# shellcheck disable=SC2034 # used where this is sourced
cargo_flags=()
# shellcheck disable=SC2034
if [[ -n ${CI:-} ]]; then cargo_flags=(--locked); fi

say() { printf '==> %s\n' "$*"; }

warn() { printf 'warning: %s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# These tests mostly wait, for what died to be missed, and run beside all others. Their package has them with `test = false`,
# so that they do not run twice.
# shellcheck disable=SC2034
tests_beside=(--test fire --test broker_down --test faulty_cycles --test kill)

# Apache Kafka 4's broker needs Java 17. The first `java` may be older while a newer one lies beside it.
java_needed=17

find_java() {
    local java major
    for java in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
        [[ -x $java ]] || continue
        major=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
        if ((${major:-0} >= java_needed)); then
            printf '%s\n' "$java"
            return 0
        fi
    done
    return 1
}

kafka_dir="$root/.kafka"
kafka_pom="$root/scripts/kafka/pom.xml"

# The jars carry a copy of the file they came from: a new version in it makes them stale.
jars_fetched() { cmp -s "$1" "$2/pom.xml"; } # POM, DIR

# Gets the jars that a file for Maven names, all of them or none, if they are not there.
fetch_jars() { # POM, DIR, WHAT
    local pom=$1 dir=$2
    if jars_fetched "$pom" "$dir"; then return 0; fi
    have mvn || die "Maven is missing: run scripts/setup.sh --kafka"
    say "downloading $3 with Maven into ${dir#"$root/"}"
    rm -rf "${dir:?}" "${dir:?}.part"
    mvn --batch-mode --quiet -Dstyle.color=never --file "$pom" \
        dependency:copy-dependencies -DoutputDirectory="$dir.part" ||
        die "Maven could not download $3"
    cp "$pom" "$dir.part/pom.xml"
    mv "$dir.part" "$dir"
}

# A property of such a file.
pom_property() { sed -n "s|.*<$2>\(.*\)</$2>.*|\1|p" "$1"; } # POM, NAME

kafka_fetched() { jars_fetched "$kafka_pom" "$kafka_dir/lib"; }

kafka_version() { pom_property "$kafka_pom" kafka.version; }

run_dir() {
    [[ $1 =~ ^[a-z0-9-]+$ ]] || die "a name is made of a-z, 0-9 and -: $1"
    printf '%s\n' "$kafka_dir/run/$1"
}

# Ports are taken below the range that outgoing connections use, so that none of those is in the way.
free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            return 0
        fi
    done
}

# A pid file may outlive its process, and the number may be given to another: only ours has a file of this folder in its
# arguments.
alive() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 1
    if [[ -d /proc/self ]]; then
        { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -q "^$1/[a-z]*\.properties$"
    else
        ps -o args= -p "$pid" | grep -q " $1/[a-z]*\.properties$"
    fi
}

# An orderly shutdown takes about two seconds. There is nothing to lose: the data is deleted.
stop_limit_seconds=10

# Ends a process in good order, or by force where it takes too long.
finish() {
    local dir=$1 pid waited_until
    if alive "$dir"; then
        pid=$(cat "$dir/pid")
        # One that was frozen would not hear it.
        kill "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null || true
        waited_until=$((SECONDS + stop_limit_seconds))
        while alive "$dir"; do
            if ((SECONDS >= waited_until)); then kill -KILL "$pid" 2>/dev/null || true; fi
            sleep 0.1
        done
    fi
}

# The packages of the example plugins, as arguments for cargo: -p NAME -p NAME ...
plugin_packages() {
    [[ -d examples-plugins ]] || return 0
    find examples-plugins -name Cargo.toml -not -path '*/target/*' | sort | while read -r manifest; do
        awk -F'"' '/^\[/ { inside = ($0 == "[package]") } inside && /^name *=/ { print "-p"; print $2; exit }' "$manifest"
    done
}
