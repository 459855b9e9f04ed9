# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, never run.
# Downloads and builds live outside the work tree, in $UNDERSTUDY_CACHE.

# shellcheck disable=SC2034 # for the scripts that source this
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export UNDERSTUDY_CACHE="${UNDERSTUDY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/understudy}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$UNDERSTUDY_CACHE/target}"
mkdir -p "$UNDERSTUDY_CACHE" "$CARGO_TARGET_DIR"

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
  need java "apt-get install openjdk-17-jdk-headless"
  need mvn "apt-get install maven"
  [ "$missing" = 0 ] || exit 2
}

need_node() {
  need node "https://nodejs.org (20 or newer)"
  need npm "https://nodejs.org (20 or newer)"
}
