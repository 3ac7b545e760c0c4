#!/usr/bin/env bash
# Runs every test, those against Apache Kafka too. Where no Kafka can be had the rest runs, and the last line says what
# did not; with REQUIRE_KAFKA=1 that is a failure. SANDBAR_TEST_KAFKA=HOST:PORT names a broker to use instead of ours.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

broker="test-$$"
no_kafka=""

without_kafka() {
    no_kafka=$1
    if [[ ${REQUIRE_KAFKA:-0} == 1 ]]; then die "$1, and REQUIRE_KAFKA is set"; fi
    warn "$1"
}

scripts/setup.sh
if [[ -z ${SANDBAR_TEST_KAFKA:-} ]]; then
    if ! scripts/setup.sh --kafka; then
        without_kafka "Java and Maven could not be installed"
    elif ! scripts/kafka.sh fetch; then
        without_kafka "Apache Kafka could not be downloaded"
    fi
fi
# The REST interface is held against that of a real Kafka Connect, by its own clients.
if [[ -z $no_kafka ]]; then
    scripts/connect.sh fetch || without_kafka "Kafka Connect could not be downloaded"
    scripts/clients.sh fetch || without_kafka "clients of Kafka Connect could not be downloaded"
fi
scripts/setup.sh --browser || warn "no Chromium could be installed: the page at /ui is not tested"

scripts/build.sh plugins
say "building the tests"
cargo test "${cargo_flags[@]}" --workspace --no-run

# The broker starts after the compiler is done: neither gains by sharing the machine with the other.
if [[ -z ${SANDBAR_TEST_KAFKA:-}${no_kafka} ]]; then
    trap 'scripts/kafka.sh stop "$broker"' EXIT
    if SANDBAR_TEST_KAFKA=$(scripts/kafka.sh start "$broker"); then
        export SANDBAR_TEST_KAFKA
        say "Apache Kafka $(kafka_version) answers on $SANDBAR_TEST_KAFKA"
    else
        unset SANDBAR_TEST_KAFKA
        without_kafka "Apache Kafka did not start"
    fi
fi

say "running the tests"
status=0
cargo test "${cargo_flags[@]}" --workspace --no-fail-fast || status=$?

if ((status != 0)); then say "some tests failed"; fi
if [[ -n $no_kafka ]]; then
    say "not run: the tests against Apache Kafka ($no_kafka)"
elif ((status == 0)); then
    say "all tests passed, those against Apache Kafka included"
fi
exit "$status"
