#!/usr/bin/env bash
# Runs a real Apache Kafka on this machine, for tests and development, from the jars that Maven knows: no download page,
# no container, no root. Everything it makes lies under .kafka/.
#
#   kafka.sh fetch          gets the jars, if they are not there
#   kafka.sh start [NAME [KEY=VALUE...]]
#                           starts an empty broker on a free loopback port, with these properties on top of
#                           scripts/kafka/server.properties.in, waits until it answers, prints HOST:PORT; @PORT@ and
#                           @CONTROLLER_PORT@ in a value stand for the ports that were found for it
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
# An orderly shutdown takes about two seconds. There is nothing to lose: the data is deleted.
stop_limit_seconds=10
# Another process may take a port between the look and the start.
start_attempts=3
heap=-Xmx512m

fetch() {
    if kafka_fetched; then return 0; fi
    have mvn || die "Maven is missing: run scripts/setup.sh --kafka"
    say "downloading Apache Kafka $(kafka_version) with Maven into .kafka/lib (50 MB)"
    rm -rf "${kafka_dir:?}/lib" "${kafka_dir:?}/lib.part"
    mvn --batch-mode --quiet -Dstyle.color=never --file "$kafka_pom" \
        dependency:copy-dependencies -DoutputDirectory="$kafka_dir/lib.part" ||
        die "Maven could not download Apache Kafka"
    cp "$kafka_pom" "$kafka_dir/lib.part/pom.xml"
    mv "$kafka_dir/lib.part" "$kafka_dir/lib"
}

run_dir() {
    [[ $1 =~ ^[a-z0-9-]+$ ]] || die "a broker's name is made of a-z, 0-9 and -: $1"
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

# Asks for metadata (api key 3, version 1, no topics), as a client would. An open port is not yet a broker; the answer's
# third word is how many brokers the cluster counts.
answers() {
    local brokers
    brokers=$(
        exec 2>/dev/null
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf '\x00\x00\x00\x0e\x00\x03\x00\x01\x00\x00\x00\x01\xff\xff\x00\x00\x00\x00' >&3
        timeout 5 head -c 12 <&3 | od -An -v -tx1 | tr -d ' \n' | cut -c 17-24
    ) || return 1
    [[ $brokers == 00000001 ]]
}

# A pid file may outlive its process, and the number may be given to another: only ours has our file in its arguments.
alive() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 1
    if [[ -d /proc/self ]]; then
        { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF "$1/server.properties"
    else
        ps -o args= -p "$pid" | grep -qF "$1/server.properties"
    fi
}

launch() {
    local dir=$1 java=$2 port=$3
    shift 3
    mkdir -p "$dir/data"
    # Of a property that is there twice the last one counts.
    { cat scripts/kafka/server.properties.in && printf '%s\n' "$@"; } |
        sed -e "s|@PORT@|$port|" -e "s|@CONTROLLER_PORT@|$(free_port)|" -e "s|@DATA@|$dir/data|" >"$dir/server.properties"
    (kafka "$dir" "$java" kafka.tools.StorageTool format -t sandbar-for-tests-0000 -c "$dir/server.properties") \
        >"$dir/broker.log" 2>&1 || return 1
    boot "$dir" "$java" "$port"
}

# Becomes a class of Kafka's; called in a subshell.
kafka() {
    local dir=$1 java=$2
    shift 2
    local command=("$java" -Xms64m "$heap" -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true
        "-Dlog4j2.configurationFile=$root/scripts/kafka/log4j2.properties" -cp "$kafka_dir/lib/*")
    exec "${command[@]}" "$@"
}

# Starts a broker that has been set up, and waits until it answers.
boot() {
    local dir=$1 java=$2 port=$3 waited_until
    (trap '' HUP && kafka "$dir" "$java" kafka.Kafka "$dir/server.properties") >>"$dir/broker.log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    waited_until=$((SECONDS + start_limit_seconds))
    until answers "$port"; do
        kill -0 "$(cat "$dir/pid")" 2>/dev/null || return 1
        ((SECONDS < waited_until)) || return 1
        sleep 0.2
    done
    # Whoever took the port first may be a broker too.
    alive "$dir"
}

start() {
    local name=$1 dir java port attempt
    shift
    dir=$(run_dir "$name")
    kafka_fetched || die "Apache Kafka is missing: run scripts/kafka.sh fetch"
    java=$(find_java) || die "Java $java_needed or newer is missing: run scripts/setup.sh --kafka"
    if alive "$dir"; then die "a broker named $name is running; stop it with: scripts/kafka.sh stop $name"; fi
    for ((attempt = 1; attempt <= start_attempts; attempt++)); do
        rm -rf "$dir"
        port=$(free_port)
        if launch "$dir" "$java" "$port" "$@"; then
            printf '127.0.0.1:%s\n' "$port" | tee "$dir/bootstrap"
            return 0
        fi
        stop "$name"
        grep -q 'Address already in use' "$kafka_dir/last.log" || break
    done
    tail -n 20 "$kafka_dir/last.log" >&2
    die "Apache Kafka did not start; its log is .kafka/last.log"
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
    boot "$dir" "$java" "$(sed 's/.*://' "$dir/bootstrap")" || die "Apache Kafka did not start again; see $dir/broker.log"
    cat "$dir/bootstrap"
}

# Sends a signal to the broker of this name.
signal() {
    local dir
    dir=$(run_dir "$2")
    alive "$dir" || die "no broker named $2 is running"
    kill "-$1" "$(cat "$dir/pid")"
}

# Ends a broker's process in good order, or by force where it takes too long.
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
    trap 'stop "$name"; exit 130' INT TERM
    start "$name" "${@:3}"
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
*) die "usage: kafka.sh fetch | start [NAME [KEY=VALUE...]] | env [NAME] | crash [NAME] | halt [NAME] | revive [NAME] | freeze [NAME] | thaw [NAME] | stop [NAME] | stop-all | foreground" ;;
esac
