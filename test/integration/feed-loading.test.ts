/** The last states are loaded in a time that depends on how much there is and how fast the link is, never on luck. */
import type { NatsConnection } from 'nats';
import { expect, test } from 'vitest';
import { startLocalEdge } from '../harness/edge-in-process.js';
import { metricsText } from '../harness/metrics.js';
import { startTcpProxy, type TcpProxy } from '../harness/proxy.js';
import { event, publishAll } from '../harness/publish.js';
import { type ConnectedNats, connectedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const KIB = 1024;

/** `jobs` jobs with `each` events; the last one has `bytes`. */
async function publishStates(nc: NatsConnection, jobs: number, bytes: number, each = 1): Promise<void> {
  const text = 'x'.repeat(bytes);
  for (let round = 1; round <= each; round++) {
    const padding = round === each ? text : 'x'.repeat(Math.min(bytes, KIB));
    const events = Array.from({ length: jobs }, (_, at) => event(`job-${at}`, { padding }));
    await publishAll(nc, events, Math.max(20, Math.floor((8 * KIB * KIB) / bytes)));
  }
}

interface Linked extends ConnectedNats {
  readonly monitor: TcpProxy;
}

async function linked(): Promise<Linked & AsyncDisposable> {
  const world = await connectedNats({ stream: {} });
  const monitor = await startTcpProxy(world.nats.port);
  return {
    ...world,
    monitor,
    [Symbol.asyncDispose]: async () => {
      await monitor[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

/** Starts an edge over the link; resolves when it is ready. @returns how many jobs it has, and what came over the link */
async function load({ monitor }: Linked, timeoutMs: number, env: Record<string, string> = {}) {
  const before = monitor.passed('down');
  const startedAt = performance.now();
  await using edge = await startLocalEdge(`nats://127.0.0.1:${monitor.port}`, env);
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready', timeoutMs });
  const ms = Math.round(performance.now() - startedAt);
  const metrics = await metricsText(edge.http);
  return {
    jobs: Number(/^headway_jobs (\d+)$/m.exec(metrics)?.[1]),
    mib: (monitor.passed('down') - before) / KIB / KIB,
    ms,
    metrics,
  };
}

function measured(what: string, { mib, ms }: { mib: number; ms: number }): void {
  process.stdout.write(`    measured: ${what}: ${ms} ms, ${mib.toFixed(1)} MiB\n`);
}

test('G5 stale cursors, G9 memory: 1,500 jobs with states of 60 KiB are loaded, and NATS sends them once', async () => {
  await using world = await linked();
  await publishStates(world.nc, 1_500, 60 * KIB);
  const loaded = await load(world, 40_000);
  measured('1,500 states of 60 KiB', loaded);
  expect(loaded.jobs).toBe(1_500);
  expect(loaded.mib).toBeLessThan(1.2 * ((1_500 * 60) / KIB));
  expect(loaded.metrics).not.toMatch(/^headway_feed_lost_total/m);
});

test('G5 stale cursors: over a slow link the states are loaded at its pace, by one consumer', async () => {
  await using world = await linked();
  await publishStates(world.nc, 2_500, 8 * KIB);
  world.monitor.slow(4 * KIB * KIB, 'down');
  const loaded = await load(world, 40_000);
  measured('2,500 states of 8 KiB at 4 MiB/s', loaded);
  expect(loaded.jobs).toBe(2_500);
  expect(loaded.mib).toBeLessThan(1.2 * ((2_500 * 8) / KIB));
  expect(loaded.metrics).not.toMatch(/^headway_feed_lost_total/m);
});

test.each<[what: string, jobs: number, each: number]>([
  ['one event each', 3_000, 1],
  ['a history that is longer than the states', 600, 30],
])(
  'G5 stale cursors: a link that is cut after each 2 MiB does not keep the states from being loaded: %s',
  async (_what, jobs, each) => {
    await using world = await linked();
    const { nc, monitor } = world;
    const bytes = (12 * KIB * KIB) / jobs;
    await publishStates(nc, jobs, bytes, each);
    let cutAt = 2 * KIB * KIB;
    const cutting = setInterval(() => {
      if (monitor.passed('down') < cutAt) return;
      monitor.cut('reset');
      cutAt = monitor.passed('down') + 2 * KIB * KIB;
    }, 1);
    monitor.slow(16 * KIB * KIB, 'down');
    try {
      const loaded = await load(world, 40_000, { HEADWAY_READ_BUFFER_BYTES: String(512 * KIB) });
      measured(`12 MiB of states, cut after each 2 MiB, ${monitor.accepted} connections`, loaded);
      expect(loaded.jobs).toBe(jobs);
      expect(monitor.accepted).toBeGreaterThan(4);
      expect(monitor.accepted).toBeLessThan(25);
      expect(loaded.mib).toBeLessThan(40);
    } finally {
      clearInterval(cutting);
    }
  },
);
