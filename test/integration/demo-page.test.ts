/** The demo's page as its server gives it, asked by hand: who may ask, what is taken, and what is left behind. */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { type IncomingHttpHeaders, request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { Child } from '../harness/child.js';
import { TERMINAL } from '../harness/headway-command.js';
import { natsBinary } from '../harness/nats-binary.js';
import { pdfBomb } from '../harness/pdf.js';
import { waitFor } from '../harness/wait.js';
import { guardedFolder } from '../harness/watchdog.js';

const DEMO = fileURLToPath(new URL('../../dist/cmd/demo.js', import.meta.url));
/** On a machine that is busy besides. */
const PATIENCE_MS = 60_000;
const TEXT = Buffer.from('One page\fTwo pages');

/** A demo that stays, and its page. */
class Demo implements AsyncDisposable {
  private constructor(
    readonly child: Child,
    readonly port: number,
    readonly token: string,
    private readonly folder: Awaited<ReturnType<typeof guardedFolder>>,
  ) {}

  static async start(env: Record<string, string> = {}): Promise<Demo> {
    const folder = await guardedFolder('headway-demo-page-test');
    const temporary = join(folder.path, 'tmp');
    await mkdir(temporary);
    const child = await spawnDemo({ STAY: '1', PAGE_MS: '0', TMPDIR: temporary, ...env });
    try {
      const url = await child.line(
        (line) => /^ {2}page +(http:\S+\/) /.exec(line)?.[1],
        'the page',
        PATIENCE_MS,
      );
      const page = await (await fetch(url)).text();
      const token = /name="token" content="([^"]+)"/.exec(page)?.[1] ?? '';
      return new Demo(child, Number(new URL(url).port), token, folder);
    } catch (error) {
      await child.kill();
      throw error;
    }
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get temporary(): string {
    return join(this.folder.path, 'tmp');
  }

  /** The folder in which documents are while they are not done. */
  async documents(): Promise<string[]> {
    const name = (await readdir(this.temporary)).find((one) => one.startsWith('headway-demo-page-')) ?? '';
    return await readdir(join(this.temporary, name, 'documents'));
  }

  /** As the page itself asks, but for what is said. */
  async post(
    path: string,
    { body = Buffer.alloc(0), headers = {} }: { body?: Buffer; headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    return await ask(this.port, 'POST', path, {
      body,
      headers: { origin: this.origin, 'x-demo-token': this.token, ...headers },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.kill();
    await waitFor(async () => (await readdir(this.temporary)).length === 0, { what: 'the folders to go' });
    await this.folder.remove();
  }
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly json: { code?: string; detail?: string; id?: string; label?: string; pages?: number };
  readonly text: string;
}

/** With whatever headers, which `fetch` would not send. */
async function ask(
  port: number,
  method: string,
  path: string,
  { body, headers = {} }: { body?: Buffer; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const isJson = answer.headers['content-type']?.includes('json') === true;
        const json = isJson ? JSON.parse(text) : {};
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, json, text });
      });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

async function spawnDemo(
  env: Record<string, string>,
  command = process.execPath,
  args = [DEMO],
): Promise<Child> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(HEADWAY_|NATS_|VITEST|NODE_OPTIONS$|NODE_ENV$|TEST$|PORT$|PAGE_MS$|DEMO_)/.test(name),
  );
  const all = { ...Object.fromEntries(inherited), NATS_SERVER_BIN: (await natsBinary()).path, ...env };
  return await Child.spawn('demo', command, args, all);
}

let demo: Demo;
beforeAll(async () => {
  demo = await Demo.start();
});
afterAll(async () => {
  await demo?.[Symbol.asyncDispose]();
});

