# shellcheck shell=bash
# Redis for the tests: a server of their own, started and ended by them. Nothing else here starts one.

# redis_program: prints the server's program; installs it where that is possible.
redis_program() {
  redis_find || { with_apt_idle redis-server >&2 && redis_find; } ||
    die "Redis's server is not to be found; install it (Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install valkey; macOS: brew install redis)"
}

redis_find() { command -v redis-server || command -v valkey-server; }
