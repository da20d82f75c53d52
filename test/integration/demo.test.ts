/** The demo as its users run it: the built program in a process of its own, here without a terminal. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compare, type Stored } from '../../demo/verify.js';
import type { ProgressUpdate } from '../../schemas/frames.js';
import { Child } from '../harness/child.js';
import { WsClient } from '../harness/client.js';
import { uniqueId } from '../harness/ids.js';
import { natsBinary } from '../harness/nats-binary.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, storedEvents } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';
import { guardedFolder } from '../harness/watchdog.js';

const DEMO = fileURLToPath(new URL('../../dist/cmd/demo.js', import.meta.url));
const MARK = 'DEMO_TEST_MARK';
type Env = Record<string, string | undefined>;
type Ended = { code: number | null; output: string };
/** Sooner everything has to be gone after a Ctrl-C: nobody is waited for, and an edge gives its clients 5 s. */
const END_MS = 4_500;
let folder: Awaited<ReturnType<typeof guardedFolder>>;
/** The demo's TMPDIR: what is left in it was left behind. */
let temporary: string;
let mark: string;
let demo: Child | undefined;

beforeEach(async () => {
  folder = await guardedFolder('headway-demo-test');
  temporary = join(folder.path, 'tmp');
  await mkdir(temporary);
  mark = uniqueId('mark');
});

afterEach(async () => {
  await demo?.kill();
  await folder.remove();
});

