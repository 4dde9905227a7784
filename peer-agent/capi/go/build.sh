#!/bin/sh
# Builds the static library that this package links, into lib/GOOS_GOARCH.
#
#   build.sh            for this machine
#   build.sh TARGET     for another one, by Rust's name: aarch64-unknown-linux-gnu, x86_64-pc-windows-gnu, …
#
# Needs a Rust toolchain (with that target: rustup target add TARGET) and a C compiler for it.
set -eu
cd "$(dirname "$0")"

target=${1:-$(rustc -vV | sed -n 's/^host: //p')}
case $target in
    x86_64-*-linux-*) folder=linux_amd64 ;;
    aarch64-*-linux-*) folder=linux_arm64 ;;
    x86_64-apple-darwin) folder=darwin_amd64 ;;
    aarch64-apple-darwin) folder=darwin_arm64 ;;
    x86_64-pc-windows-gnu*) folder=windows_amd64 ;;
    *) echo "build.sh: nobody has said what Go calls $target: add it here and to link_static.go" >&2; exit 2 ;;
esac

# Without --target the build is shared with that of the other programs.
if [ $# -gt 0 ]; then
    cargo build --release --locked -p peer-agent-capi --target "$target"
    built=$target/release
else
    cargo build --release --locked -p peer-agent-capi
    built=release
fi
output=$(cargo metadata --no-deps --format-version 1 --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
mkdir -p "lib/$folder"
cp "$output/$built/libpeer_agent_c.a" "lib/$folder/"
# Line tables of all dependencies would be in every program; where strip cannot read the target's files they stay.
strip --strip-debug "lib/$folder/libpeer_agent_c.a" 2>/dev/null || true
echo "lib/$folder/libpeer_agent_c.a is there"
