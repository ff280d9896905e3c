# shellcheck shell=bash
# A private RabbitMQ node in one folder: mnesia/, log/, password, cookie, port. It listens on 127.0.0.1 only, has an epmd of
# its own (so that several nodes of one machine never meet), and is managed without rabbitmqctl, which takes seconds to start.

# mq_programs: sets MQ_SERVER to the server's start script; installs it where that is possible.
mq_programs() {
  [ -z "${MQ_SERVER:-}" ] || return 0
  mq_find || { with_apt_idle rabbitmq-server && mq_find; } ||
    die "RabbitMQ's server is not to be found; install it (Debian, Ubuntu: apt-get install rabbitmq-server; Fedora: dnf install rabbitmq-server; macOS: brew install rabbitmq), or name a broker of yours in ConnectionStrings__rabbitmq"
}

# Not the one on PATH: distributions wrap that one, and it insists on their user and folders.
mq_find() {
  local file
  for file in /usr/lib/rabbitmq/bin/rabbitmq-server /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server \
    /opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server /usr/local/opt/rabbitmq/sbin/rabbitmq-server; do
    if [ -x "$file" ]; then MQ_SERVER=$file; return 0; fi
  done
  return 1
}

# mq_as COMMAND...: runs as the node's user, which is never root.
mq_as() {
  if [ "$(id -u)" != 0 ]; then "$@"; else runuser -u "$(mq_user)" -- "$@"; fi
}
mq_user() { if id rabbitmq >/dev/null 2>&1; then echo rabbitmq; else echo nobody; fi; }

mq_folder() {
  mkdir -p "$1/log" 2>/dev/null || die "$1 cannot be made; choose another place with NOTIFY_HOME"
  [ "$(id -u)" = 0 ] || return 0
  command -v runuser >/dev/null || die "RabbitMQ is not run as root, and there is no runuser here; run ./notify as another user"
  mq_as test -x "$1/.." 2>/dev/null ||
    die "RabbitMQ is not run as root, and the user $(mq_user) cannot reach $1; choose a place that it can, e.g. NOTIFY_HOME=/var/tmp/notify ./notify up --rabbitmq"
}

# mq_settings DIR PORT VHOST...: the settings that the node reads at every start.
mq_settings() {
  local dir=$1 port=$2 vhost separator=
  shift 2
  [ -s "$dir/password" ] || (umask 077 && random_hex 24 >"$dir/password")
  [ -s "$dir/.erlang.cookie" ] || (umask 077 && random_hex 24 >"$dir/.erlang.cookie")
  cat >"$dir/rabbitmq.conf" <<CONF
# Written by ./notify at every start.
listeners.tcp.local = 127.0.0.1:$port
load_definitions = $dir/definitions.json
log.file.level = warning
log.console = false
disk_free_limit.absolute = 200MB
CONF
  (
    umask 077
    printf '{"users":[{"name":"notify","password":"%s","tags":"administrator"}],"vhosts":[' "$(cat "$dir/password")"
    for vhost; do printf '%s{"name":"%s"}' "$separator" "$vhost"; separator=,; done
    printf '],"permissions":['
    separator=
    for vhost; do printf '%s{"user":"notify","vhost":"%s","configure":".*","write":".*","read":".*"}' "$separator" "$vhost"; separator=,; done
    printf ']}\n'
  ) >"$dir/definitions.json"
  echo '[].' >"$dir/enabled_plugins"
  echo "$port" >"$dir/port"
  chmod 600 "$dir/definitions.json"
  if [ "$(id -u)" = 0 ]; then chown -R "$(mq_user)" "$dir"; fi
  chmod 700 "$dir"
}

mq_is_up() { mq_runs "$1" "$(cat "$1/pid" 2>/dev/null || true)"; }

# mq_runs DIR PID: whether the process is DIR's node; it takes its pid file away before it has ended.
mq_runs() {
  [ -n "$2" ] || return 1
  case "$(command_of "$2")" in *beam*"-notify_port $(cat "$1/port") "*) return 0 ;; esac
  return 1
}

