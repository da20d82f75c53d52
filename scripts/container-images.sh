#!/usr/bin/env bash
# Sees to it that the images are there that the containers of this project are made of, and builds `headway` from the
# Dockerfile. What is missing is pulled; where no registry can be reached, a stand-in is made on the spot and given the
# same name: Debian trixie from this machine's own apt mirror, with the same programs in it. Ends with 75 and one
# line when that cannot be done either.
#
#   scripts/container-images.sh [--without-headway]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

NODE_IMAGE=node:24.22.3-trixie-slim
NATS_IMAGE=${HEADWAY_NATS_IMAGE:-nats:2.15.1-alpine}
PROXY_IMAGE=${HEADWAY_PROXY_IMAGE:-haproxy:3.0.28}
BASE=headway-stand-in-trixie

say() { echo "containers: $*" >&2; }
cannot() {
  say "$*"
  exit 75
}

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

# The file system that all stand-ins share.
base() {
  if docker image inspect "$BASE" >/dev/null 2>&1; then return 0; fi
  local archive
  archive=$(scripts/node24-debian.sh) || cannot 'no image can be pulled, and none can be made on the spot: the reason is above'
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
  local folder=$work/node binary npm
  binary=$(scripts/node24-binary.sh)
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
