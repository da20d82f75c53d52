/**
 * The dashboard with 10,000 jobs and 1,000 updates a second: how long Chromium is kept busy at once, how many frames it
 * paints, and what its heap does. HEADWAY_BENCH=1 CHROMIUM_BIN=... BENCH_SECONDS=3600 for an hour, BENCH_RATE for another rate.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { expect, test } from 'vitest';
import { busyJobs, DashboardSite } from '../test/browser/dashboard-fixture.js';
import { event } from '../test/harness/publish.js';

const JOBS = 10_000;
const RATE = Number(process.env.BENCH_RATE ?? 1_000);
const SECONDS = Number(process.env.BENCH_SECONDS ?? 30);
/** Published so often a second, each time as many as are due by then. */
const BURSTS = 50;

/** In the page: what Chromium calls a long task, and the time between frames. */
const WATCH = `
window.watched = { long: [], frames: [], since: performance.now() };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) watched.long.push(Math.round(entry.duration));
}).observe({ type: 'longtask' });
let last = performance.now();
requestAnimationFrame(function frame(now) {
  watched.frames.push(now - last);
  last = now;
  requestAnimationFrame(frame);
});
`;

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly args?: { readonly name?: string };
  /** Microseconds that went by, and those of them in which the thread ran. */
  readonly dur?: number;
  readonly tdur?: number;
}

/** The tasks of the page's main thread while `run` runs, in milliseconds: as they were, and without waiting for a processor. */
async function traced(
  browser: Browser,
  run: () => Promise<void>,
): Promise<{ wall: number[]; cpu: number[] }> {
  const session = await browser.newBrowserCDPSession();
  const events: TraceEvent[] = [];
  session.on('Tracing.dataCollected', ({ value }) => void events.push(...(value as unknown as TraceEvent[])));
  const isDone = new Promise((resolve) => session.once('Tracing.tracingComplete', resolve));
  await session.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: ['toplevel', 'disabled-by-default-devtools.timeline', '__metadata'] },
  });
  await run();
  await session.send('Tracing.end');
  await isDone;
  await session.detach();
  const mains = new Set(
    events
      .filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const tasks = events.filter(({ name, pid, tid }) => /RunTask$/.test(name) && mains.has(`${pid} ${tid}`));
  return {
    wall: tasks.map(({ dur = 0 }) => dur / 1_000),
    cpu: tasks.map(({ tdur = 0 }) => tdur / 1_000),
  };
}

const longest = (values: readonly number[]): number[] =>
  [...values]
    .sort((a, b) => b - a)
    .slice(0, 5)
    .map(Math.round);

interface Watched {
  readonly long: number[];
  readonly frames: number[];
}

const percentile = (values: readonly number[], part: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * part)] ?? 0;

test.skipIf(!process.env.CHROMIUM_BIN)(
  `${JOBS} jobs, ${RATE} updates a second, for ${SECONDS} s`,
  { timeout: (SECONDS + 120) * 1_000 },
  async () => {
    await using site = await DashboardSite.start();
    const jobs = busyJobs(JOBS, Date.now());
    await site.publish(...jobs);
    await using tab = await site.open(process.env.BENCH_VIEW);
    await tab.page.locator('.shown', { hasText: '10,000 jobs' }).waitFor();
    await delay(3_000);
    const devTools = await tab.page.context().newCDPSession(tab.page);
    await devTools.send('Performance.enable');
    const figures = async () => {
      await devTools.send('HeapProfiler.collectGarbage');
      const { metrics } = await devTools.send('Performance.getMetrics');
      return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
    };
    const before = await figures();
    await tab.page.evaluate(WATCH);
    const watched: Watched = { long: [], frames: [] };
    const startedAt = performance.now();
    const report = async (name: string) => {
      const seconds = (performance.now() - startedAt) / 1_000;
      // Taken out of the page: its heap is measured, too.
      const taken = (await tab.page.evaluate(
        '({ long: watched.long.splice(0), frames: watched.frames.splice(0) })',
      )) as Watched;
      watched.long.push(...taken.long);
      watched.frames.push(...taken.frames);
      const now = await figures();
      const share = (key: string) => Math.round((100 * ((now[key] ?? 0) - (before[key] ?? 0))) / seconds);
      const line = {
        seconds: Math.round(seconds),
        published,
        shown: await tab.page.locator('.tile-rate .tile-count').textContent(),
        longTasks: watched.long.length,
        longest: watched.long.reduce((most, one) => Math.max(most, one), 0),
        framesPerSecond: Math.round(watched.frames.length / seconds),
        frameMs: [0.5, 0.95, 0.99].map((part) => Math.round(percentile(watched.frames, part))),
        busyPercent: share('TaskDuration'),
        scriptPercent: share('ScriptDuration'),
        heapMiB: Math.round(((now.JSHeapUsedSize ?? 0) / 2 ** 20) * 10) / 10,
        nodes: now.Nodes,
        listeners: now.JSEventListeners,
      };
      process.stdout.write(`${name} ${JSON.stringify(line)}\n`);
    };
    let published = 0;
    const publish = async (seconds: number): Promise<void> => {
      const from = performance.now();
      const first = published;
      for (let passed = 0; passed < seconds; passed = (performance.now() - from) / 1_000) {
        for (const due = first + passed * RATE; published < due; published++) {
          const [id, fields] = jobs[(published * 7) % JOBS] as (typeof jobs)[number];
          const progress = (Number(fields.progress) + published / JOBS) % 100;
          const { result: _, error: __, ...rest } = fields;
          const changes = { status: 'processing', progress, timestamp: new Date().toISOString() };
          const body = event(id, { ...rest, ...changes, message: `Update ${published}` });
          site.nc.publish(`progress.${id}`, JSON.stringify(body));
        }
        await site.nc.flush();
        await delay(1_000 / BURSTS);
      }
    };
    const tracedSeconds = Math.min(10, SECONDS);
    const { wall, cpu } = await traced(site.browser, () => publish(tracedSeconds));
    const all = { tasks: wall.length, longestMs: longest(wall), longestCpuMs: longest(cpu) };
    process.stdout.write(`dashboard, ${tracedSeconds} s traced ${JSON.stringify(all)}\n`);
    for (let left = SECONDS - tracedSeconds; left > 0; left -= 60) {
      await publish(Math.min(60, left));
      await report('dashboard');
    }
    await report('dashboard, at the end');
    expect(tab.problems).toEqual([]);
  },
);
