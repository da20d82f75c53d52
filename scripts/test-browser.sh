#!/usr/bin/env bash
# The tests in Chromium: test/browser/. Needs a build in dist/ and the packages. Takes $CHROMIUM_BIN, else `chromium` on the
# PATH.
#
#   scripts/test-browser.sh                    all of it; fails when there is no Chromium
#   scripts/test-browser.sh -t stop            these only: what vitest takes as arguments
#   scripts/test-browser.sh --if-possible      where it is missing, installs Debian's package with apt-get as root (about
#                                              125 MB to download); where there can be none it says in one line why, and
#                                              ends with 0
#   PROJECT=examples scripts/test-browser.sh   those of test/examples/ instead
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

may_skip=no
if [[ ${1:-} == --if-possible ]]; then
  may_skip=yes
  shift
fi

give_up() {
  echo "chromium: $* (or set CHROMIUM_BIN)" >&2
  if [[ $may_skip == no ]]; then exit 1; fi
  echo 'browser: these tests are skipped, for the reason above'
  exit 0
}

runs() { "$1" --version 2>/dev/null | grep -q '^Chrom'; }

if [[ -n ${CHROMIUM_BIN:-} ]]; then
  # One that is named is meant: nothing else takes its place.
  runs "$CHROMIUM_BIN" || { echo "chromium: CHROMIUM_BIN is set to \"$CHROMIUM_BIN\", which is no Chromium that runs here" >&2; exit 1; }
else
  if ! command -v chromium >/dev/null 2>&1; then
    [[ $may_skip == yes ]] || give_up 'there is none on the PATH: install it, or have it installed with OPTIONS=--if-possible as root'
    [[ $(id -u) == 0 ]] || give_up 'there is none on the PATH, and only root can install it'
    command -v apt-get >/dev/null 2>&1 || give_up 'there is none on the PATH, and no apt to install it with'
    echo 'chromium: installing the Debian package chromium (about 125 MB to download)' >&2
    mkdir -p .tools
    if ! { DEBIAN_FRONTEND=noninteractive apt-get update && DEBIAN_FRONTEND=noninteractive \
      apt-get install --yes --no-install-recommends chromium; } >.tools/chromium.log 2>&1; then
      give_up "apt-get could not install it: $(grep '^E:' .tools/chromium.log | tail -n 1)"
    fi
  fi
  CHROMIUM_BIN=$(command -v chromium)
  runs "$CHROMIUM_BIN" || give_up "$CHROMIUM_BIN does not run"
fi
export CHROMIUM_BIN
NATS_SERVER_BIN=$(scripts/nats-server.sh)
export NATS_SERVER_BIN
unset NATS_URL
exec node_modules/.bin/vitest run --project "${PROJECT:-browser}" "$@"
