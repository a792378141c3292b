#!/usr/bin/env bash
# Measures hitfs side by side with what people would use instead. Prints rows for RESULTS.md; changes nothing outside its
# temporary folder, ends what it starts.
#
#   tests/bench/run.sh [SCENARIO...]     SCENARIO: pass save pull pack endpoint open (default: all)
#
# HITFS_BENCH_RUNS (default 5) repeats each measurement and takes the median; HITFS_BENCH_FOLDER is where the scratch folder
# is made (default: /var/tmp, which is on a disk); HITFS_BENCH_BUILD names the build (default: build, a release build).
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source "$here/lib.sh"
build=$(realpath "${HITFS_BENCH_BUILD:-$here/../../build}")
hitfs=$build/hitfs
runs=${HITFS_BENCH_RUNS:-5}
files=${HITFS_BENCH_FILES:-6400}

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

# Requests that the mount of a store has answered so far, of the kinds named (default: all).
requests_of() {
  local store=$1
  shift
  "$hitfs" status --json --store "$store" >"$work/status.json"
  local kinds
  kinds=$(printf "'%s'," "$@")
  sqlite3 :memory: "select coalesce(sum(value), 0) from json_each(json_extract(readfile('$work/status.json'), '\$.supervisor.mounts[0].device.requests'))
    where $# = 0 or key in (${kinds%,})"
}
per_file() { awk -v n="$1" -v f="$files" 'BEGIN { printf "%.3f", n / f }'; }

the_tree() {
  [[ -d "$work/tree" ]] || tree_of "$files" 30720 "$work/tree"
}

save_into() { cp -r "$work/tree" "$1/.saving" && mv "$1/.saving" "$1/$2"; }

scenario_save() {
  local i plain=() mounted=() requests=0 before
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
  local p m
  p=$(printf '%s\n' "${plain[@]}" | median) m=$(printf '%s\n' "${mounted[@]}" | median)
  row "save $files files of 30 KB through the mount" "$(ms "$m")" "cp -r: $(ms "$p")" \
    "$(ratio "$m" "$p") x; $(per_file "$requests") requests per file"
}

scenario_pass() {
  local store=$work/pass-store name first=() warm=() plain=() before requests_first requests_warm i f w p cold
  the_tree
  name=$(name_of pass)
  mount_at "$work/pass" "$store"
  save_into "$work/pass" "$name"
  settle "$work/pass"
  unmount_at "$work/pass" "$store"
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
  f=$(printf '%s\n' "${first[@]}" | median) w=$(printf '%s\n' "${warm[@]}" | median) p=$(printf '%s\n' "${plain[@]}" | median)
  row "warm pass: find \\| xargs cat, $files files" "$(ms "$w")" "plain directory: $(ms "$p")" \
    "$(ratio "$w" "$p") x; $(per_file "$requests_warm") requests per file"
  row "first pass, new mount, disk warm" "$(ms "$f")" "plain directory, warm: $(ms "$p")" \
    "$(ratio "$f" "$p") x; $(per_file "$requests_first") requests per file"
  can_drop_caches || return 0
  drop_caches
  timed read_all "$work/tree"
  cold=$elapsed
  mount_at "$work/pass" "$store"
  drop_caches
  timed read_all "$work/pass/$name"
  row "first pass, disk cold (once)" "$(ms "$elapsed")" "plain directory, cold: $(ms "$cold")" "$(ratio "$elapsed" "$cold") x"
  unmount_at "$work/pass" "$store"
}

# Sets $url and $token of a new team server.
start_server() {
  local port=$((20000 + RANDOM % 30000))
  mkdir -p "$work/server"
  token=$("$hitfs" token add --tokens "$work/server/tokens.json" --name bench --rights read,write 2>/dev/null)
  "$hitfs" serve --listen "127.0.0.1:$port" --tokens "$work/server/tokens.json" --store "$work/server/store" >"$work/server/log" 2>&1 &
  pids+=($!)
  wait_for_port "$port" || { cat "$work/server/log" >&2; die "hitfs serve does not listen"; }
  url=http://127.0.0.1:$port
}
wait_for_port() {
  local _
  for _ in {1..100}; do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 0
    sleep 0.1
  done
  return 1
}

