#!/bin/sh
# Checks that the Node.js on the PATH is one that Headway can run on. Silent when it is; one paragraph and exit 1
# when it is not. Why so narrow: uWebSockets.js is a native addon. Two npm packages carry it: one with binaries for the
# module interfaces 115 (Node 20) and 127 (Node 22), the other with those for 137 (Node 24), for glibc Linux, macOS and
# Windows. The second needs a newer glibc.
set -eu

fail() {
  printf '%s\n' "Headway needs Node.js 24 (from 24.11, recommended), 22 (from 22.12) or 20 (from 20.19), with npm; $1 \
Install one of them (a version manager: \"nvm install ${2:-24}\" or \"fnm install ${2:-24}\"; or the Node project's own \
downloads and packages), make sure that \"node --version\" shows it in this shell, and run the same command again." >&2
  exit 1
}

command -v node >/dev/null 2>&1 || fail 'there is no "node" on the PATH.'

# One start of node for all the facts. excludeNetwork keeps the report from looking up host names.
facts=$(node -e '
  var report = process.platform === "linux" && process.report;
  if (report) report.excludeNetwork = true;
  var header = report && report.getReport ? report.getReport().header : null;
  var libc = process.platform === "linux" ? (header && header.glibcVersionRuntime) || "other" : "none";
  console.log(process.versions.node.replace(/[.]/g, " "), libc, process.platform + "/" + process.arch);
' 2>/dev/null) || fail 'the "node" on the PATH does not start.'

# shellcheck disable=SC2086 # five words without special characters
set -- $facts
major=$1 minor=$2 version=$1.$2.$3 libc=$4 platform=$5

case $major in
  20) [ "$minor" -ge 19 ] || fail "this is $version." ;;
  22) [ "$minor" -ge 12 ] || fail "this is $version." ;;
  24) [ "$minor" -ge 11 ] || fail "this is $version." ;;
  *) fail "this is $version, and the native WebSocket library has no binary for it." ;;
esac
case $platform in
  linux/arm) [ "$major" != 24 ] || fail "the native WebSocket library has no binary of Node 24 for linux/arm." 22 ;;
  linux/x64 | linux/arm64 | darwin/x64 | darwin/arm64 | win32/x64) ;;
  *) fail "the native WebSocket library has no binary for $platform (it has Linux, macOS and Windows on x64, Linux \
and macOS on arm64)." ;;
esac
[ "$libc" != other ] || fail "this one runs on a C library other than glibc (Alpine's musl, for example), for which the \
native WebSocket library has no binary: use a Debian, Ubuntu or Fedora system or image."
# Is glibc (such as 2.36) older than the one that the binary asks for? Both have 2 in front since 1997.
older() {
  o_minor=${libc#*.}
  [ "$libc" != none ] && [ "${o_minor%%.*}" -lt "${1#*.}" ]
}
if older 2.27; then
  fail "this system has glibc $libc, and the native WebSocket library needs 2.27 or newer: take a newer system."
elif [ "$major" = 24 ] && older 2.38; then
  fail "this is $version, for which the native WebSocket library needs glibc 2.38 (Debian 13, Ubuntu 24.04, RHEL 10, or \
newer), and this system has $libc: take Node 22 here, or a newer system." 22
fi
command -v npm >/dev/null 2>&1 || fail "Node.js $version is fine, but there is no \"npm\" on the PATH."
