/** `headway list`, `stats` and `stalled` read the last state of all jobs, as an operator runs them. */
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aliveBody } from '../../schemas/ids.js';
import { headway, natsEnv, startHeadway } from '../harness/headway-command.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, event, publish, publishRaw } from '../harness/publish.js';

const STREAM = 'PROGRESS';

let nats: NatsServer;
let nc: NatsConnection & AsyncDisposable;
let env: Record<string, string>;
const newest: Record<string, number> = {};

beforeAll(async () => {
  nats = await startNats();
  nc = await connectNats(nats.url);
  env = natsEnv(nats.url);
  await createStream(nc, STREAM);
  await publish(nc, 'scan-1', { job_type: 'pdf.ocr', progress: 5 });
  newest['scan-1'] = await publish(nc, 'scan-1', {
    job_type: 'pdf.ocr',
    progress: 33.3,
    message: 'page \u001b[31m3\u001b[0m\nof 9',
    step: { name: 'ocr', index: 1, total: 4 },
    stall_after_seconds: 0.001,
  });
  newest['film-1'] = await publish(nc, 'film-1', { job_type: 'video', indeterminate: true, progress: 10 });
  await publishRaw(nc, 'progress.film-1', 'junk');
  newest['film-2'] = await publish(nc, 'film-2', { job_type: 'video', status: 'completed', progress: 100 });
  await publish(nc, 'again', { status: 'error', progress: 50, error: { code: 'E_DISK', retryable: true } });
  newest.again = await publish(nc, 'again', { attempt: 2, progress: 1, message: 'よう'.repeat(60) });
  newest.dead = await publish(nc, 'dead', {
    status: 'error',
    progress: 7,
    error: { code: 'E', message: 'boom' },
  });
  await publishRaw(nc, 'progress.junk', '{"status":');
  // The newest is deleted: servers before 2.11.5 leave such a job out of the last ones.
  newest.trimmed = await publish(nc, 'trimmed', { progress: 1 });
  const deleted = await publish(nc, 'trimmed', { progress: 2 });
  const jsm = await nc.jetstreamManager();
  await jsm.streams.deleteMessage(STREAM, deleted);
});

afterAll(async () => {
  await nc?.close();
  await nats?.[Symbol.asyncDispose]();
});

const ids = (stdout: string): string[] =>
  stdout
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s+/)[0] ?? '');
const JUNK_NOTE = new RegExp(
  '^headway: the newest message of 1 job is not a valid event; what is shown is .*: film-1 \\(.*\\)\n' +
    'headway: 1 job without any valid event is left out: junk \\(.*\\)\n$',
);
const BY_AGE = ['trimmed', 'dead', 'again', 'film-2', 'film-1', 'scan-1'];

