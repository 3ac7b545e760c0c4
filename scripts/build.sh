#!/usr/bin/env bash
# Builds what runs: the example plugins for the sandbox, then the host. The host is built as the tests build it, so that
# `make run` and `make test` share their work.
#
#   build.sh            the plugins and the host
#   build.sh plugins    the plugins only
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

plugins() {
    local packages
    mapfile -t packages < <(plugin_packages)
    ((${#packages[@]})) || die "no plugins under examples-plugins/"
    say "building the example plugins for wasm32-wasip1"
    cargo build "${cargo_flags[@]}" --release --target wasm32-wasip1 "${packages[@]}"
}

case ${1:-all} in
plugins) plugins ;;
all)
    plugins
    say "building the host"
    # The whole workspace: for one package alone, cargo would choose other features of its dependencies, and build the
    # compiler of plugins once more for the tests.
    cargo build "${cargo_flags[@]}" --workspace --bins
    ;;
*) die "usage: build.sh [plugins]" ;;
esac
