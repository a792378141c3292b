#!/usr/bin/env bash
# A build without FUSE has no libfuse in it and says plainly that it cannot mount.
#
#   tests/install/check_no_fuse.sh BUILD_FOLDER
set -euo pipefail
build=$(realpath "${1:?build folder}")
fail() {
  echo "no-fuse check: $*" >&2
  exit 1
}
"$build/hitfs" --version >/dev/null || fail "hitfs --version"
! ldd "$build/hitfs" | grep -q libfuse || fail "libfuse is linked"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/mount"
if HOME=$work "$build/hitfs" mount "$work/mount" --layout flat --store "$work/store" >"$work/out" 2>&1; then
  fail "hitfs mount claims to have mounted: $(cat "$work/out")"
fi
grep -qi fuse "$work/out" || fail "hitfs mount does not name the reason: $(cat "$work/out")"
echo "no-fuse check: fine ($(head -n 1 "$work/out"))"
