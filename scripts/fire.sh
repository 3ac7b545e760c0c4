#!/usr/bin/env bash
# Apache Kafka under fire, at full size: 200 kills of the host, 50 restarts of brokers and 50 cut-offs, tasks that move 60
# times, and more, most with two million records; docs/testing.md lists it. `make test` runs the same at a small size.
# What was seen is printed.
#
#   fire.sh [FILTER]    only the tests whose names hold FILTER, such as `kills` or `outages`
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

broker="fire-$$"
scripts/setup.sh --kafka
scripts/kafka.sh fetch
scripts/build.sh plugins
say "building the tests"
cargo test "${cargo_flags[@]}" --workspace --test fire --no-run

trap 'scripts/kafka.sh stop "$broker"' EXIT
SANDBAR_TEST_KAFKA=$(scripts/kafka.sh start "$broker")
export SANDBAR_TEST_KAFKA REQUIRE_KAFKA=1
export SANDBAR_FIRE=${SANDBAR_FIRE-full}

say "opening fire"
# One after the other: each has two cores and a broker to itself.
cargo test "${cargo_flags[@]}" --workspace --test fire -- --nocapture --test-threads 1 "$@"
