# Shared by the scenarios of run.sh: machines, times, trees. Sourced, not run.

now_us() { echo "${EPOCHREALTIME/[.,]/}"; }

# Times a command in microseconds, leaving its duration in $elapsed. Its output goes to a log that is shown on failure.
timed() {
  local began
  began=$(now_us)
  "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "failed: $*"; }
  elapsed=$(($(now_us) - began))
}

# Smallest and middle of the numbers on stdin.
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# repeat N FUNCTION...: runs it N times; each run sets $elapsed. Prints the median in microseconds.
repeat() {
  local n=$1 i
  shift
  for ((i = 0; i < n; i++)); do
    "$@"
    echo "$elapsed"
  done | median
}

ms() { awk -v us="$1" 'BEGIN { printf "%.1f ms", us / 1000 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
row() { printf '| %s | %s | %s | %s |\n' "$@"; }

# Plain reads and a walk, as build tools do them.
read_all() { find "$1" -type f -print0 | xargs -0 cat >/dev/null; }
walk() { find "$1" -printf '%s %m %p\n' >/dev/null; }

# The kernel's page, name and inode caches; only root may.
can_drop_caches() { [[ -w /proc/sys/vm/drop_caches ]]; }
drop_caches() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
}

# tree_of FILES BYTES FOLDER: real text (system headers) cut into files, a hundred to a directory.
tree_of() {
  local files=$1 bytes=$2 to=$3
  mkdir -p "$to"
  find /usr/include /usr/share/doc -type f -size +1k 2>/dev/null | LC_ALL=C sort >"$work/sources"
  # Repeated if there is not enough of it; a line of its own between the rounds keeps the files different.
  (
    set +o pipefail  # the endless source ends by its pipe
    while :; do xargs -d '\n' cat <"$work/sources" && echo "again $RANDOM" || break; done 2>/dev/null |
      head -c $((files * bytes)) | (cd "$to" && split -b "$bytes" -a 5 -d - f)
  )
  (
    cd "$to"
    local group
    for group in $(printf '%s\n' f* | cut -c2-4 | sort -u); do
      mkdir "d$group"
      mv "f$group"?? "d$group/"
    done
  )
}
