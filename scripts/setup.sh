#!/usr/bin/env bash
# Makes a fresh Debian-like machine able to build Sandbar: looks for what is missing, says so, and installs it.
#
#   setup.sh            what every build needs: a C and C++ compiler, make, OpenSSL and zlib, the pinned Rust
#   setup.sh --kafka    and what the tests against Apache Kafka need: Java and Maven, Python for clients of Kafka Connect
#   setup.sh --browser  and what the tests of the page at /ui need: Chromium and its driver
#   setup.sh --check    and what `make check` needs: cargo-deny and cargo-machete
#   setup.sh --fuzz     and what `make fuzz` needs: nightly Rust and cargo-fuzz
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

cargo_deny_version=0.20.2
cargo_machete_version=0.9.2
cargo_fuzz_version=0.13.2

# Answers what apt-get needs in front of it to be allowed to install.
privilege() {
    if ((EUID == 0)); then return 0; fi
    have sudo || return 1
    # Without a terminal a question for a password would wait for ever.
    if [[ -t 0 ]]; then echo sudo; else echo "sudo -n"; fi
}

# A fresh machine knows no packages yet. Once per run is enough.
apt_updated=""
apt_update() {
    [[ -z $apt_updated ]] || return 0
    apt_updated=yes
    say "updating the list of Debian packages"
    # shellcheck disable=SC2046 # no words, or the words of one command
    $(privilege) apt-get update -qq || warn "apt-get update failed; going on with the lists that are there"
}

apt_install() {
    local as_root
    have apt-get || die "missing: $*; there is no apt-get here: install what corresponds to these Debian packages"
    as_root=$(privilege) || die "missing: $*; not root and no sudo: run  apt-get install $*  as root"
    apt_update
    say "installing with apt-get: $*"
    # shellcheck disable=SC2086 # as above
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null ||
        die "apt-get could not install: $*"
}

apt_knows() {
    have apt-get && privilege >/dev/null || return 1
    apt_update
    [[ -n $(apt-cache show --no-all-versions "$1" 2>/dev/null) ]]
}

# librdkafka is built from source by its own configure script, which wants a C++ compiler too.
setup_native() {
    local missing=()
    have cc || missing+=(gcc libc6-dev)
    have c++ || missing+=(g++)
    have make || missing+=(make)
    have pkg-config || missing+=(pkg-config)
    pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
    pkg-config --exists zlib 2>/dev/null || missing+=(zlib1g-dev)
    ((${#missing[@]} == 0)) || apt_install "${missing[@]}"
}

pinned() { sed -n "s/^$1 = //p" rust-toolchain.toml | tr -d '[]", ' ; }

rust_ready() {
    local libdir
    # Without this, rustup's stand-in for rustc may start to download, unannounced.
    export RUSTUP_AUTO_INSTALL=0
    [[ $(rustc --version 2>/dev/null) == "rustc $1 "* ]] || return 1
    libdir=$(rustc --print target-libdir --target "$2" 2>/dev/null) && [[ -d $libdir ]] || return 1
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1
}

setup_rust() {
    local channel target
    channel=$(pinned channel)
    target=$(pinned targets)
    if rust_ready "$channel" "$target"; then return 0; fi
    if ! have rustup && apt_knows rustup; then apt_install rustup; fi
    have rustup || die "missing: Rust $channel; install rustup as https://rustup.rs says, then run this again"
    say "installing with rustup: Rust $channel with clippy, rustfmt and the target $target"
    rustup toolchain install "$channel" --profile minimal --component clippy,rustfmt --target "$target" --no-self-update
    rust_ready "$channel" "$target" || die "Rust $channel is installed but not in use here; see  rustup show"
}

# Whether all that Maven gets is there: the jars of Kafka, of Kafka Connect and of a client. That one is got anew with the
# clients in Python, whose versions are in these files.
jars_complete() {
    local clients="$kafka_dir/clients"
    kafka_fetched && jars_fetched scripts/kafka/connect-pom.xml "$kafka_dir/connect-lib" &&
        jars_fetched tests/clients/java/pom.xml "$clients/java" &&
        cmp -s tests/clients/requirements.txt "$clients/requirements.txt" &&
        cmp -s tests/clients/openapi/requirements.txt "$clients/openapi/requirements.txt"
}

setup_kafka() {
    local missing=() package
    if ! find_java >/dev/null; then
        have apt-get || die "missing: Java $java_needed or newer"
        # Which of these there is depends on the release.
        for package in openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless; do
            if apt_knows "$package"; then break; fi
        done
        missing+=("$package")
    fi
    jars_complete || have mvn || missing+=(maven)
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    ((${#missing[@]} == 0)) || apt_install "${missing[@]}"
    find_java >/dev/null || die "no Java $java_needed or newer, even after installing"
}

setup_browser() {
    if ! have chromedriver; then apt_install chromium chromium-driver fonts-dejavu-core; fi
}

# The sanitizers are nightly's only; nothing but fuzzing uses it.
setup_nightly() {
    if cargo +nightly --version >/dev/null 2>&1; then return 0; fi
    have rustup || die "missing: nightly Rust; install rustup as https://rustup.rs says, then run this again"
    say "installing with rustup: nightly Rust, for fuzzing only"
    rustup toolchain install nightly --profile minimal --no-self-update
}

# `cargo install` builds for speed by default; these run for a second, so what counts is how fast they are built.
cargo_tool() {
    local name=$1 version=$2
    if [[ $("$name" --version 2>/dev/null) == *"$version" ]]; then return 0; fi
    say "installing with cargo: $name $version"
    env -u CARGO_TARGET_DIR cargo install "$name" --version "$version" --locked --quiet \
        --profile dev --config profile.dev.debug=false
}

setup_native
setup_rust
for wish in "$@"; do
    case $wish in
    --kafka) setup_kafka ;;
    --browser) setup_browser ;;
    --check)
        cargo_tool cargo-deny "$cargo_deny_version"
        cargo_tool cargo-machete "$cargo_machete_version"
        ;;
    --fuzz)
        setup_nightly
        cargo_tool cargo-fuzz "$cargo_fuzz_version"
        ;;
    *) die "unknown: $wish (known: --kafka, --browser, --check, --fuzz)" ;;
    esac
done