# mq_start DIR PORT [VHOST...]: starts the node and waits until it answers. Distribution listens on PORT+1, epmd on PORT+2.
mq_start() {
  local dir=$1 port=$2 left=600
  shift 2
  mq_programs
  mq_folder "$dir"
  if mq_is_up "$dir"; then return 0; fi
  need_port "$port" RabbitMQ
  need_port $((port + 1)) "RabbitMQ's node"
  mq_settings "$dir" "$port" "${@:-notify}"
  rm -f "$dir/pid"
  [ ! -e "$dir/start.log" ] || mv -f "$dir/start.log" "$dir/start.log.1"
  set -m
  (
    trap '' HUP
    cd /
    # Nothing of a RabbitMQ that the user has otherwise; no busy waiting of its schedulers on a machine that is shared.
    for name in $(env | sed -n 's/^\(RABBITMQ_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
    export ERL_EPMD_PORT=$((port + 2)) ERL_EPMD_ADDRESS=127.0.0.1 LC_ALL=C.UTF-8
    export RABBITMQ_NODENAME=notify@localhost RABBITMQ_DIST_PORT=$((port + 1)) RABBITMQ_MNESIA_BASE=$dir/mnesia RABBITMQ_LOG_BASE=$dir/log
    export RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf RABBITMQ_CONF_ENV_FILE=$dir/none RABBITMQ_ADVANCED_CONFIG_FILE=$dir/none.config
    export RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins RABBITMQ_PID_FILE=$dir/pid
    export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none'" -notify_port $port"
    mq_as env HOME="$dir" "$MQ_SERVER"
  ) </dev/null >"$dir/start.log" 2>&1 &
  set +m
  disown $!
  until mq_is_up "$dir" && answers "$port"; do
    left=$((left - 1))
    if [ $left -le 0 ] || { ! kill -0 $! 2>/dev/null && ! mq_is_up "$dir"; }; then mq_explain "$dir"; fi
    sleep 0.1
  done
}

# mq_explain DIR: says in one line why it does not start, and what to do.
mq_explain() {
  local why
  why=$(cat "$1/start.log" "$1"/log/*.log 2>/dev/null || true)
  case $why in
    *eaddrinuse* | *'already in use'*) die "RabbitMQ's port $(cat "$1/port") is taken, or one of the two after it: stop what listens there, or move all ports with NOTIFY_PORT" ;;
    *'No space left on device'*) die "the disk under $1 is full; free some and start again, or choose another place with NOTIFY_HOME" ;;
    *) die "RabbitMQ's node in $1 does not start; see $1/start.log and $1/log" ;;
  esac
}

# mq_stop DIR [TERM|KILL]: stops the node, then its epmd, which would stay.
mq_stop() {
  local pid left=600
  mq_is_up "$1" || return 0
  pid=$(cat "$1/pid")
  kill "-${2:-TERM}" "$pid"
  while mq_runs "$1" "$pid"; do
    left=$((left - 1))
    if [ $left -le 0 ]; then kill -KILL "$pid" 2>/dev/null || true; fi
    sleep 0.1
  done
  rm -f "$1/pid"
  mq_stop_epmd "$1"
}

mq_stop_epmd() {
  local left=50
  until ERL_EPMD_PORT=$(($(cat "$1/port") + 2)) epmd -kill >/dev/null 2>&1 || [ $left = 0 ]; do left=$((left - 1)); sleep 0.1; done
}

# mq_address DIR VHOST: as an amqp URI.
mq_address() { printf 'amqp://notify:%s@127.0.0.1:%s/%s' "$(cat "$1/password")" "$(cat "$1/port")" "$2"; }

mq_command() {
  local usage='usage: ./notify _mq start DIR PORT [VHOST...] | stop DIR [TERM|KILL] (DIR absolute)' action=${1:-} dir=${2:-}
  case $dir in /*) ;; *) usage_error "$usage" ;; esac
  case $action in
    start) mq_start "$dir" "${3:?PORT is missing}" "${@:4}"; mq_address "$dir" "${4:-notify}"; echo ;;
    stop) mq_stop "$dir" "${3:-TERM}" ;;
    *) usage_error "$usage" ;;
  esac
}
