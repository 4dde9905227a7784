#!/bin/sh
# Builds the C library and installs it: header, shared and static library, pkg-config file.
#
#   install.sh [--prefix DIR]   (default: /usr/local; DESTDIR is honoured)
#
# Needs a Rust toolchain and a C compiler. On Linux and other systems with ELF libraries.
set -eu
here=$PWD
cd "$(dirname "$0")"

prefix=/usr/local
while [ $# -gt 0 ]; do
    case $1 in
        --prefix) prefix=${2:?--prefix needs a directory}; shift 2 ;;
        --prefix=*) prefix=${1#--prefix=}; shift ;;
        *) echo "install.sh: unknown argument '$1'; usage: install.sh [--prefix DIR]" >&2; exit 2 ;;
    esac
done
case $prefix in /*) ;; *) prefix=$here/$prefix ;; esac
libdir=$prefix/lib includedir=$prefix/include
root=${DESTDIR:-}

# What a program that links the static library needs besides is the compiler's to say.
said=$(cargo rustc --release --locked --lib -- --print native-static-libs 2>&1) || { echo "$said" >&2; exit 1; }
native=$(echo "$said" | sed -n 's/^note: native-static-libs: //p' | tail -n 1)
[ -n "$native" ] || { echo "install.sh: the compiler did not tell the libraries of the system: $said" >&2; exit 1; }
target=$(cargo metadata --no-deps --format-version 1 --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
version=$(sed -n 's/^#define PEER_AGENT_ABI_VERSION //p' include/peer_agent.h)
package=$(cargo pkgid | sed 's/.*[#@]//')

install -d "$root$libdir/pkgconfig" "$root$includedir"
install -m 644 include/peer_agent.h "$root$includedir/"
install -m 644 "$target/libpeer_agent_c.a" "$root$libdir/"
install -m 755 "$target/libpeer_agent_c.so" "$root$libdir/libpeer_agent_c.so.$version"
ln -sf "libpeer_agent_c.so.$version" "$root$libdir/libpeer_agent_c.so"
sed "s|@PREFIX@|$prefix|; s|@LIBDIR@|$libdir|; s|@INCLUDEDIR@|$includedir|; s|@VERSION@|$package|; s|@NATIVE@|$native|" \
    peer_agent.pc.in >"$root$libdir/pkgconfig/peer_agent.pc"
chmod 644 "$root$libdir/pkgconfig/peer_agent.pc"
echo "installed peer_agent $package (interface $version) in $root$prefix"
