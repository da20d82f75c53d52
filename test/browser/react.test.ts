/** @headway/react in Chromium, under a strict Content-Security-Policy. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { createElement } from 'react';
import { renderToString } from 'react-dom/server';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { HeadwayProvider, ProgressBar } from '../../sdk/react/index.js';
import { launchChromium } from '../harness/browser.js';
import { type BundledPage, serveBundled } from '../harness/bundled-page.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';
import type { ReactPage } from './pages/react.js';

declare const page: ReactPage;

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const shared = sharedNats();
let browser: Browser;
let site: BundledPage;
let tab: Page;
let problems: string[];
beforeAll(async () => {
  browser = await launchChromium();
  site = await serveBundled('react.tsx');
});
afterAll(async () => {
  await browser?.close();
  await site?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  site.body = '<main id="root"></main>';
  problems = [];
  tab = await browser.newPage();
  tab.on('pageerror', (error) => void problems.push(String(error)));
  // React's warnings, and what the policy forbids. Chromium may ask for an icon besides.
  tab.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' && !/favicon|Failed to load resource/.test(text)) problems.push(text);
  });
  await tab.goto(site.origin);
});
afterEach(async () => {
  problems.push(...(await tab.evaluate(() => page.problems)));
  await tab.close();
  expect(problems).toEqual([]);
});

const text = async (): Promise<string> => (await tab.locator('#root').innerText()).trim();
const untilText = async (expected: string): Promise<void> => {
  await waitFor(async () => (await text()) === expected, { what: `the page to show ${expected}` });
};

test('strict mode mounts twice and opens one handle, which is closed when it leaves', async () => {
  await tab.evaluate(() => page.show('jobs', ['a'], 'strict'));
  await waitFor(async () => await tab.evaluate(() => page.fake.open.length > 0), { what: 'the job' });
  await tab.evaluate(() => page.fake.update('a', { progress: 7 }));
  await untilText('a 7');
  expect(await tab.evaluate(() => page.fake.handles.length)).toBe(1);
  await tab.evaluate(() => page.unmount());
  await waitFor(async () => await tab.evaluate(() => page.fake.open.length === 0), { what: 'the close' });
});

test('however many updates come, a component renders once a frame, and shows the last', async () => {
  await tab.evaluate(() => page.show('jobs', ['a']));
  await waitFor(async () => await tab.evaluate(() => page.fake.open.length === 1), { what: 'the job' });
  const { perFrame, rendered } = await tab.evaluate(async () => {
    const perFrame: number[] = [];
    const before = page.renders();
    let seen = before;
    let at = performance.now();
    let isOver = false;
    const count = () => {
      // Without a frame for so long the page goes on all the same, four times a second.
      const withoutFrames = Math.floor((performance.now() - at) / 250);
      perFrame.push(page.renders() - seen - withoutFrames);
      at = performance.now();
      seen = page.renders();
      if (!isOver) requestAnimationFrame(count);
    };
    requestAnimationFrame(count);
    for (let n = 1; n <= 200; n++) {
      page.fake.update('a', { progress: n / 2 });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    isOver = true;
    return { perFrame, rendered: page.renders() - before };
  });
  await untilText('a 100');
  expect(Math.max(...perFrame)).toBeLessThanOrEqual(1);
  expect(rendered).toBeGreaterThan(1);
  const burst = await tab.evaluate(async () => {
    const before = page.renders();
    for (let n = 0; n < 200; n++) page.fake.update('a', { progress: n / 4 });
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    return page.renders() - before;
  });
  expect(burst).toBe(1);
});

test('another id closes the old job and shows nothing of it; null follows none', async () => {
  await tab.evaluate(() => page.show('same', ['a']));
  await waitFor(async () => await tab.evaluate(() => page.fake.open.length === 1), { what: 'the job' });
  await tab.evaluate(() => page.fake.update('a', { progress: 1 }));
  await untilText('a 1');
  await tab.evaluate(() => page.show('same', ['b']));
  await untilText('connecting');
  await waitFor(async () => (await tab.evaluate(() => page.fake.open)).join() === 'b', { what: 'b alone' });
  await tab.evaluate(() => page.show('idle'));
  await untilText('idle');
  await waitFor(async () => await tab.evaluate(() => page.fake.open.length === 0), { what: 'none' });
  expect(await tab.evaluate(() => page.fake.handles.length)).toBe(2);
});

test('an inline filter that says the same opens nothing anew', async () => {
  await tab.evaluate(() => page.show('list', ['a', 'b']));
  await waitFor(async () => await tab.evaluate(() => page.fake.lists.length === 1), { what: 'the list' });
  for (const ids of [
    ['a', 'b'],
    ['b', 'a'],
  ]) {
    const before = await tab.evaluate(() => page.renders());
    await tab.evaluate((shown) => page.show('list', shown), ids);
    await waitFor(async () => (await tab.evaluate(() => page.renders())) > before, { what: 'a render' });
  }
  expect(await tab.evaluate(() => page.fake.lists.map(({ filter }) => filter))).toEqual([
    { ids: ['a', 'b'] },
  ]);
});

test('inline options that say the same open nothing anew, others do', async () => {
  for (const count of ['5', '5', '6']) {
    const before = await tab.evaluate(() => page.renders());
    await tab.evaluate((shown) => page.show('newest', [shown]), count);
    await waitFor(async () => (await tab.evaluate(() => page.renders())) > before, { what: 'a render' });
  }
  expect(await tab.evaluate(() => page.fake.lists.map(({ filter, options }) => [filter, options]))).toEqual([
    [{}, { maxFinished: 5, maxRate: 2 }],
    [{}, { maxFinished: 6, maxRate: 2 }],
  ]);
});

test.each(['plain', 'strict'] as const)(
  'what the client refuses at once is the error of the snapshot, and ends no page (%s)',
  async (how) => {
    await tab.evaluate(() => page.connect('http://127.0.0.1:9'));
    await tab.evaluate((shown) => page.show('refused', ['a b', 'NaN'], shown), how);
    await untilText(
      'the job is "a b"; expected 1 to 128 of A-Z a-z 0-9 _ - / maxRate is NaN; expected 0.1 to 50 updates a second',
    );
  },
);

test('suspense shows the fallback until the first state, over one handle, and a reset does not bring it back', async () => {
  await tab.evaluate(() => page.show('suspense', ['a'], 'strict'));
  await untilText('loading');
  await tab.evaluate(() => page.fake.update('a', { progress: 3 }));
  await untilText('a 3');
  await tab.evaluate(() => page.fake.set('a', { state: null }));
  await untilText('open');
  expect(await tab.evaluate(() => page.fake.handles.length)).toBe(1);
  await tab.evaluate(() => page.show('nothing', [], 'strict'));
  await waitFor(async () => await tab.evaluate(() => page.fake.open.length === 0), { what: 'the close' });
});

test('suspense throws to the error boundary what comes instead of the first state', async () => {
  await tab.evaluate(() => page.show('suspense', ['a']));
  await untilText('loading');
  await tab.evaluate(() => page.fake.set('a', { error: new Error('not yours') }));
  await untilText('not yours');
  // React names in the console what a boundary caught.
  problems = problems.filter((problem) => !problem.includes('not yours'));
});

test('suspense throws to the error boundary what the client refuses at once', async () => {
  await tab.evaluate(() => page.connect('http://127.0.0.1:9'));
  await tab.evaluate(() => page.show('suspense', ['a b']));
  await untilText('the job is "a b"; expected 1 to 128 of A-Z a-z 0-9 _ -');
  problems = problems.filter((problem) => !problem.includes('the job is'));
});

test('a page that a server rendered is hydrated without a mismatch, and follows from then on', async () => {
  const bar = createElement(ProgressBar, { job: 'a', label: 'Upload of report.pdf' });
  site.body = `<main id="root">${renderToString(createElement(HeadwayProvider, { client: null }, bar))}</main>`;
  await tab.goto(site.origin);
  expect(await text()).toContain('Waiting for the first update');
  await tab.evaluate(() => page.show('bar', ['a'], 'hydrate'));
  await waitFor(async () => await tab.evaluate(() => page.fake.open.length === 1), { what: 'the job' });
  await tab.evaluate(() => page.fake.update('a', { progress: 42 }));
  await waitFor(async () => (await text()).includes('42 %'), { what: 'the update' });
});

test('a bar has a name, a value and its bounds for assistive technology, and says in words what is the matter', async () => {
  await tab.evaluate(() => page.show('bar', ['a']));
  const bar = tab.getByRole('progressbar', { name: 'Upload of report.pdf' });
  await bar.waitFor();
  const inTree = async () => {
    const session = await tab.context().newCDPSession(tab);
    const { nodes } = await session.send('Accessibility.getFullAXTree');
    await session.detach();
    const node = nodes.find(({ role }) => role?.value === 'progressbar');
    const properties = Object.fromEntries(
      (node?.properties ?? []).map(({ name, value }) => [name, value.value]),
    );
    return { name: node?.name?.value, value: node?.value?.value, ...properties };
  };
  await waitFor(async () => await tab.evaluate(() => page.fake.open.length === 1), { what: 'the job' });
  expect(await inTree()).toMatchObject({ name: 'Upload of report.pdf', busy: 1 });
  await tab.evaluate(() => page.fake.update('a', { progress: 42, message: 'Page 3 of 7' }));
  await waitFor(async () => (await bar.getAttribute('aria-valuenow')) === '42', { what: 'the value' });
  expect(await inTree()).toMatchObject({
    name: 'Upload of report.pdf',
    value: 42,
    valuemin: 0,
    valuemax: 100,
  });
  // Chromium's tool for developers leaves the text out of the tree, of every role.
  expect(await bar.getAttribute('aria-valuetext')).toBe('42 %, Page 3 of 7');
  for (const [changes, words, className] of [
    [
      { stalled: { type: 'stalled', processing_id: 'a', silent_ms: 30_000 } },
      'No news for over 30 s',
      'stalled',
    ],
    [{ connection: 'waiting' }, 'Reconnecting', 'reconnecting'],
  ] as const) {
    await tab.evaluate((set) => page.fake.set('a', set), changes);
    await tab.locator(`.headway-progress.headway-${className}`, { hasText: words }).waitFor();
  }
  await tab.evaluate(() => page.fake.update('a', { status: 'error', error: { message: 'no disk' } }));
  await tab.locator('.headway-failed', { hasText: 'Failed, no disk' }).waitFor();
  await tab.evaluate(AXE);
  const { violations } = (await tab.evaluate('axe.run("#root")')) as { violations: unknown[] };
  expect(violations).toEqual([]);
});

test('a bar of a job that is refused before its first state does not move on', async () => {
  await tab.evaluate(() => page.show('bar', ['a']));
  await waitFor(async () => await tab.evaluate(() => page.fake.open.length === 1), { what: 'the job' });
  const bar = tab.locator('progress');
  expect(await bar.getAttribute('value')).toBeNull();
  await tab.evaluate(() => page.fake.set('a', { error: new Error('not yours'), connection: 'closed' }));
  await tab.locator('.headway-refused', { hasText: 'No longer updated, not yours' }).waitFor();
  expect(await bar.getAttribute('value')).toBe('0');
});

test('two components over a real edge: one socket, in strict mode too, and none a while after they left', async () => {
  await using edge = await startEdgeProcess({
    natsUrl: shared.nats.url,
    env: { HEADWAY_ALLOWED_ORIGINS: site.origin },
  });
  const sockets: string[] = [];
  tab.on('websocket', (socket) => void sockets.push(socket.url()));
  const ids = [jobId(), jobId()];
  for (const id of ids) await publish(shared.nc, id, { progress: 10 });
  await tab.evaluate((url) => page.connect(url), edge.http);
  await tab.evaluate((all) => page.show('jobs', all, 'strict'), ids);
  await untilText(ids.map((id) => `${id} 10`).join('\n\n'));
  for (const id of ids) await publish(shared.nc, id, { progress: 20 });
  await untilText(ids.map((id) => `${id} 20`).join('\n\n'));
  expect(sockets).toHaveLength(1);
  await tab.evaluate(() => page.unmount());
  await waitFor(async () => (await metric(edge.http, 'headway_connections')) === 0, { what: 'the close' });
});

test('the example of the README shows a job', async () => {
  const readme = readFileSync(new URL('../../sdk/react/README.md', import.meta.url), 'utf8');
  const [, example = ''] = /^```tsx\n([\s\S]*?)^```$/m.exec(readme) ?? [];
  const id = jobId();
  const code = example
    .replace("'https://edge.example.com'", "new URL(location.href).searchParams.get('edge')")
    .replace('job-1', id);
  expect(code).toContain(id);
  expect(code).toContain('searchParams');
  const root = `document.getElementById('root')`;
  await using own = await serveBundled(
    'readme.tsx',
    `import { createRoot } from 'react-dom/client';\n${code}\ncreateRoot(${root}).render(<App />);`,
  );
  await using edge = await startEdgeProcess({
    natsUrl: shared.nats.url,
    env: { HEADWAY_ALLOWED_ORIGINS: own.origin },
  });
  await publish(shared.nc, id, { progress: 42, message: 'Page 3' });
  const shown = await browser.newPage();
  try {
    await shown.goto(`${own.origin}/?edge=${edge.http}`);
    await shown.getByText('42 %, Page 3').waitFor();
    expect(await shown.getByRole('progressbar', { name: 'Upload of report.pdf' }).count()).toBe(1);
  } finally {
    await shown.close();
  }
});
