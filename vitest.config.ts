import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { LongestFirstSequencer } from './test/harness/sequencer.js';

// Measurements take long and assert nothing, so they run only when asked for: HEADWAY_BENCH=1 vitest run --project bench
const bench = {
  test: {
    name: 'bench',
    include: ['bench/**/*.bench.ts'],
    testTimeout: 600_000,
    pool: 'forks' as const,
    fileParallelism: false,
    sequence: { groupOrder: 3 },
  },
};

const isInContainers = process.env.HEADWAY_TEST_NATS === 'container';
/** Each life of a nats-server in a container takes longer to begin and to end, and all that it sends goes through Docker. */
const patience = isInContainers ? 3 : 1;

// These need a Docker daemon and images: scripts/container-test.sh sees to both and says so.
const container = {
  test: {
    name: 'container',
    include: ['test/container/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks' as const,
    fileParallelism: false,
    sequence: { groupOrder: 4 },
  },
};

// These need nginx, HAProxy and Caddy: scripts/test-proxies.sh sees to them and says so.
const proxies = {
  test: {
    name: 'proxies',
    include: ['test/proxies/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    pool: 'forks' as const,
    maxWorkers: 2,
    sequence: { groupOrder: 5 },
  },
};

// These need Chromium: scripts/test-browser.sh sees to it and says so.
const browser = {
  test: {
    name: 'browser',
    include: ['test/browser/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks' as const,
    fileParallelism: false,
    sequence: { groupOrder: 6 },
  },
};

// These start the examples and look at their pages in Chromium: make test-examples.
const examples = {
  test: {
    name: 'examples',
    include: ['test/examples/**/*.test.ts'],
    // The packages of each are installed first.
    testTimeout: 300_000,
    hookTimeout: 60_000,
    pool: 'forks' as const,
    fileParallelism: false,
    sequence: { groupOrder: 9 },
  },
};

// These install what `make packages` has written into empty projects, from npm's registry and PyPI: make test-packages.
const packages = {
  test: {
    name: 'packages',
    include: ['test/packages/**/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    pool: 'forks' as const,
    sequence: { groupOrder: 7 },
  },
};

// This needs Schemathesis: scripts/test-api.sh sees to it and says so.
const api = {
  test: {
    name: 'api',
    include: ['test/api/**/*.test.ts'],
    pool: 'forks' as const,
    sequence: { groupOrder: 8 },
  },
};

// Integration and chaos run side by side, so that there is one end at which workers stand idle, and not two. Most of
// their tests wait most of the time: for a server, for a silence, for a process to end. So one more runs than there are
// cores; with two more, on a machine that was busy besides, the herd missed its deadline.
const together = {
  maxWorkers: isInContainers ? 3 : Math.min(availableParallelism() + 1, 6),
  sequence: { groupOrder: 1 },
};

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirstSequencer },
    projects: [
      ...(process.env.HEADWAY_BENCH ? [bench] : []),
      ...(isInContainers ? [container] : []),
      ...(process.env.HEADWAY_PROXIES ? [proxies] : []),
      ...(process.env.CHROMIUM_BIN ? [browser] : []),
      ...(process.env.HEADWAY_EXAMPLES ? [examples] : []),
      ...(process.env.HEADWAY_PACKAGES ? [packages] : []),
      ...(process.env.HEADWAY_SCHEMATHESIS ? [api] : []),
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 20_000,
          // They are pure: to load the modules anew for each file took more than all the tests.
          isolate: false,
          maxWorkers: '100%',
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/{integration,security}/**/*.test.ts'],
          globalSetup: process.env.HEADWAY_STALLS ? ['test/harness/process-pauser.ts'] : [],
          testTimeout: 60_000 * patience,
          hookTimeout: 60_000 * patience,
          // uWebSockets.js is a native addon: it is only safe in a process of its own.
          pool: 'forks',
          ...together,
        },
      },
      {
        test: {
          name: 'chaos',
          include: ['test/chaos/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          pool: 'forks',
          ...together,
        },
      },
    ],
  },
});
