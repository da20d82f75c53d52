# Everything is set up by the targets themselves: the npm packages of package-lock.json into node_modules/, and a
# nats-server into .tools/ unless there is one already. Nothing outside this folder is installed or changed, but for Docker
# and Chromium where root asks for it: make test-container, make test-browser with OPTIONS=--if-possible.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo example-fastapi example-express example-react test test-python test-chaos test-node22 test-node24 test-nats-2.10 test-container test-proxies test-browser test-packages test-examples test-api \
	test-stalls soak fuzz bench bench-quick bench-guard bench-more audit build packages check format clean distclean \
	need-node need-nats need-nats-for-tests

FILES ?=
OPTIONS ?=
RUNS ?= 200000
SECONDS ?= 900
STALLS ?= 1500
NATS_VERSION ?=

PACKAGES := node_modules/.headway-installed
BUILT := dist/.headway-built
VITEST := node_modules/.bin/vitest run

# Tests start, kill and restart servers of their own, so a server that runs somewhere is of no use to them.
# $(call server,<version, or none for $(NATS_VERSION), or else the first that is found>)
server = NATS_SERVER_BIN=$$(scripts/nats-server.sh $(addprefix --version=,$(or $(1),$(NATS_VERSION)))) || { \
	if [ -n "$${NATS_URL:-}" ]; then \
	  echo 'NATS_URL is set, but the tests need a nats-server binary: they start, kill and restart servers of their own.' >&2; \
	fi; exit 1; }; export NATS_SERVER_BIN; unset NATS_URL

help: ## show this list
	@echo 'Usage: make <target>'
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

demo: setup build ## run the demo, with a page for documents; or with yours: make demo FILES="a.pdf b.pdf"
	@if [ -z "$${NATS_URL:-}" ]; then NATS_SERVER_BIN=$$(scripts/nats-server.sh) || exit 1; export NATS_SERVER_BIN; fi; \
	exec node dist/cmd/demo.js $(FILES)

example-fastapi: ## start the example with FastAPI: upload a document, its words are counted
example-express: ## start the example with Express: upload files, they are compressed
example-react: ## start the example with React, in front of the one with Express
example-fastapi example-express example-react: setup build packages
	@if [ -z "$${NATS_URL:-}" ]; then NATS_SERVER_BIN=$$(scripts/nats-server.sh) || exit 1; export NATS_SERVER_BIN; fi; \
	exec node scripts/example.mjs $(@:example-%=%)

test: need-node need-nats-for-tests $(PACKAGES) check build ## check types and style, build, run the tests
	@$(call server); echo "== tests on Node $$(node --version), $$("$$NATS_SERVER_BIN" -v)"; \
	exec $(VITEST) --project unit --project integration

test-python: need-node need-nats-for-tests $(PACKAGES) build ## run the tests of the Python worker (skipped where there is no Python)
	@$(call server); exec scripts/test-python.sh

test-chaos: need-node need-nats-for-tests $(PACKAGES) build ## run the tests of faults: servers and edges that are killed, frozen and cut off
	@$(call server); exec $(VITEST) --project chaos

test-node22: need-node need-nats-for-tests $(PACKAGES) build ## run all tests on Node 22 (installed privately when needed)
	@$(call server); \
	case $$(node --version) in v22.*) ;; *) \
	  package=$$(node -p '"node-" + process.platform + "-" + process.arch'); \
	  bin=$$PWD/.tools/node22/node_modules/$$package/bin; \
	  case $$("$$bin/node" --version 2>/dev/null) in v22.*) ;; *) \
	    echo "== downloading Node 22 (npm package $$package, about 50 MB) into .tools/node22"; \
	    mkdir -p .tools/node22 && echo '{ "private": true }' >.tools/node22/package.json && \
	    (cd .tools/node22 && npm install --ignore-scripts --no-audit --no-fund --loglevel=error "$$package@22") || exit 1;; \
	  esac; \
	  PATH=$$bin:$$PATH; export PATH;; \
	esac; \
	case $$(node --version) in v22.*) ;; *) echo 'Node 22 was installed but does not start.' >&2; exit 1;; esac; \
	echo "== tests on Node $$(node --version), $$("$$NATS_SERVER_BIN" -v)"; \
	exec $(VITEST)

test-node24: need-node need-nats-for-tests $(PACKAGES) build ## run all tests on Node 24 (in a Debian 13 of its own where glibc is older)
	@$(call server); exec scripts/node24-test.sh $(OPTIONS)

test-nats-2.10: need-node $(PACKAGES) build ## run the tests with servers against the oldest supported NATS line
	@$(call server,2.10); echo "== tests on Node $$(node --version), $$("$$NATS_SERVER_BIN" -v)"; \
	exec $(VITEST) --project integration --project chaos

test-container: need-node need-nats-for-tests $(PACKAGES) build ## run what needs Docker: split networks, and NATS in containers
	@exec scripts/container-test.sh $(OPTIONS)

test-proxies: need-node need-nats-for-tests $(PACKAGES) build ## run what needs nginx, HAProxy and Caddy (Debian packages, unpacked here)
	@exec scripts/test-proxies.sh $(OPTIONS)

test-browser: need-node need-nats-for-tests $(PACKAGES) build ## run the tests in Chromium (CHROMIUM_BIN, or one on the PATH)
	@exec scripts/test-browser.sh $(OPTIONS)

test-examples: need-node need-nats-for-tests $(PACKAGES) build packages ## start each of examples/, and use its page in Chromium
	@HEADWAY_EXAMPLES=1 PROJECT=examples exec scripts/test-browser.sh $(OPTIONS)