describe('headway list', () => {
  test('shows the last state of every job, the newest first, in plain text off a terminal', async () => {
    const { code, stdout, stderr } = await headway(['list'], { env });
    expect(code).toBe(0);
    expect(stderr).toMatch(JUNK_NOTE);
    expect(ids(stdout)).toEqual(BY_AGE);
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(/^JOB +TYPE +STATUS +PROGRESS +ATTEMPT +AGE +MESSAGE$/);
    expect(lines[2]).toMatch(/^dead +- +error +7% +1 +\d+s {2}E: boom$/);
    expect(lines[3]).toMatch(/^again +- +processing +1% +2 +\d+s {2}(よう){60}$/);
    expect(lines[5]).toMatch(/^film-1 +video +processing +… +1 +\d+s$/);
    expect(lines[6]).toMatch(
      /^scan-1 +pdf\.ocr +stalled +33\.3% +1 +\d+s {2}\[1\/4 ocr\] page \[31m3 \[0m of 9$/,
    );
    // Nothing that a terminal would obey, no bars.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for.
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f█░]/);
  });

  test.each<[args: string[], expected: string[]]>([
    [
      ['--job-type', 'video'],
      ['film-2', 'film-1'],
    ],
    [
      ['--job-type', 'video', '--job-type', 'pdf.ocr'],
      ['film-2', 'film-1', 'scan-1'],
    ],
    [['--status', 'error'], ['dead']],
    [
      ['--status', 'finished'],
      ['dead', 'film-2'],
    ],
    [
      ['--status', 'completed', '--status', 'error'],
      ['dead', 'film-2'],
    ],
    [
      ['--status', 'unfinished', '--limit', '2'],
      ['trimmed', 'again'],
    ],
    [['--since', '1h'], BY_AGE],
    [['--since-time', '2100-01-01T00:00:00Z'], []],
  ])('%j', async (args, expected) => {
    const { code, stdout, stderr } = await headway(['list', ...args], { env });
    expect({ code, ids: ids(stdout) }).toEqual({ code: 0, ids: expected });
    if (expected.length === 0) expect(stderr).toMatch(/headway: no jobs\n/);
  });

  test('-o json is one array of updates, the newest first; -o ndjson a line for each', async () => {
    const array = await headway(['list', '-o', 'json'], { env });
    const updates = JSON.parse(array.stdout) as { processing_id: string; seq: number; prev_seq: null }[];
    expect(updates.map(({ processing_id }) => processing_id)).toEqual(BY_AGE);
    for (const { processing_id, seq, prev_seq } of updates) {
      expect({ seq, prev_seq }).toEqual({ seq: newest[processing_id], prev_seq: null });
    }
    const lines = await headway(['list', '-o', 'ndjson'], { env });
    const read = lines.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(new Set(read.map(({ seq }) => seq))).toEqual(new Set(updates.map(({ seq }) => seq)));
    const limited = await headway(['list', '-o', 'ndjson', '--limit', '2', '--timestamps'], { env });
    const two = limited.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(two.map(({ processing_id }) => processing_id)).toEqual(['trimmed', 'dead']);
    expect(two[0].stored_at).toMatch(/^\d{4}-.*Z$/);
    const none = await headway(['list', '-o', 'json', '--job-type', 'none'], { env });
    expect(JSON.parse(none.stdout)).toEqual([]);
  });

  test('-f off a terminal: the jobs, then a line for each change, until Ctrl-C', async () => {
    await using watch = startHeadway(['list', '-f', '--job-type', 'live'], { env });
    await watch.shows(/^JOB .*\n/);
    await publish(nc, 'live-1', { job_type: 'live', progress: 1 });
    await watch.shows(/^live-1 .* 1% .*\n/m);
    await publish(nc, 'other', { progress: 1 });
    await publish(nc, 'live-1', { job_type: 'live', progress: 2, status: 'completed' });
    await watch.shows(/^live-1 .*completed .* 2% .*\n/m);
    watch.signal('SIGINT');
    const { code, stdout } = await watch.ended();
    expect({ code, lines: stdout.trimEnd().split('\n').length }).toEqual({ code: 130, lines: 3 });
    const jsm = await nc.jetstreamManager();
    for (const id of ['live-1', 'other']) await jsm.streams.purge(STREAM, { filter: `progress.${id}` });
  });
});

