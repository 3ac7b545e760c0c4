#!/usr/bin/env bash
# Runs the benchmarks and keeps what they print under bench/results/. Each compares two things in one run.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

say "building the benchmarks, optimised"
cargo build "${cargo_flags[@]}" --release --package sandbar-bench
for bench in sandbox metering neighbours lifecycle; do
    say "$bench"
    "${CARGO_TARGET_DIR:-target}/release/$bench" | tee "bench/results/$bench.md"
done
