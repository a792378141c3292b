#!/usr/bin/env bash
# Measures hitfs side by side with what people would use instead: in every scenario both take turns in the same run, and
# medians are compared. Prints the table of RESULTS.md, ratios first; changes nothing else outside its temporary folder,
# ends what it starts.
#
#   tests/bench/run.sh [--write] [SCENARIO...]     SCENARIO: pass save pull pack endpoint open nx (default: all)
#
# --write also puts the table into tests/bench/RESULTS.md, once everything was measured. HITFS_BENCH_RUNS (default 5)
# repeats each measurement; HITFS_BENCH_FOLDER is where the scratch folder is made (default: /var/tmp, which is on a
# disk); HITFS_BENCH_BUILD names the build (default: build, a release build); HITFS_BENCH_FILES (6400) and
# HITFS_BENCH_ENTRIES (100000) change the sizes, HITFS_BENCH_NX ("20.8.2 24.0.6") the versions of nx and
# HITFS_BENCH_TASKS (200) the size of its workspace. Needs nginx, curl, sqlite3, git, node and scripts/test-tools.sh; as
# root it also measures a cold disk.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source "$here/lib.sh"
build=$(realpath "${HITFS_BENCH_BUILD:-$here/../../build}")
hitfs=$build/hitfs
runs=${HITFS_BENCH_RUNS:-5}
files=${HITFS_BENCH_FILES:-6400}
entries=${HITFS_BENCH_ENTRIES:-100000}
nx_versions=${HITFS_BENCH_NX:-20.8.2 24.0.6}
tasks=${HITFS_BENCH_TASKS:-200}