test('what can name no job is told apart from what names one, with a command that takes it', async () => {
  await using own = await startNats();
  await using to = await connectNats(own.url);
  await createStream(to);
  await publishRaw(to, 'progress.junk', 'junk');
  for (const subject of ['progress.日本語', `progress.${'a'.repeat(200)}`]) {
    await publishRaw(to, subject, JSON.stringify(event('a')));
  }
  const { code, stdout, stderr } = await headway(['list'], { env: natsEnv(own.url) });
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  const [junk, nameless] = stderr.split('\n');
  expect(junk).toMatch(/1 job without any valid event is left out: junk \(headway history ID/);
  expect(nameless).toMatch(
    /2 subjects that can name no job are left out: progress\.日本語, .*\(headway doctor/,
  );
});

describe('headway stats', () => {
  test('counts jobs by status and type, and says what the stream holds', async () => {
    const { code, stdout } = await headway(['stats', '-o', 'json'], { env });
    const stats = JSON.parse(stdout);
    const { state } = await (await nc.jetstreamManager()).streams.info(STREAM);
    expect(code).toBe(0);
    expect(stats.stream).toMatchObject({
      name: STREAM,
      messages: state.messages,
      bytes: state.bytes,
      last_seq: state.last_seq,
    });
    expect(stats.jobs).toMatchObject({
      total: 6,
      finished: 2,
      unfinished: 4,
      by_status: { processing: 4, completed: 1, error: 1, retrying: 0 },
    });
    expect(stats.jobs.by_type).toEqual(
      expect.arrayContaining([
        { job_type: 'video', total: 2, processing: 1, completed: 1, error: 0, retrying: 0 },
        { job_type: null, total: 3, processing: 2, completed: 0, error: 1, retrying: 0 },
      ]),
    );
    expect(stats.events_per_minute.last_60).toBeCloseTo(state.messages / 60, 0);
    expect(stats.scan).toBeUndefined();
  });

  test('--scan counts what is no event, by reason', async () => {
    const { stdout } = await headway(['stats', '--scan', '-o', 'json'], { env });
    const { state } = await (await nc.jetstreamManager()).streams.info(STREAM);
    expect(JSON.parse(stdout).scan).toMatchObject({
      messages: state.messages,
      valid: state.messages - 2,
      invalid: 2,
      invalid_by_reason: { not_json: 2 },
      durations: { jobs: 2, cut: 0, longest_ms: 0 },
    });
    const text = await headway(['stats', '--scan'], { env });
    expect(text.stdout).toMatch(
      /^Stream PROGRESS\n[\s\S]*\nJobs\n[\s\S]*\nScan\n.*: \d+ valid events, 2 invalid$/m,
    );
  });
});

describe('headway stalled', () => {
  const STALLED = ['stalled', '-o', 'json'];
  const silent = (stdout: string): string[] =>
    (JSON.parse(stdout) as { processing_id: string }[]).map(({ processing_id }) => processing_id);

  test('lists unfinished jobs that were silent for longer than they said, and with --after for longer than that', async () => {
    const own = await headway([...STALLED, '--no-listen'], { env });
    expect({ code: own.code, silent: silent(own.stdout) }).toEqual({ code: 0, silent: ['scan-1'] });
    const [{ silent_ms, allowed_ms, seq }] = JSON.parse(own.stdout);
    expect({ allowed_ms, seq, isSilent: silent_ms >= 1 }).toEqual({
      allowed_ms: 1,
      seq: newest['scan-1'],
      isSilent: true,
    });
    const any = await headway([...STALLED, '--no-listen', '--after', '1ms'], { env });
    expect(silent(any.stdout)).toEqual(['scan-1', 'film-1', 'again', 'trimmed']);
    const none = await headway(['stalled', '--no-listen', '--after', '1h'], { env });
    expect(none).toMatchObject({ code: 0, stdout: '' });
    expect(none.stderr).toMatch(/headway: no unfinished job is silent\n$/);
  });

  test('leaves out those whose heartbeats are heard, and says how long it listened', async () => {
    const beat = setInterval(() => {
      nc.publish('alive.progress.scan-1');
      nc.publish('alive.progress.nobody');
      // A worker that lost its job and does not know it.
      nc.publish('alive.progress.again', aliveBody(1));
    }, 20);
    try {
      const heard = await headway(['stalled', '--after', '1ms', '--listen', '1s', '-o', 'json'], { env });
      expect(silent(heard.stdout)).toEqual(['film-1', 'again', 'trimmed']);
      expect(heard.stderr).toMatch(/headway: listened 1\.\ds for heartbeats: of 4 jobs .* 1 is alive\n$/);
      // All of them are heard, so nobody has to wait.
      const all = await headway(['stalled', '--listen', '1h', '-o', 'json'], { env });
      expect(silent(all.stdout)).toEqual([]);
    } finally {
      clearInterval(beat);
    }
  });
});
