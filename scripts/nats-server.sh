#!/bin/sh
# Prints the absolute path of a nats-server of version 2.10 or newer on standard output, and nothing else there.
# When there is none on this machine, installs one under .tools/nats/ (never anywhere else) and says on standard error
# what it downloads.
#
#   scripts/nats-server.sh                  the first that is found; when it has to install one, the newest it can get
#   scripts/nats-server.sh --version 2.10   one of that line only (any prefix of a version)
#
# It looks, in this order, at $NATS_SERVER_BIN, the PATH, what it installed before, and then installs: from the
# machine's own apt suites, from Debian's newer suites (unpacked only; needs no root), or with Go.
set -eu

# What is built with Go when there is no apt: the versions that the test suite is run against.
GO_NEWEST=2.15.1
GO_2_10=2.10.27

usage() {
  echo "usage: $0 [--version <prefix, such as 2.10>]" >&2
  exit 2
}

want=
while [ $# -gt 0 ]; do
  case $1 in
    --version)
      [ $# -ge 2 ] || usage
      want=$2
      shift 2
      ;;
    --version=*)
      want=${1#--version=}
      shift
      ;;
    *) usage ;;
  esac
done
want=${want#v}

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
store=$root/.tools/nats
work=
notes=

say() { printf 'nats-server: %s\n' "$*" >&2; }

# Remembered, and told only when nothing better turns up: a run that finds a server says nothing.
note() { notes="$notes
  - $*"; }

# The version of a binary ("2.15.1"); fails when it does not run or is something else.
version_of() {
  [ -f "$1" ] && [ -x "$1" ] || return 1
  v_out=$("$1" -v 2>/dev/null) || return 1
  case $v_out in
    'nats-server: v'[0-9]*) printf '%s\n' "${v_out#nats-server: v}" ;;
    'nats-server: '[0-9]*) printf '%s\n' "${v_out#nats-server: }" ;;
    *) return 1 ;;
  esac
}

# Is the version (2.15.1, 2.12.0-RC.1, 2.10.27-2) at least 2.10 and of the line asked for?
fits() {
  f_version=${1%%[-+~]*}
  f_major=${f_version%%.*}
  f_rest=${f_version#*.}
  f_minor=${f_rest%%.*}
  case $f_major$f_minor in '' | *[!0-9]*) return 1 ;; esac
  [ "$f_major" -gt 2 ] || { [ "$f_major" -eq 2 ] && [ "$f_minor" -ge 10 ]; } || return 1
  case $f_version in "${want:-$f_version}" | "$want".*) return 0 ;; *) return 1 ;; esac
}

wanted() { if [ -n "$want" ]; then echo "version $want"; else echo 'version 2.10 or newer'; fi; }

found() {
  printf '%s\n' "$1"
  exit 0
}

