/** <headway-progress> in Chromium, under a strict Content-Security-Policy. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { type BundledPage, serveBundled } from '../harness/bundled-page.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';
import type { ElementPage } from './pages/element.js';

declare const page: ElementPage;

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const shared = sharedNats();
let browser: Browser;
let site: BundledPage;
let tab: Page;
let problems: string[];
beforeAll(async () => {
  browser = await launchChromium();
  site = await serveBundled('element.ts');
});
afterAll(async () => {
  await browser?.close();
  await site?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  problems = [];
  tab = await browser.newPage();
  tab.on('pageerror', (error) => void problems.push(String(error)));
  tab.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' && !/favicon|Failed to load resource/.test(text)) problems.push(text);
  });
});
afterEach(async () => {
  await tab.close();
  expect(problems).toEqual([]);
});

const open = async (body: string): Promise<void> => {
  site.body = `<main id="root">${body}</main><aside id="other"></aside>`;
  await tab.goto(site.origin);
};
const opened = async (ids: string): Promise<void> => {
  await waitFor(async () => (await tab.evaluate(() => page.fake.open)).join(' ') === ids, {
    what: `the jobs "${ids}"`,
  });
};
const element = () => tab.locator('headway-progress');
const text = async (): Promise<string> => (await element().locator('[part=text]').textContent()) ?? '';
const untilText = async (expected: string): Promise<void> => {
  await waitFor(async () => (await text()) === expected, { what: `the element to show ${expected}` });
};

test('it has a name, a value and its bounds for assistive technology, and its attributes say what is the matter', async () => {
  await open('<headway-progress job="a" label="Upload"></headway-progress>');
  await opened('a');
  await untilText('Waiting for the first update');
  const bar = tab.getByRole('progressbar', { name: 'Upload' });
  expect(await bar.getAttribute('aria-busy')).toBe('true');
  expect(await bar.getAttribute('aria-valuenow')).toBeNull();
  await tab.evaluate(() => page.fake.update('a', { progress: 42, message: '<b>Page</b> 3' }));
  await untilText('42 %, <b>Page</b> 3');
  const attributes = async () =>
    await bar.evaluate((it) =>
      Object.fromEntries([...it.attributes].map(({ name, value }) => [name, value])),
    );
  expect(await attributes()).toMatchObject({
    'aria-valuenow': '42',
    'aria-valuemin': '0',
    'aria-valuemax': '100',
    'aria-valuetext': '42 %, <b>Page</b> 3',
    'aria-busy': 'false',
  });
  const width = await element()
    .locator('[part=bar]')
    .evaluate((it) => it.style.width);
  expect(width).toBe('42%');
  const stalled = { type: 'stalled', processing_id: 'a', silent_ms: 30_000 } as const;
  await tab.evaluate((frame) => page.fake.set('a', { stalled: frame, connection: 'open' }), stalled);
  await untilText('42 %, No news for over 30 s, <b>Page</b> 3');
  await tab.locator('headway-progress[status=processing][stalled][connection=open]').waitFor();
  await tab.evaluate(() => page.fake.set('a', { connection: 'waiting' }));
  await tab.locator('headway-progress[connection=waiting]').waitFor();
  await untilText('42 %, Reconnecting, <b>Page</b> 3');
  await tab.evaluate(() => page.fake.update('a', { status: 'error', error: { message: 'no disk' } }));
  await tab.locator('headway-progress[status=error]:not([stalled])').waitFor();
  await untilText('Failed, no disk');
  expect(await tab.evaluate(() => page.events)).toEqual(['update', 'update']);
  await tab.evaluate(AXE);
  const { violations } = (await tab.evaluate('axe.run("#root")')) as { violations: unknown[] };
  expect(violations).toEqual([]);
});

test('another job closes the old one; moved it goes on; taken out it ends; put back it begins anew', async () => {
  await open('<headway-progress job="a"></headway-progress>');
  await opened('a');
  await tab.evaluate(() => page.fake.update('a', { progress: 1 }));
  await untilText('1 %');
  await element().evaluate((it) => document.getElementById('other')?.append(it));
  await tab.evaluate(() => page.fake.update('a', { progress: 2 }));
  await untilText('2 %');
  expect(await tab.evaluate(() => page.fake.handles.length)).toBe(1);
  await element().evaluate((it) => it.setAttribute('job', 'b'));
  await opened('b');
  await untilText('Waiting for the first update');
  await element().evaluate((it) => it.removeAttribute('job'));
  await opened('');
  await element().evaluate((it) => it.setAttribute('job', 'c'));
  await opened('c');
  await tab.evaluate(() => {
    const it = document.querySelector('headway-progress');
    it?.remove();
    Object.assign(window, { it });
  });
  await opened('');
  await tab.evaluate('root.append(it)');
  await opened('c');
});

test('a client that is given before the element has its class is taken', async () => {
  await open('');
  await tab.evaluate(() => {
    // A document without a window has no classes for its elements, until they are adopted.
    const it = document.implementation.createHTMLDocument().createElement('headway-progress');
    const own = Object.create(page.fake, {
      job: { value: (id: string) => page.fake.job(`own-${id}`) },
    });
    Object.assign(it, { client: own });
    it.setAttribute('job', 'a');
    it.setAttribute('src', 'https://edge.invalid');
    document.getElementById('root')?.append(it);
  });
  await opened('own-a');
});

test('who wants less motion sees none while it is not known how far the job is', async () => {
  await tab.emulateMedia({ reducedMotion: 'no-preference' });
  await open('<headway-progress job="a"></headway-progress>');
  await opened('a');
  const animation = async () =>
    await element()
      .locator('[part=bar]')
      .evaluate((it) => getComputedStyle(it).animationName);
  await waitFor(async () => (await animation()) === 'slide', { what: 'the animation' });
  await tab.emulateMedia({ reducedMotion: 'reduce' });
  expect(await animation()).toBe('none');
});

test('one that is refused before its first state does not move on', async () => {
  await open('<headway-progress job="a"></headway-progress>');
  await opened('a');
  await tab.evaluate(() => page.fake.set('a', { error: new Error('not yours'), connection: 'closed' }));
  await untilText('No longer updated, not yours');
  const bar = element().locator('[part=bar]');
  expect(
    await bar.evaluate((it) => [getComputedStyle(it).animationName, it.getBoundingClientRect().width]),
  ).toEqual(['none', 0]);
});

test('a job or an address that cannot be followed is an error of the element, and what is right afterwards is followed', async () => {
  await open('<headway-progress label="Upload"></headway-progress>');
  await tab.evaluate(() => {
    const errors: unknown[] = [];
    document.querySelector('headway-progress')?.addEventListener('error', (event) => {
      if (event instanceof CustomEvent)
        errors.push([event.detail instanceof TypeError, event.detail.message]);
    });
    Object.assign(window, { errors });
  });
  const set = (name: string, value: string | null) =>
    element().evaluate(
      (it, [key, to]) => (to === null ? it.removeAttribute(key) : it.setAttribute(key, to)),
      [name, value] as const,
    );
  const errors = async () => (await tab.evaluate('errors')) as [boolean, string][];
  const src = 'http://127.0.0.1:1';
  const shown = async (said: RegExp, count: number): Promise<void> => {
    await waitFor(async () => said.test(await text()), { what: `the element to say ${said}` });
    expect(await errors()).toHaveLength(count);
    expect((await errors()).at(-1)).toEqual([true, expect.stringMatching(said)]);
  };
  await set('src', src);
  await set('job', 'no job!');
  await shown(/^the job is "no job!"; expected/, 1);
  // A new label is no reason to say it again.
  await set('label', 'Another');
  await waitFor(async () => (await element().locator('[part=label]').textContent()) === 'Another', {
    what: 'the label',
  });
  await shown(/^the job is "no job!"; expected/, 1);
  await set('job', 'a');
  // There is no edge, which it notices sooner or later.
  await waitFor(async () => /^(?:Waiting for the first update|Reconnecting)$/.test(await text()), {
    what: 'the job to be followed',
  });
  await set('src', 'ftp://edge.example.com');
  await shown(/^url is .*ftp:.*; expected/, 2);
  expect(await element().evaluate((it) => Reflect.get(it, 'snapshot'))).toBeNull();
  // The page's own client is for those without src.
  await set('src', null);
  await opened('a');
  await tab.evaluate(() => page.fake.update('a', { progress: 7 }));
  await untilText('7 %');
  expect(await errors()).toHaveLength(2);
  // The socket that the address without an edge could not open is none of this test's.
  problems = problems.filter((problem) => !problem.includes('WebSocket'));
});

test('all elements with the same src share one socket of a real edge, and it closes when they are gone', async () => {
  await using edge = await startEdgeProcess({
    natsUrl: shared.nats.url,
    env: { HEADWAY_ALLOWED_ORIGINS: site.origin },
  });
  const sockets: string[] = [];
  tab.on('websocket', (socket) => void sockets.push(socket.url()));
  const ids = [jobId(), jobId(), jobId()];
  for (const id of ids) await publish(shared.nc, id, { progress: 10 });
  await open(
    ids.map((id) => `<headway-progress job="${id}" src="${edge.http}"></headway-progress>`).join(''),
  );
  const texts = async () => (await element().locator('[part=text]').allTextContents()).join();
  await waitFor(async () => (await texts()) === '10 %,10 %,10 %', { what: 'the first states' });
  const last = { status: 'completed', progress: 100 } as const;
  for (const id of ids) await publish(shared.nc, id, last);
  await waitFor(async () => (await texts()) === 'Completed,Completed,Completed', { what: 'the ends' });
  expect(sockets).toHaveLength(1);
  expect((await tab.evaluate(() => page.events)).filter((type) => type === 'end')).toHaveLength(3);
  await tab.evaluate(() => document.getElementById('root')?.replaceChildren());
  await waitFor(async () => (await metric(edge.http, 'headway_connections')) === 0, {
    what: 'the close',
    timeoutMs: 20_000,
  });
});

test('max-rate is what is asked of the edge; a word that is no rate asks for nothing', async () => {
  await using edge = await startEdgeProcess({
    natsUrl: shared.nats.url,
    env: { HEADWAY_ALLOWED_ORIGINS: site.origin },
  });
  const asked: (string | null)[] = [];
  tab.on('websocket', (socket) => void asked.push(new URL(socket.url()).searchParams.get('max_rate')));
  const ids = [jobId(), jobId(), jobId()];
  for (const id of ids) await publish(shared.nc, id, { progress: 10 });
  const rates = ['max-rate="2.5"', 'max-rate="2.50"', 'max-rate="fast"'];
  await open(
    ids
      .map((id, i) => `<headway-progress job="${id}" src="${edge.http}" ${rates[i]}></headway-progress>`)
      .join(''),
  );
  const texts = async () => (await element().locator('[part=text]').allTextContents()).join();
  await waitFor(async () => (await texts()) === '10 %,10 %,10 %', { what: 'the first states' });
  for (const id of ids)
    for (let progress = 11; progress <= 40; progress++) await publish(shared.nc, id, { progress });
  await waitFor(async () => (await texts()) === '40 %,40 %,40 %', { what: 'the newest states' });
  expect([new Set(asked), asked.length]).toEqual([new Set(['2.5', null]), 2]);
  expect(await metric(edge.http, 'headway_updates_folded_total')).toBeGreaterThan(20);
});
