#!/usr/bin/env bash
# Runs the benchmarks and keeps what they print under bench/results/. Each compares two things in one run.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

say "building the benchmarks, optimised"
cargo build "${cargo_flags[@]}" --release --package sandbar-bench

# What needs no broker, then what does.
for bench in sandbox metering neighbours lifecycle rest; do
    say "$bench"
    "${CARGO_TARGET_DIR:-target}/release/$bench" | tee "bench/results/$bench.md"
done

scripts/setup.sh --kafka
scripts/kafka.sh fetch
broker="bench-$$"
trap 'scripts/kafka.sh stop "$broker"' EXIT
bootstrap=$(scripts/kafka.sh start "$broker")
say transactions
"${CARGO_TARGET_DIR:-target}/release/transactions" "$bootstrap" | tee bench/results/transactions.md