# (a) The one that the user names.
named() {
  [ -n "${NATS_SERVER_BIN:-}" ] || return 0
  n_bin=$(command -v -- "$NATS_SERVER_BIN" 2>/dev/null) || n_bin=$NATS_SERVER_BIN
  case $n_bin in /*) ;; *) n_bin=$PWD/$n_bin ;; esac
  if ! n_version=$(version_of "$n_bin"); then
    say "NATS_SERVER_BIN is set to \"$NATS_SERVER_BIN\", which is not a nats-server that runs here. Correct it or unset it."
    exit 1
  fi
  if fits "$n_version"; then found "$n_bin"; fi
  if [ -z "$want" ]; then
    say "NATS_SERVER_BIN is set to \"$NATS_SERVER_BIN\", which is version $n_version: 2.10 or newer is needed. Correct it or unset it."
    exit 1
  fi
  note "NATS_SERVER_BIN is version $n_version"
}

# (b) One on the PATH. Packages put it into an sbin folder, which is not on everybody's PATH.
on_path() {
  for p_bin in "$(command -v nats-server 2>/dev/null || :)" /usr/local/sbin/nats-server /usr/sbin/nats-server; do
    case $p_bin in /*) ;; *) continue ;; esac
    [ -e "$p_bin" ] || continue
    if p_version=$(version_of "$p_bin"); then
      if fits "$p_version"; then found "$p_bin"; fi
      note "$p_bin is version $p_version"
    else
      note "$p_bin does not run"
    fi
  done
}

# (c) One that this script installed before, the newest first.
installed() {
  [ -d "$store" ] || return 0
  for i_version in $(cd "$store" && printf '%s\n' * | sort -t. -k1,1nr -k2,2nr -k3,3nr); do
    fits "$i_version" || continue
    if version_of "$store/$i_version/nats-server" >/dev/null; then found "$store/$i_version/nats-server"; fi
  done
}

# Puts a new binary in its place (one rename: whoever reads at the same time sees all of it or nothing) and ends.
keep() {
  if ! k_version=$(version_of "$1"); then
    note "$2: the binary does not run here"
    return 1
  fi
  if ! fits "$k_version"; then
    note "$2: the binary is version $k_version"
    return 1
  fi
  if ! { chmod 755 "$1" && mkdir -p "$store/$k_version" && mv -f "$1" "$store/$k_version/nats-server"; }; then
    note "$2: cannot be put into .tools/nats/$k_version"
    return 1
  fi
  say "$k_version is ready in .tools/nats/$k_version ($2)"
  found "$store/$k_version/nats-server"
}

# --- (d) Debian packages ---------------------------------------------------------------------------------------------

# A configuration for apt that is read after the machine's own, so that proxies and passwords stay as they are, but
# keeps every file that apt writes in our folder and runs none of the hooks that the machine has for a real update.
# With two arguments (mirror, suite) it also replaces the machine's sources; without, it keeps them.
apt_configuration() {
  a_dir=$work/apt
  rm -rf "$a_dir"
  mkdir -p "$a_dir/lists/partial" "$a_dir/archives/partial" "$a_dir/empty"
  : >"$a_dir/status"
  {
    echo '#clear APT::Update::Pre-Invoke;'
    echo '#clear APT::Update::Post-Invoke;'
    echo '#clear APT::Update::Post-Invoke-Success;'
    echo '#clear APT::Default-Release;'
    echo 'Acquire::AllowInsecureRepositories "false";'
    echo 'APT::Get::AllowUnauthenticated "false";'
    echo 'APT::Get::List-Cleanup "false";'
    echo 'APT::Color "false";'
    echo "Dir::State \"$a_dir\";"
    echo "Dir::State::lists \"$a_dir/lists/\";"
    echo "Dir::State::status \"$a_dir/status\";"
    echo "Dir::Cache \"$a_dir\";"
    echo 'Dir::Cache::pkgcache "";'
    echo 'Dir::Cache::srcpkgcache "";'
    echo "Dir::Etc::preferences \"$a_dir/empty/none\";"
    echo "Dir::Etc::preferencesparts \"$a_dir/empty\";"
    if [ $# -eq 2 ]; then
      echo "Dir::Etc::sourcelist \"$a_dir/sources.list\";"
      echo "Dir::Etc::sourceparts \"$a_dir/empty\";"
    else
      echo 'Acquire::Languages "none";'
    fi
  } >"$a_dir/apt.conf"
  if [ $# -eq 2 ]; then
    echo "deb [arch=$(dpkg --print-architecture) signed-by=$keyring target=Packages lang=none pdiffs=no] $1 $2 main" \
      >"$a_dir/sources.list"
  fi
}

# The newest version of the package that fits, in the suites that apt knows under the configuration given (or its own).
apt_newest() {
  apt-cache "$@" madison nats-server 2>/dev/null | awk -F'|' '{ gsub(/ /, "", $2); print $2 }' | sort -u |
    while read -r n_line; do if fits "${n_line#*:}"; then echo "$n_line"; fi; done | sort -t. -k1,1n -k2,2n -k3,3n |
    tail -n 1
}

# Downloads and unpacks (without installing) one version of the package. Arguments: version, where from, apt options.
apt_take() {
  t_version=$1
  t_from=$2
  shift 2
  rm -rf "$work/deb" "$work/unpacked"
  mkdir -p "$work/deb"
  if ! (cd "$work/deb" && apt-get "$@" download "nats-server=$t_version") >"$work/log" 2>&1; then
    note "Debian package nats-server $t_version from $t_from: $(reason)"
    return 1
  fi
  t_size=$(wc -c "$work"/deb/*.deb | awk '{ printf "%.1f MB", $1 / 1000000 }')
  if ! dpkg-deb -x "$work"/deb/*.deb "$work/unpacked" >"$work/log" 2>&1; then
    note "Debian package nats-server $t_version from $t_from: $(reason)"
    return 1
  fi
  t_bin=$(find "$work/unpacked" -type f -name nats-server -perm -u+x | head -n 1)
  keep "${t_bin:-$work/unpacked/nats-server}" "Debian package $t_version, $t_size, from $t_from; unpacked there, the system is unchanged"
}

# The line of the log that says why it failed.
reason() { { grep -E '^(E:|W: Failed to fetch|dpkg-deb: error)' "$work/log" || cat "$work/log"; } | grep -v '^$' | tail -n 1 | without_password; }

without_password() { sed 's,://[^/@ ]*@,://,g'; }

# The machine's own suites, as apt knows them already.
from_own_suites() {
  o_version=$(apt_newest -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
  [ -n "$o_version" ] || return 0
  say "downloading the package nats-server $o_version from this machine's own apt suites"
  apt_take "$o_version" "this machine's own suites" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= || :
}

# Downloads the index of what the configuration made last names, then the package.
from_private_state() {
  say "downloading the package index of $1, then the package (about 15 MB together)"
  if ! apt-get -c "$work/apt/apt.conf" update >"$work/log" 2>&1; then
    note "$1: $(reason)"
    return 0
  fi
  s_size=$(sed -n 's/^Fetched \(.*\) in .*/ (index: \1)/p' "$work/log" | tail -n 1)
  s_version=$(apt_newest -c "$work/apt/apt.conf")
  if [ -z "$s_version" ]; then
    # apt calls an update without an answer a success, with a warning.
    if grep -q '^W: Failed to fetch' "$work/log"; then note "$1: $(reason)"; else note "$1: no nats-server of $(wanted) there"; fi
    return 0
  fi
  apt_take "$s_version" "$1$s_size" -c "$work/apt/apt.conf" || :
}

