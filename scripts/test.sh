#!/usr/bin/env bash
# Installs, builds and runs the tests; ends with what passed, failed and was skipped, and why.
#
#   scripts/test.sh [--preset NAME] [--target T] [--label RE] [--exclude RE] [--list] [-- CTEST ARGUMENT...]
#
#   --preset NAME   one of CMakePresets.json (default: release, in build/; debug, asan, tsan, no-fuse)
#   --target T      build only this (default: all; asan: tests_sanitized; tsan: tests_threaded)
#   --label RE      only tests with such a label (store, fs, sync, cli, client, bench); --exclude RE leaves such out
#   --define K=V    a CMake option, e.g. --define HITFS_WARNINGS_AS_ERRORS=ON
#
# Environment: HITFS_JOBS (compilers and tests at once), HITFS_PACKAGES=off (install nothing),
# HITFS_CI=1 (a test that skips because a tool is missing is a failure).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=release
target=
selection=()
defines=()
while [[ $# -gt 0 ]]; do
  case "$1" in
    --preset) preset=$2; shift 2 ;;
    --target) target=$2; shift 2 ;;
    --label) selection+=(--label-regex "$2"); shift 2 ;;
    --exclude) selection+=(--label-exclude "$2"); shift 2 ;;
    --define) defines+=("-D$2"); shift 2 ;;
    --) shift; break ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "test.sh: unknown option '$1' (see --help)" >&2; exit 2 ;;
  esac
done

case "$preset" in
  asan)
    target=${target:-tests_sanitized}
    selection+=(--label-exclude 'client|server|big')
    # A leak or an overflow in a process that a test started ends that process with this code.
    export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:exitcode=99}
    export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
    ;;
  tsan)
    target=${target:-tests_threaded}
    selection+=(--label-exclude 'mount|cli|client|server|big')
    export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1:suppressions=$PWD/tests/tsan.supp}
    ;;
esac

scripts/packages.sh build test
scripts/build.sh --preset "$preset" ${target:+--target "$target"} -- "${defines[@]}"

build=build
[[ "$preset" == release ]] || build=build-$preset
results=$PWD/$build/test-results.xml
rm -f "$results"
status=0
# A binary that was not asked for is not a failed test; a binary that was asked for and does not build ended this above.
# Printed is what someone must read: the output of what failed, not a line for each test that passed.
ctest --test-dir "$build" --parallel "${HITFS_JOBS:-$(nproc)}" --output-on-failure --output-junit "$results" \
  --exclude-regex '_NOT_BUILT$' "${selection[@]}" "$@" 2>&1 |
  sed -uE '/^ *Start +[0-9]+: |^ *[0-9]+\/[0-9]+ Test +#[0-9]+: .*(Passed|Skipped) +[0-9.]+ sec$/d' || status=$?

count() { sed -n "s/^\t$1=\"\([0-9]*\)\"$/\1/p" "$results" | head -n 1; }
[[ -s "$results" ]] || { echo "test.sh: ctest wrote no results" >&2; exit 1; }
tests=$(count tests) failed=$(count failures) skipped=$(count skipped)
if [[ "$tests" -eq 0 ]]; then
  echo "test.sh: no test was selected" >&2
  exit 1
fi

# gtest prints "FILE:LINE: Skipped", then the reason, then its own line; one reason counts once with its tests.
reasons=$(awk '
  /: Skipped$/ { reading = 1; reason = ""; next }
  reading && /^\[  SKIPPED \]/ { seen[reason]++; reading = 0 }
  reading && NF { reason = reason (reason == "" ? "" : " ") $0 }
  END { for (r in seen) printf "  %4d x %s\n", seen[r], r }
' "$build/Testing/Temporary/LastTest.log" | sort -rn)

echo
echo "tests ($preset): $((tests - failed - skipped)) passed, $failed failed, $skipped skipped"
[[ -z "$reasons" ]] || echo "skipped because:"$'\n'"$reasons"
if [[ "${HITFS_CI:-}" == 1 ]] && grep -q 'missing tool' <<<"$reasons"; then
  echo "test.sh: here (HITFS_CI=1) every tool must be present; see the reasons above" >&2
  exit 1
fi
exit "$status"
