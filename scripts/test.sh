#!/usr/bin/env bash
# Runs every test, those against Apache Kafka and in a browser too. Where one cannot be had the rest runs, and the last line
# says what did not; with REQUIRE_KAFKA=1 and REQUIRE_BROWSER=1 that is a failure. SANDBAR_TEST_KAFKA=HOST:PORT names a broker
# to use instead of ours. Kafka Connect and its clients, which the REST interface is held against, REQUIRE_KAFKA asks for too.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

broker="test-$$"
beside_broker="test-beside-$$"
no_kafka="" no_connect="" no_clients=""

missing() { # WHY
    if [[ ${REQUIRE_KAFKA:-0} == 1 ]]; then die "$1, and REQUIRE_KAFKA is set"; fi
    warn "$1"
}

without_kafka() { # WHY
    no_kafka=$1
    missing "$1"
}

scripts/setup.sh
no_tools=""
# With a broker that is there already, too: Maven and Python get what is held against it.
scripts/setup.sh --kafka || no_tools="Java, Maven and Python could not be installed"
if [[ -z ${SANDBAR_TEST_KAFKA:-} ]]; then
    if [[ -n $no_tools ]]; then
        without_kafka "$no_tools"
    elif ! scripts/kafka.sh fetch; then
        without_kafka "Apache Kafka could not be downloaded"
    fi
fi
# The REST interface is held against that of a real Kafka Connect, which needs a broker, and by its clients, which need none.
# Tests go by what lies there: what is out of date, and could not be had anew, is taken away.
if [[ -z $no_kafka ]] && ! scripts/connect.sh fetch; then
    no_connect="it could not be downloaded"
    missing "Kafka Connect could not be downloaded"
    rm -f "$kafka_dir/connect-lib/pom.xml"
fi
if ! scripts/clients.sh fetch; then
    no_clients="they could not be downloaded"
    missing "clients of the REST interface could not be downloaded"
    rm -f "$kafka_dir/clients/requirements.txt"
fi
no_browser=""
if ! scripts/setup.sh --browser; then
    no_browser="Chromium could not be installed"
    if [[ ${REQUIRE_BROWSER:-0} == 1 ]]; then die "$no_browser, and REQUIRE_BROWSER is set"; fi
    warn "$no_browser"
fi

scripts/build.sh plugins
say "building the tests"
cargo test "${cargo_flags[@]}" --workspace --no-run
cargo test "${cargo_flags[@]}" --workspace "${tests_beside[@]}" --no-run

log=$(mktemp)
beside_job=""
clean_up() {
    if [[ -n $beside_job ]]; then
        kill -- "-$beside_job" 2>/dev/null || true
        cat "$log"
    fi
    rm -f "$log"
    # The one with most of the tests comes last: its log is what stays.
    for name in "$beside_broker" "$broker"; do scripts/kafka.sh stop "$name"; done
}
trap clean_up EXIT

# The brokers start after the compiler is done: neither gains by sharing the machine with the other.
beside_kafka=${SANDBAR_TEST_KAFKA:-}
if [[ -z ${SANDBAR_TEST_KAFKA:-}${no_kafka} ]]; then
    if SANDBAR_TEST_KAFKA=$(scripts/kafka.sh start "$broker") && beside_kafka=$(scripts/kafka.sh start "$beside_broker"); then
        export SANDBAR_TEST_KAFKA
        say "Apache Kafka $(kafka_version) answers on $SANDBAR_TEST_KAFKA and $beside_kafka"
    else
        unset SANDBAR_TEST_KAFKA
        without_kafka "Apache Kafka did not start"
    fi
fi

say "running the tests; ${tests_beside[*]} beside the others, told at the end"
status=0
# In a group of its own, which ends with this script.
set -m
SANDBAR_TEST_KAFKA=$beside_kafka cargo test "${cargo_flags[@]}" --workspace "${tests_beside[@]}" --no-fail-fast &>"$log" &
beside_job=$!
set +m
cargo test "${cargo_flags[@]}" --workspace --no-fail-fast || status=$?
wait "$beside_job" || status=$?
beside_job=""
cat "$log"

if ((status != 0)); then say "some tests failed"; fi
left_out="${no_kafka:+; the tests against Apache Kafka ($no_kafka)}"
left_out+="${no_connect:+; the tests against Kafka Connect ($no_connect)}"
left_out+="${no_clients:+; the tests by clients of the REST interface ($no_clients)}"
left_out+="${no_browser:+; the tests of the page at /ui ($no_browser)}"
if [[ -n $left_out ]]; then
    say "not run: ${left_out#; }"
elif ((status == 0)); then
    say "all tests passed, those against Apache Kafka included"
fi
exit "$status"
