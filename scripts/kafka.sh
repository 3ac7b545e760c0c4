#!/usr/bin/env bash
# Runs a real Apache Kafka on this machine, for tests and development, from the jars that Maven knows: no download page,
# no container, no root. Everything it makes lies under .kafka/.
#
#   kafka.sh fetch          gets the jars, if they are not there
#   kafka.sh start [NAME [KEY=VALUE...]]
#                           starts an empty broker on a free loopback port, with these properties on top of
#                           scripts/kafka/server.properties.in, waits until it answers, prints HOST:PORT; @PORT@ and
#                           @CONTROLLER_PORT@ in a value stand for the ports that were found for it
#   kafka.sh cluster NAME COUNT [[N:]KEY=VALUE...]
#                           starts as many brokers that replicate each other, NAME-1 and so on, and prints the addresses
#                           of all; N: sets a property of the N-th alone; each goes by its own name afterwards
#   kafka.sh env [NAME]     prints the variable that points the tests at it
#   kafka.sh crash [NAME]   kills it, and keeps its data
#   kafka.sh halt [NAME]    stops it in good order, and keeps its data
#   kafka.sh revive [NAME]  starts it again after that, on its data and its port
#   kafka.sh freeze [NAME]  stops its process where it stands; connections stay open, nothing answers
#   kafka.sh thaw [NAME]    lets it go on
#   kafka.sh stop [NAME]    stops it and deletes its data; its log stays as .kafka/last.log
#   kafka.sh stop-all       stops all that this checkout started
#   kafka.sh foreground     starts one, says how to use it, and stops it on Ctrl-C
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

# It answers after some five seconds on two cores; a machine that compiles at the same time needs longer.
start_limit_seconds=90
# Another process may take a port between the look and the start.
start_attempts=3
heap=-Xmx512m

fetch() { fetch_jars "$kafka_pom" "$kafka_dir/lib" "Apache Kafka $(kafka_version), 50 MB,"; }

