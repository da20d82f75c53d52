import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { LivenessMonitor } from '../../internal/liveness/liveness-monitor.js';

const JOBS = 1_000_000;
const TICK_MS = 250;
const MAX_TOLD_PER_TICK = 20_000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function used(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** How long `work` takes, in milliseconds. */
function timed(work: () => void): number {
  const from = performance.now();
  work();
  return performance.now() - from;
}

test('G9 memory: a million watched jobs; a tick costs what is due, and one that falls behind never tells too much at once', () => {
  // The strings that name the jobs are the log's.
  const ids = Array.from(
    { length: JOBS },
    (_, n) => `3f6c2a1e-8a55-4a3e-9d2b-${String(n).padStart(12, '0')}`,
  );
  const told = new Set<string>();
  let toldNow = 0;
  const monitor = new LivenessMonitor(
    { stallAfterMs: null, timeoutMs: null, maxWatched: JOBS },
    {
      stalled: (id) => {
        told.add(id);
        toldNow++;
      },
      timedOut: () => true,
    },
  );
  let now = 0;
  monitor.resume(now);
  const before = used();
  const seenMs = timed(() => {
    for (const [seq, id] of ids.entries()) {
      // Half of them soon, half of them within the day.
      const stallAfterSeconds = seq % 2 === 0 ? 30 : 3_600 + (seq % 86_400);
      monitor.recordEvent({ id, seq: seq + 1, isRunning: true, stallAfterSeconds }, now);
    }
  });
  const bytes = (used() - before) / JOBS;
  expect(monitor.stats).toMatchObject({ watched: JOBS, rejected: 0 });

  const ticks: number[] = [];
  const tick = (): void => {
    now += TICK_MS;
    toldNow = 0;
    ticks.push(timed(() => monitor.tick(now)));
    expect(toldNow).toBeLessThanOrEqual(MAX_TOLD_PER_TICK);
  };
  while (now < 20_000) tick();
  const idle = ticks.splice(0);
  expect(told.size).toBe(0);
  // A tenth of those that are due soon give a sign of life.
  const living = new Set(ids.filter((_, n) => n % 20 === 0));
  const aliveMs = timed(() => {
    for (const id of living) monitor.recordHeartbeat(id, now);
  });
  while (now < 45_000) tick();
  const busy = ticks.splice(0);
  expect(told.size).toBe(JOBS / 2 - living.size);
  expect([...living].some((id) => told.has(id))).toBe(false);
  while (now < 60_000) tick();
  expect(told.size).toBe(JOBS / 2);

  const worst = (times: number[]): string => Math.max(...times).toFixed(1);
  process.stdout.write(
    `a million watched jobs: ${bytes.toFixed(0)} bytes each, seen ${((seenMs / JOBS) * 1e6).toFixed(0)} ns, alive ` +
      `${((aliveMs / living.size) * 1e6).toFixed(0)} ns; the slowest tick ${worst(idle)} ms with nothing due, ` +
      `${worst(busy)} ms with 450,000 due at once\n`,
  );
}, 60_000);