work=$(mktemp -d "${HITFS_BENCH_FOLDER:-/var/tmp}/hitfs-bench-XXXXXX")
pids=()
stores=()
die() {
  echo "bench: $*" >&2
  exit 1
}
clean_up() {
  local status=$? pid store mount
  trap '' INT TERM
  trap - EXIT
  for store in "${stores[@]}"; do timeout 30 "$hitfs" stop --store "$store" --flush 0s >/dev/null 2>&1 || true; done
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  for mount in $(awk -v below="$work/" 'index($2, below) == 1 { print $2 }' /proc/self/mounts); do umount -l "$mount"; done
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
export HOME=$work XDG_CONFIG_HOME=$work/config
unset HITFS_REMOTE HITFS_STORE HITFS_MODE XDG_CACHE_HOME

pattern='[0-9a-f]{64}'
name_of() { sha256sum <<<"$1" | cut -c1-64; }

# mount_at DIR STORE [OPTION...]
mount_at() {
  local dir=$1 store=$2
  shift 2
  mkdir -p "$dir"
  stores+=("$store")
  "$hitfs" mount "$dir" --layout flat --pattern "$pattern" --store "$store" "$@" >"$work/mount.log" 2>&1 ||
    { cat "$work/mount.log" >&2; die "hitfs mount"; }
}
# unmount_at DIR STORE
unmount_at() { "$hitfs" unmount "$1" --store "$2" >/dev/null; }
# Returns when what was renamed into the mount is an entry.
settle() { sync "$1"; }

# Requests that the mount of a store has answered so far. Forgets are none: nothing waits for them, and when they come is
# the kernel's business.
requests_of() {
  "$hitfs" status --json --store "$1" >"$work/status.json"
  sqlite3 :memory: "select coalesce(sum(value), 0)
    from json_each(json_extract(readfile('$work/status.json'), '\$.supervisor.mounts[0].device.requests'))
    where key not in ('FORGET', 'BATCH_FORGET')"
}
per_file() { awk -v n="$1" -v f="$files" 'BEGIN { printf "%.2f requests per file", n / f }'; }

the_tree() {
  [[ -d "$work/tree" ]] || tree_of "$files" 30720 "$work/tree"
}

save_into() { cp -r "$work/tree" "$1/.saving" && mv "$1/.saving" "$1/$2"; }

scenario_save() {
  local i plain=() mounted=() requests=0 before p m
  the_tree
  read_all "$work/tree"
  mount_at "$work/save" "$work/save-store"
  for ((i = 0; i < runs; i++)); do
    sync
    timed cp -r "$work/tree" "$work/copy"
    plain+=("$elapsed")
    rm -rf "$work/copy"
    sync
    before=$(requests_of "$work/save-store")
    timed save_into "$work/save" "$(name_of "save $i")"
    mounted+=("$elapsed")
    settle "$work/save"
    requests=$(($(requests_of "$work/save-store") - before))
  done
  unmount_at "$work/save" "$work/save-store"
  p=$(median_of "${plain[@]}") m=$(median_of "${mounted[@]}")
  row "save $files files of 30 KB through the mount" "$(ratio "$m" "$p") x; $(per_file "$requests")" "$(ms "$m")" \
    "\`cp -r\` to the same disk: $(ms "$p")" save "<= 3 x; 4"
}

# Makes an entry of the tree in a store and ends the mount.
entry_in() {
  mount_at "$work/pass" "$1"
  save_into "$work/pass" "$2"
  settle "$work/pass"
  unmount_at "$work/pass" "$1"
}

scenario_pass() {
  local store=$work/pass-store name first=() warm=() plain=() before requests_first requests_warm i f w p
  the_tree
  name=$(name_of pass)
  entry_in "$store" "$name"
  for ((i = 0; i < runs; i++)); do
    # A new mount: the kernel knows nothing of it; the disk is warm on both sides.
    mount_at "$work/pass" "$store"
    before=$(requests_of "$store")
    timed read_all "$work/pass/$name"
    first+=("$elapsed")
    requests_first=$(($(requests_of "$store") - before))
    timed walk "$work/pass/$name"
    before=$(requests_of "$store")
    timed read_all "$work/pass/$name"
    warm+=("$elapsed")
    requests_warm=$(($(requests_of "$store") - before))
    timed read_all "$work/tree"
    plain+=("$elapsed")
    unmount_at "$work/pass" "$store"
  done
  f=$(median_of "${first[@]}") w=$(median_of "${warm[@]}") p=$(median_of "${plain[@]}")
  row "warm pass: \`find \\| xargs cat\`, $files files" "$(ratio "$w" "$p") x; $(per_file "$requests_warm")" "$(ms "$w")" \
    "plain directory: $(ms "$p")" pass "<= 1.15 x; 0"
  row "first pass: new mount, disk warm" "$(ratio "$f" "$p") x; $(per_file "$requests_first")" "$(ms "$f")" \
    "plain directory, warm: $(ms "$p")" pass "1 per file, 2 per directory"
  ! can_drop_caches || cold_passes "$store" "$name"
}

cold_passes() {
  local store=$1 name=$2 cold=() plain=() i c p
  for ((i = 0; i < runs; i++)); do
    drop_caches
    timed read_all "$work/tree"
    plain+=("$elapsed")
    mount_at "$work/pass" "$store"
    drop_caches
    timed read_all "$work/pass/$name"
    cold+=("$elapsed")
    unmount_at "$work/pass" "$store"
  done
  c=$(median_of "${cold[@]}") p=$(median_of "${plain[@]}")
  row "first pass: disk cold" "$(ratio "$c" "$p") x" "$(ms "$c")" "plain directory, cold: $(ms "$p")" pass "<= 1 x"
}

appear() {
  local _
  for _ in {1..60}; do
    [[ ! -e "$1" ]] || return 0
  done
  return 1
}
untar_from() { curl -sSf "$1" | tar xz -C "$2"; }

scenario_pull() {
  local i pulled=() untarred=() both=() both_plain=() name p u b c store
  the_tree
  start_server
  start_nginx
  tar cz -C "$work/tree" . >"$work/www/tree.tar.gz"
  name=$(name_of pull)
  export HITFS_TOKEN=$token
  mount_at "$work/pull-a" "$work/pull-a-store" --remote "nx+$url"
  save_into "$work/pull-a" "$name"
  settle "$work/pull-a"
  "$hitfs" flush --store "$work/pull-a-store" --flush-ci 300s >"$work/log" 2>&1 || { cat "$work/log" >&2; die "flush"; }
  unmount_at "$work/pull-a" "$work/pull-a-store"
  for ((i = 0; i < runs; i++)); do
    store=$work/pull-b-store-$i
    mount_at "$work/pull-b" "$store" --remote "nx+$url"
    timed appear "$work/pull-b/$name"
    pulled+=("$elapsed")
    timed read_all "$work/pull-b/$name"
    both+=($((pulled[i] + elapsed)))
    unmount_at "$work/pull-b" "$store"
    rm -rf "$store"
    mkdir "$work/untarred"
    timed untar_from "$nginx_url/tree.tar.gz" "$work/untarred"
    untarred+=("$elapsed")
    timed read_all "$work/untarred"
    both_plain+=($((untarred[i] + elapsed)))
    rm -rf "$work/untarred"
  done
  unset HITFS_TOKEN
  p=$(median_of "${pulled[@]}") u=$(median_of "${untarred[@]}") b=$(median_of "${both[@]}") c=$(median_of "${both_plain[@]}")
  row "pull: on a server -> readable tree, $files files of 30 KB" "$(ratio "$u" "$p") times as fast" "$(ms "$p")" \
    "\`curl \\| tar xz\` from nginx: $(ms "$u")" pull ">= 4"
  row "pull, then the first read of all of it" "$(ratio "$c" "$b") times as fast" "$(ms "$b")" \
    "\`curl \\| tar xz\`, then the same: $(ms "$c")" pull ""
}

# benchmark NAME [STORE|TREE VARIABLE=VALUE]: the time that bench_store measures, in its unit.
benchmark() {
  local name=$1
  shift
  env "$@" "$build/bench_store" --benchmark_filter="^$name\$" --benchmark_format=csv 2>"$work/log" >"$work/benchmark.csv" ||
    { cat "$work/log" >&2; die "bench_store"; }
  # name,iterations,real_time,cpu_time,time_unit
  awk -F, -v name="\"$name\"" '$1 == name { printf "%.3f", $3 }' "$work/benchmark.csv"
}

scenario_pack() {
  local i packed=() tarred=() p t
  the_tree
  for ((i = 0; i < runs; i++)); do
    packed+=("$(in_us "$(benchmark BM_Pack HITFS_BENCH_TREE="$work/tree")")")
    timed tar czf "$work/packed.tar.gz" -C "$work/tree" .
    tarred+=("$elapsed")
  done
  p=$(median_of "${packed[@]}") t=$(median_of "${tarred[@]}")
  row "pack an entry for a push, $files files of 30 KB" "$(ratio "$t" "$p") times as fast" "$(ms "$p")" \
    "\`tar cz\`: $(ms "$t")" pack ">= 5"
}

# An Nx artifact of about $1 bytes that does not compress.
nx_artifact() {
  mkdir -p "$work/artifact/dist"
  head -c "$1" /dev/urandom >"$work/artifact/dist/bundle.js"
  printf 'built\r\n' >"$work/artifact/terminalOutput"
  printf '\0\0\0\0' >"$work/artifact/code"
  tar --format=gnu -C "$work/artifact" -cf - dist terminalOutput code | gzip -1n
}
fetch_many() {
  local url=$1 count=$2 connections=$3
  shift 3
  seq "$count" | sed "s#.*#url = \"$url\"\noutput = /dev/null#" |
    curl -sSf --parallel --parallel-max "$connections" "$@" --config -
}

scenario_endpoint() {
  local i size count connections address h n hits=() files_served=()
  start_nginx
  stores+=("$work/endpoint-store")
  "$hitfs" start --store "$work/endpoint-store" >"$work/environment" 2>"$work/log" || { cat "$work/log" >&2; die "hitfs start"; }
  address=$(sed -n 's/^NX_SELF_HOSTED_REMOTE_CACHE_SERVER=//p' "$work/environment")
  # In a file, as a header: never on a command line.
  sed -n 's/^NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN=\(.*\)/header = "Authorization: Bearer \1"/p' "$work/environment" >"$work/curl.conf"
  chmod 600 "$work/curl.conf"
  while read -r size count connections; do
    nx_artifact "$size" >"$work/www/$size"
    curl -sSf --config "$work/curl.conf" --upload-file "$work/www/$size" "$address/v1/cache/$size" >/dev/null || die "PUT $size"
    hits=() files_served=()
    for ((i = 0; i < runs; i++)); do
      timed fetch_many "$address/v1/cache/$size" "$count" "$connections" --config "$work/curl.conf"
      hits+=("$elapsed")
      timed fetch_many "$nginx_url/$size" "$count" "$connections"
      files_served+=("$elapsed")
    done
    h=$(median_of "${hits[@]}") n=$(median_of "${files_served[@]}")
    row "endpoint: $count GETs of $(numfmt --to=si "$size")B, $connections at once" "$(ratio "$n" "$h") x its rate" "$(ms "$h")" \
      "nginx: $(ms "$n")" endpoint ">= 0.8 x"
  done <<<"10000 5000 32
1000000 1000 32
50000000 20 4"
  "$hitfs" stop --store "$work/endpoint-store" >/dev/null 2>&1
}

# Starts and stops hitfs on a store: sets $elapsed, and $memory to what the daemon needs then (KiB).
start_once() {
  timed "$hitfs" start --store "$1"
  "$hitfs" status --json --store "$1" >"$work/status.json"
  memory=$(awk '/^VmRSS/ { print $2 }' "/proc/$(sqlite3 :memory: "select json_extract(readfile('$work/status.json'), '\$.pid')")/status")
  "$hitfs" stop --store "$1" >/dev/null 2>&1
}

scenario_open() {
  local store=$work/open-store few=$work/few-store i many_times=() few_times=() many_memory=() few_memory=() memory m f
  local many_opened=() few_opened=() many_found=() few_found=()
  fill_store "$store" "$entries"
  fill_store "$few" 1000
  for ((i = 0; i < runs; i++)); do
    start_once "$store"
    many_times+=("$elapsed") many_memory+=("$memory")
    start_once "$few"
    few_times+=("$elapsed") few_memory+=("$memory")
    many_opened+=("$(in_us "$(benchmark BM_OpenStore HITFS_BENCH_STORE="$store")")")
    few_opened+=("$(in_us "$(benchmark BM_OpenStore HITFS_BENCH_STORE="$few")")")
    many_found+=("$(benchmark BM_FindEntry HITFS_BENCH_STORE="$store")")
    few_found+=("$(benchmark BM_FindEntry HITFS_BENCH_STORE="$few")")
  done
  m=$(median_of "${many_times[@]}") f=$(median_of "${few_times[@]}")
  row "\`hitfs start\` until ready, $entries entries" "$(ratio "$m" "$f") x" "$(ms "$m")" "1,000 entries: $(ms "$f")" open "< 100 ms"
  m=$(median_of "${many_memory[@]}") f=$(median_of "${few_memory[@]}")
  row "memory of that daemon" "$(ratio "$m" "$f") x" "$(mib "$m")" "1,000 entries: $(mib "$f")" open "< 64 MB"
  m=$(median_of "${many_opened[@]}") f=$(median_of "${few_opened[@]}")
  row "opening the store alone, $entries entries" "$(ratio "$m" "$f") x" "$(ms "$m")" "1,000 entries: $(ms "$f")" open ""
  m=$(median_of "${many_found[@]}") f=$(median_of "${few_found[@]}")
  row "finding one entry among $entries" "$(ratio "$m" "$f") x" "$m us" "among 1,000: $f us" open ""
}
fill_store() {
  stores+=("$1")
  "$build/bench_store" --fill="$1" --entries="$2" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "fill"; }
}

