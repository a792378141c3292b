#!/usr/bin/env bash
# Installs what is missing and builds hitfs.
#
#   scripts/build.sh [--preset NAME] [--target T]... [-- CMAKE ARGUMENT...]
#
# NAME is one of CMakePresets.json (default: release, in build/). HITFS_JOBS sets the number of compilers at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=release
targets=()
while [[ $# -gt 0 ]]; do
  case "$1" in
    --preset) preset=$2; shift 2 ;;
    --target) targets+=("$2"); shift 2 ;;
    --) shift; break ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "build.sh: unknown option '$1' (see --help)" >&2; exit 2 ;;
  esac
done

scripts/packages.sh build
jobs=${HITFS_JOBS:-$(nproc)}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Configuring is chatty and interesting only when it fails.
if ! cmake --preset "$preset" "$@" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
build=$(sed -n 's/^-- Build files have been written to: //p' "$log")
cmake --build "$build" --parallel "$jobs" --target "${targets[@]:-all}"
