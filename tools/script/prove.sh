# shellcheck shell=bash
# Proving and measuring: verify, rebuild, test, bench.

verify() { with_database verify; }

rebuild() {
  [ $# -le 1 ] || [ "$1" = snapshots ] || usage_error 'rebuild takes the name of one projection, or snapshots and streams'
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
  with_role projections dotnet "$(dll_of projections)" "$@" || code=$?
  exit $code
}

rotate_keys() { with_database rotate-keys; }

erasures() { with_database erasures "$@"; }

# From the store alone: PostgreSQL is started for as long as it takes, if it does not run.
replay() { with_database replay "$@"; }

clear_test_clusters() {
  local dir
  for dir in "$HOME_DIR"/test/*/ "$HOME_DIR"/test/*/*/; do
    [ ! -e "$dir/data" ] || (pg_stop "${dir%/}" immediate) || true
    [ ! -e "$dir/rabbitmq.conf" ] || (mq_stop "${dir%/}" KILL) || true
    if is_running "$dir/redis.pid" redis-server; then kill -KILL "$(cat "$dir/redis.pid")" || true; fi
  done
  # The small disk of the fault suite, where a run was killed.
  [ ! -d "$HOME_DIR/test/disk" ] || umount "$HOME_DIR/test/disk" 2>/dev/null || true
  if [ -d "$HOME_DIR/test/logs" ]; then mkdir -p "$LOGS/tests" && cp -a "$HOME_DIR/test/logs/." "$LOGS/tests/"; fi
  rm -rf "$HOME_DIR/test"
}

# compose_tool: prints the command that reads docker-compose.yml; installs one where there is none.
compose_tool() {
  compose_find || { with_apt docker-compose >&2 && compose_find; } ||
    die 'neither docker compose nor docker-compose is to be found; install one (Debian, Ubuntu: apt-get install docker-compose)'
}

compose_find() {
  if docker compose version >/dev/null 2>&1; then echo 'docker compose'; return 0; fi
  command -v docker-compose >/dev/null && echo docker-compose
}

# browser_program: prints the browser's program; installs it where that is possible.
browser_program() {
  chromium_program || { with_apt chromium >&2 && chromium_program; } ||
    die 'Chromium is not to be found; install it (Debian, Ubuntu: apt-get install chromium), or name its program in NOTIFY_CHROMIUM'
}

# test_programs: finds or installs all that the tests need, before the first of them; the tests themselves install nothing. A program
# that cannot be had is named here with the way to get it, and the tests that need it fail and say so again.
test_programs() {
  local missing=''
  pg_programs
  [ "${1:-}" != --faults ] || faketime_library || with_apt libfaketime || missing="$missing libfaketime"
  (mq_programs) || missing="$missing RabbitMQ"
  (redis_program >/dev/null) || missing="$missing Redis"
  NOTIFY_COMPOSE=$(compose_tool) || missing="$missing Compose"
  [ -n "${NOTIFY_CHROMIUM:-}" ] || NOTIFY_CHROMIUM=$(browser_program) || missing="$missing Chromium"
  export NOTIFY_COMPOSE NOTIFY_CHROMIUM NOTIFY_INSTALLS_NOTHING=1
  [ -z "$missing" ] || say "Tests that need these programs will fail:$missing. See above how to install them." >&2
}

# faketime_library: whether the library is there by which the fault suite sets a process's clock.
faketime_library() { ls /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1; }

# summaries: how many runs of the runner came to their summary.
summaries() { grep -cE '^ *Notify\.Tests +Total: ' "$LOGS/test.log" || true; }

# number LABEL: the sum of that number in the runner's summaries.
number() { sed -nE "/^ *Notify\.Tests +Total: /s/.* $1: ([0-9]+).*/\1/p" "$LOGS/test.log" | awk '{ sum += $1 } END { print sum + 0 }'; }

# runner ARGS...: runs tests; the output goes to the terminal and to the log.
runner() {
  NOTIFY_SCRIPT=$SELF NOTIFY_TEST_HOME=$HOME_DIR/test NOTIFY_PG_FSYNC=off NOTIFY_PG_CONNECTIONS=400 \
    dotnet "$(dll_of tests)" -noLogo -noColor "$@" 2>&1 </dev/null | tee -a "$LOGS/test.log"
}

run_tests() {
  local code=0 runs=1 total failed skipped filter faults=''
  filter=(-trait- Category=Long)
  if [ "${1:-}" = --faults ]; then faults=$1 filter=(-trait Category=Faults -trait Category=Long -parallel none); shift; fi
  case ${1:-} in '' | -[a-z]*) filter+=("$@") ;; *) usage_error "test knows --faults and the runner's -class, -method, -namespace and -trait, not $1" ;; esac
  (build) || { say '0 passed, 1 failed'; exit 1; }
  build
  test_programs "$faults"
  default NOTIFY_FAULT_REPORT "$LOGS/faults.jsonl"
  clear_test_clusters
  rm -rf "$LOGS/tests"
  mkdir -p "$HOME_DIR/test"
  trap clear_test_clusters EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  : >"$LOGS/test.log"
  if [ -z "$faults" ] && [ $# -eq 0 ]; then
    # Tests of systems of their own, whose hosts are killed and paused, come after the others, one by one.
    runs=2
    runner "${filter[@]}" -trait- Category=Apart || code=$?
    clear_test_clusters
    mkdir -p "$HOME_DIR/test"
    runner "${filter[@]}" -trait Category=Apart -maxThreads 1 || code=$?
  else
    runner "${filter[@]}" || code=$?
  fi
  clear_test_clusters
  trap - EXIT
  if [ -n "$faults" ] && [ -f "${NOTIFY_FAULT_REPORT%.*}.md" ]; then
    say "The last figures of each case; docs/reliability.md says how they are counted. $NOTIFY_FAULT_REPORT has all."
    cat "${NOTIFY_FAULT_REPORT%.*}.md"
  fi
  total=$(number Total) skipped=$(($(number Skipped) + $(number 'Not Run'))) failed=$(($(number Failed) + $(number Errors)))
  if [ "$(summaries)" != "$runs" ]; then
    code=1 total=$((total + 1)) failed=$((failed + 1))
    say "The test runner ended before its summary."
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
