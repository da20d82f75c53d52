#!/usr/bin/env bash
# The tests behind nginx, HAProxy and Caddy: test/proxies/, with the files of deploy/proxies/. Needs a build in dist/ and
# the packages. scripts/proxies.sh gets the proxies.
#
#   scripts/test-proxies.sh                    all of it; fails when there can be no proxies
#   scripts/test-proxies.sh test/proxies/symptoms.test.ts     these only: what vitest takes as arguments
#   scripts/test-proxies.sh --if-possible      where there can be none it says in one line why, and ends with 0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

may_skip=no
if [[ ${1:-} == --if-possible ]]; then
  may_skip=yes
  shift
fi

status=0
HEADWAY_PROXIES=$(scripts/proxies.sh) || status=$?
# 75: it cannot be done on this machine, and a line says why.
if [[ $status == 75 && $may_skip == yes ]]; then
  echo 'proxies: these tests are skipped, for the reason above'
  exit 0
fi
if [[ $status != 0 ]]; then exit "$status"; fi
export HEADWAY_PROXIES
NATS_SERVER_BIN=$(scripts/nats-server.sh)
export NATS_SERVER_BIN
unset NATS_URL
exec node_modules/.bin/vitest run --project proxies "$@"
