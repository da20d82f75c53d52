#!/usr/bin/env bash
# Prints the path of a folder that holds `nginx`, `haproxy` and `caddy`, and nothing else on standard output. Those that
# this machine has are linked there. The others are Debian packages, downloaded with apt and unpacked under
# .tools/proxies/ (about 12 MB); nothing is installed, no root is needed, and standard error says what is downloaded.
#
#   scripts/proxies.sh            all three; ends with 75 when one cannot be had, and says why
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

store=$PWD/.tools/proxies
bin=$store/bin
export LC_ALL=C

say() { printf 'proxies: %s\n' "$*" >&2; }
# What cannot be had ends with its own code, so that who asks can tell it from a fault.
give_up() {
  say "$*"
  exit 75
}

# The first line of what a binary says of its version; fails when it does not run.
version_of() {
  local said
  # Read to its end: a binary that writes on into a closed pipe counts as failed.
  case ${1##*/} in
    nginx | haproxy) said=$("$1" -v 2>&1) || return 1 ;;
    caddy) said=$("$1" version 2>&1) || return 1 ;;
  esac
  grep -E '[0-9]+\.[0-9]+' <<<"${said%%$'\n'*}"
}

# Packages put them into an sbin folder, which is not on everybody's PATH.
on_machine() {
  local found
  for found in "$(command -v "$1" 2>/dev/null || true)" "/usr/sbin/$1" "/usr/local/sbin/$1"; do
    if [[ -x $found && $found != "$bin/"* ]] && version_of "$found" >/dev/null; then
      echo "$found"
      return 0
    fi
  done
  return 1
}

apt=()
# Lists of our own where the machine has none, as in a new container.
with_lists() {
  if apt-cache show "$1" >/dev/null 2>&1; then return; fi
  mkdir -p "$store/apt/lists/partial" "$store/apt/cache/archives/partial"
  apt=(-o "Dir::State::lists=$store/apt/lists" -o "Dir::Cache=$store/apt/cache")
  if apt-cache "${apt[@]}" show "$1" >/dev/null 2>&1; then return; fi
  say "downloading the package lists of this machine's apt sources into .tools/proxies/apt"
  apt-get "${apt[@]}" update >"$store/log" 2>&1 || give_up "apt-get update failed: $(tail -n 1 "$store/log")"
}

# unpack <package> <folder>
unpack() {
  local deb
  rm -rf "$store/deb"
  mkdir -p "$store/deb" "$2"
  if ! (cd "$store/deb" && apt-get "${apt[@]}" download "$1") >"$store/log" 2>&1; then
    give_up "the Debian package $1 cannot be downloaded: $(grep '^E:' "$store/log" | tail -n 1)"
  fi
  deb=$(echo "$store"/deb/*.deb)
  say "downloaded the Debian package $(basename "$deb" .deb), $(wc -c <"$deb" | awk '{ printf "%.1f MB", $1 / 1e6 }'); unpacked in ${2#"$PWD/"}"
  dpkg-deb -x "$deb" "$2"
}

# The libraries that a binary needs and the machine does not have, unpacked beside it: libx.so.1 is in the package libx1,
# libx2.so.1 in libx2-1. Each round may show what the libraries of the one before need.
unpack_libraries() {
  local missing library
  for _ in 1 2 3 4; do
    missing=$(LD_LIBRARY_PATH=$(libraries "$2") ldd "$1" | awk '/not found/ { print tolower($1) }')
    if [[ -z $missing ]]; then return; fi
    for library in $missing; do
      unpack "$(sed -E 's/([0-9])\.so\./\1-/; s/\.so\.//' <<<"$library")" "$2"
    done
  done
}

libraries() { echo "$1/usr/lib/$(uname -m)-linux-gnu:$1/usr/lib"; }

# A program that runs <binary> with the libraries beside it.
wrap() {
  # shellcheck disable=SC2016 # for the program that is written
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%s:${LD_LIBRARY_PATH:-} exec %s "$@"\n' "$(libraries "$store/$1")" "$2" >"$bin/$1.new"
  chmod 755 "$bin/$1.new"
  mv -f "$bin/$1.new" "$bin/$1"
}

mkdir -p "$bin"
# One run at a time: they would take files away from each other.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$store/.lock"
  flock 9
fi

for name in nginx haproxy caddy; do
  if version_of "$bin/$name" >/dev/null 2>&1; then continue; fi
  if found=$(on_machine "$name"); then
    ln -sf "$found" "$bin/$name"
    continue
  fi
  if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
    give_up "there is no $name on this machine, and no apt to download it with"
  fi
  with_lists "$name"
  rm -rf "${store:?}/$name"
  unpack "$name" "$store/$name"
  binary=$(find "$store/$name" -type f -path "*bin/$name" | head -n 1)
  unpack_libraries "$binary" "$store/$name"
  wrap "$name" "$binary"
  version_of "$bin/$name" >/dev/null || give_up "$name was unpacked and does not run: $("$bin/$name" -v 2>&1 | head -n 1)"
done
rm -rf "$store/deb" "$store/log"
echo "$bin"
