#!/usr/bin/env bash
# The Debian packages of hitfs, in one place. Installs those that are missing and touches the network only then.
#
#   scripts/packages.sh [GROUP...]     GROUP: build (default), test, ci
#   scripts/packages.sh --list GROUP...
#
# HITFS_PACKAGES=off skips the check, for machines that are prepared in another way.
set -euo pipefail

# What compiling and running needs. fuse3 brings fusermount3, which mounts for ordinary users.
build=(
  g++ cmake ninja-build ccache pkg-config
  libfuse3-dev fuse3 libcurl4-openssl-dev libsqlite3-dev libarchive-dev libmicrohttpd-dev libisal-dev libzstd-dev
  libssl-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev libsystemd-dev
  libgtest-dev libbenchmark-dev ca-certificates
)
# Tools that tests and demo compare with; a test that misses one skips and says so.
test=(curl git openssl sqlite3 nginx-light procps xz-utils stress-ng)
# What .ci/run needs besides: the second compiler with its sanitizers, package building, unit checks.
# Python makes the folder that schemathesis, a test tool, is installed in.
ci=(clang-14 libclang-rt-14-dev llvm-14 dpkg-dev file systemd python3-venv)

die() {
  echo "packages.sh: $*" >&2
  exit 1
}

list=false
if [[ "${1:-}" == --list ]]; then
  list=true
  shift
fi
[[ $# -gt 0 ]] || set -- build

wanted=()
for group in "$@"; do
  case "$group" in
    build) wanted+=("${build[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    ci)
      wanted+=("${ci[@]}")
      # Node comes from Debian only where the machine has none of its own.
      command -v node >/dev/null || wanted+=(nodejs)
      command -v npm >/dev/null || wanted+=(npm)
      ;;
    *) die "unknown group '$group' (build, test, ci)" ;;
  esac
done
if $list; then
  printf '%s\n' "${wanted[@]}"
  exit 0
fi
[[ "${HITFS_PACKAGES:-}" == off ]] && exit 0

command -v dpkg-query >/dev/null || die "this is not Debian: install the counterparts of the packages below and set HITFS_PACKAGES=off
$(printf '%s ' "${wanted[@]}")"

missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ "$state" == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  command -v sudo >/dev/null || die "not root and no sudo; as root, run: apt-get install ${missing[*]}"
  as_root=(sudo)
fi
echo "packages.sh: installing ${missing[*]}"
"${as_root[@]}" apt-get -qq update || echo "packages.sh: the package lists could not be renewed; trying with those that are here" >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}" >/dev/null ||
  die "apt-get could not install: ${missing[*]}"
