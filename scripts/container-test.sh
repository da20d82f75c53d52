#!/usr/bin/env bash
# The tests that need Docker: test/container/, several containers on private networks, and the integration suite against
# nats-servers in containers. Needs a build in dist/ and the packages. Containers and networks that a test leaves behind
# are removed at the end, and a Docker daemon that was started for this is stopped.
#
#   scripts/container-test.sh                    all of it; fails when there can be no Docker
#   scripts/container-test.sh test/container     these only: what vitest takes as arguments
#   scripts/container-test.sh --short            of the integration suite only where it may matter how NATS runs
#   scripts/container-test.sh --if-possible      installs Docker with apt where it is missing (as root); where there can
#                                                be none it says in one line why, and ends with 0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The second half: a daemon answers now.
if [[ ${1:-} == --with-daemon ]]; then
  shift
  scripts/container-images.sh
  export HEADWAY_TEST_NATS=container
  export HEADWAY_TEST_SESSION=$$-$RANDOM
  # shellcheck disable=SC2317 # called by the trap
  clean() {
    local left
    left=$(docker ps --all --quiet --filter "label=headway.test=$HEADWAY_TEST_SESSION")
    # shellcheck disable=SC2086 # ids
    if [[ -n $left ]]; then docker rm --force --volumes $left >/dev/null; fi
    left=$(docker network ls --quiet --filter "label=headway.test=$HEADWAY_TEST_SESSION")
    # shellcheck disable=SC2086
    if [[ -n $left ]]; then docker network rm $left >/dev/null; fi
  }
  trap clean EXIT
  # What an operator's command prints is the same whatever its server runs in; these tests take half of the time.
  node_modules/.bin/vitest run --project container --project integration --exclude 'test/integration/headway-*' "$@"
  exit
fi

# Whatever restarts or replaces a server, asks it for permissions or TLS, or reads back what it stored.
SHORT=(harness conformance order proof left-out-jobs stale-cursors invalid-events nats-permissions
  nats-missing-permission nats-tls startup-errors jobs-http worker-permissions worker-reporter liveness-timeouts)

install=()
chosen=()
while [[ ${1:-} == --* ]]; do
  case $1 in
    --if-possible) install=(--install) ;;
    --short) chosen=(test/container "${SHORT[@]/#/test/integration/}") ;;
    *) break ;;
  esac
  shift
done
# Tests that make a server of their own, the demo's for example, take it from there.
NATS_SERVER_BIN=$(scripts/nats-server.sh)
export NATS_SERVER_BIN
unset NATS_URL

status=0
scripts/docker-daemon.sh "${install[@]}" "$0" --with-daemon "${chosen[@]}" "$@" || status=$?
# 75: it cannot be done on this machine, and a line says why.
if [[ $status == 75 && ${#install[@]} != 0 ]]; then
  echo 'containers: these tests are skipped, for the reason above'
  status=0
fi
exit "$status"
