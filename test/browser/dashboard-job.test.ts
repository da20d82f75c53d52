/** The dashboard's page of one job, in Chromium: its timeline, its events, and its replay. */
import type { NatsConnection } from 'nats';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats } from '../harness/publish.js';
import { DashboardTab, PHONE, publishAll } from './dashboard-fixture.js';

let nats: NatsServer;
let nc: NatsConnection & AsyncDisposable;
let edge: EdgeProcess;
let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
  nats = await startNats();
  nc = await connectNats(nats.url);
  edge = await startEdgeProcess({ natsUrl: nats.url });
});
afterAll(async () => {
  await browser?.close();
  await edge?.[Symbol.asyncDispose]();
  await nc?.[Symbol.asyncDispose]();
  await nats?.[Symbol.asyncDispose]();
});

type Fields = Record<string, unknown>;

/** A job that failed, was tried again, was silent for a while, and came to its end. In all 121 events in 20 minutes. */
function story(id: string, endMs: number): [id: string, fields: Fields][] {
  const events: [string, Fields][] = [];
  const beginMs = endMs - 20 * 60_000;
  let ms = beginMs;
  const add = (afterMs: number, fields: Fields): void => {
    ms += afterMs;
    const common = { job_type: 'pdf.words', stall_after_seconds: 60, timeout_seconds: 600 };
    events.push([id, { ...common, timestamp: new Date(ms).toISOString(), ...fields }]);
  };
  const steps = ['Fetching', 'Reading pages', 'Counting words'];
  const run = (attempt: number, most: number, everyMs: number): void => {
    for (let page = 0; page < most; page++) {
      const step = steps[Math.min(2, Math.floor(page / 25))];
      const progress = Math.round((page / 80) * 1000) / 10;
      const silence = attempt === 2 && page === 40 ? 180_000 : 0;
      add(everyMs + silence, {
        attempt,
        progress,
        step: { name: step, index: 1 + steps.indexOf(step ?? ''), total: 3 },
        message: `Page ${page + 1} of 80`,
      });
    }
  };
  run(1, 40, 5_000);
  add(1_000, {
    attempt: 1,
    progress: 50,
    status: 'error',
    error: { code: 'io', message: 'The disk went away', retryable: true },
  });
  run(2, 79, 8_000);
  add(5_000, {
    attempt: 2,
    status: 'completed',
    progress: 100,
    message: 'Done',
    result: { words: 31_337, pages: 80, languages: ['en', 'de'] },
  });
  return events;
}

test('a finished job: its timeline, every event, its result, and that nothing is missing', async () => {
  await publishAll(nc, story('pdf-story', Date.now()));
  await using tab = await DashboardTab.open(browser, `${edge.http}/#/jobs/pdf-story`);
  await tab.page.getByText('complete: every event since the first is here').waitFor();
  expect(await tab.page.getByRole('grid', { name: '121 events' }).count()).toBe(1);
  await tab.pictures('job');
  expect(await tab.axe()).toEqual([]);
  await tab.page.setViewportSize(PHONE);
  expect(await tab.isTooWide()).toBe(false);
});
