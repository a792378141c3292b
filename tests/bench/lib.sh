# Shared by the scenarios of run.sh: times, rows, trees, servers. Sourced, not run.

now_us() { echo "${EPOCHREALTIME/[.,]/}"; }

# Times a command in microseconds, leaving its duration in $elapsed. Its output goes to a log that is shown on failure.
timed() {
  local began
  began=$(now_us)
  "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "failed: $*"; }
  elapsed=$(($(now_us) - began))
}

median_of() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

ms() { awk -v us="$1" 'BEGIN { printf "%.1f ms", us / 1000 }'; }
in_us() { awk -v ms="$1" 'BEGIN { printf "%d", ms * 1000 }'; }
mib() { awk -v kib="$1" 'BEGIN { printf "%.1f MiB", kib / 1024 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# row WHAT RATIO HITFS COMPARED-WITH SCENARIO AIM: prints it, and keeps it for replace_figures.
row() { printf '| %s | %s | %s | %s | %s | %s |\n' "$@" | tee -a "$work/table"; }

# replace_figures TABLE FILE: what stands between the two marks of FILE.
replace_figures() {
  awk -v table="$1" '
    /^<!-- figures end -->$/ { inside = 0 }
    !inside { print }
    /^<!-- figures -->$/ { inside = 1; while ((getline line < table) > 0) print line }
  ' "$2" >"$work/results.md"
  cat "$work/results.md" >"$2"
}

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

# Below the ports that the system gives to clients, so that nobody gets it between here and its use.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}

# start_server [NAME]: sets $url and $token of a new team server.
start_server() {
  local port folder=$work/server${1:-}
  port=$(free_port)
  mkdir -p "$folder"
  token=$("$hitfs" token add --tokens "$folder/tokens.json" --name bench --rights read,write 2>/dev/null)
  "$hitfs" serve --listen "127.0.0.1:$port" --tokens "$folder/tokens.json" --store "$folder/store" >"$folder/log" 2>&1 &
  pids+=($!)
  wait_for_port "$port" || { cat "$folder/log" >&2; die "hitfs serve does not listen"; }
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

# nginx with the files of $work/www, as its users would set it up; one for all scenarios. Sets $nginx_url.
start_nginx() {
  local port nginx
  [[ -z "${nginx_url:-}" ]] || return 0
  port=$(free_port)
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
  "$nginx" -c "$work/nginx/nginx.conf" -e "$work/nginx/error.log" >"$work/nginx/log" 2>&1 &
  pids+=($!)
  wait_for_port "$port" || { cat "$work/nginx/error.log" >&2; die "nginx does not listen"; }
  nginx_url=http://127.0.0.1:$port
}