# Asks for metadata (api key 3, version 1, no topics), as a client would. An open port is not yet a broker; the answer's
# third word is how many brokers the cluster counts: they have to be as many at least.
answers() { # PORT, COUNT
    local brokers
    brokers=$(
        exec 2>/dev/null
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf '\x00\x00\x00\x0e\x00\x03\x00\x01\x00\x00\x00\x01\xff\xff\x00\x00\x00\x00' >&3
        timeout 5 head -c 12 <&3 | od -An -v -tx1 | tr -d ' \n' | cut -c 17-24
    ) || return 1
    ((16#${brokers:-0} >= $2))
}

# Sets a broker up in an empty folder.
prepare() { # DIR, JAVA, PORT, CONTROLLER_PORT, KEY=VALUE...
    local dir=$1 java=$2 port=$3 controller_port=$4
    shift 4
    mkdir -p "$dir/data"
    printf '127.0.0.1:%s\n' "$port" >"$dir/bootstrap"
    # Of a property that is there twice the last one counts.
    { cat scripts/kafka/server.properties.in && printf '%s\n' "$@"; } |
        sed -e "s|@PORT@|$port|" -e "s|@CONTROLLER_PORT@|$controller_port|" -e "s|@DATA@|$dir/data|" \
            >"$dir/server.properties"
    (kafka "$dir" "$java" kafka.tools.StorageTool format -t sandbar-for-tests-0000 -c "$dir/server.properties") \
        >"$dir/broker.log" 2>&1
}

# Becomes a class of Kafka's; called in a subshell.
kafka() {
    local dir=$1 java=$2
    shift 2
    local command=("$java" -Xms64m "$heap" -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true
        "-Dlog4j2.configurationFile=$root/scripts/kafka/log4j2.properties" -cp "$kafka_dir/lib/*")
    exec "${command[@]}" "$@"
}

# Starts a broker that has been set up.
spawn() { # DIR, JAVA
    local dir=$1 java=$2
    (trap '' HUP && kafka "$dir" "$java" kafka.Kafka "$dir/server.properties") >>"$dir/broker.log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
}

# Waits until a broker answers, and counts as many in its cluster.
await() { # DIR, COUNT
    local dir=$1 port waited_until
    port=$(sed 's/.*://' "$dir/bootstrap")
    waited_until=$((SECONDS + start_limit_seconds))
    until answers "$port" "$2"; do
        kill -0 "$(cat "$dir/pid")" 2>/dev/null || return 1
        ((SECONDS < waited_until)) || return 1
        sleep 0.2
    done
    # Whoever took the port first may be a broker too.
    alive "$dir"
}

# Starts brokers, with what it takes to find their ports taken, and prints their addresses.
launch() { # STARTER, NAMES, KEY=VALUE...
    local starter=$1 names=$2 java name attempt
    shift 2
    # In what follows a name that is none would not end the script.
    for name in $names; do run_dir "$name" >/dev/null; done
    kafka_fetched || die "Apache Kafka is missing: run scripts/kafka.sh fetch"
    java=$(find_java) || die "Java $java_needed or newer is missing: run scripts/setup.sh --kafka"
    for name in $names; do
        if alive "$(run_dir "$name")"; then
            die "a broker named $name is running; stop it with: scripts/kafka.sh stop $name"
        fi
    done
    for ((attempt = 1; attempt <= start_attempts; attempt++)); do
        for name in $names; do rm -rf "$(run_dir "$name")"; done
        if "$starter" "$java" "$names" "$@"; then
            for name in $names; do cat "$(run_dir "$name")/bootstrap"; done | paste -sd , -
            return 0
        fi
        rm -f "$kafka_dir/failed.log"
        for name in $names; do
            stop "$name"
            if [[ -e $kafka_dir/last.log ]]; then cat "$kafka_dir/last.log" >>"$kafka_dir/failed.log"; fi
        done
        mv "$kafka_dir/failed.log" "$kafka_dir/last.log"
        grep -q 'Address already in use' "$kafka_dir/last.log" || break
    done
    tail -n 20 "$kafka_dir/last.log" >&2
    die "Apache Kafka did not start; its log is .kafka/last.log"
}

start_one() { # JAVA, NAME, KEY=VALUE...
    local java=$1 dir
    dir=$(run_dir "$2")
    shift 2
    prepare "$dir" "$java" "$(free_port)" "$(free_port)" "$@" && spawn "$dir" "$java" && await "$dir" 1
}

start_cluster() { # JAVA, NAMES, [N:]KEY=VALUE...
    local java=$1 names name port ports=() count id voters='' property own
    read -ra names <<<"$2"
    shift 2
    count=${#names[@]}
    for ((id = 1; id <= count; id++)); do
        port=$(free_port)
        ports+=("$port")
        voters+="${voters:+,}$id@127.0.0.1:$port"
    done
    for ((id = 1; id <= count; id++)); do
        own=("node.id=$id" "controller.quorum.voters=$voters" "default.replication.factor=$count")
        own+=("offsets.topic.replication.factor=$count" "transaction.state.log.replication.factor=$count")
        own+=("min.insync.replicas=$((count / 2 + 1))" "transaction.state.log.min.isr=$((count / 2 + 1))")
        for property in "$@"; do
            case $property in
            "$id":*) own+=("${property#*:}") ;;
            [0-9]:*) ;;
            *) own+=("$property") ;;
            esac
        done
        prepare "$(run_dir "${names[id - 1]}")" "$java" "$(free_port)" "${ports[id - 1]}" "${own[@]}" || return 1
    done
    for name in "${names[@]}"; do spawn "$(run_dir "$name")" "$java" || return 1; done
    for name in "${names[@]}"; do await "$(run_dir "$name")" "$count" || return 1; done
}

start() {
    local name=$1
    shift
    launch start_one "$name" "$@"
}

cluster() {
    local name=$1 count=$2
    shift 2
    [[ $count =~ ^[1-9]$ ]] || die "a cluster has 1 to 9 brokers: $count"
    launch start_cluster "$(seq -s ' ' -f "$name-%g" "$count")" "$@"
}

