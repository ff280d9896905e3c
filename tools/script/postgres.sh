# shellcheck shell=bash
# A private PostgreSQL cluster in one folder: data/, log, password, port. It listens on 127.0.0.1 only and keeps fsync on.

# pg_programs: sets PG_BIN to the folder of the server's programs; installs them where that is possible.
pg_programs() {
  [ -z "${PG_BIN:-}" ] || return 0
  pg_find || { pg_install && pg_find; } ||
    die "PostgreSQL's server programs (initdb, postgres) are not to be found; install them (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql)"
}

pg_find() {
  local dir
  for dir in "$(dirname "$(command -v initdb || echo /nowhere/x)")" "$(pg_config --bindir 2>/dev/null || true)" \
    $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin 2>/dev/null |
      sed 's/^\([^0-9]*\)\([0-9]*\)/\2 \1\2/' | sort -rn | cut -d ' ' -f 2); do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && [ -x "$dir/pg_ctl" ]; then PG_BIN=$dir; return 0; fi
  done
  return 1
}

# Debian's package makes and starts a cluster of its own; a passing setting keeps it from that.
pg_install() {
  local conf=/etc/postgresql-common/createcluster.d sudo='' rc=0
  [ -z "${NOTIFY_INSTALLS_NOTHING:-}" ] || return 1
  [ "$(id -u)" = 0 ] || sudo='sudo -n'
  if command -v apt-get >/dev/null && $sudo mkdir -p "$conf" 2>/dev/null; then
    echo 'create_main_cluster = false' | $sudo tee "$conf/notify.conf" >/dev/null || true
  fi
  with_apt postgresql || rc=1
  $sudo rm -f "$conf/notify.conf" 2>/dev/null || true
  return $rc
}

# pg_as COMMAND...: runs as the cluster's user; PostgreSQL refuses root.
pg_as() {
  if [ "$(id -u)" != 0 ]; then "$@"; else runuser -u "$(pg_user)" -- "$@"; fi
}
pg_user() { if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi; }

# pg_folder DIR: makes the folder, with an owner that may run PostgreSQL.
pg_folder() {
  mkdir -p "$1" 2>/dev/null || die "$1 cannot be made; choose another place with NOTIFY_HOME"
  [ "$(id -u)" = 0 ] || return 0
  command -v runuser >/dev/null || die "PostgreSQL does not run as root, and there is no runuser here; run ./notify as another user"
  pg_as test -x "$1/.." 2>/dev/null ||
    die "PostgreSQL does not run as root, and the user $(pg_user) cannot reach $1; choose a place that it can, e.g. NOTIFY_HOME=/var/tmp/notify ./notify up"
  if [ ! -e "$1/data" ] && [ -n "$(ls -A "$1" | grep -v -x -e data.new -e password -e log)" ]; then die "$1 holds other things than a cluster"; fi
  chown "$(pg_user)" "$1" && chmod 700 "$1"
}

pg_create() {
  local dir=$1 out
  rm -rf "$dir/data.new"
  (umask 077 && random_hex 24 >"$dir/password")
  [ "$(id -u)" != 0 ] || chown "$(pg_user)" "$dir/password"
  out=$( (cd / && pg_as "$PG_BIN/initdb" -D "$dir/data.new" -U notify --pwfile="$dir/password" --auth=scram-sha-256 -E UTF8 --no-locale &&
    echo 'create database notify' | pg_as "$PG_BIN/postgres" --single -D "$dir/data.new" postgres) 2>&1 ) || {
    rm -rf "$dir/data.new"
    pg_explain "$dir" "$out" 'a new cluster could not be made'
  }
  echo "include 'notify.conf'" | pg_as tee -a "$dir/data.new/postgresql.conf" >/dev/null
  mv "$dir/data.new" "$dir/data"
}

# In a test's cluster fsync is off: no test takes the machine's power away, and killed processes leave the page cache.
pg_settings() {
  local memory
  memory=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo 2>/dev/null || echo 8000000)
  cat <<CONF
