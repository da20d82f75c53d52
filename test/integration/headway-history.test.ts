/** `headway get`, `history` and `tail`: the events of jobs, as an operator runs them. */
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { headway, natsEnv, startHeadway } from '../harness/headway-command.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, event, publish, publishRaw } from '../harness/publish.js';

const STREAM = 'PROGRESS';
const BIG = '123456789012345678901234567890';

let nats: NatsServer;
let nc: NatsConnection & AsyncDisposable;
let env: Record<string, string>;

beforeAll(async () => {
  nats = await startNats();
  nc = await connectNats(nats.url);
  env = natsEnv(nats.url);
  await createStream(nc, STREAM, { max_msgs_per_subject: 4 });
  await publish(nc, 'a', { progress: 0 }); // 1
  await publish(nc, 'a', { status: 'error', progress: 40, error: { code: 'E_NET', retryable: true } }); // 2
  await publish(nc, 'b', { progress: 1 }); // 3
  await publishRaw(nc, 'progress.a', 'junk \u001b[2J'); // 4
  const body = JSON.stringify(
    event('a', {
      attempt: 2,
      progress: 50,
      message: 'half\nway',
      step: { name: 'two', index: 2, total: 4 },
      eta_seconds: 90,
    }),
  );
  await publishRaw(nc, 'progress.a', `${body.slice(0, -1)},\n"mine": ${BIG}}`); // 5
});

afterAll(async () => {
  await nc?.close();
  await nats?.[Symbol.asyncDispose]();
});

describe('headway get', () => {
  test('shows what the job last said, a line for each thing', async () => {
    const { code, stdout, stderr } = await headway(['get', 'a'], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^Job +a\nStatus +processing\nProgress +50%\nStep +2 of 4: two\nMessage +half way\n/,
    );
    expect(stdout).toMatch(
      /^Attempt +2\nTime left +1m30s, by the worker\nStored +\S+Z, \d+s ago; seq 5, after seq 2$/m,
    );
    expect(stdout).toMatch(/^Kept +4 messages, from seq 1 of \S+ on\nmine +/m);
  });

  test('-o json is the update, on one line, with every digit and the seq of the event before', async () => {
    const { stdout } = await headway(['get', 'a', '-o', 'json'], { env });
    expect(stdout.trimEnd()).not.toContain('\n');
    expect(stdout).toContain(BIG);
    expect(JSON.parse(stdout)).toMatchObject({
      type: 'progress_update',
      seq: 5,
      prev_seq: 2,
      message: 'half\nway',
    });
    const first = await headway(['get', 'b', '-o', 'json'], { env });
    expect(JSON.parse(first.stdout)).toMatchObject({ seq: 3, prev_seq: 0 });
  });

  test('of a job whose newest message is no event says so on stderr, and shows the newest that is', async () => {
    await publish(nc, 'spoilt', { progress: 3 });
    await publishRaw(nc, 'progress.spoilt', '{"a\u001b":1}');
    const { code, stdout, stderr } = await headway(['get', 'spoilt', '-o', 'json'], { env });
    expect(stderr).toMatch(
      /^headway: the newest message of spoilt is not a valid event \(seq \d+: .*\); what is shown/,
    );
    expect(stderr).not.toContain('\u001b');
    expect({ code, progress: JSON.parse(stdout).progress }).toEqual({ code: 0, progress: 3 });
  });

  test('of a job of nothing but junk says that, with exit code 3', async () => {
    await publishRaw(nc, 'progress.junk', 'junk');
    const { code, stdout, stderr } = await headway(['get', 'junk'], { env });
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(
      /^headway: The stream PROGRESS keeps no event of the job junk, only 1 message, .*\n$/,
    );
  });
});

