/** The dashboard's page of one job, in Chromium: its timeline, its events, and its replay. */
import { expect, test } from 'vitest';
import { waitFor } from '../harness/wait.js';
import { PHONE, story, useDashboard } from './dashboard-fixture.js';

const site = useDashboard();

test('a finished job: its timeline, every event, its result, and that nothing is missing', async () => {
  await site().publish(...story('pdf-story', Date.now()));
  await using tab = await site().open('#/jobs/pdf-story');
  await tab.page.getByText('complete: every event since the first is here').waitFor();
  expect(await tab.page.getByRole('grid', { name: '121 events' }).count()).toBe(1);
  await tab.pictures('job');
  expect(await tab.axe()).toEqual([]);
  await tab.page.setViewportSize(PHONE);
  expect(await tab.isTooWide()).toBe(false);
});

test('a replay: played at any speed, moved by hand, and shared at an event', async () => {
  await site().publish(...story('pdf-replay', Date.now()));
  await using tab = await site().open('#/jobs/pdf-replay');
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

  await using other = await site().open(shared);
  await other.page.getByText('Event 41 of 121').waitFor();
  expect(await other.page.locator('.job-state').textContent()).toMatch(/Retrying.*as it was at/);
  await other.pictures('replay');
  expect(await other.axe()).toEqual([]);
});

test('a live job moves on; a stall and a failure are seen, and its result can be copied', async () => {
  await site().publish([
    'live-job',
    { progress: 10, job_type: 'video.transcode', message: 'One', stall_after_seconds: 0.3 },
  ]);
  await using tab = await site().open('#/jobs/live-job');
  const { page } = tab;
  const state = page.locator('.job-state');
  await page.locator('.job-state.row-stalled').waitFor();
  expect(await state.textContent()).toContain('Stalled');
  await tab.pictures('stalled');
  await site().publish(['live-job', { progress: 20, message: 'Two' }]);
  await page.getByRole('grid', { name: '2 events' }).waitFor();
  await page.getByText('proven: nothing was missed').waitFor();
  expect(await state.textContent()).toMatch(/Running.*20 %.*Two/);
  const details = { disk: '/dev/sda', tries: 3 };
  await site().publish([
    'live-job',
    { progress: 20, status: 'error', error: { code: 'disk_full', message: 'No space left', details } },
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
  await page.goto(`${site().edge.http}/#/jobs/never-heard-of`);
  await page.getByRole('heading', { name: 'Nothing is known of this job' }).waitFor();
  expect(await tab.axe()).toEqual([]);
});

test('keys: Escape leaves first the panel of the connection, and then the job, wherever in it the keyboard is', async () => {
  await site().publish(...story('pdf-keys', Date.now()));
  await using tab = await site().open('#/?q=pdf-keys');
  const { page } = tab;
  const heading = page.getByRole('heading', { name: 'pdf-keys', exact: true });
  const list = page.locator('.job-list');
  const places = [heading, page.locator('.event-list'), page.getByRole('slider', { name: 'Time' })];
  for (const place of places) {
    await list.getByRole('link', { name: 'pdf-keys' }).click();
    await page.getByText('complete: every event').waitFor();
    await page.locator('.pill').click();
    const panel = page.getByRole('region', { name: 'Connection' });
    await panel.waitFor();
    await page.keyboard.press('Escape');
    await panel.waitFor({ state: 'detached' });
    expect(await heading.count()).toBe(1);
    await place.focus();
    await page.keyboard.press('Escape');
    await list.waitFor();
    expect(page.url()).toMatch(/#\/\?q=pdf-keys$/);
  }
});
