#!/usr/bin/env bash
# Runs a command with a Docker daemon at hand: the one that answers, or else one of its own, which it starts and stops
# again. Its own needs root and dockerd; with --install, dockerd comes from this machine's apt if need be (Debian's
# package docker.io, with docker-compose; 3 minutes at most). When there can be none it says why in one line and ends with 75.
#
#   scripts/docker-daemon.sh [--install] command [argument …]
set -euo pipefail

install=no
if [[ ${1:-} == --install ]]; then
  install=yes
  shift
fi
if [[ $# == 0 ]]; then
  echo "usage: $0 [--install] command [argument ...]" >&2
  exit 2
fi

cannot() {
  echo "containers: there is no Docker here: $*" >&2
  exit 75
}

answers() { timeout 10 docker version --format '{{.Server.Version}}' 2>/dev/null; }

if command -v docker >/dev/null && version=$(answers); then
  echo "containers: with the Docker daemon $version that runs here" >&2
  exec "$@"
fi

[[ $(uname -s) == Linux ]] || cannot 'no daemon answers, and one can be started on Linux only'
[[ $(id -u) == 0 ]] || cannot 'no daemon answers, and only root can start one'
PATH=$PATH:/usr/sbin:/sbin

if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
  [[ $install == yes ]] || cannot 'no daemon answers, and dockerd is not installed'
  command -v apt-get >/dev/null || cannot 'no daemon answers, and without apt none is installed'
  echo 'containers: installing docker.io with apt' >&2
  log=$(mktemp)
  # The service is not started by the package: this script starts its own, and stops it.
  if ! RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive timeout 180 sh -c \
    'apt-get -q update && apt-get -q install -y --no-install-recommends docker.io docker-compose iptables' >"$log" 2>&1 </dev/null; then
    reason=$({ grep -E '^E: ' "$log" || tail -n 1 "$log"; } | tail -n 1 | sed 's,://[^/@ ]*@,://,g')
    rm -f "$log"
    cannot "docker.io could not be installed within 3 minutes: ${reason#E: }"
  fi
  rm -f "$log"
  hash -r
  # The package may have started it all the same.
  if version=$(answers); then
    echo "containers: with the Docker daemon $version that was just installed" >&2
    exec "$@"
  fi
fi

# A short path: sockets have at most 108 characters.
place=$(mktemp -d /tmp/headway-docker.XXXXXX)
export DOCKER_HOST=unix://$place/docker.sock
daemon=
had_bridge=no
if [[ -e /sys/class/net/docker0 ]]; then had_bridge=yes; fi

# Asks it to end, and waits; then nothing of it is left, mounts included.
stop() {
  if [[ -n $daemon ]] && kill "$daemon" 2>/dev/null; then
    for ((i = 0; i < 300; i++)); do
      kill -0 "$daemon" 2>/dev/null || break
      sleep 0.1
    done
    kill -9 "$daemon" 2>/dev/null || true
  fi
  wait "$daemon" 2>/dev/null || true
  daemon=
}
# shellcheck disable=SC2317 # called by the trap
finish() {
  stop
  # Mounts that it forgets, and the bridge that it made: nothing of this was here before.
  awk -v place="$place/" 'index($2, place) == 1 { print $2 }' /proc/self/mounts | sort -r | xargs -r -n 1 umount || true
  if [[ $had_bridge == no ]]; then ip link delete docker0 2>/dev/null || true; fi
  rm -rf --one-file-system "$place" 2>/dev/null || echo "containers: $place could not be removed" >&2
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Starts a daemon with these options more; fails when it does not come up within 30 s.
start() {
  # A session of its own: a Ctrl-C is for the command, and the daemon is needed to clean up after it.
  setsid dockerd --host "$DOCKER_HOST" --data-root "$place/data" --exec-root "$place/exec" --pidfile "$place/pid" \
    --group root --log-level warn "$@" >"$place/log" 2>&1 </dev/null &
  daemon=$!
  for ((i = 0; i < 300; i++)); do
    if version=$(answers); then return 0; fi
    kill -0 "$daemon" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}

if ! start; then
  stop
  # Within another container overlay file systems cannot be stacked; this one always can, and is slow.
  if ! start --storage-driver vfs; then
    reason=$(grep -v '^$' "$place/log" | tail -n 1)
    cannot "dockerd does not start: $reason"
  fi
fi
echo "containers: with a Docker daemon $version, started for this" >&2

status=0
"$@" || status=$?
exit "$status"
