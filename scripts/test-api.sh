#!/usr/bin/env bash
# Holds what an edge answers over HTTP against its own OpenAPI document, with Schemathesis. Needs a build in dist/ and the
# packages, Python 3.10 or newer with its venv module, and a registry that pip can reach.
#
#   scripts/test-api.sh                    fails when there can be no Schemathesis
#   scripts/test-api.sh --if-possible      says in one line why, and ends with 0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

may_skip=no
if [[ ${1:-} == --if-possible ]]; then
  may_skip=yes
  shift
fi
give_up() {
  if [[ $may_skip == yes ]]; then
    echo "api: these tests are skipped: $*"
    exit 0
  fi
  echo "api: $*" >&2
  exit 1
}

venv=$PWD/.tools/schemathesis
wanted='schemathesis>=4.32,<5'
command -v python3 >/dev/null 2>&1 || give_up 'there is no python3 on this machine'
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || give_up "$(python3 --version 2>&1) is older than 3.10"
mark="$(python3 -c 'import sys; print(sys.version, sys.executable)') $wanted"
if [[ $(cat "$venv/.installed" 2>/dev/null || :) != "$mark" ]]; then
  mkdir -p .tools
  rm -rf "$venv"
  python3 -m venv "$venv" >.tools/schemathesis.log 2>&1 || give_up 'this Python has no working venv module (Debian: the package python3-venv)'
  echo 'api: downloading Schemathesis (about 25 MB; 95 MB on disk) into .tools/schemathesis'
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 1 --timeout 15 "$wanted" \
    >.tools/schemathesis.log 2>&1 || give_up "pip cannot install it: $(grep -v '^$' .tools/schemathesis.log | tail -n 1)"
  printf '%s\n' "$mark" >"$venv/.installed"
fi
export HEADWAY_SCHEMATHESIS=$venv/bin/schemathesis
NATS_SERVER_BIN=$(scripts/nats-server.sh)
export NATS_SERVER_BIN
unset NATS_URL
exec node_modules/.bin/vitest run --project api "$@"
