#!/usr/bin/env bash
# Installs what the checks need beyond a Rust toolchain and a C compiler, from package registries alone.
#
#   tests/setup.sh foreign   what the ignored tests run: the programs of the Go modules in tests/interop/go, the C library for Go and the
#                            peers around it in peer-agent/capi/go, curl, dig, nginx, openssl, pkg-config, valgrind, zsh, fish, Python
#                            with the packages of tests/interop/python/requirements.txt; the default
#   tests/setup.sh deny      cargo-deny
#   tests/setup.sh fuzz      cargo-fuzz
#
# What is there already is left as it is, so a second run is quick. The programs go to $INTEROP_BIN, or to interop-bin in
# Cargo's target directory, where the interop tests look for them.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

main() {
    [ $# -gt 0 ] || set -- foreign
    local what
    for what in "$@"; do
        case $what in
            foreign | deny | fuzz) "setup_$what" ;;
            *) fail "there is no set-up named '$what': it is foreign, deny or fuzz" ;;
        esac
    done
}

setup_foreign() {
    local module bin
    for module in "${GO_MODULES[@]}"; do
        [ -f "$module/go.mod" ] || fail "there is no Go module in $module: this clone is incomplete"
    done
    ensure go golang-go
    ensure curl curl
    ensure dig dnsutils
    ensure nginx nginx
    ensure openssl openssl
    ensure pkg-config pkg-config
    ensure valgrind valgrind
    ensure zsh zsh
    ensure fish fish
    say "$(go version), $(curl --version | sed -n '1s/ (.*//p')"
    bin=$(bin_dir)
    for module in "${GO_MODULES[@]}"; do
        say "building the programs of $module into $bin"
        cd "$module"
        go mod download || fail "the modules that $module/go.sum names could not be downloaded (see above)"
        # Go would ask git for the revision, and fail where git does not trust the clone.
        go build -trimpath -buildvcs=false -mod=readonly -o "$bin/" ./cmd/...
        cd "$OLDPWD"
    done
    setup_bundled "$bin"
    setup_python "$bin"
    say "there are: $(ls "$bin" | paste -sd ' ')"
}

# The static library that Go programs link, and peers with the agent inside. $1: the folder for foreign programs.
setup_bundled() {
    say "building the C library for Go, and the peers of $BUNDLED/cmd into $1"
    "$BUNDLED/build.sh"
    cd "$BUNDLED/cmd"
    go mod download || fail "the modules that $BUNDLED/cmd/go.sum names could not be downloaded (see above)"
    go build -trimpath -buildvcs=false -mod=readonly -o "$1/" ./...
    # Once more with the race detector, for the tests that look for nothing else than what is said and done.
    go build -race -trimpath -buildvcs=false -mod=readonly -o "$1/race/" ./...
    cd "$OLDPWD"
}

# A virtual environment with the packages of the Python tests; made anew when they change. $1: the folder for foreign programs.
setup_python() {
    local wanted=tests/interop/python/requirements.txt folder=$1/python
    ensure python3 python3
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "Python 3.10 or newer is needed, this is $(python3 --version)"
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_package 'the module venv' python3-venv
    if ! cmp -s "$wanted" "$folder/requirements.txt" || ! "$folder/bin/python" -c ''; then
        say "installing the packages of $wanted into $folder"
        rm -rf "$folder"
        python3 -m venv "$folder"
        "$folder/bin/pip" install --quiet --disable-pip-version-check --no-input --only-binary :all: --requirement "$wanted" ||
            fail "the packages of $wanted could not be installed (see above)"
        cp "$wanted" "$folder/requirements.txt"
    fi
    say "$("$folder/bin/python" --version) in $folder"
}

setup_deny() { ensure_cargo_tool cargo-deny "$CARGO_DENY"; }

setup_fuzz() { ensure_cargo_tool cargo-fuzz "$CARGO_FUZZ"; }

# The folder for foreign programs, made if need be, as an absolute path.
bin_dir() {
    local dir=${INTEROP_BIN:-}
    if [ -z "$dir" ]; then
        dir=$(cargo metadata --no-deps --format-version 1 --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/interop-bin
    fi
    mkdir -p "$dir"
    (cd "$dir" && pwd)
}

# $1: the program; $2: its Debian package.
ensure() {
    if ! command -v "$1" >/dev/null; then
        install_package "$1" "$2"
    fi
}

# $1: what is missing; $2: the Debian package that has it.
install_package() {
    say "$1 is missing: installing $2"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$2"
}

# $1: the program, a cargo subcommand; $2: the version that was tried.
ensure_cargo_tool() {
    local version
    if version=$(cargo "${1#cargo-}" --version 2>/dev/null); then
        say "$version is there"
        return
    fi
    say "$1 is missing: installing $2 (this compiles it, once)"
    # Its build is none of the workspace's: it gets a temporary target directory, which Cargo removes.
    env -u CARGO_TARGET_DIR -u RUSTFLAGS cargo install --locked --version "$2" "$1"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true; then
        sudo -n "$@"
    else
        fail "this needs root: run as root: $*"
    fi
}

say() { printf 'setup: %s\n' "$*"; }

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# One for each set of versions that go together.
GO_MODULES=(tests/interop/go tests/interop/go/http-proxy)
BUNDLED=peer-agent/capi/go
CARGO_DENY=0.20.2
CARGO_FUZZ=0.13.2

main "$@"