# nginx with the files of $work/www, as its users would set it up. Sets $nginx_url.
start_nginx() {
  local port=$((20000 + RANDOM % 30000)) nginx
  nginx=$(PATH=$PATH:/usr/sbin command -v nginx) || die "missing tool: nginx (apt-get install nginx-light)"
  mkdir -p "$work/nginx" "$work/www"
  chmod 755 "$work" "$work/www"
  cat >"$work/nginx/nginx.conf" <<CONF
daemon off; pid $work/nginx/pid; error_log $work/nginx/error.log; worker_processes 2;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
  client_body_temp_path $work/nginx; proxy_temp_path $work/nginx; fastcgi_temp_path $work/nginx;
  uwsgi_temp_path $work/nginx; scgi_temp_path $work/nginx;
  server { listen 127.0.0.1:$port backlog=1024; root $work/www; }
}
CONF
  "$nginx" -c "$work/nginx/nginx.conf" -e "$work/nginx/error.log" &
  pids+=($!)
  wait_for_port "$port" || { cat "$work/nginx/error.log" >&2; die "nginx does not listen"; }
  nginx_url=http://127.0.0.1:$port
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
  local i pulled=() untarred=() name p u
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
    mount_at "$work/pull-b" "$work/pull-b-store-$i" --remote "nx+$url"
    timed appear "$work/pull-b/$name"
    pulled+=("$elapsed")
    unmount_at "$work/pull-b" "$work/pull-b-store-$i"
    rm -rf "$work/pull-b-store-$i"
    mkdir "$work/untarred"
    timed untar_from "$nginx_url/tree.tar.gz" "$work/untarred"
    untarred+=("$elapsed")
    rm -rf "$work/untarred"
  done
  unset HITFS_TOKEN
  p=$(printf '%s\n' "${pulled[@]}" | median) u=$(printf '%s\n' "${untarred[@]}" | median)
  row "pull: on a server -> readable tree, $files files of 30 KB" "$(ms "$p")" "curl \\| tar xz: $(ms "$u")" "$(ratio "$u" "$p") times as fast"
}

scenario_pack() {
  local i packed=() tarred=() p t
  the_tree
  for ((i = 0; i < runs; i++)); do
    HITFS_BENCH_TREE=$work/tree "$build/bench_store" --benchmark_filter=BM_Pack --benchmark_format=csv 2>"$work/log" >"$work/pack.csv" ||
      { cat "$work/log" >&2; die "bench_store"; }
    # name,iterations,real_time,cpu_time,time_unit (milliseconds)
    packed+=("$(awk -F, '/^"BM_Pack/ { printf "%d", $3 * 1000 }' "$work/pack.csv")")
    timed tar czf "$work/packed.tar.gz" -C "$work/tree" .
    tarred+=("$elapsed")
  done
  p=$(printf '%s\n' "${packed[@]}" | median) t=$(printf '%s\n' "${tarred[@]}" | median)
  row "pack an entry of the store for a push, $files files of 30 KB" "$(ms "$p")" "tar cz: $(ms "$t")" "$(ratio "$t" "$p") times as fast"
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
  local size count connections address h n hits=() files_served=()
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
    h=$(printf '%s\n' "${hits[@]}" | median) n=$(printf '%s\n' "${files_served[@]}" | median)
    row "endpoint: $count GETs of $(numfmt --to=iec "$size")B, $connections at once" "$(ms "$h")" "nginx: $(ms "$n")" "$(ratio "$n" "$h") x nginx's rate"
  done <<<"10000 5000 32
1000000 1000 32
50000000 20 4"
  "$hitfs" stop --store "$work/endpoint-store" >/dev/null
}

scenario_open() {
  local entries=${HITFS_BENCH_ENTRIES:-100000} store=$work/open-store i opened=() daemon rss
  "$build/bench_store" --fill="$store" --entries="$entries" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "fill"; }
  stores+=("$store")
  for ((i = 0; i < runs; i++)); do
    timed "$hitfs" start --store "$store"
    opened+=("$elapsed")
    "$hitfs" status --json --store "$store" >"$work/status.json"
    daemon=$(sqlite3 :memory: "select json_extract(readfile('$work/status.json'), '\$.pid')")
    rss=$(awk '/^VmRSS/ { printf "%.1f MB", $2 / 1024 }' "/proc/$daemon/status")
    "$hitfs" stop --store "$store" >/dev/null
  done
  row "hitfs start until ready, $entries entries" "$(ms "$(printf '%s\n' "${opened[@]}" | median)")" "" "daemon: $rss of memory"
  HITFS_BENCH_STORE=$store "$build/bench_store" --benchmark_filter='BM_(OpenStore|FindEntry)' --benchmark_format=csv 2>"$work/log" >"$work/open.csv" ||
    { cat "$work/log" >&2; die "bench_store"; }
  row "opening the store alone, $entries entries" "$(awk -F, '/^"BM_OpenStore/ { printf "%.2f %s", $3, $5 }' "$work/open.csv")" "" ""
  row "finding an entry, $entries entries" "$(awk -F, '/^"BM_FindEntry/ { printf "%.2f %s", $3, $5 }' "$work/open.csv")" "" ""
}

[[ -x "$hitfs" ]] || die "$hitfs is missing: scripts/build.sh"
[[ $# -gt 0 ]] || set -- pass save pull pack endpoint open
echo "$(nproc) cores, $(uname -r), $(df --output=fstype "$work" | tail -n 1), $("$hitfs" --version | head -n 1), median of $runs runs"
echo
row what hitfs "compared with" ratio
row --- --- --- ---
for scenario in "$@"; do
  declare -F "scenario_$scenario" >/dev/null || die "unknown scenario '$scenario'"
  "scenario_$scenario"
done
