# One image for all of Headway's programs: the edge (what it runs when nothing else is said), the `headway` command, and
# the worker of the compose file. Needs no BuildKit, and nothing of the build is in the result but what it compiled.
#
#   docker build -t headway .
#   docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8080:8080 -e NATS_URL=… -e HEADWAY_AUTH=… headway
#   docker run --rm -e NATS_URL=… headway headway --help

# trixie: the WebSocket library's binary for Node 24 needs glibc 2.38.
FROM node:24.22.3-trixie-slim AS build
WORKDIR /app
# NPM_CONFIG_REGISTRY is given by whoever installs from a mirror; unset, npm uses its own default.
ARG NPM_CONFIG_REGISTRY
COPY package.json package-lock.json ./
# Without the workspaces: they bring no package that is needed here, and would leave a link that leads nowhere.
RUN npm ci --workspaces=false --ignore-scripts --no-audit --no-fund --loglevel=error
COPY . .
RUN npm run --silent build

FROM node:24.22.3-trixie-slim AS packages
WORKDIR /app
ARG NPM_CONFIG_REGISTRY
COPY package.json package-lock.json ./
COPY scripts/verify-uws.mjs scripts/uws-binaries.json scripts/
# The WebSocket library comes as two packages, with a binary for every system and every Node; this image needs one of
# them. All of them have to be the ones that were checked.
RUN npm ci --omit=dev --workspaces=false --ignore-scripts --no-audit --no-fund --loglevel=error \
  && node scripts/verify-uws.mjs \
  && node -e 'console.log("uws_" + process.platform + "_" + process.arch + "_" + process.versions.modules + ".node")' >/tmp/binary \
  && find node_modules -name 'uws_*.node' ! -name "$(cat /tmp/binary)" -delete

FROM node:24.22.3-trixie-slim
WORKDIR /app
ENV NODE_ENV=production
COPY package.json LICENSE ./
COPY docker/health.mjs docker/prove.mjs docker/
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist dist
# Without the binary that fits, the build ends here, and not the first start in production.
RUN chmod 755 dist/cmd/headway.js && ln -s /app/dist/cmd/headway.js /usr/local/bin/headway && node docker/prove.mjs
# By number, so that Kubernetes can see that it is not root. The name is `node`.
USER 1000:1000
EXPOSE 8080
# Liveness and not readiness: while NATS is away an edge is not ready, and to restart it would cost its clients.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["node", "/app/docker/health.mjs"]
# Why these options: docs/guides/production.md, "Running an edge".
CMD ["node", "--v8-pool-size=1", "--heap-growing-percent=50", "/app/dist/cmd/edge.js"]
