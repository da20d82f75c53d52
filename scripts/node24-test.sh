#!/usr/bin/env bash
# Runs the tests on Node 24: here where uWebSockets.js for Node 24 can be loaded, which needs glibc 2.38, and else in a
# small Debian trixie under .tools/. That one needs root, and a kernel that lets root have namespaces of its own. In them
# are all of its mounts and processes, so that none of either outlives this script, however it ends.
# Needs a build in dist/ and the packages. NATS_SERVER_BIN, or else the nats-server that scripts/nats-server.sh finds.
#
#   scripts/node24-test.sh                   all tests; arguments are those of vitest
#   scripts/node24-test.sh --if-possible     where it cannot be done it says in one line why, and ends with 0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PLACE=$PWD/.tools/node24

# The second half, as the first process of its own namespaces: the file system, a folder for its /tmp, Node,
# nats-server, and the command.
if [[ ${1:-} == --inside ]]; then
  root=$2 tmp=$3 node=$4 nats=$5
  shift 5
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/run"
  mount --bind "$tmp" "$root/tmp"
  mount --bind "$node" "$root/usr/local/bin/node"
  mount --bind "$nats" "$root/usr/local/bin/nats-server"
  mkdir -p "$root$PWD"
  mount --bind "$PWD" "$root$PWD"
  # Not exec: this process stays, as the parent of whatever loses its own. --default-signal, since a shell starts what
  # runs in the background with SIGINT ignored, and tests send it.
  status=0
  chroot "$root" env --default-signal --chdir="$PWD" "$@" || status=$?
  exit "$status"
fi

optional=no
if [[ ${1:-} == --if-possible ]]; then
  optional=yes
  shift
fi
cannot() {
  if [[ $optional == yes ]]; then
    echo "== tests on Node 24 are skipped: $*"
    exit 0
  fi
  echo "The tests cannot be run on Node 24: $*" >&2
  exit 1
}

NATS_SERVER_BIN=${NATS_SERVER_BIN:-$(scripts/nats-server.sh)}
export NATS_SERVER_BIN
vitest=(node_modules/.bin/vitest run "$@")
node=$(scripts/node24-binary.sh)
said() { echo "== tests on Node $("$node" --version), $1, $("$NATS_SERVER_BIN" -v)"; }

if "$node" --input-type=module -e 'await import("uWebSockets.js-node24")' 2>/dev/null; then
  said 'this system'
  export PATH="$(dirname "$node"):$PATH"
  exec "${vitest[@]}"
fi

[[ $(uname -s) == Linux ]] || cannot 'its WebSocket library cannot be loaded here.'
[[ $(id -u) == 0 ]] ||
  cannot "its WebSocket library needs glibc 2.38, which this system has not, and only root can set up another system."
unshare --mount --pid --fork true 2>/dev/null ||
  cannot 'its WebSocket library needs glibc 2.38, which this system has not, and root may not mount anything here.'
archive=$(scripts/node24-debian.sh) || cannot 'the reason is above.'

# Unpacked beside, and then moved: what an interrupt leaves is not taken for whole.
root=$PLACE/root
if [[ ! -e $root || $archive -nt $root/unpacked ]]; then
  rm -rf --one-file-system "$root" "$root.new"
  mkdir -p "$root.new"
  tar -C "$root.new" -xf "$archive"
  touch "$root.new/unpacked" "$root.new/usr/local/bin/node" "$root.new/usr/local/bin/nats-server"
  mv "$root.new" "$root"
fi
said 'Debian trixie'
tmp=$(mktemp -d)
chmod 1777 "$tmp"
# However this ends, the first process of the namespaces is killed and not asked: with it go all the others, and with the
# last of them the mounts. unshare ends when they are gone.
end() {
  trap - EXIT INT TERM HUP
  # shellcheck disable=SC2046 # ids
  if [[ -n $inside ]]; then
    kill -KILL $(cat "/proc/$inside/task/$inside/children" 2>/dev/null || echo "$inside") 2>/dev/null || true
    wait "$inside" 2>/dev/null || true
  fi
  rm -rf --one-file-system "$tmp"
  exit "$1"
}
inside=
trap 'end 130' INT
trap 'end 143' TERM HUP
trap 'end $?' EXIT
# In the background, so that a signal is answered at once. --pdeathsig and --kill-child, should this script be killed.
setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child \
  "$PWD/scripts/node24-test.sh" --inside "$root" "$tmp" "$node" "$NATS_SERVER_BIN" \
  HOME=/root PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 NATS_SERVER_BIN=/usr/local/bin/nats-server \
  "${vitest[@]}" </dev/null &
inside=$!
status=0
wait "$inside" || status=$?
inside=
end "$status"
