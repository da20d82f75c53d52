/** The code of docs/guides/page.md and the page of the README, as they stand there, in Chromium. */
import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { serveBundled } from '../harness/bundled-page.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { freePorts } from '../harness/free-ports.js';
import { jobId } from '../harness/ids.js';
import { startTcpProxy, type TcpProxy } from '../harness/proxy.js';
import { publish } from '../harness/publish.js';
import { connectedNats, sharedNats } from '../harness/shared-nats.js';
import { inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

interface Block {
  readonly language: string;
  readonly code: string;
}

const blocksOf = (path: string): Block[] => {
  const text = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = '', code = '']) => ({
    language,
    code,
  }));
};
const GUIDE = blocksOf('docs/guides/page.md');
const taken = new Set<Block>();
/** The one block of the guide that has this in it. */
function block(language: 'html' | 'js' | 'tsx', part: string): string {
  const found = GUIDE.filter((one) => one.language === language && one.code.includes(part));
  if (found.length !== 1 || found[0] === undefined)
    throw new Error(`the guide has ${found.length} blocks of ${language} with ${part}, not one`);
  taken.add(found[0]);
  return found[0].code;
}
const BAR = block('js', "document.querySelector('progress')");
const BAR_HTML = block('html', '<progress');
const NOTE = block('js', "document.querySelector('output')");
const LOG = block('js', "document.querySelector('pre')");
const TOKENS = block('js', 'getToken');
const LIST = block('js', 'client.jobs(');
const REACT = block('tsx', 'HeadwayProvider');
const ELEMENT = block('js', "import '@headway/client/element'");
const ELEMENT_HTML = block('html', '<headway-progress');
const ELEMENT_CLIENT = block('js', 'HeadwayProgress.client');
const RELOAD = block('js', 'sessionStorage');
const EVENT_SOURCE = block('js', 'new EventSource');
/** The lines of the first block that make the client. */
const CLIENT = `import { createProgressClient } from '@headway/client';

const client = createProgressClient({ url: 'http://localhost:8080' });
`;

const shared = sharedNats();
let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
});

interface Site extends AsyncDisposable {
  readonly tab: Page;
  readonly ids: readonly string[];
  /** Between the page and the edge. */
  readonly link: TcpProxy;
  /** What the page wrote to its console. */
  readonly said: readonly string[];
  show(): Promise<void>;
}

