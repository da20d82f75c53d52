#!/bin/sh
# Prints the absolute path of a Node 24 for this machine's kind of processor on standard output, and nothing else there:
# the one on the PATH, or else npm's package of it, which is put into .tools/node24 (about 50 MB to download) and nowhere
# else. That it starts on this system is not said: Node 24 needs glibc 2.28.
set -eu
cd "$(dirname -- "$0")/.."

case $(node --version) in
  v24.*) exec node -p process.execPath ;;
esac
package=$(node -p '"node-" + process.platform + "-" + process.arch')
binary=$PWD/.tools/node24/node_modules/$package/bin/node
if [ ! -x "$binary" ]; then
  echo "== downloading Node 24 (npm package $package, about 50 MB) into .tools/node24" >&2
  mkdir -p .tools/node24
  echo '{ "private": true }' >.tools/node24/package.json
  (cd .tools/node24 && npm install --ignore-scripts --no-audit --no-fund --loglevel=error "$package@24" >&2)
fi
printf '%s\n' "$binary"
