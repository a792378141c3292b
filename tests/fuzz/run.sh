#!/usr/bin/env bash
# Runs fuzzers: the kept corpus first, then new inputs.
#
#   tests/fuzz/run.sh MINUTES [TARGET...]                        builds preset `fuzz`; then each target (default: all)
#                                                                gets MINUTES of processor time, one after the other
#   tests/fuzz/run.sh --build FOLDER --inputs N [TARGET...]      builds nothing; N inputs each, the same ones every time:
#                                                                what ctest runs, for a test must not depend on luck
#
# Ends with a table of what each did. New inputs stay in BUILD/fuzz/TARGET/found, so that the next run goes on there. A
# crash is BUILD/fuzz/TARGET/crash-*: mend it, and keep the input as tests/fuzz/corpus/TARGET/<what it was>.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

build= seconds= inputs=
while [[ $# -gt 0 ]]; do
  case "$1" in
    --build) build=$2; shift 2 ;;
    --inputs) inputs=$2; shift 2 ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) break ;;
  esac
done
if [[ -z "$inputs" ]]; then
  [[ "${1:-}" =~ ^[0-9]+$ ]] || { echo "run.sh: MINUTES is missing (see --help)" >&2; exit 2; }
  seconds=$(($1 * 60))
  shift
fi
if [[ -z "$build" ]]; then
  build=$root/build-fuzz
  "$root/scripts/build.sh" --preset fuzz --target fuzzers
fi
if [[ $# -eq 0 ]]; then
  for folder in "$root"/tests/fuzz/corpus/*/; do set -- "$@" "$(basename "$folder")"; done
fi

# What the fuzzers write goes to memory where that is possible.
[[ -n "${TMPDIR:-}" || ! -w /dev/shm ]] || export TMPDIR=/dev/shm
# The sanitizers' own report is what a crash is known by; a large allocation is one as well.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
TIMEFORMAT='%U %S'

stat_of() { sed -n "s/^stat::$1: *//p" "$2" | tail -n 1; }

# One process of libFuzzer that keeps what it finds in $2 and ends where the option $3 says; adds to `spent`, seconds of
# processor time, and to `executed`.
fuzz_once() {
  local target=$1 found=$2 until=$3 work=$build/fuzz/$1 status=0
  local options=("$until" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=512 -print_final_stats=1
    -artifact_prefix="$work/")
  [[ -z "$inputs" ]] || options+=(-seed=1)
  [[ ! -f "$root/tests/fuzz/$target.dict" ]] || options+=(-dict="$root/tests/fuzz/$target.dict")
  { time "$build/${target}_fuzz" "${options[@]}" "$found" "$root/tests/fuzz/corpus/$target" \
    >"$work/log" 2>&1; } 2>"$work/time" || status=$?
  read -r user system <"$work/time"
  spent=$((spent + $(awk -v a="$user" -v b="$system" 'BEGIN { print a + b < 1 ? 1 : int(a + b + 0.5) }')))
  executed=$((executed + $(stat_of number_of_executed_units "$work/log" || true)))
  return "$status"
}

# Waiting for the processor is no fuzzing: goes on until $seconds of it were used.
fuzz_on() {
  local target=$1 work=$build/fuzz/$1
  mkdir -p "$work/found"
  while ((spent < seconds && status == 0)); do
    fuzz_once "$target" "$work/found" -max_total_time=$((seconds - spent)) || status=$?
  done
}

# The same inputs each time: what was found earlier is not looked at.
fuzz_again() {
  local target=$1 work=$build/fuzz/$1
  rm -rf "$work/found-again"
  mkdir -p "$work/found-again"
  fuzz_once "$target" "$work/found-again" -runs="$inputs" || status=$?
}

fuzz() {
  local target=$1 work=$build/fuzz/$1 spent=0 executed=0 status=0
  [[ -n "$(ls "$root/tests/fuzz/corpus/$target")" ]] || { echo "run.sh: $target has no corpus" >&2; return 1; }
  if [[ -n "$inputs" ]]; then fuzz_again "$target"; else fuzz_on "$target"; fi
  printf '[ fuzz     ] %-14s %12d inputs %6d s of processor  cov %6s  kept %5d  slowest %2s s  peak %4s MB\n' \
    "$target" "$executed" "$spent" "$(grep -o 'cov: [0-9]*' "$work/log" | tail -n 1 | cut -c6-)" \
    "$(ls "$work"/found* | wc -l)" "$(stat_of slowest_unit_time_sec "$work/log")" "$(stat_of peak_rss_mb "$work/log")"
  if ((status != 0)); then
    echo "run.sh: $target failed; the end of $work/log:" >&2
    grep -vE '^(#|NEW_FUNC|stat::)' "$work/log" | tail -n 60 >&2
  elif ((executed == 0)); then
    echo "run.sh: $target tried nothing" >&2
    status=1
  fi
  return "$status"
}

failed=0
for target in "$@"; do fuzz "$target" || failed=1; done
exit "$failed"
