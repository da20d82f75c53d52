#!/usr/bin/env bash
# Runs the tests on Node 24: here where uWebSockets.js for Node 24 can be loaded, which needs glibc 2.38, and else in a
# small Debian trixie under .tools/. That one needs root, and a kernel that lets root have namespaces of its own. In them
# are all of its mounts and processes, so that none of either outlives this script, however it ends.
# Needs a build in dist/, the packages, and NATS_SERVER_BIN.
#
#   scripts/node24-test.sh                   all tests; arguments are those of vitest
#   scripts/node24-test.sh --if-possible     where it cannot be done it says in one line why, and ends with 0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PLACE=$PWD/.tools/node24

# The second half, as the first process of its own namespaces: $2 is the file system, the rest the command.
if [[ ${1:-} == --inside ]]; then
  root=$2
  shift 2
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/run"
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
  touch "$root.new/unpacked"
  mv "$root.new" "$root"
fi
rm -rf --one-file-system "$root/tmp"
mkdir -m 1777 "$root/tmp"
cp "$node" "$root/usr/local/bin/node"
cp "$NATS_SERVER_BIN" "$root/usr/local/bin/nats-server"

said 'Debian trixie'
# In the background, so that a signal is answered at once. unshare is killed and not asked: with it go all processes
# of its namespaces, and with the last of them the mounts.
unshare --mount --propagation private --pid --fork --kill-child "$0" --inside "$root" \
  HOME=/root PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 NATS_SERVER_BIN=/usr/local/bin/nats-server \
  "${vitest[@]}" </dev/null &
inside=$!
end() {
  trap - EXIT
  kill -KILL "$inside" 2>/dev/null || true
  wait "$inside" 2>/dev/null || true
  exit "$1"
}
trap 'end 130' INT
trap 'end 143' TERM HUP
trap 'end $?' EXIT
status=0
wait "$inside" || status=$?
trap - EXIT
exit "$status"