describe('headway history', () => {
  test('shows all of a job in order: times, attempts apart, and what is no event with the reason', async () => {
    const { code, stdout, stderr } = await headway(['history', 'a'], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [title, ...lines] = stdout.trimEnd().split('\n');
    expect(title).toMatch(/^ +SEQ +ELAPSED +DELTA +STATUS +PROGRESS +MESSAGE$/);
    expect(lines).toEqual([
      expect.stringMatching(/^ +1 +0ms +\+0ms +processing +0%$/),
      expect.stringMatching(/^ +2 +\S+ +\+\S+ +retrying +40% +E_NET$/),
      expect.stringMatching(/^ +4 +\S+ +\+\S+ +invalid +- +not_json: .*junk \\u001b\[2J/),
      '── attempt 2 ──',
      expect.stringMatching(/^ +5 +\S+ +\+\S+ +processing +50% +\[2\/4 two\] half way$/),
    ]);
  });

  test('-o ndjson has the chain of seqs, and what is no event as such', async () => {
    const { stdout } = await headway(['history', 'a', '-o', 'ndjson'], { env });
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ type, seq, prev_seq, reason }) => [type, seq, prev_seq ?? reason])).toEqual([
      ['progress_update', 1, 0],
      ['progress_update', 2, 1],
      ['invalid', 4, 'not_json'],
      ['progress_update', 5, 2],
    ]);
    const array = await headway(['history', 'a', '-o', 'json'], { env });
    expect(JSON.parse(array.stdout)).toEqual(lines);
  });

  test.each<[args: string[], seqs: number[]]>([
    [
      ['--last', '2'],
      [4, 5],
    ],
    [['--last', '0'], []],
    [
      ['--start-sequence', '3'],
      [4, 5],
    ],
    [
      ['--since', '1h'],
      [1, 2, 4, 5],
    ],
    [['--since-time', '2100-01-01T00:00:00Z'], []],
    [['--until', '2001-01-01T00:00:00Z'], []],
    [['--until', '1h'], []],
    [['--until', '2100-01-01T00:00:00Z', '--last', '1'], [5]],
  ])('%j', async (args, seqs) => {
    const { code, stdout, stderr } = await headway(['history', 'a', '-o', 'json', ...args], { env });
    expect({ code, seqs: JSON.parse(stdout).map(({ seq }: { seq: number }) => seq) }).toEqual({
      code: 0,
      seqs,
    });
    if (seqs.length === 0) expect(stderr).toBe('headway: the job a has no event in this range\n');
  });

  test('names what is not kept any more before the first line', async () => {
    for (let at = 0; at < 6; at++) await publish(nc, 'long', { progress: at });
    const { stdout } = await headway(['history', 'long'], { env });
    expect(stdout.split('\n')[1]).toBe(
      '… earlier events of the job are not kept any more: the stream keeps 4 messages of a job',
    );
    expect(stdout.trimEnd().split('\n')).toHaveLength(6);
    // Its header says that it is the first, though others have left the stream.
    await publish(nc, 'fresh', { progress: 1 }, { expect: { lastSubjectSequence: 0 } });
    expect((await headway(['history', 'fresh'], { env })).stdout.split('\n')).toHaveLength(3);
    const json = await headway(['history', 'fresh', '-o', 'ndjson'], { env });
    expect(JSON.parse(json.stdout)).toMatchObject({ prev_seq: 0 });
    await publish(nc, 'unsaid', { progress: 1 });
    const unsaid = await headway(['history', 'unsaid', '-o', 'ndjson'], { env });
    expect(unsaid.stderr).toMatch(/whether the job had earlier events is not known/);
    expect(JSON.parse(unsaid.stdout)).toMatchObject({ prev_seq: null });
  });
});

describe('headway history -f of a job that has ended, behind whose end no event is stored', () => {
  test.each([[[]], [['--last', '0']], [['--last', '1']], [['--since-time', '2199-01-01T00:00:00Z']]])(
    'ends, with %j',
    async (range) => {
      const id = `ended-${range.join('')}`.replace(/[^\w-]/g, '');
      await publish(nc, id, { status: 'completed', progress: 100 });
      await publishRaw(nc, `progress.${id}`, 'junk');
      expect((await headway(['history', id, '-f', ...range], { env, timeoutMs: 10_000 })).code).toBe(0);
    },
  );
});

