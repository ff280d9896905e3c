#!/usr/bin/env bash
# Counts what docs/glossary.md asks for: prose.sh [--list] prints the number of faults of each kind (with --list the lines too), and
# ends with 1 where there is one of the first four.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
list=no
[ "${1:-}" != --list ] || list=yes
faults=0

code() { git ls-files '*.cs' '*.sql' '*.sh' notify; }
docs() { git ls-files '*.md' | grep -v '^CHANGELOG\.md$'; }

# kind NAME BAD COMMAND...: counts the lines that the command prints.
kind() {
  local name=$1 bad=$2 found count
  shift 2
  found=$("$@" || true)
  count=$(printf '%s' "$found" | grep -c '' || true)
  printf '%6d  %s\n' "$count" "$name"
  [ $list = no ] || [ -z "$found" ] || printf '%s\n' "$found" | sed 's/^/        /'
  if [ "$bad" = yes ] && [ "$count" -gt 0 ]; then faults=1; fi
}

noun_comments() {
  local lead='(///?|--|#)\s*(<(summary|remarks|returns|param[^>]*)>\s*)?(What|Who|Whoever|Whatever) [a-z]'
  { code | xargs grep -nE "^\s*$lead"; code | xargs grep -nE '[;,{]\s+// (what|who|whoever) [a-z]'; } | grep -vE '\?\s*(</[a-z]+>)?$'
}
noun_docs() { docs | xargs grep -nE '^\s*([-*] |[0-9]+\. )?(\*\*)?(What|Who|Whoever|Whatever) [a-z]' | grep -vE '\?\s*$'; }
noun_tests() { git ls-files '*.cs' | xargs grep -nE '(Task|void|ValueTask) (What|Who|Whoever|Whatever)_'; }
one_word_summaries() { git ls-files '*.cs' | xargs grep -nE '<summary>\s*[^ <]+\s*</summary>'; }
long_lines() { code | xargs grep -nE '^.{141,}$' | cut -c1-100; }

kind 'comments led by what or who as a noun' yes noun_comments
kind 'lines of documentation led by what or who as a noun' yes noun_docs
kind 'tests named What_ or Who_' yes noun_tests
kind 'summaries of one word' yes one_word_summaries
kind 'lines of code over 140 characters' no long_lines
exit $faults