# A workspace of 200 tasks whose results are on a server 20 ms away: nx alone, and below `hitfs run` with an empty store,
# and with one that `hitfs prewarm` filled, over the endpoint and over a mount (with the stand-in for nx's
# shared-directory plugin). All is restored in each run, from a workspace as checked out.
scenario_nx() {
  local version i straight cold pulled warm mounted s
  export NX_DAEMON=false NX_NO_CLOUD=true NX_TUI=false NX_INTERACTIVE=false NO_COLOR=1
  unset CI FORCE_COLOR HTTP_PROXY http_proxy NX_CACHE_DIRECTORY NX_WORKSPACE_DATA_DIRECTORY
  for version in $nx_versions; do
    # A server for each: versions share hashes.
    start_server "-$version"
    start_far_server "${url##*:}" 20
    export HITFS_TOKEN=$token
    nx_workspace "$version"
    nx_below "$work/nx-fill-$version" "$url" "$version" nx_built
    straight=() cold=() pulled=() warm=() mounted=()
    for ((i = 0; i < runs; i++)); do
      fresh_workspace "$version"
      timed nx_straight "$far_url" "$version"
      straight+=("$elapsed")
      all_restored
      nx_below "$work/nx-cold-$version-$i" "$far_url" "$version" all_restored
      cold+=("$elapsed")
      nx_prewarm "$work/nx-warm-$version-$i" "$version"
      pulled+=("$elapsed")
      nx_below "$work/nx-warm-$version-$i" "$far_url" "$version" all_restored
      warm+=("$elapsed")
      nx_prewarm "$work/nx-mounted-$version-$i" "$version"
      pulled+=("$elapsed")
      nx_mounted "$work/nx-mounted-$version-$i" "$far_url" "$version"
      mounted+=("$elapsed")
    done
    s=$(median_of "${straight[@]}")
    nx_row "nx $version, $tasks tasks, server 20 ms away: endpoint, empty store" "$s" "${cold[@]}"
    nx_row "the same: endpoint, prewarmed" "$s" "${warm[@]}"
    nx_row "the same: mount with a stand-in for the shared-directory plugin, prewarmed" "$s" "${mounted[@]}"
    nx_row "the \`hitfs prewarm\` before it, by commit" "$s" "${pulled[@]}"
  done
  unset HITFS_TOKEN
}
# nx_row WHAT STRAIGHT TIME...
nx_row() {
  local m
  m=$(median_of "${@:3}")
  row "$1" "$(ratio "$m" "$2") x" "$(ms "$m")" "nx straight to the server: $(ms "$2")" nx ""
}
# start_far_server PORT ROUND_TRIP_MS: sets $far_url to a proxy before that port.
start_far_server() {
  local port
  port=$(free_port)
  node "$here/latency_proxy.js" "$port" "$1" "$2" >"$work/proxy.log" 2>&1 &
  pids+=($!)
  wait_for_port "$port" || { cat "$work/proxy.log" >&2; die "the proxy does not listen"; }
  far_url=http://127.0.0.1:$port
}
# A workspace and its one commit; the plugin lies in a second node_modules beside it.
nx_workspace() {
  local modules package
  modules=$here/../../build/tools/nx-$1/node_modules
  [[ -d "$modules/nx" ]] || die "missing tool: nx $1 (scripts/test-tools.sh)"
  modules=$(realpath "$modules")
  node "$here/../clients/make_workspace.js" "$work/nx-$1" "$modules" "$tasks"
  git -C "$work/nx-$1" init --quiet
  git -C "$work/nx-$1" add --all
  git -C "$work/nx-$1" -c user.name=bench -c user.email=bench@localhost commit --quiet --message one
  mkdir -p "$work/modules-$1/@nx/shared-fs-cache"
  for package in "$modules"/* "$modules"/.[!.]* "$modules"/@nx/*; do
    [[ ! -e "$package" || "$package" = */@nx ]] || ln -s "$package" "$work/modules-$1/${package#"$modules/"}"
  done
  cp "$here/../clients/nx_shared_directory.js" "$work/modules-$1/@nx/shared-fs-cache/index.js"
  plain_modules=$modules
}
fresh_workspace() { rm -rf "$work/nx-$1/.nx" "$work/nx-$1/dist"; }
nx_build() { (cd "$work/nx-$1" && NX_CACHE_DIRECTORY=$PWD/.nx/cache "${@:2}" node_modules/.bin/nx run-many -t build --output-style=static); }
nx_straight() {
  NX_SELF_HOSTED_REMOTE_CACHE_SERVER=$1 NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN=$token nx_build "$2"
}
# nx_below STORE SERVER VERSION CHECK [FLAG...]: sets $elapsed to the time of `hitfs run`; its start and end are in it.
nx_below() {
  stores+=("$1")
  fresh_workspace "$3"
  timed nx_build "$3" "$hitfs" run --store "$1" --remote "nx+$2" "${@:5}" --
  "$4"
  "$hitfs" stop --store "$1" >/dev/null 2>&1
}
# nx_mounted STORE SERVER VERSION: as nx_below with a mount. The plugin is active in CI only.
nx_mounted() {
  ln -sfn "$work/modules-$3" "$work/nx-$3/node_modules"
  CI=true nx_below "$1" "$2" "$3" all_restored --layout nx --mount "$work/nx-mount" --require mount
  ln -sfn "$plain_modules" "$work/nx-$3/node_modules"
  grep -q '^hitfs: mount' "$work/log" || { tail -n 20 "$work/log" >&2; die "nx did not use the mount"; }
}
# nx_prewarm STORE VERSION: what an empty machine does that knows no hash. Sets $elapsed.
nx_prewarm() {
  stores+=("$1")
  timed prewarm_in "$work/nx-$2" --store "$1" --remote "nx+$far_url"
  grep -q "prewarmed $tasks of $tasks" "$work/log" || { cat "$work/log" >&2; die "the prewarm is not whole"; }
}
prewarm_in() { (cd "$1" && "$hitfs" prewarm "${@:2}"); }
# What the last run printed is in the log.
nx_built() { [[ $(grep -c '^built ' "$work/log") = "$tasks" ]] || { tail -n 20 "$work/log" >&2; die "nx did not build $tasks tasks"; }; }
all_restored() {
  [[ $(grep -c '\[remote cache\]' "$work/log") = "$tasks" ]] || { tail -n 20 "$work/log" >&2; die "nx did not restore $tasks tasks"; }
}

measure() {
  local scenario
  printf '%s, %s, release build, %s cores, Linux %s, %s, median of %s runs.\n\n' "$(date -u +%F)" \
    "$("$hitfs" --version | head -n 1)" "$(nproc)" "$(uname -r)" "$(df --output=fstype "$work" | tail -n 1)" "$runs" | tee "$work/table"
  row what ratio hitfs "compared with" scenario aim
  row --- --- --- --- --- ---
  for scenario in "$@"; do "scenario_$scenario"; done
}

write=
[[ "${1:-}" != --write ]] || { write=yes; shift; }
[[ -x "$hitfs" && -x "$build/bench_store" ]] || die "$hitfs or bench_store is missing: scripts/build.sh"
[[ $# -gt 0 ]] || set -- pass save pull pack endpoint open nx
for scenario in "$@"; do declare -F "scenario_$scenario" >/dev/null || die "unknown scenario '$scenario'"; done
measure "$@"
[[ -z "$write" ]] || replace_figures "$work/table" "$here/RESULTS.md"
