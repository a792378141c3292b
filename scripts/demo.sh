#!/usr/bin/env bash
# The main job with real files: a build result that machine A saved is there on machine B, though A is gone.
#
#   scripts/demo.sh [--keep] [--no-nx]
#
# Installs what is missing, builds, and plays three machines on loopback: a team server, A and B, each with a store,
# processes and a mount of its own below one temporary folder. Leaves nothing behind, also at Ctrl-C (--keep keeps the
# folder, not the processes).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source_root=$PWD
hitfs=$PWD/build/hitfs
keep=false with_nx=true
for option in "$@"; do
  case "$option" in
    --keep) keep=true ;;
    --no-nx) with_nx=false ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "demo.sh: unknown option '$option' (see --help)" >&2; exit 2 ;;
  esac
done

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
info() { printf '  %s\n' "$*"; }
die() {
  printf 'demo.sh: %s\n' "$*" >&2
  exit 1
}
now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo $((t / 1000)); }
human() { numfmt --to=iec --suffix=B "$1"; }

# ---- three machines ------------------------------------------------------------------------------------------------
work= server_pid= token= port=
# Each machine has a home and a store of its own; nobody's configuration takes part.
on_machine() {
  local name=$1
  shift
  env -u HITFS_MODE -u XDG_CONFIG_HOME -u XDG_CACHE_HOME HOME="$work/$name" HITFS_STORE="$work/$name/store" \
    HITFS_REMOTE="nx+http://127.0.0.1:$port" HITFS_TOKEN="$token" "$@"
}

mounts_of_demo() { awk -v below="$work/" 'index($2, below) == 1 { print $2 }' /proc/self/mounts; }

clean_up() {
  local status=$? mount machine
  trap '' INT TERM HUP
  trap - EXIT
  if [[ -n "$work" ]]; then
    for machine in A B; do
      [[ -d "$work/$machine/store" ]] || continue
      on_machine "$machine" timeout 20 "$hitfs" stop --flush 0s >/dev/null 2>&1 || true
    done
    if [[ -n "$server_pid" ]]; then
      kill "$server_pid" 2>/dev/null || true
      # The server ends by itself; if it does not within ten seconds, it is ended.
      timeout 10 tail --pid="$server_pid" -f /dev/null || kill -KILL "$server_pid" 2>/dev/null || true
      wait "$server_pid" 2>/dev/null || true
    fi
    for mount in $(mounts_of_demo); do
      umount -l "$mount" 2>/dev/null || fusermount3 -uz "$mount" || true
    done
    if $keep; then echo "kept: $work"; else rm -rf "$work"; fi
  fi
  exit "$status"
}

# The port is free now; the server says so if somebody else is faster.
free_port() {
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 30000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  die "no free port on 127.0.0.1"
}

start_server() {
  mkdir -p "$work/server"
  token=$("$hitfs" token add --tokens "$work/server/tokens.json" --name demo --rights read,write 2>/dev/null)
  port=$(free_port)
  HOME=$work/server "$hitfs" serve --listen "127.0.0.1:$port" --tokens "$work/server/tokens.json" \
    --store "$work/server/store" >"$work/server/log" 2>&1 &
  server_pid=$!
  for _ in {1..100}; do
    kill -0 "$server_pid" 2>/dev/null || { cat "$work/server/log" >&2; die "the server ended"; }
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
    sleep 0.1
  done
  cat "$work/server/log" >&2
  die "the server does not listen on 127.0.0.1:$port"
}

start_machine() {
  local name=$1
  mkdir -p "$work/$name/cache"
  on_machine "$name" "$hitfs" mount "$work/$name/cache" --layout flat --pattern '[0-9a-f]{64}' | sed 's/^/  /'
}

# Everything that must be the same: names, types, permission bits, link targets; then the SHA-256 of every file.
fingerprint() {
  (
    cd "$1"
    find . -printf '%P\t%y\t%m\t%l\n' | LC_ALL=C sort
    find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  )
}

# ---- real build output: this build's folder, and the headers and libraries it was built with -------------------------------
collect_build_output() {
  local to=$1 library link
  mkdir -p "$to/sysroot" "$to/lib"
  tar -C build --exclude=./tools --exclude=./Testing --exclude='./test-*' -cf - . | tar -C "$to" -xf -
  # What the packages brought for compiling, and the libraries that the program loads, both with their links.
  scripts/packages.sh --list build | grep -e '-dev$' | xargs dpkg -L libstdc++-12-dev libc6-dev | grep -E '^/usr/(include|lib)/' |
    LC_ALL=C sort -u | sed 's#^/##' >"$work/sysroot-files"
  tar -C / --no-recursion --files-from="$work/sysroot-files" -cf - | tar -C "$to/sysroot" -xf -
  # As in every sysroot that can be moved: links to absolute paths become relative ones. A link that leaves its entry would
  # not travel.
  find "$to/sysroot" -lname '/*' | while read -r link; do
    ln -sfnr "$to/sysroot$(readlink "$link")" "$link"
  done
  ldd build/hitfs | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | while read -r library; do
    cp -P "$library" "$to/lib/"
    [[ ! -L "$library" ]] || cp -P "$(realpath "$library")" "$to/lib/"
  done
}

