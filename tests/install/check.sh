#!/usr/bin/env bash
# What gets installed: files, units, the Debian package. Nothing outside a temporary folder is touched.
#
#   tests/install/check.sh BUILD_FOLDER
set -euo pipefail
build=$(realpath "${1:?build folder}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  echo "install check: $*" >&2
  exit 1
}

DESTDIR=$work/root cmake --install "$build" --prefix /usr >"$work/install.log" || { cat "$work/install.log"; fail "cmake --install"; }
for file in usr/bin/hitfs usr/lib/systemd/system/hitfs-serve.service usr/lib/systemd/user/hitfs.service \
  usr/lib/sysusers.d/hitfs.conf usr/lib/tmpfiles.d/hitfs.conf usr/share/doc/hitfs/{README.md,LICENSE,CHANGELOG.md,NX.md}; do
  [[ -s "$work/root/$file" ]] || fail "cmake --install left out $file"
done
"$work/root/usr/bin/hitfs" --version >"$work/version" || fail "the installed hitfs does not print its version"
grep -qE '[0-9]+\.[0-9]+\.[0-9]+' "$work/version" || fail "no version in: $(cat "$work/version")"

# A key that the program knows and the README does not is a document that fell behind.
for key in $("$work/root/usr/bin/hitfs" --help | sed -n '/^Settings:/,/^Subcommands:/s/^  --\([a-z-]*\) .*/\1/p'); do
  grep -q "\`$key\`" "$work/root/usr/share/doc/hitfs/README.md" || fail "README.md does not explain the key $key"
done

(cd "$work" && cpack -G DEB --config "$build/CPackConfig.cmake" -B "$work/deb" >"$work/cpack.log" 2>&1) ||
  { cat "$work/cpack.log"; fail "cpack -G DEB"; }
package=$(echo "$work"/deb/*.deb)
dpkg-deb --field "$package" Depends >"$work/depends"
for library in fuse3 libfuse3-3 libcurl4 libsqlite3-0 libarchive13 libisal2 libmicrohttpd12; do
  grep -qw -- "$library" "$work/depends" || fail "the package does not depend on $library: $(cat "$work/depends")"
done
dpkg-deb -x "$package" "$work/unpacked"
diff <(cd "$work/root" && find . -type f | sort) <(cd "$work/unpacked" && find . -type f | sort) ||
  fail "the package and cmake --install differ in their files"
"$work/unpacked/usr/bin/hitfs" --version | diff "$work/version" - || fail "the packaged hitfs is another one"
echo "package: $(basename "$package"), $(stat -c %s "$package") bytes; depends: $(cat "$work/depends")"

command -v systemd-analyze >/dev/null || { echo "missing tool: systemd-analyze (apt-get install systemd)"; exit $((${HITFS_CI:-0})); }
# The units find the program on systemd's own path; here it lies elsewhere.
mkdir "$work/units"
for unit in system/hitfs-serve.service user/hitfs.service; do
  sed "s#^ExecStart=hitfs#ExecStart=$work/root/usr/bin/hitfs#" "$work/root/usr/lib/systemd/$unit" \
    >"$work/units/$(basename "$unit")"
done
verify() {
  XDG_RUNTIME_DIR=$work SYSTEMD_LOG_LEVEL=warning systemd-analyze --man=no --recursive-errors=no "$@" >"$work/verify.log" 2>&1 ||
    { cat "$work/verify.log"; fail "systemd-analyze $*"; }
  # It also complains without failing: about keys that it does not know, for example.
  ! grep -F "$work/units" "$work/verify.log" || fail "systemd-analyze $*: complaints above"
}
verify verify "$work/units/hitfs-serve.service"
verify verify --user "$work/units/hitfs.service"
# 0 is closed, 10 is open; what is left are the network and being a service at all.
systemd-analyze security --offline=yes --threshold=20 "$work/units/hitfs-serve.service" >"$work/security" ||
  { cat "$work/security"; fail "hitfs-serve.service is too open"; }
echo "units: $(tail -n 1 "$work/security" | sed 's/[^ -~]//g')"
for forbidden in NoNewPrivileges PrivateTmp ProtectSystem ProtectHome PrivateDevices PrivateMounts ReadOnlyPaths TemporaryFileSystem; do
  ! grep -q "^$forbidden=" "$work/units/hitfs.service" || fail "hitfs.service has $forbidden: builds would not see its mounts"
done

mkdir -p "$work/users/etc"
touch "$work/users/etc/"{passwd,group}
systemd-sysusers --root="$work/users" "$work/root/usr/lib/sysusers.d/hitfs.conf" >/dev/null 2>"$work/sysusers.log" ||
  { cat "$work/sysusers.log"; fail "systemd-sysusers"; }
grep -q '^hitfs:' "$work/users/etc/passwd" || fail "sysusers.d makes no user hitfs"
echo "install check: fine"