# Written by ./notify at every start.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = ${NOTIFY_PG_CONNECTIONS:-200}
fsync = ${NOTIFY_PG_FSYNC:-on}
shared_buffers = $([ "${memory:-8000000}" -ge 4000000 ] && echo 512MB || echo 128MB)
wal_compression = on
max_wal_size = 4GB
CONF
}

pg_is_up() {
  local pid
  pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  case "$(command_of "$pid")" in *postgres*"$1/data "*) return 0 ;; esac
  return 1
}

# pg_start DIR PORT: creates what is missing and waits until it answers.
pg_start() {
  local dir=$1 port=$2 part out
  pg_programs
  pg_folder "$dir"
  if [ -e "$dir/data" ]; then
    if pg_is_up "$dir"; then return 0; fi
  else
    pg_create "$dir"
  fi
  for part in password data/base data/global data/pg_wal; do
    [ -e "$dir/$part" ] || die "PostgreSQL's cluster in $dir does not start ($part is missing): put the folder back from a copy, or ./notify reset to begin anew (deletes the data)"
  done
  need_port "$port" PostgreSQL
  echo "$port" >"$dir/port"
  [ ! -e "$dir/log" ] || mv -f "$dir/log" "$dir/log.1"
  out=$({ pg_settings | pg_as tee "$dir/data/notify.conf" >/dev/null &&
    cd / && pg_as "$PG_BIN/pg_ctl" -D "$dir/data" -l "$dir/log" -o "-p $port" -w -t 120 start; } 2>&1 </dev/null) ||
    pg_explain "$dir" "$(cat "$dir/log" 2>/dev/null || true)"$'\n'"$out" "PostgreSQL's cluster in $dir does not start"
}

# pg_explain DIR OUTPUT WHAT: says in one line why, and what to do.
pg_explain() {
  local why
  why=$(printf '%s\n' "$2" | sed -n -E 's/^.*(PANIC|FATAL|error|postgres|pg_ctl): *//p' | head -n 1)
  case $2 in
    *'No space left on device'*) die "the disk under $1 is full; free some and start again, or choose another place with NOTIFY_HOME" ;;
    *'Address already in use'*) die "PostgreSQL's port $(cat "$1/port") is taken: stop what listens there, or move all ports with NOTIFY_PORT" ;;
    *'initialized by PostgreSQL version'*) die "$3: $(printf '%s\n' "$2" | sed -n 's/^.*DETAIL: *//; s/, which .* version \([0-9.]*\).*/; here is \1/p' | head -n 1). Install that version, or ./notify reset to begin anew (deletes the data)" ;;
    *'could not map anonymous shared memory'* | *'Cannot allocate memory'*) die "PostgreSQL does not get the memory it needs (512 MB); free some and start again" ;;
    *) die "$3 (${why:-${2##*$'\n'}}): put the folder back from a copy, or ./notify reset to begin anew (deletes the data)" ;;
  esac
}

# pg_stop DIR [fast|immediate]
pg_stop() {
  pg_is_up "$1" || return 0
  pg_programs
  (cd / && pg_as "$PG_BIN/pg_ctl" -D "$1/data" -m "${2:-fast}" -w -t 120 stop) >/dev/null 2>&1 || die "PostgreSQL in $1 does not stop; see $1/log"
}

# pg_connection DIR: an ADO.NET connection string.
pg_connection() { printf 'Host=127.0.0.1;Port=%s;Database=notify;Username=notify;Password=%s' "$(cat "$1/port")" "$(cat "$1/password")"; }

pg_command() {
  local action=${1:-} dir=${2:-}
  case $dir in /*) ;; *) usage_error 'usage: ./notify _pg start DIR PORT | stop DIR [fast|immediate] | restart DIR [fast|immediate] (DIR absolute)' ;; esac
  case $action in
    start) pg_start "$dir" "${3:?PORT is missing}" ;;
    stop) pg_stop "$dir" "${3:-fast}"; return ;;
    restart) pg_stop "$dir" "${3:-fast}"; pg_start "$dir" "$(cat "$dir/port")" ;;
    *) usage_error 'usage: ./notify _pg start|stop|restart DIR ...' ;;
  esac
  pg_connection "$dir"
  echo
}