# Where this machine gets Debian from: the archive itself, not the security updates, and no CD. It asks what an update
# would fetch, because that is known also where none was ever made, as in a new container. Addresses that end in
# "debian" come first; others only on Debian itself, where a mirror may have any name.
debian_mirrors() {
  apt-get update --print-uris 2>/dev/null | sed -n "s,^'\([^' ]*\)/dists/[^' ]*/main/binary-.*,\1,p" |
    awk '!/security|^cdrom:/ && !seen[$0]++ { print (/\/debian(\/|$)/ ? 0 : 1), $0 }' | sort -s -k1,1n |
    awk -v any="$1" '($1 == 0 || any == "yes") && ++n <= 3 { print $2 }'
}

from_debian() {
  keyring=
  for d_file in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
    if [ -z "$keyring" ] && [ -r "$d_file" ]; then keyring=$d_file; fi
  done
  if [ -z "$keyring" ]; then
    note "this machine has no keys of the Debian archive to check Debian's packages with"
    return 0
  fi
  d_any=no
  if grep -q '^ID=debian$' /etc/os-release 2>/dev/null; then d_any=yes; fi
  case $want in
    2.10 | 2.10.*) d_suites=trixie ;;
    '') d_suites='forky trixie' ;;
    *) d_suites=forky ;;
  esac
  d_mirrors=$(debian_mirrors "$d_any")
  if [ -z "$d_mirrors" ]; then note "this machine's apt names no mirror of Debian"; fi
  for d_suite in $d_suites; do
    for d_mirror in $d_mirrors; do
      apt_configuration "$d_mirror" "$d_suite"
      from_private_state "Debian $d_suite at $(printf '%s' "$d_mirror" | without_password)"
    done
  done
}

