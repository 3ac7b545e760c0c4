#!/usr/bin/env bash
# Runs a real Apache Kafka Connect on this machine, with its connectors for files, to hold Sandbar against: from the jars
# that Maven knows, on a broker that is there already, such as one of scripts/kafka.sh. Everything it makes lies under
# .kafka/, but for its topics.
#
#   connect.sh fetch        gets the jars, if they are not there
#   connect.sh start NAME HOST:PORT [KEY=VALUE...]
#                           starts a worker of a group of its own, with these properties on top of
#                           scripts/kafka/worker.properties.in, waits until it serves, prints http://HOST:PORT
#   connect.sh stop NAME    stops it; its log stays as .kafka/last-connect.log; kafka.sh stop-all stops it too
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

# It serves after some five seconds on two cores; a machine that compiles at the same time needs longer.
start_limit_seconds=90
# Another process may take a port between the look and the start.
start_attempts=3
heap=-Xmx256m

connect_pom="$root/scripts/kafka/connect-pom.xml"
connect_lib="$kafka_dir/connect-lib"

fetched() { jars_fetched "$connect_pom" "$connect_lib"; }

fetch() {
    fetch_jars "$connect_pom" "$connect_lib" \
        "Apache Kafka Connect $(pom_property "$connect_pom" connect.version), 35 MB,"
}

# Whether a GET of this path is answered with 200. An open port is not yet a worker.
serves() { # PORT, PATH
    local status
    status=$(
        exec 2>/dev/null
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3
        timeout 5 head -c 12 <&3
    ) || return 1
    [[ $status == "HTTP/1.1 200" ]]
}

# Starts a worker in an empty folder and waits until it serves.
launch() { # DIR, JAVA, NAME, BOOTSTRAP, KEY=VALUE...
    local dir=$1 java=$2 name=$3 bootstrap=$4 port path waited_until
    shift 4
    port=$(free_port)
    mkdir -p "$dir"
    # Of a property that is there twice the last one counts.
    { cat scripts/kafka/worker.properties.in && printf '%s\n' "$@"; } |
        sed -e "s|@PORT@|$port|" -e "s|@NAME@|$name|" -e "s|@BOOTSTRAP@|$bootstrap|" >"$dir/worker.properties"
    (
        trap '' HUP
        exec "$java" -Xms64m "$heap" -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true \
            "-Dlog4j2.configurationFile=$root/scripts/kafka/log4j2.properties" -cp "$connect_lib/*" \
            org.apache.kafka.connect.cli.ConnectDistributed "$dir/worker.properties"
    ) >"$dir/worker.log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    waited_until=$((SECONDS + start_limit_seconds))
    for path in / /connectors /health; do
        until serves "$port" "$path"; do
            kill -0 "$(cat "$dir/pid")" 2>/dev/null || return 1
            ((SECONDS < waited_until)) || return 1
            sleep 0.2
        done
    done
    # Whoever took the port first may be a worker too.
    alive "$dir" || return 1
    printf 'http://127.0.0.1:%s\n' "$port"
}

start() { # NAME, BOOTSTRAP, KEY=VALUE...
    local name=$1 dir java attempt
    dir=$(run_dir "connect-$name")
    [[ $2 == *:* ]] || die "a broker's address is HOST:PORT: $2"
    fetched || die "Apache Kafka Connect is missing: run scripts/connect.sh fetch"
    java=$(find_java) || die "Java $java_needed or newer is missing: run scripts/setup.sh --kafka"
    if alive "$dir"; then die "a worker named $name is running; stop it with: scripts/connect.sh stop $name"; fi
    for ((attempt = 1; attempt <= start_attempts; attempt++)); do
        rm -rf "$dir"
        if launch "$dir" "$java" "$@"; then return 0; fi
        stop "$name"
        grep -q 'Address already in use' "$kafka_dir/last-connect.log" || break
    done
    tail -n 20 "$kafka_dir/last-connect.log" >&2
    die "Apache Kafka Connect did not start; its log is .kafka/last-connect.log"
}

stop() { # NAME
    local dir
    dir=$(run_dir "connect-$1")
    finish "$dir"
    if [[ -e $dir/worker.log ]]; then mv "$dir/worker.log" "$kafka_dir/last-connect.log"; fi
    rm -rf "$dir"
}

usage="usage: connect.sh fetch | start NAME HOST:PORT [KEY=VALUE...] | stop NAME"
case "$#${1:+ $1}" in
'1 fetch') fetch ;;
[3-9]' start' | [1-9][0-9]' start')
    # shellcheck disable=SC2064 # the name as it is now: functions have others by that name
    trap "stop '$2'; exit 130" INT TERM
    start "${@:2}"
    ;;
'2 stop') stop "$2" ;;
*) die "$usage" ;;
esac
