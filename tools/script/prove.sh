# shellcheck shell=bash
# Proving and measuring: verify, rebuild, test, bench.

verify() { with_database verify; }

rebuild() {
  [ $# -le 1 ] || usage_error 'rebuild takes the name of one projection'
  with_database rebuild "$@"
}

# with_database COMMAND...: runs a command of Projections, whether Notify is up or down.
with_database() {
  local code=0 was=yes
  build
  if ! runs; then was=no; trap 'pg_stop "$HOME_DIR/pg"' EXIT; fi
  secrets
  start_database
  environment
  # The transport stays what it was: a migration would change it to that of this command.
  if [ $was = no ] && [ "$(sed -n 1p "$HOME_DIR/migrated" 2>/dev/null)" != "$(head -n 1 "$STAMP")" ]; then migrate; fi
  dotnet "$(dll_of projections)" "$@" || code=$?
  exit $code
}

# From the store alone: PostgreSQL is started for as long as it takes, if it does not run.
replay() { with_database replay "$@"; }

clear_test_clusters() {
  local dir
  for dir in "$HOME_DIR"/test/*/ "$HOME_DIR"/test/*/*/; do
    [ ! -e "$dir/data" ] || (pg_stop "${dir%/}" immediate) || true
    [ ! -e "$dir/rabbitmq.conf" ] || (mq_stop "${dir%/}" KILL) || true
    if is_running "$dir/redis.pid" redis-server; then kill -KILL "$(cat "$dir/redis.pid")" || true; fi
  done
  if [ -d "$HOME_DIR/test/logs" ]; then rm -rf "$LOGS/tests" && mv "$HOME_DIR/test/logs" "$LOGS/tests"; fi
  rm -rf "$HOME_DIR/test"
}

# compose_tool: names the command that reads docker-compose.yml; installs one where there is none.
compose_tool() {
  if docker compose version >/dev/null 2>&1; then echo 'docker compose'; return 0; fi
  command -v docker-compose >/dev/null || with_apt docker-compose ||
    die 'neither docker compose nor docker-compose is to be found; install one (Debian, Ubuntu: apt-get install docker-compose)'
  echo docker-compose
}

# number LABEL: that number of the runner's summary; none when it never got so far.
number() { sed -n "s/.*Total:.*/&/;s/.* $1: \\([0-9]*\\).*/\\1/p" "$LOGS/test.log" | tail -n 1; }

run_tests() {
  local code=0 total failed skipped filter
  filter=()
  case ${1:-} in '') ;; --faults) filter=(-trait Category=Faults) ;; *) usage_error "test knows --faults, not $1" ;; esac
  (build) || { say '0 passed, 1 failed'; exit 1; }
  build
  pg_programs
  # One test hands a push message to a real browser; without one it fails, and says so.
  [ -n "${NOTIFY_CHROMIUM:-}" ] || NOTIFY_CHROMIUM=$(chromium_program || { with_apt chromium && chromium_program; } || true)
  export NOTIFY_CHROMIUM
  clear_test_clusters
  mkdir -p "$HOME_DIR/test"
  trap clear_test_clusters EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  NOTIFY_SCRIPT=$SELF NOTIFY_TEST_HOME=$HOME_DIR/test dotnet "$(dll_of tests)" -noLogo -noColor ${filter[@]+"${filter[@]}"} 2>&1 </dev/null | tee "$LOGS/test.log" || code=$?
  clear_test_clusters
  trap - EXIT
  total=$(number Total) skipped=$(($(number Skipped) + $(number 'Not Run'))) failed=$(($(number Failed) + $(number Errors)))
  if [ -z "$total" ]; then
    say "The test runner ended before its summary (exit code $code)."
    total=0 failed=1
    say "0 passed, 1 failed"
    exit 1
  fi
  if [ "$total" = 0 ]; then code=1; say 'No test was found.'; fi
  if [ $failed -gt 0 ] && [ $code = 0 ]; then code=1; fi
  if [ $code != 0 ]; then say "The runner's output is in $LOGS/test.log, the hosts' logs are in $LOGS/tests."; fi
  say "$((total - failed - skipped)) passed, $failed failed$(if [ $skipped -gt 0 ]; then printf ', %s skipped' $skipped; fi)"
  exit $code
}

bench() {
  local home=$HOME_DIR code=0
  build
  if ! runs; then
    home=$HOME_DIR/bench
    trap 'NOTIFY_HOME=$HOME_DIR/bench "$SELF" down >&2; rm -rf "$HOME_DIR/bench"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    NOTIFY_HOME=$home NOTIFY_PORT=$BASE "$SELF" up --detach >&2
  fi
  NOTIFY_HOME=$home "$SELF" status --json >"$RUN/status.json"
  NOTIFY_API=$(json_value api "$RUN/status.json") NOTIFY_DISPATCH=$(json_value dispatch "$RUN/status.json") \
    NOTIFY_PROJECTIONS=$(json_value projections "$RUN/status.json") NOTIFY_SANDBOX=$(json_value sandbox "$RUN/status.json") \
    NOTIFY_APPKEY=$(json_value appKey "$RUN/status.json") NOTIFY_APPSECRET=$(json_value appSecret "$RUN/status.json") \
    NOTIFY_DATABASE=$(json_value database "$RUN/status.json") dotnet "$(dll_of bench)" "$@" || code=$?
  rm -f "$RUN/status.json"
  exit $code
}
