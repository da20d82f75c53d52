/** Each of examples/, started by its one command, and its page in Chromium: files are uploaded, and their bars reach the end. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium } from '../harness/browser.js';
import { Child } from '../harness/child.js';
import { freePorts } from '../harness/free-ports.js';
import { createAccount } from '../harness/nats-accounts.js';
import { startNats } from '../harness/nats-server.js';
import { guardedFolder } from '../harness/watchdog.js';
import { packageFile, ROOT, run } from '../packages/project.js';

interface Upload {
  readonly name: string;
  readonly mimeType: string;
  readonly buffer: Buffer;
}
const shipped = (name: string, mimeType: string): Upload => ({
  ...{ name, mimeType },
  buffer: readFileSync(new URL(`../../demo/documents/${name}`, import.meta.url)),
});
const PDF = shipped('field-guide-to-waiting.pdf', 'application/pdf');
const HTML = shipped('field-guide-to-waiting.html', 'text/html');
const TEXT = shipped('station-book.txt', 'text/plain');
/** Large enough to take a moment. */
const LARGE: Upload = {
  name: 'numbers.bin',
  mimeType: 'application/octet-stream',
  buffer: Buffer.from(Uint32Array.from({ length: 1_000_000 }, (_, at) => at ** 2).buffer),
};
const START_WITHIN_MS = 240_000;
const SHOWN_WITHIN_MS = 30_000;

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
});
afterAll(() => browser?.close());

interface Example extends AsyncDisposable {
  readonly tab: Page;
  upload(...files: Upload[]): Promise<void>;
  says(text: RegExp): Promise<void>;
}

/** Ends with an error when the page had one, or the example does not end when it is asked to. */
async function open(
  name: string,
  {
    env: more = {},
    context: given,
  }: { readonly env?: NodeJS.ProcessEnv; readonly context?: BrowserContext } = {},
): Promise<Example> {
  const script = fileURLToPath(new URL('../../scripts/example.mjs', import.meta.url));
  const { NATS_URL: _, ...env } = process.env;
  const child = await Child.spawn(name, process.execPath, [script, name], {
    ...env,
    PORT: '0',
    EDGE_PORT: '0',
    ...more,
  });
  const url = await child.line((line) => /^Open (\S+)/.exec(line)?.[1], 'its address', START_WITHIN_MS);
  const problems: string[] = [];
  // A page of its own without cookies of another.
  const context = given ?? (await browser.newContext());
  const tab = await context.newPage();
  tab.on('pageerror', (error) => void problems.push(String(error)));
  tab.on('console', (message) => {
    // What the server refuses, on purpose, is also an error of the console.
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text()))
      problems.push(message.text());
  });
  await tab.goto(url);
  return {
    tab,
    async upload(...files) {
      await tab.locator('input[type=file]').setInputFiles(files);
      await tab.getByRole('button', { name: 'Upload' }).click();
    },
    says: (text) => tab.getByText(text).first().waitFor({ timeout: SHOWN_WITHIN_MS }),
    async [Symbol.asyncDispose]() {
      if (given === undefined) await context.close();
      child.signal('SIGINT');
      expect(await child.exited).toEqual({ code: 0, signal: null });
      expect(problems).toEqual([]);
    },
  };
}

const bars = async (tab: Page) => {
  const all = await tab.getByRole('progressbar').all();
  return await Promise.all(
    all.map(async (bar) => (await bar.getAttribute('aria-valuenow')) ?? (await bar.getAttribute('value'))),
  );
};

// Where there is no Python there is no wheel, and `make packages` says so.
test.skipIf(packageFile('headway_worker', '.whl') === undefined)(
  'FastAPI: a PDF and a text are counted, and what is neither is refused in words',
  async () => {
    await using example = await open('fastapi');
    const { tab, upload, says } = example;
    await upload(PDF);
    await says(/^\d+ words on \d+ pages$/);
    await upload(TEXT);
    await expect.poll(() => bars(tab), { timeout: SHOWN_WITHIN_MS }).toEqual(['100', '100']);
    await upload({ name: 'x.bin', mimeType: 'application/octet-stream', buffer: Buffer.from([0, 255, 1]) });
    await says(/neither a PDF nor text/);
    // It begins like one, and goes on like none.
    await upload({ name: 'torn.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.7\ntorn') });
    await says(/The PDF cannot be read/);
  },
);

