/** The dashboard's list of jobs, in Chromium. */
import type { NatsConnection } from 'nats';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';
import { busyJobs, DashboardTab, PHONE, publishAll } from './dashboard-fixture.js';

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

test('with no job it says so, and how one comes', async () => {
  await using tab = await DashboardTab.open(browser, edge.http);
  await tab.page.getByRole('heading', { name: 'No jobs yet' }).waitFor();
  await tab.page.getByText('Live', { exact: true }).waitFor();
  expect(await tab.axe()).toEqual([]);
  await tab.pictures('empty');
});

test('a few jobs: each with its state, failed and stalled first', async () => {
  await publishAll(nc, busyJobs(60, Date.now()));
  await publishAll(nc, [
    [
      'video-quiet',
      {
        job_type: 'video.transcode',
        progress: 63,
        status: 'processing',
        stall_after_seconds: 0.2,
        step: { name: 'Encoding 1080p' },
      },
    ],
  ]);
  await using tab = await DashboardTab.open(browser, edge.http);
  await tab.page.getByRole('button', { name: '1 Stalled' }).waitFor();
  await tab.pictures('list');
  expect(await tab.axe()).toEqual([]);
});

test('ten thousand jobs', async () => {
  await publishAll(nc, busyJobs(10_000, Date.now()));
  await using tab = await DashboardTab.open(browser, edge.http);
  await waitFor(async () => (await tab.page.locator('.shown').textContent())?.includes('10,001 jobs'), {
    what: '10,001 jobs',
    timeoutMs: 20_000,
  });
  await tab.pictures('many');
  expect(await tab.axe()).toEqual([]);
  await tab.page.setViewportSize(PHONE);
  expect(await tab.isTooWide()).toBe(false);
});
