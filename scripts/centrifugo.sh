#!/bin/sh
# Prints the absolute path of Centrifugo on standard output, for measurements beside it. It is built with Go, once, under
# .tools/centrifugo/. Where there is no Go it prints nothing, and says on standard error that it is left out.
set -eu

version=${1:?usage: scripts/centrifugo.sh <version, such as 6.9.1>}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder=$root/.tools/centrifugo/$version
binary=$folder/centrifugo

if [ ! -x "$binary" ]; then
  go=$(command -v go || true)
  [ -n "$go" ] || [ ! -x /usr/local/go/bin/go ] || go=/usr/local/go/bin/go
  if [ -z "$go" ]; then
    echo 'centrifugo: there is no Go here to build it with, so it is left out' >&2
    exit 0
  fi
  echo "== building Centrifugo $version into .tools/centrifugo with Go" >&2
  mkdir -p "$folder"
  if ! GOBIN=$folder "$go" install "github.com/centrifugal/centrifugo/v6@v$version" >&2; then
    echo 'centrifugo: it could not be built, so it is left out' >&2
    exit 0
  fi
fi
printf '%s\n' "$binary"