test('Express: files one after the other, each opened by a newer token; a reload shows them again', async () => {
  await using example = await open('express');
  const { tab, upload, says } = example;
  await upload(LARGE);
  await says(/^\d+\.\d MB became \d+\.\d MB$/);
  await upload(TEXT, HTML);
  await expect.poll(() => bars(tab), { timeout: SHOWN_WITHIN_MS }).toEqual(['100', '100', '100']);
  await tab.reload();
  await expect.poll(() => bars(tab), { timeout: SHOWN_WITHIN_MS }).toEqual(['100', '100', '100']);
});

test('Express, started anew: a page that was open goes on, one that is opened shows no file that is gone, and connects for none', async () => {
  const context = await browser.newContext();
  try {
    const env = { PORT: String((await freePorts(1))[0]) };
    let page: Page;
    {
      await using before = await open('express', { env, context });
      page = before.tab;
      await before.upload(TEXT);
      await expect.poll(() => bars(page), { timeout: SHOWN_WITHIN_MS }).toEqual(['100']);
    }
    await using after = await open('express', { env, context });
    const sockets: string[] = [];
    page.on('websocket', (socket) => void sockets.push(socket.url()));
    await page.reload();
    await page.getByRole('button', { name: 'Upload' }).waitFor();
    await expect.poll(() => page.evaluate("sessionStorage.getItem('files')")).toBe('[]');
    expect([await bars(page), sockets]).toEqual([[], []]);
    await page.locator('input[type=file]').setInputFiles([HTML]);
    await page.getByRole('button', { name: 'Upload' }).click();
    await expect.poll(() => bars(page), { timeout: SHOWN_WITHIN_MS }).toEqual(['100']);
    expect(sockets).toHaveLength(1);
    await after.upload(TEXT);
    await after.says(/^\d+\.\d MB became \d+\.\d MB$/);
  } finally {
    await context.close();
  }
});

test('NATS with a user and a password: the edge and the example sign in', async () => {
  await using nats = await startNats({
    config: 'authorization { user: service, password: "s3cret" }',
  });
  const url = new URL(nats.url);
  [url.username, url.password] = ['service', 's3cret'];
  await using example = await open('express', { env: { NATS_URL: url.href } });
  await example.upload(TEXT);
  await expect.poll(() => bars(example.tab), { timeout: SHOWN_WITHIN_MS }).toEqual(['100']);
});

test.each(['express', 'fastapi'])('NATS with credentials files: the edge and %s sign in', async (name) => {
  const folder = await guardedFolder('headway-creds');
  try {
    const { config, credsFile } = await createAccount(folder.path);
    await using nats = await startNats({ config });
    await using example = await open(name, { env: { NATS_URL: nats.url, NATS_CREDS: credsFile } });
    await example.upload(TEXT);
    await expect.poll(() => bars(example.tab), { timeout: SHOWN_WITHIN_MS }).toEqual(['100']);
  } finally {
    await folder.remove();
  }
});

test('React: several files at once, over one socket; its types are strict', async () => {
  await using example = await open('react');
  const { tab, upload, says } = example;
  const edges: string[] = [];
  tab.on('websocket', (socket) => void edges.push(new URL(socket.url()).pathname));
  await upload(LARGE, TEXT);
  await says(/^\d+ % of its size is left$/);
  await expect.poll(() => bars(tab), { timeout: SHOWN_WITHIN_MS }).toEqual(['100', '100']);
  expect(edges).toEqual(['/ws/upload-progress']);
  await run(process.execPath, ['node_modules/typescript/lib/tsc.js', '-p', 'examples/react/tsconfig.json'], {
    cwd: ROOT,
  });
});
