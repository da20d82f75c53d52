/** The demo's page in Chromium: documents that are really processed, and parts that are really killed. */
import { readFileSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { Child } from '../harness/child.js';
import { natsBinary } from '../harness/nats-binary.js';
import { waitFor } from '../harness/wait.js';
import { guardedFolder } from '../harness/watchdog.js';

const path = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url));
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PDF = path('demo/documents/field-guide-to-waiting.pdf');
const HTML = path('demo/documents/field-guide-to-waiting.html');
/** Where pictures of the page go, for whoever wants to look at them. */
const PICTURES = process.env.HEADWAY_PICTURES;
/** An edge or a worker that was killed is away for 1.5 s, and the client waits for up to 30 s. */
const PATIENCE_MS = 60_000;

let browser: Browser;
let folder: Awaited<ReturnType<typeof guardedFolder>>;
let demo: Child;
let url: string;
let tab: Page;
let problems: string[];
let sockets: string[];
beforeAll(async () => {
  browser = await launchChromium();
  folder = await guardedFolder('headway-demo-page-test');
  await mkdir(join(folder.path, 'tmp'));
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(HEADWAY_|NATS_|VITEST|NODE_OPTIONS$|NODE_ENV$|TEST$|PORT$|DEMO_)/.test(name),
  );
  const env = {
    ...Object.fromEntries(inherited),
    NATS_SERVER_BIN: (await natsBinary()).path,
    TMPDIR: join(folder.path, 'tmp'),
    PAGE_MS: '200',
    STAY: '1',
  };
  demo = await Child.spawn('demo', process.execPath, [path('dist/cmd/demo.js')], env);
  url = await demo.line(
    (line) => /^ {2}page +(http:\S+\/) /.exec(line)?.[1],
    'the address of the page',
    PATIENCE_MS,
  );
});
afterAll(async () => {
  await browser?.close();
  await demo?.kill();
  await folder?.remove();
});
beforeEach(async () => {
  problems = [];
  sockets = [];
  tab = await browser.newPage();
  tab.on('pageerror', (error) => void problems.push(String(error)));
  tab.on('websocket', (socket) => void sockets.push(socket.url()));
  tab.on('console', (message) => {
    // What the browser itself says of an edge that is away, and of a document that is refused.
    const isOurs = !/WebSocket connection to .* failed|Failed to load resource/.test(message.text());
    if (message.type() === 'error' && isOurs) problems.push(message.text());
  });
  await tab.goto(url);
  await tab.locator('.job').first().waitFor();
});
afterEach(async () => {
  await tab.close();
  expect(problems).toEqual([]);
});

const row = (label: string) =>
  tab
    .locator('.job')
    .filter({ has: tab.getByText(label, { exact: true }) })
    .first();
const verdict = (label: string) => row(label).locator('.verdict');
const text = async (id: string): Promise<string> => (await tab.locator(id).textContent()) ?? '';
const picture = async (name: string): Promise<void> => {
  if (PICTURES) await tab.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
};

/** Drops a text of so many pages, and waits until the first of them is done. */
async function begin(name: string, pages: number): Promise<void> {
  const content = Array.from({ length: pages }, (_, index) => `Page ${index + 1} of this\n`).join('\f');
  await tab.locator('#files').setInputFiles({ name, mimeType: 'text/plain', buffer: Buffer.from(content) });
  await row(name)
    .getByText(/page [1-9]\d* of/)
    .first()
    .waitFor();
}

/** Drops files beside the field, made in the page: with this content, or of so many bytes. */
async function dropped(files: [name: string, content: string | number][]): Promise<void> {
  const data = await tab.evaluateHandle((all) => {
    const transfer = new DataTransfer();
    for (const [name, content] of all) {
      const part = typeof content === 'number' ? new Uint8Array(content).fill(97) : content;
      transfer.items.add(new File([part], name));
    }
    return transfer;
  }, files);
  await tab.dispatchEvent('h1', 'drop', { dataTransfer: data });
}

/** All of a document came, and it is done; from its first update on, unless this machine was so slow that it had begun before. */
async function expectWhole(label: string): Promise<void> {
  const whole =
    /^Nothing missed(: all \d+ updates came| since you came: \d+ updates), each once, in order\.$/;
  await waitFor(async () => whole.test((await verdict(label).textContent()) ?? ''), {
    what: `the account of ${label}`,
    timeoutMs: PATIENCE_MS,
  });
  expect(await row(label).locator('.facts').textContent()).toContain('completed');
  const [shown, stored] = await row(label)
    .locator('headway-progress')
    .evaluate(async (bar) => {
      const { snapshot } = bar as HTMLElement & { snapshot: { id: string; state: object } };
      return [snapshot.state, (await (await fetch(`/v1/jobs/${snapshot.id}`)).json()) as object];
    });
  // An edge that came later need not know what was before it.
  expect({ ...shown, prev_seq: null }).toEqual({ ...stored, prev_seq: null });
}