describe('the demo', () => {
  test('processes the documents it comes with, cuts its connection, resumes and loses nothing', async () => {
    const { code, output } = await run([]);

    expect(code, output).toBe(0);
    expect(output).toContain('paced to 150 ms a page so that you can watch; PAGE_MS=0 for full speed');
    expect(output).toMatch(/ws:\/\/127\.0\.0\.1:\d+\/ws\/upload-progress\?job_type=document\n/);
    expect(output).toMatch(/ws:\S+\/ws\/upload-progress\/field-guide-to-waiting-pdf-[0-9a-f]{6}\n/);
    expect(output).toMatch(/curl http:\/\/127\.0\.0\.1:\d+\/readyz\n/);

    // For each document its opening, its pages and its result.
    const total = 2 + 14 + 2 + 12;
    const { missed, all } = updates(output);
    expect(all).toEqual(Array.from({ length: total }, (_, index) => index + 1));
    expect(missed.length).toBeGreaterThan(2);
    expect(output).toContain(
      `Connection cut after seq 15, back with last_seq=15: missed ${missed.length} updates ` +
        `(seq 16–${missed.at(-1)}), got all ${missed.length}, in order, each once.`,
    );
    expect(output).toMatch(/field-guide-to-waiting\.pdf {2}14 pages, 4,\d{3} words, \d\.\d\d s \(/);
    expect(output).toMatch(/station-book\.txt {12}12 pages, 4,\d{3} words, \d\.\d\d s \(/);
    expect(output).toContain(`exactly the ${total} events that JetStream stored, in order: nothing lost`);
    await expectNothingLeft(output);
  });

  test('at full speed, with the work done before the client is back, misses the second half and gets it', async () => {
    const { code, output } = await run([], { PAGE_MS: '0' });

    expect(code, output).toBe(0);
    expect(output).toContain('back with last_seq=15: missed 15 updates (seq 16–30), got all 15, in order');
    expect(output).toContain('exactly the 30 events');
  });

  test('processes files of its user, and one that is no document does not stop the others', async () => {
    const first = await file('my notes.txt', 'One page\fTwo pages\fThree pages here');
    const damaged = await file('cut.pdf', '%PDF-1.7\n1 0 obj\n');
    const last = await file('λόγος.txt', 'the end');
    const { code, output } = await run([first, damaged, last], { PAGE_MS: '0' });

    expect(code, output).toBe(0);
    expect(output).toMatch(/ 75% {2}my notes\.txt {2}page 3 of 3: Three pages here\n/);
    expect(output).toMatch(/my notes\.txt {2}3 pages, 7 words, /);
    expect(output).toMatch(/ 0% {2}cut\.pdf {7}damaged_pdf: .*cut\.pdf" is a damaged PDF: .*\n/);
    expect(output).toMatch(/cut\.pdf {7}failed: .*no %%EOF/);
    expect(output).toMatch(/λόγος\.txt {5}1 page, 2 words, /);
    expect(output).toContain('exactly the 10 events');
  });

  test('with one document that cannot be processed still cuts, resumes and tells', async () => {
    const { code, output } = await run([await file('empty.txt', '')], { PAGE_MS: '0' });

    expect(code, output).toBe(0);
    expect(output).toContain('back with last_seq=1: missed 1 update (seq 2), got it.');
    expect(output).toContain('exactly the 2 events');
  });

  test('uses the server at NATS_URL and leaves the events there', async () => {
    await using nats = await startNats();
    const { code, output } = await run([], { PAGE_MS: '0', NATS_URL: nats.url });

    expect(code, output).toBe(0);
    expect(output).toContain(`${nats.url} (from NATS_URL`);
    await using connection = await connectNats(nats.url);
    const stored = await storedEvents(connection, 'PROGRESS');
    expect(stored.map(({ seq }) => seq)).toEqual(updates(output).all);
    expect(stored.at(-1)?.json).toMatchObject({
      job_type: 'document',
      status: 'completed',
      progress: 100,
      result: { pages: 12, words: expect.any(Number), seconds: expect.any(Number), longest_page: 11 },
    });
    expect(await markedProcesses()).toEqual([]);
  });
});

describe('what the demo cannot do it explains, and leaves nothing behind', () => {
  test('files that cannot be read, all of them, before anything is started', async () => {
    const good = await file('good.txt', 'words');
    const ended = await run([good, join(temporary, 'nope.pdf'), temporary], { PAGE_MS: 'fast' });

    expect(ended.output).toContain('PAGE_MS is "fast"');
    expect(ended.output).toContain('nope.pdf" does not exist');
    expect(ended.output).toContain(`"${temporary}" is a folder`);
    expect(ended.output).not.toContain('nats-server');
    await expectExplained(ended, /Nothing was started/);
  });

  test.each<[string, Env, RegExp]>([
    ['no nats-server', { NATS_SERVER_BIN: undefined, PATH: '/nowhere' }, /no nats-server on the PATH/],
    ['a NATS_SERVER_BIN that is none', { NATS_SERVER_BIN: DEMO }, /NATS_SERVER_BIN is .*started \(EACCES\)/],
    ['a NATS_URL where nobody is', { NATS_URL: 'nats://127.0.0.1:1' }, /Cannot reach NATS .*refused/],
  ])('%s', async (_what, env, explanation) => {
    await expectExplained(await run([], env), explanation);
  });

  test('an edge that does not start', async () => {
    await using nats = await startNats();
    const PORT = String(nats.port);
    await expectExplained(
      await run([], { PORT }),
      /headway edge: Cannot listen on .*\n.*\n.*The demo took the port/,
    );
  });
});

describe('the end of the demo', () => {
  test('Ctrl-C in the middle ends everything, with somebody connected', async () => {
    const child = await start([], { PAGE_MS: '150' });
    await untilLine(child, /^ +4 {2}\[/);
    const url = /ws:\/\/\S+\/ws\/upload-progress\/\S+/.exec(child.output())?.[0] ?? '';
    await using client = await WsClient.connect(url);
    await client.updates(2);

    await expectQuickEnd(child);
    await client.closed;
  });

  test.each([
    ['nothing is started', /^ {2}documents /],
    ['NATS is started', /^ {2}NATS /],
    ['the edge is started', /^ {2}edge /],
    ['the client is away', /cuts its own connection/],
  ])('Ctrl-C as soon as %s', async (_when, pattern) => {
    // Slow enough that it cannot be over before the signal comes, however late the line is read.
    const child = await start([], { PAGE_MS: '150' });
    await untilLine(child, pattern);
    await expectQuickEnd(child);
  });

  test('a demo that is killed takes everything along', async () => {
    const child = await start([], { PAGE_MS: '150' });
    await untilLine(child, /^ +3 {2}\[/);
    if (existsSync('/proc')) expect((await markedProcesses()).length).toBeGreaterThan(3);

    await child.kill();
    await waitFor(async () => (await markedProcesses()).length === 0, { what: 'the children to end' });
    await waitFor(async () => (await readdir(temporary)).length === 0, { what: 'the folder to be removed' });
    await expectNothingLeft(child.output());
  });
});

describe('the comparison at the end', () => {
  const update = (seq: number, fields: Partial<ProgressUpdate> = {}): ProgressUpdate => ({
    ...{ type: 'progress_update', seq, prev_seq: seq - 1, processing_id: 'a', status: 'processing' },
    ...{ progress: seq, timestamp: '2026-01-01T00:00:00Z' },
    ...fields,
  });
  const [one, two, three] = [update(1), update(2), update(3)] as const;
  const events = [one, two, three].map(({ seq, prev_seq: _prev, type: _type, ...event }) => {
    return { seq, processingId: 'a', event };
  });
  const stored: Stored = { events, keptPerJob: 1_000 };
  const trimmed: Stored = { events: events.slice(2), keptPerJob: 1 };
  const altered = update(2, { progress: 9 });
  const afterReset = update(3, { prev_seq: null });

  test.each<[string, boolean, Stored, ProgressUpdate[], string[], string]>([
    ['all is well', true, stored, [one, two, three], [], 'exactly the 3 events'],
    ['one is missing', false, stored, [one, three], [], 'stored but never received: seq 2'],
    ['one came twice', false, stored, [one, two, three, three], [], 'more than once: seq 3'],
    ['the order is another', false, stored, [one, three, two], [], 'after a later one: seq 2'],
    ['one is not stored', false, stored, [one, two, three, update(4)], [], 'not stored: seq 4'],
    ['one is altered', false, stored, [one, altered, three], [], 'content than stored: seq 2'],
    ['a reset told of a gap', true, stored, [one, afterReset], ['retention'], 'left out 1 event (seq 2)'],
    ['JetStream let go of some', true, trimmed, [one, two, three], [], '2 older events'],
    ['one of those is missing', false, trimmed, [one, three], [], 'the one before it: seq 3'],
  ])('%s', (_what, isFine, known, received, resets, text) => {
    const result = compare(known, received, resets);
    expect(result.isFine).toBe(isFine);
    expect(result.lines.join('\n')).toContain(text);
  });
});

async function file(name: string, content: string): Promise<string> {
  const path = join(folder.path, name);
  await writeFile(path, content);
  return path;
}

/** Starts the demo with nothing in its environment that could make it another one than on a user's machine. */
async function start(files: string[], env: Env = {}) {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(HEADWAY_|NATS_|VITEST|NODE_OPTIONS$|NODE_ENV$|TEST$|PORT$|PAGE_MS$|VERBOSE$)/.test(name),
  );
  const NATS_SERVER_BIN = (await natsBinary()).path;
  const all = { ...Object.fromEntries(inherited), NATS_SERVER_BIN, TMPDIR: temporary, [MARK]: mark, ...env };
  const defined = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  demo = await Child.spawn('demo', process.execPath, [DEMO, ...files], defined);
  return demo;
}

async function run(files: string[], env: Env = {}): Promise<Ended> {
  const child = await start(files, env);
  const { code } = await child.exited;
  return { code, output: `${child.output()}\n` };
}

/** The sequences that the screen showed: all in their order, those that came live, and those that were missed. */
function updates(output: string): { all: number[]; live: number[]; missed: number[] } {
  const shown = [...output.matchAll(/^([> ]) +(\d+) {2}\[[#.]{10}\]/gm)];
  const seqs = (list: typeof shown) => list.map(([, , seq]) => Number(seq));
  const by = (sign: string) => seqs(shown.filter((match) => match[1] === sign));
  return { all: seqs(shown), live: by(' '), missed: by('>') };
}

async function untilLine(child: Child, pattern: RegExp): Promise<void> {
  await child.line((line) => pattern.test(line) || undefined, String(pattern));
}

async function expectQuickEnd(child: Child): Promise<void> {
  const began = performance.now();
  child.signal('SIGINT');
  const { code } = await child.exited;
  expect(performance.now() - began).toBeLessThan(END_MS);
  expect(code, child.output()).toBe(0);
  expect(child.output()).toContain('Stopped.');
  await expectNothingLeft(child.output());
}

async function expectExplained({ code, output }: Ended, explanation: RegExp): Promise<void> {
  expect(code, output).toBe(1);
  expect(output).toMatch(/^headway demo: /m);
  expect(output).toMatch(explanation);
  expect(output).not.toMatch(/^ +at /m);
  await expectNothingLeft(output);
}

/** No process, no folder, and nobody on the ports that the output names. */
async function expectNothingLeft(output: string): Promise<void> {
  expect(await markedProcesses()).toEqual([]);
  expect(await readdir(temporary)).toEqual([]);
  for (const [line, port] of output.matchAll(/^ {2}(?:NATS|edge) .*127\.0\.0\.1:(\d+)/gm)) {
    expect(await isListening(Number(port)), line).toBe(false);
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** The command lines of the processes that this test's demo started, where the system shows environments. */
async function markedProcesses(): Promise<string[]> {
  if (!existsSync('/proc/self/environ')) return [];
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    if (!environment.includes(`${MARK}=${mark}\0`)) continue;
    found.push((await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' '));
  }
  return found;
}
