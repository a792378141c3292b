#!/usr/bin/env bash
# Installs the real tools that tests run against, in pinned versions, into build/tools. Installs only what is missing.
#
#   scripts/test-tools.sh [TOOL...]     TOOL: as --list prints them (default: all)
#
# Needs node and npm, python3 with venv; npm and pip use the registries that they are configured for. HITFS_TOOLS names
# another folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The last releases of five major or minor lines whose cache client differs (tests/clients/README.md).
nx_versions=(20.8.2 21.6.5 22.6.5 23.3.2 24.0.6)
schemathesis_version=4.32.5

all=("${nx_versions[@]/#/nx-}" "schemathesis-$schemathesis_version")
if [[ "${1:-}" == --list ]]; then
  printf '%s\n' "${all[@]}"
  exit 0
fi
[[ $# -gt 0 ]] || set -- "${all[@]}"
tools=${HITFS_TOOLS:-$PWD/build/tools}
die() {
  echo "test-tools.sh: $*" >&2
  exit 1
}

# Prints what is really installed, not what was asked for.
nx_version() { node -p 'require(process.argv[1]).version' "$1/node_modules/nx/package.json" 2>/dev/null || true; }

install_nx() {
  local version=$1 target=$tools/nx-$1 aside=$tools/.nx-$1.$$
  [[ "$(nx_version "$target")" != "$version" ]] || return 0
  mkdir -p "$aside"
  # Without a package.json here npm would look for one in the folders above.
  echo '{"name": "hitfs-test-tool", "private": true}' >"$aside/package.json"
  # The scripts of packages stay off: nx needs none, and nobody's code runs while it is installed.
  if ! (cd "$aside" && npm install --no-audit --no-fund --ignore-scripts --loglevel=error --save-exact "nx@$version") \
    >"$aside/npm.log" 2>&1; then
    cat "$aside/npm.log" >&2
    rm -rf "$aside"
    die "npm could not install nx $version (see above; is the registry reachable? npm ping)"
  fi
  rm -rf "$target"
  # Renamed into place, so that an interrupted run leaves nothing that looks installed.
  mv "$aside" "$target"
  [[ "$(nx_version "$target")" == "$version" ]] || die "npm installed something else than nx $version in $target"
}

# In a folder of its own, which cannot be moved: the scripts in it name it. Its version shows only once it is whole.
install_schemathesis() {
  local target=$tools/schemathesis
  local program=$target/bin/schemathesis
  if [[ "$("$program" --version 2>/dev/null)" != *" $schemathesis_version" ]]; then
    rm -rf "$target"
    python3 -m venv "$target" || die "python3 cannot make a folder for itself (Debian: apt-get install python3-venv)"
    "$target/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$schemathesis_version" ||
      die "pip could not install schemathesis $schemathesis_version (see above)"
  fi
  echo "schemathesis $schemathesis_version: $program"
}

mkdir -p "$tools"
rm -rf "$tools"/.nx-*
for tool in "$@"; do
  [[ " ${all[*]} " == *" $tool "* ]] || die "unknown tool '$tool' (see --list)"
  case "$tool" in
    nx-*)
      command -v node >/dev/null || die "node is missing (Debian: apt-get install nodejs npm)"
      command -v npm >/dev/null || die "npm is missing (Debian: apt-get install npm)"
      install_nx "${tool#nx-}"
      echo "nx $(nx_version "$tools/$tool"): $tools/$tool"
      ;;
    schemathesis-*) install_schemathesis ;;
  esac
done
