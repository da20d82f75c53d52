/** What the demo's page says of what came, and what its server takes, without a page. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { opener } from '../../demo/browser.js';
import { Documents } from '../../demo/documents.js';
import type { Nats } from '../../demo/nats.js';
import { readOptions } from '../../demo/options.js';
import { Account } from '../../demo/page/account.js';
import { ConnectionView } from '../../demo/page/connection.js';
import { checkFile } from '../../demo/page/file.js';
import { Problem } from '../../demo/problem.js';
import { documentName, receiveDocument } from '../../demo/upload.js';
import type { Workers } from '../../demo/workers.js';
import { deferred } from '../../internal/async.js';

const running = { continuity: { kind: 'proven' }, isEnded: false } as const;
const ended = { continuity: { kind: 'proven' }, isEnded: true } as const;

function accountOf(...updates: [seq: number, prev: number | null][]): Account {
  const account = new Account();
  for (const [seq, prev_seq] of updates) account.update({ seq, prev_seq });
  return account;
}

describe('the account of a job', () => {
  test('says nothing before an update came, and what the client has proven while they come', () => {
    expect(accountOf().verdict(running)).toMatchObject({ kind: 'open' });
    expect(accountOf([3, 0], [5, 3]).verdict(running)).toMatchObject({
      kind: 'good',
      text: expect.stringMatching(/proven/),
    });
    const unproven = { continuity: { kind: 'unknown' }, isEnded: false } as const;
    expect(accountOf([3, 0]).verdict(unproven)).toMatchObject({ kind: 'open' });
  });

  test.each<[string, [number, number | null][], RegExp]>([
    [
      'one that never came',
      [
        [3, 0],
        [9, 7],
      ],
      /update 7 never came before 9/,
    ],
    [
      'one that came twice',
      [
        [3, 0],
        [3, 0],
      ],
      /update 3 came again/,
    ],
    [
      'one that came late',
      [
        [3, 0],
        [7, 3],
        [5, 3],
      ],
      /update 5 came again, after 7/,
    ],
  ])('does not believe the client: %s', (_what, updates, text) => {
    for (const snapshot of [running, ended])
      expect(accountOf(...updates).verdict(snapshot)).toMatchObject({
        kind: 'bad',
        text: expect.stringMatching(text),
      });
  });

  test('is held against what is stored when the job has ended', () => {
    const judged = (updates: [number, number | null][], stored: number[]) => {
      const account = accountOf(...updates);
      account.stored(stored);
      return account.verdict(ended);
    };
    expect(
      judged(
        [
          [1, 0],
          [4, 1],
        ],
        [1, 4],
      ),
    ).toEqual({
      kind: 'good',
      text: 'Nothing missed: all 2 updates came, each once, in order.',
    });
    expect(
      judged(
        [
          [4, 1],
          [6, 4],
        ],
        [1, 4, 6],
      ),
    ).toEqual({
      kind: 'good',
      text: 'Nothing missed since you came: 2 updates, each once, in order.',
    });
    // The stream has let go of the first one since.
    expect(
      judged(
        [
          [1, 0],
          [4, 1],
          [6, 4],
        ],
        [4, 6],
      ),
    ).toEqual({ kind: 'good', text: 'Nothing missed since you came: 3 updates, each once, in order.' });
    expect(judged([[6, 4]], [1, 4, 6])).toEqual({ kind: 'open', text: 'It was done before you came.' });
    // No prev_seq gives it away.
    expect(
      judged(
        [
          [1, 0],
          [6, null],
        ],
        [1, 4, 6],
      ),
    ).toEqual({ kind: 'bad', text: 'Missed: update 4.' });
    expect(
      judged(
        [
          [1, 0],
          [4, 1],
        ],
        [1, 4, 6],
      ),
    ).toEqual({ kind: 'bad', text: 'Missed: update 6.' });
  });

  test('says that the edge left something out', () => {
    const account = accountOf([3, 0]);
    account.reset('retention');
    account.update({ seq: 9, prev_seq: 8 });
    expect(account.verdict({ continuity: { kind: 'reset', reason: 'retention' }, isEnded: false })).toEqual({
      kind: 'told',
      text: 'The edge left something out and said so (retention).',
    });
  });
});

describe('the connection', () => {
  const viewOf = () => {
    const line = { textContent: '', dataset: {} } as unknown as HTMLElement;
    const said: string[] = [];
    const clock = { ms: 0 };
    const view = new ConnectionView(
      line,
      (text) => said.push(text),
      () => clock.ms,
    );
    return { line, said, clock, view };
  };

  test('counts the returns, and what came with them', () => {
    const { line, said, clock, view } = viewOf();
    for (const state of ['connecting', 'open', 'open'] as const) view.is(state);
    view.updated();
    view.look(true);
    expect(said).toEqual([]);
    view.is('waiting');
    clock.ms = 1_460;
    for (const state of ['connecting', 'waiting', 'connecting', 'open'] as const) view.is(state);
    view.look(false);
    view.updated();
    view.updated();
    view.look(true);
    view.updated();
    view.look(true);
    expect(said).toEqual([
      'The connection is lost.',
      'Back after 1.5 s.',
      'What had happened meanwhile came: 2 updates.',
    ]);
    expect(line.textContent).toBe('Connected · 1 reconnect');
  });

  test('that nobody needs any more is not lost, and the next one is no return', () => {
    const { line, said, view } = viewOf();
    for (const state of ['connecting', 'open', 'idle', 'connecting', 'open'] as const) view.is(state);
    expect(said).toEqual([]);
    expect(line.textContent).toBe('Connected · 0 reconnects');
  });
});

test.each([
  ['report.pdf', 'report.pdf'],
  ['%CE%BB%CF%8C%CE%B3%CE%BF%CF%82.txt', 'λόγος.txt'],
  ['..%2F..%2Fetc%2Fpasswd', 'passwd'],
  ['C%3A%5Ctemp%5Cnotes.txt', 'notes.txt'],
  ['..', 'document'],
  ['%2F', 'document'],
  ['', 'document'],
  [undefined, 'document'],
  ['a%00b%0d%0ac.txt', 'a b c.txt'],
  ['evil%E2%80%AEfdp.exe', 'evil fdp.exe'],
  ['%20%20', 'document'],
  ['x'.repeat(500), `${'x'.repeat(119)}…`],
  [encodeURIComponent('😀'.repeat(200)), `${'😀'.repeat(119)}…`],
  ['<img src=x>', '<img src=x>'],
])('the name of a document: %j is %j', (header, expected) => {
  expect(documentName(header)).toBe(expected);
});

test('a name that is no text is refused', () => {
  expect(() => documentName('%ff')).toThrow(Problem);
});

describe('a document that is sent', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headway-upload-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const receive = (...chunks: string[]): Promise<number> => {
    const request = Object.assign(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), { headers: {} });
    return receiveDocument(request as unknown as IncomingMessage, join(folder, 'document'), 'a.txt');
  };

  test('is there with its pages', async () => {
    expect(await receive('one page\f', 'another one\f')).toBe(2);
    await rm(join(folder, 'document'));
  });

  test.each([
    ['pages that its author has ended', ['page\f'.repeat(3_000), 'page\f'.repeat(2_001)]],
    ['pages that are full', ['\nline'.repeat(250_050)]],
    ['ends of pages alone', ['\f'.repeat(5_000)]],
  ])('is refused, and gone, with too many %s', async (_what, chunks) => {
    await expect(receive(...chunks)).rejects.toMatchObject({ status: 413, code: 'too_many_pages' });
    expect(await readdir(folder)).toEqual([]);
  });
});

test('a document for which no worker can be started fails, and is gone', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'headway-upload-'));
  try {
    const said: string[] = [];
    const told = deferred<Record<string, unknown>>();
    const publish = async (_subject: string, event: string) => told.resolve(JSON.parse(event));
    const documents = new Documents({
      folder,
      pageMs: 0,
      signal: new AbortController().signal,
      say: (text) => said.push(text),
      workers: { run: () => Promise.reject(new Error('EAGAIN')) } as unknown as Workers,
      nats: { connection: { jetstream: () => ({ publish }) } } as unknown as Nats,
    });
    const { id } = await documents.take('a.txt', async (path) => {
      await writeFile(path, 'text');
      return 1;
    });
    expect(await told.promise).toMatchObject({
      processing_id: id,
      status: 'error',
      error: { code: 'worker_failed' },
    });
    expect(said).toEqual(['No worker could be started for a.txt: EAGAIN']);
    await expect.poll(() => readdir(folder)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('what cannot be sent is refused in words: a folder, or too much', async () => {
  await checkFile(new File(['text'], 'a.txt'));
  await checkFile(new File([], 'empty.txt'));
  const folder = {
    name: 'papers',
    size: 4_096,
    slice: () => ({ arrayBuffer: () => Promise.reject(new Error()) }),
  };
  await expect(checkFile(folder as unknown as File)).rejects.toThrow(/"papers" cannot be read.*no folder/);
  const large = { name: 'large.pdf', size: 32 * 1024 * 1024 + 1 };
  await expect(checkFile(large as File)).rejects.toThrow(/"large.pdf" is too large/);
});

test.each<[string, NodeJS.Platform, Record<string, string>, string | undefined]>([
  ['a desktop', 'linux', { DISPLAY: ':0' }, 'xdg-open'],
  ['a desktop with Wayland', 'linux', { WAYLAND_DISPLAY: 'wayland-0' }, 'xdg-open'],
  ['a server', 'linux', {}, undefined],
  ['a machine of CI', 'linux', { DISPLAY: ':99', CI: 'true' }, undefined],
  ['a Mac', 'darwin', {}, 'open'],
  ['a Mac far away', 'darwin', { SSH_CONNECTION: '1 2 3 4' }, undefined],
  ['something else', 'win32', {}, undefined],
])('a browser is opened where there is one: %s', (_what, platform, env, expected) => {
  expect(opener(platform, env)).toBe(expected);
});

test('the options of the page', () => {
  const read = (env: Record<string, string>) => {
    const result = readOptions([], env);
    if (result.kind === 'help') throw new Error('help was not asked for');
    return { ...result.options, problems: result.problems };
  };
  expect(read({})).toMatchObject({
    stay: false,
    sitePort: 0,
    opensBrowser: true,
    pageMs: 150,
    uploadPageMs: 500,
  });
  expect(read({ PAGE_MS: '20' })).toMatchObject({ pageMs: 20, uploadPageMs: 20 });
  expect(read({ STAY: '1', DEMO_PORT: '8090', DEMO_OPEN: 'off' })).toMatchObject({
    stay: true,
    sitePort: 8_090,
    opensBrowser: false,
  });
  expect(read({ DEMO_PORT: '99999' }).problems).toEqual([expect.stringContaining('DEMO_PORT is "99999"')]);
});
