# shellcheck shell=bash
# Functions for every command of ./notify: words, files, processes, ports. Bash 3.2, no jq, no python, no ps.

say() { printf '%s\n' "$*" 2>/dev/null || true; }
die() { printf 'notify: %s\n' "$*" >&2; exit 1; }
usage_error() { printf 'notify: %s\n' "$*" >&2; exit 2; }

# without WORD WORDS: the words but this one.
without() {
  local word rest=
  for word in $2; do [ "$word" = "$1" ] || rest="$rest $word"; done
  printf '%s' "$rest"
}

# random_hex BYTES, random_base64 BYTES
random_hex() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
random_base64() { head -c "$1" /dev/urandom | base64 | tr -d '\n'; }

# json_value KEY FILE: a text of a flat JSON document.
json_value() { sed -n "s/.*\"$1\"[ ]*:[ ]*\"\\([^\"]*\\)\".*/\\1/p" "$2" | head -n 1; }
json_text() { printf '"%s"' "$(printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')"; }

# default NAME VALUE: exports an environment variable unless the user has set it.
default() { [ -n "${!1:-}" ] || export "$1=$2"; }

# is_set PREFIX: whether an environment variable of such a name is there.
is_set() { [ -n "$(compgen -v "$1" || true)" ]; }

# with_apt PACKAGE: installs a system package; false where that is not possible without a question, and within a test.
with_apt() {
  local sudo=
  [ -z "${NOTIFY_INSTALLS_NOTHING:-}" ] || return 1
  command -v apt-get >/dev/null || return 1
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 1; sudo='sudo -n'; }
  say "Installing $1 with apt-get ..." >&2
  { $sudo env DEBIAN_FRONTEND=noninteractive apt-get update &&
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1"; } >"$LOGS/apt.log" 2>&1 ||
    { grep '^E: ' "$LOGS/apt.log" | head -n 3 >&2; return 1; }
}

# with_apt_idle PACKAGE: the same for a server, whose package would start one of its own; a passing policy keeps it from that,
# where there is none yet.
with_apt_idle() {
  local policy=/usr/sbin/policy-rc.d sudo='' rc=0
  [ -z "${NOTIFY_INSTALLS_NOTHING:-}" ] || return 1
  [ "$(id -u)" = 0 ] || sudo='sudo -n'
  if [ -e "$policy" ] || ! command -v apt-get >/dev/null; then policy=; fi
  [ -z "$policy" ] || printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null 2>&1 && $sudo chmod +x "$policy" 2>/dev/null || policy=
  with_apt "$1" || rc=1
  [ -z "$policy" ] || $sudo rm -f "$policy" 2>/dev/null || true
  return $rc
}

# chromium_program: the browser's program; false where there is none.
chromium_program() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

# command_of PID: its command line, empty when there is no such process (or only its corpse).
command_of() {
  if [ -r "/proc/$1/cmdline" ]; then tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null || true
  elif [ ! -e /proc/self ]; then ps -o command= -p "$1" 2>/dev/null || true; fi
}

# is_running PIDFILE WORD: whether the process is there and its command line has the word; a reused PID is not it.
is_running() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] || return 1
  case "$(command_of "$pid") " in *"$2 "*) return 0 ;; esac
  return 1
}

# answers PORT [PATH]: whether something listens there; with a path, whether it answers 200.
answers() (
  exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
  [ $# = 1 ] && exit 0
  printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$2" >&3
  IFS= read -r -t 5 line <&3 || exit 1
  case $line in 'HTTP/1.1 200'*) exit 0 ;; esac
  exit 1
) 2>/dev/null

# need_port PORT WHAT
need_port() {
  answers "$1" || return 0
  die "port $1, which $2 needs, is taken: stop what listens there, or move all of Notify's ports, e.g. NOTIFY_PORT=$((BASE + 1000)) ./notify up"
}

# need_disk FOLDER MB
need_disk() {
  local free
  free=$(($(df -Pk "$1" | sed -n '2s/^.* \([0-9][0-9]*\)  *[0-9]*% .*$/\1/p') / 1024))
  [ "$free" -ge "$2" ] || die "the disk is full: $free MB are free under $1, and $2 MB are needed; free some, or choose another place with NOTIFY_HOME"
}
