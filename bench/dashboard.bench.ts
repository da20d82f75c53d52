/**
 * The dashboard with 10,000 jobs and 1,000 updates a second: how long Chromium is kept busy at once, how many frames it
 * paints, and what its heap does. HEADWAY_BENCH=1 CHROMIUM_BIN=... BENCH_SECONDS=3600 for an hour.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { busyJobs, DashboardTab, publishAll } from '../test/browser/dashboard-fixture.js';
import { launchChromium } from '../test/harness/browser.js';
import { startEdgeProcess } from '../test/harness/edge-process.js';
import { startNats } from '../test/harness/nats-server.js';
import { connectNats, event } from '../test/harness/publish.js';

const JOBS = 10_000;
const RATE = 1_000;
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

const percentile = (values: readonly number[], part: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * part)] ?? 0;

test.skipIf(!process.env.CHROMIUM_BIN)(
  `${JOBS} jobs, ${RATE} updates a second, for ${SECONDS} s`,
  { timeout: (SECONDS + 120) * 1_000 },
  async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    await using edge = await startEdgeProcess({ natsUrl: nats.url });
    const browser = await launchChromium();
    try {
      const jobs = busyJobs(JOBS, Date.now());
      await publishAll(nc, jobs);
      await using tab = await DashboardTab.open(browser, `${edge.http}/${process.env.BENCH_VIEW ?? ''}`);
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
      const startedAt = performance.now();
      const report = async (name: string) => {
        const seconds = (performance.now() - startedAt) / 1_000;
        const watched = (await tab.page.evaluate('watched')) as { long: number[]; frames: number[] };
        const now = await figures();
        const share = (key: string) => Math.round((100 * ((now[key] ?? 0) - (before[key] ?? 0))) / seconds);
        const line = {
          seconds: Math.round(seconds),
          published,
          shown: await tab.page.locator('.tile-rate .tile-count').textContent(),
          longTasks: watched.long.length,
          longest: Math.max(0, ...watched.long),
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
      let reportAt = 60;
      for (;;) {
        const seconds = (performance.now() - startedAt) / 1_000;
        if (seconds >= SECONDS) break;
        for (const due = seconds * RATE; published < due; published++) {
          const [id, fields] = jobs[(published * 7) % JOBS] as (typeof jobs)[number];
          const progress = (Number(fields.progress) + published / JOBS) % 100;
          const body = event(id, {
            ...fields,
            status: 'processing',
            progress,
            result: undefined,
            error: undefined,
            timestamp: new Date().toISOString(),
            message: `Update ${published}`,
          });
          nc.publish(`progress.${id}`, JSON.stringify(body));
        }
        await nc.flush();
        if (seconds > reportAt) {
          await report('dashboard');
          reportAt += 60;
        }
        await delay(1_000 / BURSTS);
      }
      await report('dashboard, at the end');
      expect(tab.problems).toEqual([]);
    } finally {
      await browser.close();
    }
  },
);
