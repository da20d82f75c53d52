/** The dashboard's connection, in Chromium: signing in, and what is seen while the edge is away. */
import { expect, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { startTcpProxy } from '../harness/proxy.js';
import { inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';
import { busyJobs, useDashboard } from './dashboard-fixture.js';

const site = useDashboard();

test('a connection that is lost and comes back: both are seen, and what was missed', async () => {
  await using edge = await startEdgeProcess({ natsUrl: site().natsUrl });
  await using proxy = await startTcpProxy(edge.port);
  await site().publish(...busyJobs(40, Date.now()));
  await using tab = await site().open(`http://${proxy.host}`);
  // Chance decides how long a page waits; here it decides for a moment.
  await tab.page.addInitScript('Math.random = () => 0.02');
  await tab.page.reload();
  const shown = tab.page.locator('.shown');
  await tab.page.getByText('40 jobs', { exact: true }).waitFor();
  const pill = tab.page.locator('.pill');
  await tab.page.getByText('Live', { exact: true }).waitFor();
  proxy.refuse();
  proxy.cut();
  await tab.page.locator('.pill-waiting').waitFor();
  await tab.page.getByText(/^No connection for/).waitFor();
  await tab.pictures('disconnected');
  const moving = 'document.getAnimations().length';
  expect(await tab.page.evaluate(moving)).toBeGreaterThan(0);
  await tab.page.emulateMedia({ reducedMotion: 'reduce' });
  expect(await tab.page.evaluate(moving)).toBe(0);
  expect(await tab.axe()).toEqual([]);
  await site().publish(
    ['while-away-1', { progress: 5 }],
    ['while-away-1', { progress: 6 }],
    ['while-away-2', { progress: 7 }],
  );
  await proxy.accept();
  await tab.page.locator('.pill-live').waitFor();
  expect(await shown.textContent()).toBe('42 jobs');
  await pill.click();
  const panel = tab.page.getByRole('region', { name: 'Connection' });
  const text = async () => (await panel.textContent()) ?? '';
  await waitFor(async () => /3 events were missed, and have come since/.test(await text()), {
    what: 'what was missed',
  });
  expect(await text()).toContain(proxy.host);
  expect(await text()).toMatch(/Cursor\d+\./);
  expect(await text()).toContain('Reconnections1');
  expect(await text()).toContain('none: this edge asks for none');
  await tab.pictures('connection');
  expect(await tab.axe()).toEqual([]);
  await tab.page.keyboard.press('Escape');
  expect(await panel.count()).toBe(0);
  expect(await pill.evaluate((it) => it === document.activeElement)).toBe(true);
});

test('G7 access: without a token nothing is shown; one is kept for the tab, and asked for anew when it is over', async () => {
  await using edge = await startEdgeProcess({ natsUrl: site().natsUrl, env: JWT_ENV });
  await site().publish(['secret-job', { progress: 5 }]);
  await using tab = await site().open(edge.http);
  const { page } = tab;
  const field = page.getByLabel('Token', { exact: true });
  await field.waitFor();
  expect(await page.content()).not.toContain('secret-job');
  await tab.pictures('sign-in');
  expect(await tab.axe()).toEqual([]);
  await field.fill('no token at all');
  await page.keyboard.press('Enter');
  await page.getByText(/^This is no token/).waitFor();
  await field.fill(await mint({ jobs: ['*'], exp: inSeconds(-60) }));
  await page.keyboard.press('Enter');
  await page.getByText(/^This token expired/).waitFor();

  await field.fill(`Bearer ${await mint({ sub: 'ops', jobs: ['*'], exp: inSeconds(90) })}`);
  await page.keyboard.press('Enter');
  await page.getByText('secret-job').waitFor();
  await page.getByText(/^token: 1 min/).waitFor();
  await page.reload();
  await page.getByText('secret-job').waitFor();
  // Another tab has to sign in by itself, and no address and no store of the browser has it.
  await using other = await site().open(edge.http);
  await other.page.getByLabel('Token', { exact: true }).waitFor();
  expect(tab.asked.filter((url) => /eyJ/.test(url))).toEqual([]);
  expect(await page.evaluate('localStorage.length + document.cookie.length')).toBe(0);

  await page.locator('.pill').click();
  expect(await page.getByRole('region', { name: 'Connection' }).textContent()).toMatch(
    /of ops, expires in 1 min/,
  );
  await page.getByRole('button', { name: 'Sign out' }).click();
  await field.waitFor();
  expect(await page.content()).not.toContain('secret-job');
  expect(await page.evaluate('sessionStorage.length')).toBe(0);
});

test('G7 access: a token that expires, or that the edge does not take, leads back to the sign-in', async () => {
  await using edge = await startEdgeProcess({ natsUrl: site().natsUrl, env: JWT_ENV });
  await site().publish(['renewed-job', { progress: 5 }]);
  await using tab = await site().open(`${edge.http}/#/?q=renewed`);
  const { page } = tab;
  const field = page.getByLabel('Token', { exact: true });
  const signIn = async (token: string) => {
    await field.fill(token);
    await page.keyboard.press('Enter');
  };
  await signIn(await mint({ jobs: ['*'], exp: inSeconds(4) }));
  await page.getByText('renewed-job').waitFor();
  await page.getByText(/^Your token expired at/).waitFor();
  expect(await page.content()).not.toContain('renewed-job');
  await signIn(await mint({ jobs: ['*'] }));
  await page.getByText('renewed-job').waitFor();
  expect(page.url()).toMatch(/#\/\?q=renewed$/);

  // Chance decides how long a page waits; here it decides for a moment.
  await page.addInitScript('Math.random = () => 0.02');
  await page.evaluate('sessionStorage.clear()');
  await page.reload();
  await signIn(await mint({ jobs: ['*'] }, 'another secret of at least 32 bytes, which no edge has'));
  await page.getByText('The edge does not take this token. What it says:').waitFor();
  await page.getByText(/signature/).waitFor();
});

test('G7 access: a token for one job shows that one, and says why there is no list', async () => {
  await using edge = await startEdgeProcess({ natsUrl: site().natsUrl, env: JWT_ENV });
  await site().publish(['mine', { progress: 41, message: 'Here it is' }], ['other', { progress: 5 }]);
  await using tab = await site().open(edge.http);
  const { page } = tab;
  await page.getByLabel('Token', { exact: true }).fill(await mint({ jobs: ['mine'] }));
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'The list cannot be shown' }).waitFor();
  expect(await tab.axe()).toEqual([]);
  await page.getByLabel('Job', { exact: true }).fill('mine');
  await page.keyboard.press('Enter');
  await page.getByText('Here it is').first().waitFor();
  await page.locator('.pill-live').waitFor();
  await page.goto(`${edge.http}/#/jobs/other`);
  await page
    .getByText(/does not open|not open|may not/)
    .first()
    .waitFor();
  expect(await page.content()).not.toContain('"progress": 5');
});
