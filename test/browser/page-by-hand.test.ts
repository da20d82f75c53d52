/** The code of docs/guides/page-by-hand.md, as it stands there, in Chromium. */
import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { JobsPage, launchChromium, PageServer } from '../harness/browser.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { startTcpProxy } from '../harness/proxy.js';
import { publish } from '../harness/publish.js';
import { connectedNats, sharedNats } from '../harness/shared-nats.js';
import { inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

/** The block of code in a document that begins so. */
const block = (path: string, beginning: string): string => {
  const text = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
  const found = text.split(/^```.*\n/m).find((part) => part.startsWith(beginning));
  if (found === undefined) throw new Error(`${path} has no block that begins with ${beginning}`);
  return found;
};

const shared = sharedNats();
let browser: Browser;
let server: PageServer;
beforeAll(async () => {
  browser = await launchChromium();
  server = await PageServer.start();
});
afterAll(async () => {
  await browser?.close();
  await server?.[Symbol.asyncDispose]();
});

const startEdge = (natsUrl: string, env: Record<string, string> = {}) =>
  startEdgeProcess({
    natsUrl,
    env: { HEADWAY_HEARTBEAT_MS: '200', HEADWAY_ALLOWED_ORIGINS: server.origin, ...env },
  });

test('G1 order: two jobs on one page each keep their own cursor, over cuts and links that die without a word', async () => {
  await using edge = await startEdge(shared.nats.url);
  await using link = await startTcpProxy(edge.port);
  await using page = await JobsPage.open(browser, server.origin);
  const ids = [jobId(), jobId()];
  const owed: Record<string, number[]> = {};
  const report = async (id: string): Promise<void> => {
    owed[id] = [...(owed[id] ?? []), await publish(shared.nc, id)];
  };
  const isComplete = (shown: Record<string, number[]>) =>
    ids.every((id) => shown[id]?.at(-1) === owed[id]?.at(-1));
  for (const id of ids) await report(id);
  for (const id of ids) await page.follow(`ws://${link.host}`, id);
  await page.until(isComplete, 'the first states');
  for (const how of ['cut', 'stall', 'half', 'cut', 'stall'] as const) {
    const before = link.accepted;
    if (how === 'cut') link.cut();
    // Half a link: what the page sends arrives, and nothing comes back.
    else if (how === 'half') link.stall('down');
    else link.stall('up', 'down');
    // Not the same number for both, so that one's cursor is of no use to the other.
    await report(ids[0] as string);
    for (const id of ids) await report(id);
    if (how !== 'cut') {
      // Of one address Chromium opens one WebSocket at a time, so only one of the two can try while nothing comes back.
      await waitFor(() => link.accepted > before, { what: `another try after ${how}`, timeoutMs: 20_000 });
      link.flow('up', 'down');
    }
    for (const id of ids) await report(id);
    await page.until(isComplete, `everything after ${how}`);
  }
  expect(await page.shown()).toEqual(owed);
  await page.stop();
  expect(page.errors).toEqual([]);
});

test('all jobs: a purged job is taken down, and a reset leaves no ghosts', async () => {
  await using own = await connectedNats();
  await using edge = await startEdge(own.nats.url);
  await using page = await JobsPage.open(browser, server.origin);
  await page.follow(edge.ws, null);
  for (const id of ['a', 'b', 'ghost']) await publish(own.nc, id);
  await page.until((shown) => Object.keys(shown).length === 3, 'three jobs');
  await own.jsm.streams.purge('PROGRESS', { filter: 'progress.a' });
  await page.until((shown) => !('a' in shown), 'the purged job to be taken down');
  const { resets } = await page.counts();
  await own.jsm.streams.delete('PROGRESS');
  await waitFor(async () => (await page.counts()).resets > resets, { what: 'a reset', timeoutMs: 20_000 });
  // The edge makes the stream anew.
  const seq = await waitFor(() => publish(own.nc, 'b').catch(() => 0), { what: 'the new stream' });
  await page.until((shown) => 'b' in shown, 'a job of the new stream');
  expect(await page.shown()).toEqual({ b: [seq] });
  await page.stop();
});

test('a token server that fails once only delays; the token is renewed; and stop stops', async () => {
  await using edge = await startEdge(shared.nats.url, JWT_ENV);
  await using page = await JobsPage.open(browser, server.origin);
  const id = jobId();
  await publish(shared.nc, id);
  let asked = 0;
  // The second token is for a few seconds: the edge warns at half of them, and the page sends the third.
  server.token = async () => {
    asked++;
    return asked === 1 ? null : await mint({ jobs: [id], exp: inSeconds(asked === 2 ? 4 : 3_600) });
  };
  await page.follow(edge.ws, id, true);
  await page.until((shown) => id in shown, 'the job');
  expect(asked).toBe(2);
  await waitFor(() => asked === 3, { what: 'the renewal' });
  // It is the same connection: nothing was shown twice.
  const next = await publish(shared.nc, id);
  await page.until((shown) => shown[id]?.at(-1) === next, 'the next update');
  const shown = (await page.shown())[id];
  expect(shown).toHaveLength(2);
  await page.stop();
  await waitFor(async () => (await metric(edge.http, 'headway_connections')) === 0, {
    what: 'the connection to be gone',
  });
  await publish(shared.nc, id);
  expect((await page.shown())[id]).toEqual(shown);
  expect([asked, (await page.counts()).tokens]).toEqual([3, 3]);
});

test('G7 nobody unauthorised: a page of an origin that is not listed is shown nothing, and the log names it', async () => {
  await using edge = await startEdge(shared.nats.url, { HEADWAY_ALLOWED_ORIGINS: 'https://app.example.com' });
  await using page = await JobsPage.open(browser, server.origin);
  const id = jobId();
  await publish(shared.nc, id);
  await page.follow(edge.ws, id);
  await waitFor(() => edge.logged('a connection was refused').length > 1, { what: 'two refusals' });
  expect(edge.logged('a connection was refused')[0]).toMatchObject({
    code: 'forbidden_origin',
    origin: server.origin,
    setting: 'HEADWAY_ALLOWED_ORIGINS',
  });
  expect(await page.shown()).toEqual({});
  await page.stop();
});

test('the list of all jobs is drawn from the guide: shown, changed, as text, and taken down when it is purged', async () => {
  await using own = await connectedNats();
  await using edge = await startEdge(own.nats.url);
  const code = block('docs/guides/page-by-hand.md', 'const list =').replace('ws://localhost:8080', edge.ws);
  expect(code).toContain(edge.ws);
  const page = await browser.newPage();
  try {
    await page.goto(server.origin);
    await page.evaluate(`document.body.innerHTML = '<ul id="jobs"></ul>'`);
    await page.evaluate(code);
    const lines = async () => await page.locator('#jobs li').allTextContents();
    await publish(own.nc, 'a', { progress: 10, message: '<b>bold</b>' });
    await publish(own.nc, 'b', { progress: 20, stall_after_seconds: 0.2 });
    await waitFor(async () => (await lines()).some((line) => line.includes('nothing for')), {
      what: 'the stall',
    });
    expect(await lines()).toEqual([
      'a: processing 10 % <b>bold</b>',
      expect.stringMatching(/^b: processing 20 % {2}\(nothing for \d+ s\)$/),
    ]);
    await publish(own.nc, 'b', { status: 'completed', progress: 100 });
    await own.jsm.streams.purge('PROGRESS', { filter: 'progress.a' });
    await waitFor(async () => (await lines()).length === 1, { what: 'the purged job to be taken down' });
    expect(await lines()).toEqual(['b: completed 100 % ']);
  } finally {
    await page.close();
  }
});

test('the first lines of the guide work in the console of the edge’s own address', async () => {
  await using edge = await startEdge(shared.nats.url, { HEADWAY_ALLOWED_ORIGINS: '' });
  const id = jobId();
  await publish(shared.nc, id, { status: 'completed', progress: 100 });
  const address = 'ws://localhost:8080/ws/upload-progress/job-1';
  const code = block('docs/guides/page-by-hand.md', 'const socket =').replace(
    address,
    `${edge.ws}/ws/upload-progress/${id}`,
  );
  expect(code).toContain(edge.ws);
  const page = await browser.newPage();
  try {
    const said: string[] = [];
    // Chromium may ask for an icon in between and complain that there is none: only what the code says counts.
    page.on('console', (message) => void (message.type() === 'log' && said.push(message.text())));
    await page.goto(`${edge.http}/livez`);
    await page.evaluate(code);
    await waitFor(() => said.length > 0, { what: 'the last state' });
    expect(said.map((line) => line.trim())).toEqual(['completed 100']);
  } finally {
    await page.close();
  }
});