test-packages: need-node need-nats-for-tests $(PACKAGES) build packages ## install what `make packages` makes into empty projects, and run the README's examples
	@$(call server); export CHROMIUM_BIN="$${CHROMIUM_BIN:-$$(command -v chromium)}"; \
	[ -n "$$CHROMIUM_BIN" ] || echo 'packages: there is no Chromium on the PATH, so the page without a bundler is skipped'; \
	HEADWAY_PACKAGES=1 exec $(VITEST) --project packages

test-api: need-node need-nats-for-tests $(PACKAGES) build ## hold what is answered over HTTP against its OpenAPI document (needs Python)
	@exec scripts/test-api.sh $(OPTIONS)

test-stalls: need-node need-nats-for-tests $(PACKAGES) build ## run the tests with servers while their processes stand still now and then
	@$(call server); HEADWAY_STALLS=$(STALLS) exec $(VITEST) --project integration --project chaos

soak: need-node need-nats-for-tests $(PACKAGES) build fuzz ## run many more random programs, tokens and inputs (RUNS=200000)
	@$(call server); HEADWAY_PROPERTY_RUNS=$(RUNS); export HEADWAY_PROPERTY_RUNS; \
	$(VITEST) --testTimeout=3600000 --project unit test/unit/cursor.property.test.ts test/unit/auth-mutation.test.ts \
	  test/unit/bad-events.property.test.ts && \
	exec $(VITEST) --testTimeout=3600000 --project integration test/integration/fuzz.test.ts test/security/fuzz.test.ts

# What is found in .tools/fuzz and reaches more than test/fuzz/corpus belongs there.
fuzz: need-node $(PACKAGES) ## fuzz handshakes, frames, queries and events, guided by coverage (SECONDS=900)
	@rm -rf .tools/fuzz/build && node_modules/.bin/tsc -p test/fuzz/tsconfig.json
	@exec node .tools/fuzz/build/test/fuzz/main.js $(SECONDS) test/fuzz/corpus .tools/fuzz

CENTRIFUGO_VERSION := 6.9.1
BENCH = CENTRIFUGO_BIN=$$(scripts/centrifugo.sh $(CENTRIFUGO_VERSION)); CENTRIFUGO_VERSION=$(CENTRIFUGO_VERSION); \
	export CENTRIFUGO_BIN CENTRIFUGO_VERSION; rm -rf .tools/bench/build && node_modules/.bin/tsc -p bench/tsconfig.json && \
	exec node .tools/bench/build/bench/main.js

bench: need-node need-nats-for-tests $(PACKAGES) build ## measure beside the limit of the machine and the peers, 10 min
	@$(call server); $(BENCH) $(OPTIONS)

bench-quick: need-node need-nats-for-tests $(PACKAGES) build ## the same with fewer clients and turns, 2 min
	@$(call server); $(BENCH) --quick $(OPTIONS)

bench-guard: need-node need-nats-for-tests $(PACKAGES) build ## measure quickly, and fail when a ratio is much worse than the one kept
	@$(call server); $(BENCH) --quick --guard $(OPTIONS)

bench-more: need-node need-nats-for-tests $(PACKAGES) build ## measure what has no peer: conflation, the dashboard, jobs in memory
	@$(call server); HEADWAY_BENCH=1 exec $(VITEST) --project bench

setup: need-node need-nats $(PACKAGES) ## install what is missing: npm packages, a nats-server (unless NATS_URL is set)

# A build that is up to date is left alone, so that `make test` does not take the files away from a demo that runs.
# "Up to date" is: nothing in the tree changed (by ctime, which copies and checkouts cannot set back) since it began.
build: $(PACKAGES) ## compile to dist/
	@if [ ! -e $(BUILT) ] || [ -n "$$(find . -mindepth 1 \( -path ./node_modules -o -path ./.git -o -path ./.tools -o -path ./examples \
	  -o -path ./dist -o -path ./coverage \) -prune -o -cnewer $(BUILT) -print | head -n 1)" ]; then \
	  echo '== build'; touch $(PACKAGES).building && npm run --silent build && mv $(PACKAGES).building $(BUILT); \
	fi

packages: need-node $(PACKAGES) ## write what authors of workers install to dist/packages/: npm tarballs and a wheel
	@echo '== packages'
	@node scripts/packages.mjs

check: $(PACKAGES) ## check types and style
	@echo '== types and style'
	@npm run --silent check -- $$([ -t 1 ] || echo --colors=off) # Biome colours even what no terminal reads

audit: need-node ## look up known vulnerabilities of the packages (skipped where nothing can be asked)
	@exec node scripts/audit.mjs

format: $(PACKAGES) ## format the sources and fix what can be fixed
	@npm run --silent format

clean: ## remove what was built
	rm -rf dist coverage

distclean: clean ## remove also the packages and servers that were installed here
	rm -rf node_modules .tools examples/*/node_modules examples/*/.venv examples/fastapi/page/headway

# --- the parts of setup ---

need-node:
	@scripts/check-node.sh

need-nats:
	@if [ -z "$${NATS_URL:-}" ]; then scripts/nats-server.sh >/dev/null; fi

need-nats-for-tests:
	@$(call server)

# The packages' install scripts are not run: none that is needed has one, and so no compiler is needed.
$(PACKAGES): package-lock.json | need-node
	@echo '== downloading the npm packages of package-lock.json into node_modules (npm ci)'
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@node scripts/verify-uws.mjs
	@touch $@