test('a text, HTML and a PDF are processed page by page, over one socket, and nothing is missed', async () => {
  await tab.locator('#files').setInputFiles([PDF, HTML]);
  await begin('notes.txt', 5);
  await expectWhole('notes.txt');
  await expectWhole('field-guide-to-waiting.html');
  await expectWhole('field-guide-to-waiting.pdf');
  // What people read of it, and not its markup.
  expect(await row('field-guide-to-waiting.html').locator('.facts').textContent()).toContain('3,962 words');
  expect(await row('notes.txt').locator('headway-progress').getAttribute('status')).toBe('completed');
  expect(sockets).toHaveLength(1);
});

test.each([
  ['cut', 'Cut the connection', 1],
  ['edge', 'Kill the edge', 1],
  ['worker', 'Kill the workers', 0],
] as const)(
  '%s: in the middle of a document, and nothing is missed',
  async (name, button, reconnects) => {
    const label = `${name}.txt`;
    await begin(label, 25);
    await tab.getByRole('button', { name: button }).click();
    await picture(`${name}-running`);
    await expectWhole(label);
    expect(await text('#connection')).toMatch(new RegExp(`· ${reconnects} reconnect`));
    if (reconnects > 0) expect(await text('#log')).toMatch(/Back after .* s\..*The connection is lost/s);
    await picture(name);
  },
  120_000,
);

test('what cannot be taken is refused with a sentence, and the others go on', async () => {
  await dropped([
    ['nothing.txt', ''],
    ['picture.png', '\x89PNG\r\n\x1a\n\0\0\0\r'],
    ['cut.pdf', '%PDF-1.7\n1 0 obj\n'],
    ['large.txt', 33 * 1024 * 1024],
    ['fine.txt', 'fine'],
  ]);
  await expectWhole('fine.txt');
  const said = await tab.locator('#problems li').allTextContents();
  expect(said).toEqual([
    '"nothing.txt" is empty: expected a PDF or a UTF-8 text file.',
    '"picture.png" is neither a PDF nor text: expected a PDF, HTML, or a UTF-8 text file.',
    '"cut.pdf" is a damaged PDF: expected a whole one, but its end is missing (no %%EOF).',
    '"large.txt" is too large: expected at most 32 MiB.',
  ]);
});

test('a name that would be more than a name is only ever text', async () => {
  const name = '<img src=x onerror=alert(1)>\u202egnp.txt';
  await begin(name.replace('\u202e', ' '), 2);
  await tab.locator('#files').setInputFiles({ name, mimeType: 'text/plain', buffer: Buffer.from('x') });
  const shown = '<img src=x onerror=alert(1)> gnp.txt';
  await waitFor(async () => (await row(shown).count()) > 0, { what: 'the name' });
  expect(await tab.locator('.job img').count()).toBe(0);
});

test('a drop anywhere on the page brings documents', async () => {
  await dropped([['dropped.txt', 'dropped']]);
  await expectWhole('dropped.txt');
});

test('by keyboard, in light and dark and on a phone, axe finds nothing', async () => {
  await begin('look.txt', 4);
  await expectWhole('look.txt');
  const find = async () => {
    await tab.evaluate(AXE);
    const { violations } = await tab.evaluate<{ violations: { id: string; nodes: { html: string }[] }[] }>(
      'axe.run()',
    );
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  };
  for (const colorScheme of ['light', 'dark'] as const) {
    await tab.emulateMedia({ colorScheme });
    await tab.setViewportSize({ width: 1280, height: 900 });
    expect(await find()).toEqual([]);
    await picture(colorScheme);
    await tab.setViewportSize({ width: 360, height: 740 });
    expect(await find()).toEqual([]);
    expect(await tab.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    await picture(`${colorScheme}-phone`);
  }
  const reached: string[] = [];
  await tab.locator('body').focus();
  for (let i = 0; i < 5; i++) {
    await tab.keyboard.press('Tab');
    reached.push(
      await tab.evaluate(() => document.activeElement?.textContent || document.activeElement?.id || ''),
    );
  }
  expect(reached.map((one) => one.trim())).toEqual([
    'files',
    'Read the two documents that come with the demo',
    'Cut the connection',
    'Kill the edge',
    'Kill the workers',
  ]);
});

test('what is uploaded is gone when it is done, and nothing is left at the end', async () => {
  await begin('gone.txt', 2);
  await expectWhole('gone.txt');
  const tmp = join(folder.path, 'tmp');
  const pageFolder = (await readdir(tmp)).find((name) => name.startsWith('headway-demo-page-')) ?? '';
  await waitFor(async () => (await readdir(join(tmp, pageFolder, 'documents'))).length === 0, {
    what: 'the documents to go',
    timeoutMs: PATIENCE_MS,
  });
  await begin('still-here.txt', 200);
  demo.signal('SIGINT');
  expect((await demo.exited).code, demo.output()).toBe(0);
  expect(await readdir(tmp)).toEqual([]);
  await writeFile(join(folder.path, 'end'), '');
});