test('the page allows no script, style or connection but its own, and is in no other page and no cache', async () => {
  const { status, headers } = await ask(demo.port, 'GET', '/');
  expect(status).toBe(200);
  const policy = String(headers['content-security-policy']);
  for (const part of [
    "default-src 'none'",
    "script-src 'self'",
    "connect-src 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ])
    expect(policy).toContain(part);
  expect(policy).not.toContain('unsafe');
  expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  expect(headers['access-control-allow-origin']).toBeUndefined();
});

test.each<[string, string, Record<string, string>]>([
  ['without an Origin', '/samples', { origin: '' }],
  ['from another page', '/faults/kill-edge', { origin: 'https://evil.example' }],
  ['from another port of this machine', '/faults/cut', { origin: 'http://127.0.0.1:1' }],
  ['from a page without an origin', '/documents', { origin: 'null' }],
  ['without the secret of the page', '/faults/kill-worker', { 'x-demo-token': '' }],
  ['with another secret', '/documents', { 'x-demo-token': randomBytes(18).toString('base64url') }],
])('who asks %s may not have anything done', async (_who, path, headers) => {
  expect(await demo.post(path, { headers, body: TEXT })).toMatchObject({
    status: 403,
    json: { code: 'forbidden', detail: expect.stringContaining('own page') },
    headers: { 'content-type': 'application/problem+json' },
  });
  expect(await demo.documents()).toEqual([]);
});

test('under another name, which a foreign page may have pointed here, nothing is given, done or connected', async () => {
  const headers = { host: `evil.example:${demo.port}`, origin: `http://evil.example:${demo.port}` };
  for (const path of ['/', '/documents', '/v1/jobs'])
    expect(await ask(demo.port, 'GET', path, { headers })).toMatchObject({
      status: 421,
      json: { code: 'wrong_host' },
    });
  expect((await demo.post('/samples', { headers })).status).toBe(421);
  const socket = new WebSocket(`ws://127.0.0.1:${demo.port}/ws/upload-progress`, 'progress.v1', { headers });
  const status = await new Promise((resolve) => {
    socket.on('unexpected-response', (_request, { statusCode }) => resolve(statusCode));
    socket.on('open', () => resolve('open'));
    socket.on('error', () => {});
  });
  socket.terminate();
  expect(status).toBe(421);
});

test('a page from elsewhere gets no connection to the edge by this way either', async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${demo.port}/ws/upload-progress`, 'progress.v1', {
    headers: { origin: 'https://evil.example' },
  });
  const outcome = await new Promise((resolve) => {
    socket.on('unexpected-response', (_request, { statusCode }) => resolve(statusCode));
    socket.on('close', (code: number) => resolve(code));
    socket.on('message', () => resolve('a frame'));
    socket.on('error', () => {});
  });
  socket.terminate();
  expect([403, 4403]).toContain(outcome);
});

test.each([
  '/../package.json',
  '/demo/page/../../cmd/demo.js',
  '/..%2f..%2fpackage.json',
  '/dist/cmd/demo.js',
  '/sdk/client/',
  '/metrics',
])('nothing else is given out: %s', async (path) => {
  expect(await ask(demo.port, 'GET', path)).toMatchObject({ status: 404, json: { code: 'not_found' } });
});

test('another method is refused, and another path', async () => {
  expect((await ask(demo.port, 'PUT', '/documents')).status).toBe(405);
  expect((await demo.post('/faults/rm-rf')).status).toBe(404);
});

test.each<[string, Buffer, number, string, RegExp]>([
  ['nothing', Buffer.alloc(0), 422, 'empty', /^"a\.bin" is empty/],
  [
    'a picture',
    Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\r', 'latin1'),
    415,
    'unsupported',
    /neither a PDF nor text/,
  ],
  ['a zero', Buffer.alloc(1), 415, 'unsupported', /neither a PDF nor text/],
  [
    'text with a zero far behind',
    Buffer.from(`${'x'.repeat(1e6)}\0`),
    415,
    'unsupported',
    /neither a PDF nor text/,
  ],
  ['Latin-1', Buffer.from('Høvdingvik', 'latin1'), 415, 'not_utf8', /^"a\.bin" is not UTF-8/],
  [
    'a PDF that was cut off',
    Buffer.from('%PDF-1.7\n1 0 obj\n'),
    422,
    'damaged_pdf',
    /^"a\.bin" is a damaged PDF/,
  ],
  ['a PDF of noise', Buffer.from('%PDF-1.7\nnoise\n%%EOF\n'), 422, 'damaged_pdf', /structure cannot be read/],
  [
    'too much',
    Buffer.alloc(33 * 1024 * 1024, 'a'),
    413,
    'too_large',
    /^"a\.bin" is too large: expected at most 32 MiB/,
  ],
])(
  '%s is refused with a sentence that names it as its sender does, and leaves nothing behind',
  async (_what, body, status, code, detail) => {
    // With its length, and without.
    for (const length of [{}, { 'transfer-encoding': 'chunked' }]) {
      const headers = { 'x-file-name': 'a.bin', ...length };
      const answer = await demo.post('/documents', { body, headers });
      expect(answer).toMatchObject({ status, json: { code, detail: expect.stringMatching(detail) } });
      expect(answer.text).not.toContain(demo.temporary);
    }
    expect(await demo.documents()).toEqual([]);
  },
);

test.each([
  ['a path', '../../../../tmp/evil'],
  ['a path in disguise', '%2e%2e%2f%2e%2e%2fevil'],
  ['an end within', 'a%00b'],
  ['a header', '%0d%0aSet-Cookie: x'],
  ['nothing', ''],
  ['too much', 'x'.repeat(4_000)],
  ['an option', '-rf'],
  ['no letters', '%F0%9F%98%80'],
])('a document whose name is %s is done like any other', async (_what, name) => {
  const { status, json } = await demo.post('/documents', { body: TEXT, headers: { 'x-file-name': name } });
  expect(status).toBe(200);
  expect(json).toMatchObject({ id: expect.stringMatching(/^[\w-]{1,128}$/), pages: 2 });
  expect(json.label).not.toMatch(/[\p{Cc}/\\]/u);
  await waitFor(async () => (await stateOf(json.id ?? '')).status === 'completed', { what: 'the end' });
  await waitFor(async () => (await demo.documents()).length === 0, { what: 'the document to go' });
});

test('an upload that breaks off leaves nothing behind', async () => {
  await new Promise<void>((resolve) => {
    const headers = { origin: demo.origin, 'x-demo-token': demo.token, 'content-length': '1000000' };
    const asked = request({
      host: '127.0.0.1',
      port: demo.port,
      method: 'POST',
      path: '/documents',
      headers,
    });
    asked.on('error', () => resolve());
    asked.write('only the beginning');
    void waitFor(async () => (await demo.documents()).length === 1, { what: 'the beginning' }).then(() =>
      asked.destroy(),
    );
  });
  await waitFor(async () => (await demo.documents()).length === 0, { what: 'the rest to go' });
});

test('a fault without anything to break is refused with a sentence', async () => {
  expect(await demo.post('/faults/cut')).toMatchObject({ status: 409, json: { code: 'no_connection' } });
  await waitFor(async () => (await demo.post('/faults/kill-worker')).json.code === 'no_worker', {
    what: 'all workers to have ended',
  });
});

/** The processes that read a PDF for the demo that runs under this one. */
async function readersOf(pid: number): Promise<number[]> {
  const all: { readonly pid: number; readonly parent: number; readonly isReader: boolean }[] = [];
  for (const name of (await readdir('/proc')).filter((one) => /^\d+$/.test(one))) {
    const read = async (file: string) => await readFile(join('/proc', name, file), 'utf8').catch(() => '');
    const parent = Number(/^PPid:\s+(\d+)/m.exec(await read('status'))?.[1]);
    all.push({ pid: Number(name), parent, isReader: (await read('cmdline')).includes('memoryUsage.rss') });
  }
  const under = new Set([pid]);
  for (let size = 0; size < under.size; ) {
    size = under.size;
    for (const one of all) if (under.has(one.parent)) under.add(one.pid);
  }
  return all.filter((one) => one.isReader && under.has(one.pid)).map((one) => one.pid);
}

test(
  'a PDF that unpacks to gigabytes fails by itself, and what reads it goes with a worker that is killed',
  async () => {
    const bomb = pdfBomb();
    await using busy = await Demo.start();
    const { json } = await busy.post('/documents', { body: bomb, headers: { 'x-file-name': 'bomb.pdf' } });
    const id = json.id ?? '';
    expect(json).toMatchObject({ pages: 1 });
    if (process.platform === 'linux') {
      const [reader = 0] = await waitFor(
        async () => {
          const readers = await readersOf(busy.child.pid);
          return readers.length > 0 && readers;
        },
        { what: 'a reader', timeoutMs: PATIENCE_MS },
      );
      expect((await busy.post('/faults/kill-worker')).status).toBe(200);
      await waitFor(async () => !(await readdir('/proc')).includes(String(reader)), { what: 'its end' });
    }
    const other = await busy.post('/documents', { body: TEXT, headers: { 'x-file-name': 'fine.txt' } });
    await waitFor(async () => (await stateOf(id, busy)).status === 'error', {
      what: 'the end of the bomb',
      timeoutMs: 2 * PATIENCE_MS,
    });
    const message =
      '"bomb.pdf" takes more than 512 MB of memory to be read: expected a PDF that unpacks to less.';
    expect(await stateOf(id, busy)).toMatchObject({
      error: { code: 'too_much_memory', message, retryable: false },
    });
    expect(await stateOf(other.json.id ?? '', busy)).toMatchObject({ status: 'completed' });
  },
  3 * PATIENCE_MS,
);

test('more documents than are done are refused for a while', async () => {
  await using busy = await Demo.start({ PAGE_MS: '5000' });
  const answers: Answer[] = [];
  for (let i = 0; i < 25; i++) answers.push(await busy.post('/documents', { body: TEXT }));
  expect(answers.map(({ status }) => status)).toEqual([...Array(24).fill(200), 429]);
  expect(answers.at(-1)).toMatchObject({ json: { code: 'too_many' }, headers: { 'retry-after': '2' } });
  expect(await busy.post('/samples')).toMatchObject({ status: 429 });
});

test(
  'workers and edge are killed again and again: what is stored of a document is each page, once, in order',
  async () => {
    await using busy = await Demo.start({ PAGE_MS: '100' });
    const body = Buffer.from(Array.from({ length: 30 }, (_, index) => `page ${index + 1}`).join('\f'));
    const { json } = await busy.post('/documents', { body, headers: { 'x-file-name': 'killed.txt' } });
    const id = json.id ?? '';
    const page = async () => (await stateOf(id, busy)).step?.index ?? 0;
    for (const least of [3, 8, 15]) {
      await waitFor(async () => (await page()) >= least, { what: `page ${least}`, timeoutMs: 20_000 });
      expect((await busy.post('/faults/kill-worker')).status).toBe(200);
      // It answers before the demo knows that it is back.
      await waitFor(async () => (await busy.post('/faults/kill-edge')).status === 200, {
        what: 'an edge to kill',
      });
      expect(await busy.post('/faults/kill-edge')).toMatchObject({
        status: 409,
        json: { code: 'edge_away' },
      });
    }
    await waitFor(async () => (await stateOf(id, busy)).status === 'completed', {
      what: 'the end',
      timeoutMs: 30_000,
    });
    // The edge that was killed last may not be back yet.
    const read = async () => {
      const { status, text } = await ask(busy.port, 'GET', `/v1/jobs/${id}/events`);
      return status === 200 ? JSON.parse(text).events : undefined;
    };
    const events = await waitFor(read, { what: 'the events', timeoutMs: PATIENCE_MS });
    const pages = events.map(({ step }: { step?: { index: number } }) => step?.index);
    expect(pages).toEqual([undefined, ...Array.from({ length: 30 }, (_, index) => index + 1), 30]);
    expect(events.at(-1)).toMatchObject({ status: 'completed', result: { pages: 30, words: 60 } });
  },
  2 * PATIENCE_MS,
);

test('a port that is taken is explained, and nothing is left', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const folder = await guardedFolder('headway-demo-page-test');
  const child = await spawnDemo({ STAY: '1', TMPDIR: folder.path, DEMO_PORT: String(port) });
  const { code } = await child.exited;
  await new Promise((resolve) => server.close(resolve));
  expect(code).toBe(1);
  expect(child.output()).toContain(`The page cannot listen on 127.0.0.1:${port} (EADDRINUSE).`);
  expect(await readdir(folder.path)).toEqual([]);
  await folder.remove();
});

test.each([
  ['Ctrl-C', 'SIGINT'],
  ['kill -9', 'SIGKILL'],
] as const)(
  'at the end by %s, with documents on their way and workers at work, nothing is left',
  async (_how, signal) => {
    await using busy = await Demo.start({ PAGE_MS: '1000' });
    for (let i = 0; i < 6; i++) await busy.post('/documents', { body: TEXT });
    await busy.post('/faults/kill-edge');
    expect((await busy.documents()).length).toBeGreaterThan(0);
    busy.child.signal(signal);
    const { code } = await busy.child.exited;
    if (signal === 'SIGINT') expect(code, busy.child.output()).toBe(0);
    // The folder is looked at when it is disposed of.
  },
);

const OPENS = '#!/bin/sh\necho "$1" >"$OPENED"\n';

test.each<[string, string, Record<string, string>, boolean]>([
  ['where there is a screen', OPENS, {}, true],
  ['not where it is switched off', OPENS, { DEMO_OPEN: 'off' }, false],
  ['not on a machine of CI', OPENS, { CI: 'true' }, false],
  ['where that works, and all is as ever where it does not', '#!/nowhere/sh\n', {}, false],
])(
  'on a terminal it stays when the documents are done, until Ctrl-C; a browser is opened %s',
  async (_where, program, changes, isOpened) => {
    const folder = await guardedFolder('headway-demo-page-test');
    const [temporary, programs, opened] = ['tmp', 'bin', 'opened'].map((name) => join(folder.path, name)) as [
      string,
      string,
      string,
    ];
    await mkdir(temporary);
    await mkdir(programs);
    await writeFile(join(programs, 'xdg-open'), program, { mode: 0o755 });
    const env = { PAGE_MS: '0', TMPDIR: temporary, DISPLAY: ':99', CI: '', OPENED: opened, ...changes };
    const child = await spawnDemo({ ...env, PATH: `${programs}:${process.env.PATH}` }, 'python3', [
      TERMINAL,
      '100',
      '40',
      'together',
      process.execPath,
      DEMO,
    ]);
    try {
      const url = await child.line(
        (line) => /The page goes on as well: (\S+)/.exec(line)?.[1],
        'the end',
        PATIENCE_MS,
      );
      expect(child.output()).toContain('exactly the 30 events that JetStream stored');
      expect((await fetch(url)).status).toBe(200);
      if (isOpened) {
        const read = () => readFile(opened, 'utf8').catch(() => '');
        await waitFor(async () => (await read()) === `${url}\n`, { what: 'a browser' });
      } else expect(await readdir(folder.path)).not.toContain('opened');
      child.signal('SIGINT');
      expect((await child.exited).code, child.output()).toBe(0);
      expect(await readdir(temporary)).toEqual([]);
    } finally {
      await child.kill();
      await folder.remove();
    }
  },
  2 * PATIENCE_MS,
);

async function stateOf(
  id: string,
  { port }: Demo = demo,
): Promise<{ status?: string; step?: { index: number } }> {
  const { json } = await ask(port, 'GET', `/v1/jobs/${id}`);
  return json as { status?: string };
}
