/** The dashboard's page of one job, in Chromium: its timeline, its events, and its replay. */
import type { NatsConnection } from 'nats';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';
import { DashboardTab, PHONE, publishAll, story } from './dashboard-fixture.js';

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

test('a replay: played at any speed, moved by hand, and shared at an event', async () => {
  await publishAll(nc, story('pdf-replay', Date.now()));
  await using tab = await DashboardTab.open(browser, `${edge.http}/#/jobs/pdf-replay`);
  const { page } = tab;
  await page.getByText('complete: every event since the first is here').waitFor();
  const state = page.locator('.job-state');
  expect(await state.textContent()).toContain('Completed');
  const slider = page.getByRole('slider', { name: 'Time' });
  await slider.focus();
  await page.keyboard.press('Home');
  await page.getByText('Event 1 of 121').waitFor();
  expect(await state.textContent()).toMatch(/Running.*as it was at.*0 %.*Fetching · Page 1 of 80/);
  await waitFor(() => /#\/jobs\/pdf-replay\?seq=\d+$/.test(page.url()), { what: 'the event in the address' });
  // The first attempt ends with its 41st event.
  await slider.fill('194496');
  await page.getByText('Event 39 of 121').waitFor();
  for (let count = 0; count < 2; count++) await page.getByRole('button', { name: 'Next event' }).click();
  await page.getByText('Event 41 of 121').waitFor();
  expect(await state.textContent()).toMatch(/Retrying.*The disk went away/);
  const shared = page.url();
  await page.getByRole('button', { name: 'Next event' }).click();
  await page.getByText('Event 42 of 121').waitFor();
  // Silent for three minutes after its promise of one: so it was, then.
  await page.locator('.event-list').focus();
  await page.getByLabel('Speed').fill('1000');
  await page.keyboard.press('Tab');
  await page.getByRole('button', { name: 'Play' }).click();
  await page.getByText('Event 121 of 121').waitFor();
  expect(await state.textContent()).toContain('Completed');
  await slider.fill('600000');
  await page.locator('.job-state.row-stalled').waitFor();
  await page.getByText('Event 81 of 121').waitFor();
  await page.getByRole('button', { name: 'Newest' }).click();
  expect(page.url()).toMatch(/#\/jobs\/pdf-replay$/);

  await using other = await DashboardTab.open(browser, shared);
  await other.page.getByText('Event 41 of 121').waitFor();
  expect(await other.page.locator('.job-state').textContent()).toMatch(/Retrying.*as it was at/);
  await other.pictures('replay');
  expect(await other.axe()).toEqual([]);
});

test('a live job moves on; a stall and a failure are seen, and its result can be copied', async () => {
  await publishAll(nc, [
    ['live-job', { progress: 10, job_type: 'video.transcode', message: 'One', stall_after_seconds: 0.3 }],
  ]);
  await using tab = await DashboardTab.open(browser, `${edge.http}/#/jobs/live-job`);
  const { page } = tab;
  const state = page.locator('.job-state');
  await page.locator('.job-state.row-stalled').waitFor();
  expect(await state.textContent()).toContain('Stalled');
  await tab.pictures('stalled');
  await publishAll(nc, [['live-job', { progress: 20, message: 'Two' }]]);
  await page.getByRole('grid', { name: '2 events' }).waitFor();
  await page.getByText('proven: nothing was missed').waitFor();
  expect(await state.textContent()).toMatch(/Running.*20 %.*Two/);
  const details = { disk: '/dev/sda', tries: 3 };
  await publishAll(nc, [
    [
      'live-job',
      { progress: 20, status: 'error', error: { code: 'disk_full', message: 'No space left', details } },
    ],
  ]);
  await page.locator('.job-state.row-failed').waitFor();
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('region', { name: 'Error' }).getByRole('button', { name: 'Copy' }).click();
  await page.getByText('Copied').waitFor();
  expect(JSON.parse(await page.evaluate('navigator.clipboard.readText()'))).toEqual({
    code: 'disk_full',
    message: 'No space left',
    details,
  });
  await tab.pictures('failed');
  expect(await tab.axe()).toEqual([]);
  await page.goto(`${edge.http}/#/jobs/never-heard-of`);
  await page.getByRole('heading', { name: 'Nothing is known of this job' }).waitFor();
  expect(await tab.axe()).toEqual([]);
});
