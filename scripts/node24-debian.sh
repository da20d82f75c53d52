#!/usr/bin/env bash
# Prints the absolute path of an archive that holds a small Debian trixie (13, with glibc 2.41), and nothing else on
# standard output. It is made by debootstrap from this machine's own apt mirror, and kept in .tools, since making it takes
# a minute. The tests on Node 24 run in it where this system's glibc is too old for them, and the stand-in images of
# containers are made of it. Ends with 75 and one line when it cannot be made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What the tests call, and what the stand-in images run.
PACKAGES=busybox,ca-certificates,haproxy,openssl,procps,python3

say() { echo "Debian trixie: $*" >&2; }
cannot() {
  say "$*"
  exit 75
}
without_password() { sed 's,://[^/@ ]*@,://,g'; }

archive=$PWD/.tools/trixie-$(dpkg --print-architecture 2>/dev/null || uname -m).tar
if [[ -s $archive ]]; then
  echo "$archive"
  exit 0
fi
[[ $(uname -s) == Linux ]] || cannot 'it can be made on Linux only'
[[ $(id -u) == 0 ]] || cannot 'only root can make one'
PATH=$PATH:/usr/sbin:/sbin

work=$(mktemp -d)
# debootstrap mounts /proc in there, and an interrupt leaves it: nothing is removed through it.
clean() {
  umount "$work/root/proc" "$work/root/sys" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! command -v debootstrap >/dev/null; then
  command -v apt-get >/dev/null || cannot 'there is no debootstrap, and without apt none can be installed'
  say 'installing debootstrap with apt'
  DEBIAN_FRONTEND=noninteractive timeout 120 sh -c 'apt-get -q update && apt-get -q install -y --no-install-recommends debootstrap' \
    >"$work/log" 2>&1 </dev/null || cannot "debootstrap cannot be installed: $(tail -n 1 "$work/log" | without_password)"
fi
mirror=$(apt-get update --print-uris 2>/dev/null | sed -n "s,^'\([^' ]*\)/dists/[^' ]*'.*,\1,p" |
  grep -v security | grep -m 1 '/debian$' || true)
[[ -n $mirror ]] || cannot "this machine's apt names no mirror of Debian"

say 'making a file system of it (about 120 MB to download), kept in .tools'
mkdir "$work/root"
timeout 400 debootstrap --variant=minbase --include="$PACKAGES" trixie "$work/root" "$mirror" >"$work/log" 2>&1 </dev/null ||
  cannot "debootstrap fails: $(grep -v '^$' "$work/log" | tail -n 1 | without_password)"
rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/usr/share/{doc,man,locale}
# It is this machine that builds and tests with it, so it trusts what this machine trusts.
cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$(dirname "$archive")"
tar -C "$work/root" --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -cf "$archive.new" .
mv "$archive.new" "$archive"
echo "$archive"