describe('headway tail', () => {
  const T = ['t-1', 't-2', 't-3'];

  test('shows the newest events and ends; --last, ids, types and --since choose', async () => {
    for (let at = 0; at < 12; at++) {
      const job_type = at % 2 === 0 ? 'even' : 'odd';
      await publish(nc, T[at % 3] ?? '', { progress: at, job_type, message: `number ${at}` });
    }
    const numbers = async (...args: string[]): Promise<number[]> => {
      const { code, stdout } = await headway(['tail', ...args], { env });
      expect(code).toBe(0);
      return [...stdout.matchAll(/number (\d+)$/gm)].map(([, number]) => Number(number));
    };
    expect(await numbers()).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(await numbers('--last', '2')).toEqual([10, 11]);
    expect(await numbers('--last', '0')).toEqual([]);
    expect(await numbers('t-1', '--last', '2')).toEqual([6, 9]);
    expect(await numbers('t-1', 't-3', '--last', '3')).toEqual([8, 9, 11]);
    expect(await numbers('--job-type', 'odd', '--last', '3')).toEqual([7, 9, 11]);
    expect((await numbers('--since', '1h')).slice(-12)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(await numbers('--since-time', '1600-01-01T00:00:00Z', 't-1')).toEqual([0, 3, 6, 9]);
    // That there is nothing in the range does not mean that there is no such job.
    const never = ['--since-time', '9999-12-31T23:59:59-23:59'];
    expect(await numbers('t-1', ...never)).toEqual([]);
    expect(await numbers('t-1', ...never, '--last', '3')).toEqual([]);
    const { stdout } = await headway(['tail', '--last', '1', '--timestamps'], { env });
    expect(stdout).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z +\d+ {2}t-3 +processing +11% {2}number 11\n$/);
    const json = await headway(['tail', '--last', '2', '-o', 'json'], { env });
    expect(JSON.parse(json.stdout)).toMatchObject([{ progress: 10 }, { progress: 11 }]);
  });

  test('looks back as far as it takes for what is rare, over whatever else there is', async () => {
    await publish(nc, 'rare', { job_type: 'rare', message: 'the one' });
    for (let at = 0; at < 600; at++) await publish(nc, `crowd-${at}`, { job_type: 'common' });
    const { stdout } = await headway(['tail', '--job-type', 'rare'], { env });
    expect(stdout).toMatch(/^ *\d+ {2}rare +processing +0% {2}the one\n$/);
  });

  test('-f goes on with what comes, of the job that was asked for, through a restart of NATS, until SIGTERM', async () => {
    const first = await publish(nc, 'f-1', { progress: 1 });
    await using tail = startHeadway(['tail', '-f', 'f-1', '-o', 'ndjson'], { env });
    await tail.shows(`"seq":${first},`);
    await publish(nc, 'f-2', { progress: 2 });
    const second = await publish(nc, 'f-1', { progress: 2 });
    await tail.shows(`"seq":${second},`);
    await nats.restart('kill');
    await tail.shows('reading goes on', 'stderr');
    await using publisher = await connectNats(nats.url);
    await publishRaw(publisher, 'progress.f-1', 'junk');
    const third = await publish(publisher, 'f-1', { progress: 3 });
    await tail.shows(`"seq":${third},`);
    tail.signal('SIGTERM');
    const { code, stdout, stderr } = await tail.ended();
    const seqs = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).seq);
    expect({ code, seqs }).toEqual({ code: 143, seqs: [first, second, third] });
    expect(stderr).toMatch(
      /^headway: reading was interrupted \(.*\); it goes on by itself\nheadway: reading goes on\n/,
    );
    expect(stderr).toMatch(/^headway: seq \d+ on progress\.f-1 is not a valid event: not_json: .*$/m);
  });
});
