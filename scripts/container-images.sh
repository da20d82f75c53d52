#!/usr/bin/env bash
# Sees to it that the images are there that the containers of this project are made of, and builds `headway` from the
# Dockerfile. What is missing is pulled; where no registry can be reached, a stand-in is made on the spot and given the
# same name: Debian bookworm from this machine's own apt mirror, with the same programs in it. Ends with 75 and one
# line when that cannot be done either.
#
#   scripts/container-images.sh [--without-headway]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

NODE_IMAGE=node:22.23.2-bookworm-slim
NATS_IMAGE=${HEADWAY_NATS_IMAGE:-nats:2.15.1-alpine}
PROXY_IMAGE=${HEADWAY_PROXY_IMAGE:-haproxy:3.0.28}
BASE=headway-stand-in-base
STORE=$PWD/.tools/containers

say() { echo "containers: $*" >&2; }
cannot() {
  say "$*"
  exit 75
}
without_password() { sed 's,://[^/@ ]*@,://,g'; }

registry=untried
have() {
  if docker image inspect "$1" >/dev/null 2>&1; then return 0; fi
  if [[ $registry == away ]]; then return 1; fi
  say "pulling $1"
  if timeout 180 docker pull --quiet "$1" >/dev/null 2>"$work/pull"; then
    registry=there
    return 0
  fi
  say "$1 cannot be pulled ($(tail -n 1 "$work/pull" | cut -c -160)): a stand-in is made"
  registry=away
  return 1
}

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT

# A file system of Debian bookworm that all stand-ins share. It is kept in .tools, since making it takes half a minute.
base() {
  if docker image inspect "$BASE" >/dev/null 2>&1; then return 0; fi
  local archive mirror
  archive=$STORE/bookworm-$(dpkg --print-architecture 2>/dev/null || uname -m).tar
  if [[ ! -s $archive ]]; then
    [[ $(id -u) == 0 ]] || cannot 'no image can be pulled, and only root can make one on the spot'
    if ! command -v debootstrap >/dev/null; then
      command -v apt-get >/dev/null || cannot 'no image can be pulled, and without apt none can be made on the spot'
      say 'installing debootstrap with apt'
      DEBIAN_FRONTEND=noninteractive timeout 120 apt-get -q install -y --no-install-recommends debootstrap \
        >"$work/log" 2>&1 </dev/null || cannot "no image can be pulled, and debootstrap cannot be installed"
    fi
    mirror=$(apt-get update --print-uris 2>/dev/null | sed -n "s,^'\([^' ]*\)/dists/[^' ]*'.*,\1,p" |
      grep -v security | grep -m 1 '/debian$' || true)
    [[ -n $mirror ]] || cannot "no image can be pulled, and this machine's apt names no mirror of Debian"
    say "making a file system of Debian bookworm (about 100 MB to download), kept in .tools/containers"
    timeout 300 debootstrap --variant=minbase --include=busybox,ca-certificates,haproxy bookworm "$work/root" "$mirror" \
      >"$work/log" 2>&1 </dev/null ||
      cannot "no image can be pulled, and debootstrap fails: $(grep -v '^$' "$work/log" | tail -n 1 | without_password)"
    rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/usr/share/{doc,man,locale}
    # It is this machine that builds with it, so it trusts what this machine trusts.
    cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/ca-certificates.crt"
    mkdir -p "$STORE"
    tar -C "$work/root" --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* -cf "$archive.new" .
    mv "$archive.new" "$archive"
  fi
  docker import "$archive" "$BASE" >/dev/null
}

# Builds a stand-in from the Dockerfile on standard input, with the folder given.
build() { DOCKER_BUILDKIT=0 docker build --quiet --tag "$1" --file - "$2" >/dev/null 2>"$work/log" || {
  cat "$work/log" >&2
  return 1
}; }

stand_in_nats() {
  local server folder=$work/nats
  server=$(scripts/nats-server.sh)
  mkdir -p "$folder"
  cp "$server" "$folder/nats-server"
  cat >"$folder/Dockerfile" <<END
FROM $BASE
COPY nats-server /usr/local/bin/nats-server
RUN ln -s /usr/bin/busybox /usr/local/bin/wget && nats-server --version
EXPOSE 4222 8222 6222
ENTRYPOINT ["nats-server"]
END
  build "$NATS_IMAGE" "$folder" <"$folder/Dockerfile"
}

stand_in_proxy() {
  mkdir -p "$work/proxy"
  build "$PROXY_IMAGE" "$work/proxy" <<END
FROM $BASE
USER haproxy
STOPSIGNAL SIGUSR1
CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
END
}

stand_in_node() {
  local folder=$work/node package binary npm
  package=$(node -p '"node-" + process.platform + "-" + process.arch')
  binary=$PWD/.tools/node22/node_modules/$package/bin/node
  if [[ $(node --version) == v22.* ]]; then binary=$(node -p process.execPath); fi
  if [[ $("$binary" --version 2>/dev/null) != v22.* ]]; then
    say "downloading Node 22 (npm package $package, about 50 MB) into .tools/node22"
    mkdir -p .tools/node22
    echo '{ "private": true }' >.tools/node22/package.json
    (cd .tools/node22 && npm install --ignore-scripts --no-audit --no-fund --loglevel=error "$package@22" >&2)
  fi
  npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
  mkdir -p "$folder"
  cp "$binary" "$folder/node"
  cp -r "$npm" "$folder/npm"
  build "$NODE_IMAGE" "$folder" <<END
FROM $BASE
RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --create-home node
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx && npm --version
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
CMD ["node"]
END
}

ensure() {
  if have "$1"; then return 0; fi
  base
  "$2"
}

ensure "$NATS_IMAGE" stand_in_nats
if [[ ${1:-} != --without-headway ]]; then
  ensure "$PROXY_IMAGE" stand_in_proxy
  ensure "$NODE_IMAGE" stand_in_node
  say 'building headway from the Dockerfile'
  # The registry that npm uses here; a build has no other way to know of it. The host's network: it may be the only one
  # from which the registry can be reached.
  DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0} docker build --network host --tag headway \
    --build-arg NPM_CONFIG_REGISTRY="$(npm config get registry 2>/dev/null)" . >"$work/build" 2>&1 ||
    { cat "$work/build" >&2; exit 1; }
fi