# A system with apt that is not Debian, or whose lists are empty (a container image): ask its own sources anew.
from_own_sources() {
  if grep -q '^ID=debian$' /etc/os-release 2>/dev/null; then return 0; fi
  apt_configuration
  from_private_state "this machine's own apt sources"
}

# --- (e) Go ----------------------------------------------------------------------------------------------------------

from_go() {
  if ! command -v go >/dev/null 2>&1; then
    note 'there is no Go on the PATH to build it with'
    return 0
  fi
  case $want in
    '') g_versions="$GO_NEWEST $GO_2_10" ;;
    [0-9]*.[0-9]*.[0-9]*) g_versions=$want ;;
    *)
      g_versions=
      for g_version in "$GO_NEWEST" "$GO_2_10"; do
        if fits "$g_version"; then g_versions=$g_version; fi
      done
      ;;
  esac
  if [ -z "$g_versions" ]; then note "no release of $(wanted) is known here to build with Go"; fi
  for g_version in $g_versions; do
    say "building $g_version with $(go version | cut -d' ' -f3): downloading its source and what it needs, about a minute"
    # A module cache of its own: it is needed once, and HOME may not be writable.
    if GOBIN=$work/bin GOPATH=$work/go GOCACHE=$work/gocache GOFLAGS="$(go env GOFLAGS) -modcacherw" CGO_ENABLED=0 \
      go install "github.com/nats-io/nats-server/v2@v$g_version" >"$work/log" 2>&1; then
      keep "$work/bin/nats-server" "built with Go from github.com/nats-io/nats-server v$g_version" || :
    else
      note "go install of v$g_version: $(tail -n 1 "$work/log" | without_password)"
    fi
  done
}

# --- all of it -------------------------------------------------------------------------------------------------------

case $want in
  '' | 2) valid=yes ;;
  *.*) if fits "$want"; then valid=yes; else valid=no; fi ;;
  *) if fits "$want.0"; then valid=yes; else valid=no; fi ;;
esac
if [ $valid = no ]; then
  say "--version $want: give 2.10 or newer"
  exit 2
fi

named
on_path
installed

if ! mkdir -p "$store" 2>/dev/null || ! [ -w "$store" ]; then
  say "there is no nats-server of $(wanted) here, and .tools/nats cannot be written to install one (it may belong to another user)$notes"
  exit 1
fi

# One run installs, the others wait for it and take what it installed. Where there is no flock they all install, which
# is only slower.
if command -v flock >/dev/null 2>&1 && touch "$store/.lock" 2>/dev/null; then
  exec 9<"$store/.lock"
  if ! flock -n 9; then
    say 'another run is installing one: waiting for it'
    flock 9
    installed
  fi
  rm -rf "$store"/.tmp.*
fi

# shellcheck disable=SC2317 # called by the trap
cleanup() { if [ -n "$work" ]; then rm -rf "$work"; fi; }
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d "$store/.tmp.XXXXXX")
chmod 755 "$work"
LC_ALL=C
export LC_ALL

say "there is none of $(wanted) on this machine yet: installing one under .tools/nats"
if command -v apt-get >/dev/null 2>&1 && command -v apt-cache >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
  from_own_suites
  from_debian
  from_own_sources
else
  note 'this machine has no apt'
fi
from_go

say "no nats-server of $(wanted) was found, and none could be installed. Install it with your system's packages, with \"brew install \
nats-server\", or from the releases of github.com/nats-io/nats-server, so that it is on the PATH (or set NATS_SERVER_BIN \
to its path); or, for the demo only, set NATS_URL to a NATS server with JetStream that runs already. What was tried:$notes"
exit 1
