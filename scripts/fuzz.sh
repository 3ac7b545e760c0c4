#!/usr/bin/env bash
# Fuzzes what reads foreign bytes, with libFuzzer and its address sanitizer. What is found anew is kept under target/;
# a crash is kept as a file under fuzz/artifacts/, and its name is told.
#
#   fuzz.sh [TARGET...]        fuzzes each target (all, unless some are named) for FUZZ_SECONDS, 60 unless set
#   fuzz.sh keep [TARGET...]   adds to fuzz/corpus what reaches code that nothing in it reaches
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

seconds=${FUZZ_SECONDS:-60}
# An input that takes longer than this, in seconds, is a defect.
slow=60
# What an input may make the process need, in MiB: the sanitizer multiplies it.
memory=4096
target=${CARGO_TARGET_DIR:-$root/target}/fuzz

# C libraries are built with the sanitizer too, and librdkafka's configure script links some of them on its own.
export LDFLAGS="${LDFLAGS:-} -fsanitize=address"
# A constant of SQLite's that two functions have looks to the sanitizer like one that is defined twice.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_odr_violation=0"

scripts/setup.sh --fuzz

mode=run
if [[ ${1:-} == keep ]]; then
    mode=keep
    shift
fi
targets=("$@")
if ((${#targets[@]} == 0)); then
    for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

fuzz() { # TARGET, the arguments of libFuzzer
    local name=$1
    shift
    cargo +nightly fuzz run --fuzz-dir fuzz --target-dir "$target" "$name" "$@"
}

for name in "${targets[@]}"; do
    [[ -f fuzz/fuzz_targets/$name.rs ]] || die "there is no target $name; there are: $(ls fuzz/corpus)"
    found=$target/corpus/$name
    mkdir -p "$found" "fuzz/corpus/$name"
    case $mode in
    run)
        say "fuzzing $name for $seconds seconds"
        fuzz "$name" "$found" "fuzz/corpus/$name" -- \
            "-max_total_time=$seconds" "-timeout=$slow" "-rss_limit_mb=$memory" -print_final_stats=1
        ;;
    keep)
        say "adding what is new to fuzz/corpus/$name"
        fuzz "$name" "fuzz/corpus/$name" "$found" -- -merge=1 "-timeout=$slow" "-rss_limit_mb=$memory"
        ;;
    esac
done
