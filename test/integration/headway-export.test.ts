/** `headway export`, as the process that an operator starts, over a real stream. */
import { mkdtemp, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { epochOf } from '../../internal/jetstream/stream.js';
import {
  type Ended,
  headway,
  natsEnv,
  startHeadway,
  startHeadwayAtTerminal,
} from '../harness/headway-command.js';
import { uniqueId } from '../harness/ids.js';
import {
  createStream,
  deleteStreams,
  event,
  publish,
  publishAll,
  publishRaw,
  storedEvents,
} from '../harness/publish.js';
import { freshStream, sharedNats } from '../harness/shared-nats.js';

interface Line {
  seq: number;
  epoch: string;
  stored_at: string;
  event?: { processing_id: string; [field: string]: unknown };
  subject?: string;
  invalid?: { reason: string; detail: string };
  body_base64?: string;
}

const shared = sharedNats();
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headway-export-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(() => freshStream(shared));

const file = (): string => join(folder, `${uniqueId('export')}.ndjson`);
const run = (...args: string[]): Promise<Ended> =>
  headway(['export', ...args], { env: natsEnv(shared.nats.url) });

function linesOf(text: string): Line[] {
  expect(text === '' || text.endsWith('\n')).toBe(true);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}
const seqsOf = (text: string): number[] => linesOf(text).map(({ seq }) => seq);

/** Some events of three jobs, and three messages that are none. */
async function fill(): Promise<void> {
  for (let i = 0; i < 4; i++) await publish(shared.nc, 'a', { progress: i, job_type: 'pdf.ocr' });
  await publishRaw(shared.nc, 'progress.a', 'no JSON');
  await publish(shared.nc, 'b', { job_type: 'video' });
  await publish(shared.nc, 'b', { job_type: 'video', status: 'error', error: { code: 'e' } });
  await publishRaw(shared.nc, 'progress.c', JSON.stringify(event('a')));
  await publishRaw(shared.nc, 'progress.c', new Uint8Array([0xff, 0x00, 0x0a]));
  await publish(shared.nc, 'a', { status: 'completed', progress: 100, job_type: 'pdf.ocr' });
}

describe('every stored message is a line', () => {
  test('in the order of the stream, events to the letter and what is no event with the reason', async () => {
    await fill();
    await publishRaw(
      shared.nc,
      'progress.d',
      JSON.stringify(event('d', { n: 1 }), null, 2).replace('"n": 1', '"n": 12345678901234567890.10'),
    );
    const stored = await storedEvents(shared.nc, 'PROGRESS');
    const { code, stdout, stderr } = await run();
    expect(code).toBe(0);
    const lines = linesOf(stdout);
    expect(lines.map(({ seq }) => seq)).toEqual(stored.map(({ seq }) => seq));
    const epoch = epochOf(await shared.jsm.streams.info('PROGRESS'));
    for (const [at, { epoch: own, event: exported, body_base64, subject, stored_at }] of lines.entries()) {
      expect(own).toBe(epoch);
      expect(Date.parse(stored_at)).toBeGreaterThan(Date.now() - 60_000);
      if (exported !== undefined) expect(exported).toEqual(stored[at]?.json);
      else {
        expect(subject).toBe(stored[at]?.subject);
        expect(Buffer.from(body_base64 ?? '', 'base64')).toEqual(Buffer.from(stored[at]?.raw ?? []));
      }
    }
    expect(stdout).toContain('12345678901234567890.10');
    expect(lines.flatMap(({ invalid }) => invalid?.reason ?? [])).toEqual([
      'not_json',
      'subject_mismatch',
      'not_utf8',
    ]);
    expect(stderr).toMatch(
      /^headway: exported 8 events to stdout .*; 3 messages that are no events are among/,
    );
  });

  test('but for what was not asked for, which is counted', async () => {
    await fill();
    const valid = await run('--valid-only');
    expect(linesOf(valid.stdout).every(({ invalid }) => invalid === undefined)).toBe(true);
    expect(valid.stderr).toContain('exported 7 events');
    expect(valid.stderr).toContain('3 messages that are no events were left out');

    const ofOne = await run('a');
    expect(seqsOf(ofOne.stdout)).toEqual([1, 2, 3, 4, 5, 10]);
    expect(ofOne.stderr).toContain('; 1 message that is no event is among the lines');
    expect(seqsOf((await run('--job-type', 'video')).stdout)).toEqual([6, 7]);
    const failed = await run('--status', 'error', '--status', 'completed');
    expect(seqsOf(failed.stdout)).toEqual([7, 10]);
    expect(failed.stderr).toContain('3 messages that are no events were left out; 5 events not asked for');
    expect(seqsOf((await run('--start-sequence', '9')).stdout)).toEqual([9, 10]);
    const times = linesOf((await run()).stdout).map(({ stored_at }) => stored_at);
    const from = times[3] as string;
    const until = times[6] as string;
    const within = seqsOf((await run('--since-time', from, '--until', until)).stdout);
    expect(within).toEqual(
      times.flatMap((time, at) => (time >= from && Date.parse(time) <= Date.parse(until) ? [at + 1] : [])),
    );
    expect(seqsOf((await run('--since', '1h')).stdout)).toHaveLength(10);
    expect((await run('--until', '1h')).stdout).toBe('');
  });

  test('a stream that is empty is none', async () => {
    expect(await run()).toMatchObject({ code: 0, stdout: '' });
  });
});

describe('a file', () => {
  test('that was torn anywhere is gone on with to the same as one that never was', async () => {
    await fill();
    const whole = file();
    expect((await run('--to', whole)).code).toBe(0);
    const text = await readFile(whole, 'utf8');
    expect(seqsOf(text)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    for (const at of [0, 1, 40, text.indexOf('\n'), text.indexOf('\n') + 1, text.length - 1, text.length]) {
      const partialBytes = file();
      await writeFile(partialBytes, text);
      await truncate(partialBytes, at);
      const { code, stdout } = await run('--to', partialBytes, '--resume');
      expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
      expect(await readFile(partialBytes, 'utf8')).toBe(text);
    }
  });

  test('gets what has come since, as often as it is asked for', async () => {
    const path = file();
    expect((await run('--to', path, '--resume')).code).toBe(0);
    for (let round = 0; round < 3; round++) {
      await publish(shared.nc, 'a');
      await publish(shared.nc, 'b');
      const { stderr } = await run('--to', path, '--resume');
      expect(stderr).toContain('exported 2 events');
    }
    const { stderr } = await run('--to', path, '--resume');
    expect(stderr).toContain('exported 0 events');
    expect(stderr).toContain('the file goes up to seq 6');
    expect(seqsOf(await readFile(path, 'utf8'))).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test.each<[what: string, before: () => Promise<unknown>, told: RegExp, code: number, args: string[]]>([
    [
      'of another incarnation of the stream',
      async () => {
        await deleteStreams(shared.nc, shared.nats);
        await createStream(shared.nc);
        for (let i = 0; i < 5; i++) await publish(shared.nc, 'a');
      },
      /is of another incarnation of the stream PROGRESS \(its epoch is "[a-z0-9]+", the stream's is [a-z0-9]+\)/,
      2,
      [],
    ],
    [
      'of another job',
      () => publish(shared.nc, 'b'),
      /is not of the job b: its last line is of "a"/,
      2,
      ['b'],
    ],
    [
      'before messages that are gone',
      async () => {
        for (let i = 0; i < 5; i++) await publish(shared.nc, 'a');
        await shared.jsm.streams.purge('PROGRESS', { seq: 5 });
      },
      /What follows seq 3, the last in .*, is not all kept any more in the stream PROGRESS\. .*--allow-gap/,
      1,
      [],
    ],
    [
      'before messages of its job that are gone',
      async () => {
        for (let i = 0; i < 5; i++) await publish(shared.nc, 'a');
        await shared.jsm.streams.purge('PROGRESS', { seq: 5 });
      },
      /is not all kept any more/,
      1,
      ['a'],
    ],
  ])('%s is refused and stays as it is', async (_what, before, told, code, args) => {
    const path = file();
    for (let i = 0; i < 3; i++) await publish(shared.nc, 'a');
    await run('--to', path);
    const text = await readFile(path, 'utf8');
    await before();
    const refused = await run(...args, '--to', path, '--resume');
    expect(refused.stderr).toMatch(told);
    expect(refused).toMatchObject({ code, stdout: '' });
    expect(await readFile(path, 'utf8')).toBe(text);
    if (code !== 1) return;
    expect((await run(...args, '--to', path, '--resume', '--allow-gap')).code).toBe(0);
    expect(seqsOf(await readFile(path, 'utf8'))).toEqual([1, 2, 3, 5, 6, 7, 8]);
  });

  test('of one job is gone on with where nothing of the job is missing, whatever other jobs have lost before', async () => {
    await deleteStreams(shared.nc, shared.nats);
    await createStream(shared.nc, 'PROGRESS', { max_msgs_per_subject: 1 });
    const path = file();
    // Seq 2 leaves the middle of the stream, for 3.
    for (const job of ['first', 'b', 'b', 'a']) await publish(shared.nc, job);
    expect((await run('a', '--to', path)).code).toBe(0);
    // The last line's own message leaves, and nothing lies between it and the next.
    await publish(shared.nc, 'a');
    expect(await run('a', '--to', path, '--resume')).toMatchObject({ code: 0 });
    expect(seqsOf(await readFile(path, 'utf8'))).toEqual([4, 5]);
    // Now one of its own does.
    for (let i = 0; i < 2; i++) await publish(shared.nc, 'a');
    expect((await run('a', '--to', path, '--resume')).stderr).toMatch(/is not all kept any more/);
  });

  test('of one job is not made one of all jobs, nor the other way round', async () => {
    const [one, all] = [file(), file()];
    await publish(shared.nc, 'a');
    await run('a', '--to', one);
    // Nobody else has been there yet: it is one of all jobs as well.
    expect(await run('--to', one, '--resume')).toMatchObject({ code: 0 });
    await publish(shared.nc, 'b');
    await publish(shared.nc, 'a');
    await run('a', '--to', one, '--resume');
    await run('--to', all);
    const texts = await Promise.all([one, all].map((path) => readFile(path, 'utf8')));
    await publish(shared.nc, 'b');
    const mixed = await run('--to', one, '--resume');
    expect(mixed).toMatchObject({ code: 2, stdout: '' });
    expect(mixed.stderr).toMatch(/is of the job "a" alone, and not of all: name the job/);
    const holed = await run('a', '--to', all, '--resume');
    expect(holed).toMatchObject({ code: 2, stdout: '' });
    expect(holed.stderr).toMatch(/is not of the job a: it has lines of others/);
    expect(await Promise.all([one, all].map((path) => readFile(path, 'utf8')))).toEqual(texts);
    // With a filter one job may be all there was, and --allow-gap takes what is there.
    expect(await run('--to', one, '--resume', '--status', 'error')).toMatchObject({ code: 0 });
    expect(await run('--to', one, '--resume', '--allow-gap')).toMatchObject({ code: 0 });
    expect(seqsOf(await readFile(one, 'utf8'))).toEqual([1, 3, 4]);
  });

  test('behind a link is made where the link says, or the link is named', async () => {
    await publish(shared.nc, 'a');
    const [target, monitor, lost] = [file(), file(), file()];
    await symlink(target, monitor);
    expect(await run('--to', monitor)).toMatchObject({ code: 0 });
    expect(seqsOf(await readFile(target, 'utf8'))).toEqual([1]);
    await symlink('/no/such/disk', lost);
    for (const args of [[], ['--resume'], ['--overwrite']]) {
      const { code, stderr } = await run('--to', lost, ...args);
      expect(stderr).toContain('(a link to /no/such/disk): its folder is not there (ENOENT)');
      expect(code).toBe(5);
    }
  });

  test('that is there already needs a word, and one that is no export is left alone', async () => {
    await publish(shared.nc, 'a');
    const path = file();
    await writeFile(path, 'my notes');
    for (const [args, told] of [
      [[], /is there already: --resume goes on with it, --overwrite/],
      [['--resume'], /is not an export of headway/],
    ] as const) {
      const { code, stderr } = await run('--to', path, ...args);
      expect(stderr).toMatch(told);
      expect(code).toBe(2);
      expect(await readFile(path, 'utf8')).toBe('my notes');
    }
    expect((await run('--to', path, '--overwrite')).code).toBe(0);
    expect(seqsOf(await readFile(path, 'utf8'))).toEqual([1]);
  });

  test('that is stopped by a signal ends with a whole line, and is gone on with', async () => {
    const events = Array.from({ length: 20_000 }, (_, i) =>
      event(`job-${i % 50}`, { message: 'x'.repeat(200) }),
    );
    await publishAll(shared.nc, events, 5_000);
    const path = file();
    await using command = startHeadway(['export', '--to', path], { env: natsEnv(shared.nats.url) });
    await expect
      .poll(async () => (await stat(path).catch(() => null))?.size ?? 0, { timeout: 15_000, interval: 1 })
      .toBeGreaterThan(0);
    command.signal('SIGINT');
    const { code, stdout, stderr } = await command.ended();
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    expect(stderr).toMatch(/^headway: stopped; .* is whole up to seq \d+, and --resume goes on\n$/);
    const seqs = seqsOf(await readFile(path, 'utf8'));
    expect(seqs).toEqual(seqs.map((_, at) => at + 1));
    expect((await run('--to', path, '--resume')).code).toBe(0);
    expect(seqsOf(await readFile(path, 'utf8'))).toEqual(events.map((_, at) => at + 1));
  });
});

describe('what goes wrong is one clear line, with its exit code', () => {
  test.each<[what: string, args: string[], told: RegExp, code: number]>([
    ['an unknown job', ['nobody'], /keeps nothing of the job nobody/, 3],
    ['no such stream', ['--stream', 'OTHER'], /There is no stream OTHER/, 3],
    ['--resume without a file', ['--resume'], /--resume is for a file: name it with --to FILE/, 2],
    ['a job that can be none', ['a.b'], /Expected a job's processing_id/, 2],
    ['two beginnings', ['--since', '1h', '--start-sequence', '3'], /do not go together/, 2],
    [
      'a folder that is not there',
      ['--to', '/no/such/a'],
      /a: its folder is not there \(ENOENT\)\. Nothing/,
      5,
    ],
    [
      'a folder instead of a file',
      ['--to', '/'],
      /Cannot write to \/: it is a folder \(EISDIR\)\. Nothing/,
      5,
    ],
    ['no NATS', ['-s', 'nats://127.0.0.1:1'], /Cannot reach NATS at nats:\/\/127\.0\.0\.1:1/, 4],
  ])('%s', async (_what, args, told, code) => {
    await publish(shared.nc, 'a');
    const ended = await run(...args);
    expect(ended.stderr).toMatch(told);
    expect(ended.stderr).toMatch(/^headway: [^\n]+\n$/);
    expect(ended).toMatchObject({ code, stdout: '' });
  });

  test('a full disk behind stdout, and behind a file', async () => {
    await publish(shared.nc, 'a');
    const piped = await headway(['export'], { env: natsEnv(shared.nats.url), stdoutFile: '/dev/full' });
    expect(piped.stderr).toMatch(/Cannot write to the standard output: the disk is full/);
    expect(piped.code).toBe(5);
    const filed = await run('--to', '/dev/full');
    expect(filed.stderr).toMatch(/Cannot write to \/dev\/full: the disk is full/);
    expect(filed.code).toBe(5);
  });

  test('a broken pipe is none', async () => {
    await publishAll(
      shared.nc,
      Array.from({ length: 3_000 }, (_, i) => event(`job-${i % 50}`, { message: 'x'.repeat(200) })),
    );
    await using command = startHeadway(['export'], { env: natsEnv(shared.nats.url) });
    await command.shows('{"seq":1,');
    command.closeStdout();
    expect(await command.ended()).toMatchObject({ code: 0 });
  });
});

test('nothing is left behind, and nothing in the stream has moved', async () => {
  await fill();
  const before = (await shared.jsm.streams.info('PROGRESS')).state;
  await run();
  await run('a', '--to', file());
  const { consumer_count, ...state } = (await shared.jsm.streams.info('PROGRESS')).state;
  expect(state).toEqual({ ...state, messages: before.messages, last_seq: before.last_seq });
  expect(consumer_count).toBe(0);
});

test('at a terminal the progress is on stderr only', async () => {
  await publishAll(
    shared.nc,
    Array.from({ length: 20_000 }, (_, i) => event(`job-${i % 50}`)),
    5_000,
  );
  await using command = startHeadwayAtTerminal(['export', '--to', file()], { env: natsEnv(shared.nats.url) });
  const { code, stdout } = await command.ended();
  expect(code).toBe(0);
  expect(stdout).toContain('headway: exported 20,000 events');
});