/** A page of the guide with this program, and an edge that takes it. Its jobs have ids of their own. */
async function page(
  code: string,
  body: string,
  options: { readonly natsUrl?: string; readonly env?: Record<string, string>; readonly type?: 'tsx' } = {},
): Promise<Site> {
  const ids = [jobId(), jobId(), jobId()];
  const opened: AsyncDisposable[] = [];
  const close = async (): Promise<void> => {
    for (const one of opened.toReversed()) await one[Symbol.asyncDispose]();
  };
  try {
    // The page names the edge, and the edge the page.
    const [port = 0] = await freePorts(1);
    const link = await startTcpProxy(port);
    opened.push(link);
    const here = (text: string): string =>
      text
        .replaceAll('http://localhost:8080', `http://${link.host}`)
        .replace(/\bjob-([123])\b/g, (_all, number) => ids[Number(number) - 1] ?? '');
    const site = await serveBundled(`guide.${options.type ?? 'js'}`, here(code));
    opened.push(site);
    site.body = `<main id="root">${here(body)}</main>`;
    const env = { HEADWAY_ALLOWED_ORIGINS: site.origin, ...options.env };
    const natsUrl = options.natsUrl ?? shared.nats.url;
    opened.push(await startEdgeProcess({ natsUrl, port, env }));
    const tab = await browser.newPage();
    const problems: string[] = [];
    const said: string[] = [];
    tab.on('pageerror', (error) => void problems.push(String(error)));
    tab.on('console', (message) => void (message.type() === 'log' && said.push(message.text().trim())));
    opened.push({
      async [Symbol.asyncDispose]() {
        await tab.close();
        expect(problems).toEqual([]);
      },
    });
    const show = async (): Promise<void> => void (await tab.goto(site.origin));
    return { tab, ids, link, said, show, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

const text = async (tab: Page, selector: string): Promise<string> =>
  (await tab.locator(selector).allTextContents()).join('|');
const untilText = (tab: Page, selector: string, expected: string | RegExp): Promise<unknown> =>
  waitFor(
    async () => {
      const shown = await text(tab, selector);
      return typeof expected === 'string' ? shown === expected : expected.test(shown);
    },
    { what: `${selector} to show ${expected}`, timeoutMs: 30_000 },
  );
const untilBar = (tab: Page, percent: number): Promise<unknown> =>
  waitFor(
    async () =>
      (await tab.locator('progress').evaluate((it) => (it as HTMLProgressElement).value)) === percent,
    { what: `the bar at ${percent}`, timeoutMs: 30_000 },
  );

test('G1 order: the bar moves, the note says when it reconnects, and the log has each update once', async () => {
  await using site = await page(BAR + NOTE + LOG, `${BAR_HTML}<output></output><pre></pre>`);
  const { tab, link, ids } = site;
  const [id = ''] = ids;
  await site.show();
  await untilText(tab, 'output', '');
  await publish(shared.nc, id, { progress: 40, message: 'Page 1', stall_after_seconds: 0.5 });
  await untilBar(tab, 40);
  expect(await text(tab, 'span')).toBe('Page 1');
  await untilText(tab, 'output', 'No news for a while');
  link.refuse();
  link.cut();
  await untilText(tab, 'output', 'Reconnecting');
  for (const number of [2, 3]) await publish(shared.nc, id, { progress: 50, message: `Page ${number}` });
  await link.accept();
  await untilText(tab, 'pre', /Page 3/);
  await publish(shared.nc, id, { status: 'completed', progress: 100, message: 'Page 4' });
  await untilText(tab, 'output', 'Finished');
  await untilBar(tab, 100);
  expect(await text(tab, 'pre')).toBe('Page 1\nPage 2\nPage 3\nPage 4\n');
});

test('G3 faults: the log says where the stream was lost', async () => {
  await using own = await connectedNats();
  await using site = await page(BAR + LOG, `${BAR_HTML}<pre></pre>`, { natsUrl: own.nats.url });
  const { tab, ids } = site;
  const [id = ''] = ids;
  await publish(own.nc, id, { progress: 10, message: 'before' });
  await site.show();
  await untilText(tab, 'pre', 'before\n');
  await own.jsm.streams.delete('PROGRESS');
  // The edge makes the stream anew.
  await waitFor(() => publish(own.nc, id, { progress: 20, message: 'behind' }).catch(() => 0), {
    what: 'the new stream',
  });
  await untilText(tab, 'pre', 'before\n(some may be missing: epoch)\nbehind\n');
});

test('G7 nobody unauthorised: a token server that fails is asked again, and who is signed out comes to the sign-in', async () => {
  const watched = `${TOKENS}
    job.subscribe(() => { document.title = job.getSnapshot().error?.name ?? String(job.getSnapshot().state?.progress); });`;
  await using site = await page(watched, '', { env: JWT_ENV });
  const { tab, ids } = site;
  const [id = '', other = ''] = ids;
  await publish(shared.nc, id, { progress: 10 });
  const answers = [
    { status: 503 },
    // The edge warns at half of it.
    { body: `${await mint({ jobs: [id], exp: inSeconds(4) })}\n` },
    { body: await mint({ jobs: [id], exp: inSeconds(3_600) }) },
  ];
  const asked: unknown[] = [];
  await tab.route('**/headway-token', (route) => {
    const answer = answers.shift() ?? { status: 401 };
    asked.push(answer);
    return route.fulfill(answer);
  });
  const sockets: string[] = [];
  tab.on('websocket', (socket) => void sockets.push(socket.url()));
  const untilTitle = (title: string) =>
    waitFor(async () => (await tab.title()) === title, { what: `the title ${title}`, timeoutMs: 30_000 });
  await site.show();
  await untilTitle('10');
  await waitFor(() => asked.length === 3, { what: 'the renewal', timeoutMs: 30_000 });
  await publish(shared.nc, id, { progress: 20 });
  await untilTitle('20');
  expect(sockets).toHaveLength(1);
  answers.push({ body: await mint({ jobs: [other], exp: inSeconds(60) }) });
  await site.show();
  await untilTitle('ForbiddenError');
  await site.show();
  await tab.waitForURL('**/sign-in');
});

test('many jobs are a list over one connection', async () => {
  await using site = await page(LIST, '<ul></ul>');
  const { tab, ids } = site;
  const [a = '', b = '', c = ''] = ids;
  const sockets: string[] = [];
  tab.on('websocket', (socket) => void sockets.push(socket.url()));
  await publish(shared.nc, a, { progress: 10 });
  await publish(shared.nc, b, { status: 'completed', progress: 100 });
  await site.show();
  await untilText(tab, 'li', `${a}: processing, 10 %|${b}: completed, 100 %|${c}: waiting`);
  await publish(shared.nc, c, { progress: 5 });
  await untilText(tab, 'li', `${a}: processing, 10 %|${b}: completed, 100 %|${c}: processing, 5 %`);
  expect(sockets).toHaveLength(1);
});

test('the React example shows bar and percent', async () => {
  const mounted = `import { createRoot } from 'react-dom/client';\n${REACT}
    createRoot(document.getElementById('root') as HTMLElement).render(<App />);`;
  await using site = await page(mounted, '', { type: 'tsx' });
  const [id = ''] = site.ids;
  await publish(shared.nc, id, { progress: 30 });
  await site.show();
  await untilText(site.tab, 'b', '30 %');
  await site.tab.getByRole('progressbar', { name: 'report.pdf' }).waitFor();
});

test.each([
  ['by its address', ELEMENT, ELEMENT_HTML],
  ['by a client of the page', `${CLIENT}${ELEMENT_CLIENT}`, ELEMENT_HTML.replace(/ src="[^"]*"/, '')],
])('the custom element follows %s', async (_how, code, html) => {
  await using site = await page(code, html);
  const [id = ''] = site.ids;
  await publish(shared.nc, id, { status: 'completed', progress: 100 });
  await site.show();
  await site.tab.locator('headway-progress[status=completed]').waitFor();
  await site.tab.getByRole('progressbar', { name: 'report.pdf' }).waitFor();
});

test('a reloaded page shows the last state while the edge is away, and goes on behind it', async () => {
  expect(BAR).toContain(CLIENT);
  await using site = await page(BAR.replace(CLIENT, RELOAD) + LOG, `${BAR_HTML}<pre></pre>`);
  const { tab, link, ids } = site;
  const [id = ''] = ids;
  await publish(shared.nc, id, { progress: 40, message: 'Page 1' });
  await site.show();
  await untilBar(tab, 40);
  link.refuse();
  link.cut();
  await tab.reload();
  await untilBar(tab, 40);
  for (const number of [2, 3]) await publish(shared.nc, id, { progress: 60, message: `Page ${number}` });
  await link.accept();
  await untilBar(tab, 60);
  await untilText(tab, 'pre', /Page 2\nPage 3\n$/);
});

test('where WebSocket is blocked the same bar moves by server-sent events', async () => {
  await using site = await page(`${BAR}\nglobalThis.client = client;`, BAR_HTML);
  const { tab, ids } = site;
  const [id = ''] = ids;
  await tab.routeWebSocket(/./, (socket) => void socket.close());
  await publish(shared.nc, id, { progress: 40 });
  await site.show();
  await untilBar(tab, 40);
  await publish(shared.nc, id, { progress: 50 });
  await untilBar(tab, 50);
  expect(await tab.evaluate('client.transport')).toBe('sse');
});

test('EventSource by hand shows what comes, and closes at the end', async () => {
  await using site = await page(`${EVENT_SOURCE}\nglobalThis.source = source;`, '');
  const { tab, ids, link } = site;
  const [id = ''] = ids;
  await publish(shared.nc, id, { progress: 40, message: 'Page 1' });
  await site.show();
  await waitFor(() => site.said.length === 1, { what: 'the first state' });
  link.cut();
  await publish(shared.nc, id, { status: 'completed', progress: 100 });
  await waitFor(async () => (await tab.evaluate('source.readyState')) === 2, { what: 'the end' });
  expect(site.said).toEqual(['processing 40 Page 1', 'completed 100']);
});

test('the page of the README shows the job to its end', async () => {
  const [code = '', ...more] = blocksOf('README.md').flatMap((one) =>
    one.code.includes("'@headway/client'") ? [one.code] : [],
  );
  expect(more).toEqual([]);
  await using site = await page(code, '');
  const [id = ''] = site.ids;
  await publish(shared.nc, id, { progress: 40, message: 'Page 1' });
  await site.show();
  await untilText(site.tab, 'body', 'processing 40 % Page 1');
  await publish(shared.nc, id, { status: 'completed', progress: 100 });
  await untilText(site.tab, 'body', /^completed 100 %/);
});

test('every block of code in the guide is run by these tests', () => {
  const code = GUIDE.filter(({ language }) => language !== 'sh');
  expect(code.filter((one) => !taken.has(one))).toEqual([]);
  expect(code.length).toBeGreaterThan(10);
});