demo_directory() {
  local hash began saved count bytes at_remote looked compared
  say "1. Machine A: a build, and its result saved through A's mount"
  collect_build_output "$work/output"
  fingerprint "$work/output" >"$work/expected"
  count=$(find "$work/output" -type f | wc -l)
  bytes=$(find "$work/output" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
  info "$count files, $(find "$work/output" -type f -perm /100 | wc -l) of them executable, $(find "$work/output" -type l | wc -l) links, $(human "$bytes")"
  hash=$(sha256sum <"$work/expected" | cut -c1-64)
  start_machine A
  began=$(now_ms)
  cp -a "$work/output" "$work/A/cache/saving"
  mv "$work/A/cache/saving" "$work/A/cache/$hash"
  # The rename made it visible; fsync of the folder returns when it is an entry that survives a power cut.
  sync "$work/A/cache"
  saved=$(now_ms)
  on_machine A "$hitfs" flush >/dev/null
  at_remote=$(now_ms)
  info "saved and durable under ${hash:0:12}... in $((saved - began)) ms; on the server $((at_remote - saved)) ms later, $(human "$(du -sb "$work/server/store" | cut -f1)")"

  say "2. Machine A is stopped, and its store is moved away"
  on_machine A "$hitfs" unmount "$work/A/cache" | sed 's/^/  /'
  mv "$work/A/store" "$work/moved-away"
  rm -rf "$work/output"

  say "3. Machine B: a store of its own, empty; the same name in its mount"
  start_machine B
  [[ -z "$(ls -A "$work/B/cache")" ]] || die "B's mount is not empty"
  began=$(now_ms)
  # A lookup waits two seconds for the pull; a slow machine asks again.
  for _ in {1..30}; do
    [[ ! -d "$work/B/cache/$hash" ]] || break
  done
  [[ -d "$work/B/cache/$hash" ]] || die "B does not have $hash: $(on_machine B "$hitfs" why "$hash" 2>&1)"
  looked=$(now_ms)
  fingerprint "$work/B/cache/$hash" >"$work/found"
  compared=$(now_ms)
  diff "$work/expected" "$work/found" >"$work/differences" || { head "$work/differences" >&2; die "B has something else than A saved"; }
  info "there after $((looked - began)) ms; read and hashed in $((compared - looked)) ms"
  info "identical: SHA-256 of $count files, modes and links"
  "$work/B/cache/$hash/hitfs" --version >/dev/null || die "a program of the entry does not run"
  info "and the program in it runs: $("$work/B/cache/$hash/hitfs" --version | head -n 1)"
  on_machine B "$hitfs" unmount "$work/B/cache" | sed 's/^/  /'
}

# ---- a real Nx workspace over the endpoint -----------------------------------------------------------------------------
nx_build() {
  local machine=$1
  (
    cd "$work/$machine/workspace"
    on_machine "$machine" env -u CI -u FORCE_COLOR NX_DAEMON=false NX_NO_CLOUD=true NX_TUI=false NX_INTERACTIVE=false \
      NO_COLOR=1 NX_CACHE_DIRECTORY="$PWD/.nx/cache" "$hitfs" run -- node_modules/.bin/nx run-many -t build --output-style=static
  )
}

demo_nx() {
  local version=24.0.6 machine began ended
  say "4. A real Nx workspace, built on A, restored on B"
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    info "left out: node and npm are not installed"
    return
  fi
  if ! scripts/test-tools.sh "nx-$version" >"$work/npm.log" 2>&1; then
    info "left out: $(tail -n 1 "$work/npm.log")"
    return
  fi
  for machine in A B; do
    node tests/clients/make_workspace.js "$work/$machine/workspace" "$source_root/build/tools/nx-$version/node_modules"
    began=$(now_ms)
    nx_build "$machine" >"$work/nx-$machine.log" 2>&1 || { cat "$work/nx-$machine.log" >&2; die "nx failed on $machine"; }
    ended=$(now_ms)
    info "$machine: $((ended - began)) ms, $(grep -c '\[remote cache\]' "$work/nx-$machine.log" || true) of 3 tasks from the remote cache"
    grep '^hitfs:' "$work/nx-$machine.log" | tail -n 1 | sed 's/^/    /' || true
    on_machine "$machine" "$hitfs" stop >/dev/null
    [[ "$machine" == B ]] || mv "$work/A/store" "$work/moved-away-again"
  done
  [[ $(grep -c '\[remote cache\]' "$work/nx-B.log") -eq 3 ]] || { cat "$work/nx-B.log" >&2; die "nx did not use the remote cache on B"; }
  diff <(fingerprint "$work/A/workspace/dist") <(fingerprint "$work/B/workspace/dist") || die "nx restored something else on B"
  info "identical: every file of dist"
}

began=$SECONDS
say "Building hitfs"
scripts/build.sh --target hitfs
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
work=$(mktemp -d "${TMPDIR:-/tmp}/hitfs-demo-XXXXXX")
[[ -c /dev/fuse ]] || die "/dev/fuse is missing: load the module fuse, or give the container --device /dev/fuse --cap-add SYS_ADMIN"
start_server
demo_directory
! $with_nx || demo_nx
say "Done in $((SECONDS - began)) s"
