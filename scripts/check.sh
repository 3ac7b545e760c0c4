#!/usr/bin/env bash
# Everything that can be said about the code without running it; each warning is an error.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

# How long the advisory database may take to arrive before we go on without it.
advisories_limit_seconds=120

scripts/setup.sh --check

say "format"
cargo fmt --all --check

say "clippy"
cargo clippy "${cargo_flags[@]}" --workspace --all-targets -- -D warnings
# Those are no targets of all, for they are not tested with all.
cargo clippy "${cargo_flags[@]}" --workspace "${tests_beside[@]}" -- -D warnings

# What a plugin compiles only for the sandbox is not seen above.
mapfile -t packages < <(plugin_packages)
if ((${#packages[@]})); then
    say "clippy for wasm32-wasip1"
    cargo clippy "${cargo_flags[@]}" --target wasm32-wasip1 "${packages[@]}" -- -D warnings
fi

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc "${cargo_flags[@]}" --workspace --no-deps

say "unused dependencies"
cargo machete

# Without the graphs: the duplicates that we put up with would fill the screen with them.
say "licences, bans and sources of dependencies"
cargo deny "${cargo_flags[@]}" check --hide-inclusion-graph bans licenses sources

say "security advisories"
if timeout "$advisories_limit_seconds" cargo deny fetch db; then
    cargo deny "${cargo_flags[@]}" check advisories
else
    say "advisories were not checked: the RustSec database could not be had"
fi