crash() {
    local dir
    dir=$(run_dir "$1")
    signal KILL "$1"
    while alive "$dir"; do sleep 0.1; done
}

revive() {
    local dir java
    dir=$(run_dir "$1")
    [[ -d $dir/data ]] || die "no broker named $1 was started"
    java=$(find_java) || die "Java $java_needed or newer is missing: run scripts/setup.sh --kafka"
    if alive "$dir"; then die "a broker named $1 is running"; fi
    spawn "$dir" "$java"
    await "$dir" 1 || die "Apache Kafka did not start again; see $dir/broker.log"
    cat "$dir/bootstrap"
}

# Sends a signal to the broker of this name.
signal() {
    local dir
    dir=$(run_dir "$2")
    alive "$dir" || die "no broker named $2 is running"
    kill "-$1" "$(cat "$dir/pid")"
}

halt() {
    local dir
    dir=$(run_dir "$1")
    alive "$dir" || die "no broker named $1 is running"
    finish "$dir"
}

stop() {
    local dir
    dir=$(run_dir "$1")
    finish "$dir"
    if [[ -e $dir/broker.log ]]; then mv "$dir/broker.log" "$kafka_dir/last.log"; fi
    rm -rf "$dir"
}

stop_cluster() {
    local dir
    for dir in "$kafka_dir/run/$1"-[0-9]/; do
        if [[ -d $dir ]]; then stop "$(basename "$dir")"; fi
    done
}

stop_all() {
    local dir
    for dir in "$kafka_dir"/run/*/; do
        if [[ -d $dir ]]; then stop "$(basename "$dir")"; fi
    done
}

show_env() {
    local dir
    dir=$(run_dir "$1")
    alive "$dir" || die "no broker named $1 is running; start it with: scripts/kafka.sh start $1"
    printf 'export SANDBAR_TEST_KAFKA=%s\n' "$(cat "$dir/bootstrap")"
}

foreground() {
    local name=$1 bootstrap
    # shellcheck disable=SC2064 # the name as it is now: a trap does not see the variables of a function that has ended
    trap "stop $name; rm -f .kafka/last.log" EXIT
    trap 'exit 0' INT TERM
    start "$name" >/dev/null
    bootstrap=$(cat "$kafka_dir/run/$name/bootstrap")
    cat <<END
Apache Kafka $(kafka_version) answers on $bootstrap; it starts empty, and Ctrl-C stops it and deletes its data.
  sandbar run --brokers $bootstrap
  SANDBAR_TEST_KAFKA=$bootstrap cargo test
  tail -f .kafka/run/$name/broker.log
END
    # The broker is a child of this shell; should it end by itself, so does this.
    wait "$(cat "$kafka_dir/run/$name/pid")" || true
    die "Apache Kafka ended by itself"
}

name=${2:-dev}
case ${1:-} in
fetch) fetch ;;
start)
    # shellcheck disable=SC2064 # the name as it is now: functions have others by that name
    trap "stop '$name'; exit 130" INT TERM
    start "$name" "${@:3}"
    ;;
cluster)
    # shellcheck disable=SC2064 # as above
    trap "stop_cluster '$name'; exit 130" INT TERM
    cluster "$name" "${@:3}"
    ;;
env) show_env "$name" ;;
crash) crash "$name" ;;
halt) halt "$name" ;;
revive) revive "$name" ;;
freeze) signal STOP "$name" ;;
thaw) signal CONT "$name" ;;
stop) stop "$name" ;;
stop-all) stop_all ;;
foreground) foreground "dev-$$" ;;
*) die "usage: kafka.sh fetch | start [NAME [KEY=VALUE...]] | cluster NAME COUNT [[N:]KEY=VALUE...] | env [NAME] | crash [NAME] | halt [NAME] | revive [NAME] | freeze [NAME] | thaw [NAME] | stop [NAME] | stop-all | foreground" ;;
esac
