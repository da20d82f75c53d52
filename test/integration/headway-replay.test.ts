/** `headway replay`, as the process that an operator starts, over a real stream. */
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { epochOf } from '../../internal/jetstream/stream.js';
import { HandshakeRefused, type UpdateFrame, WsClient } from '../harness/client.js';
import {
  type Ended,
  type HeadwayCommand,
  headway,
  natsEnv,
  noTerminal,
  startHeadway,
  startHeadwayAtTerminal,
} from '../harness/headway-command.js';
import { startTcpProxy } from '../harness/proxy.js';
import { event, publish, publishAll, publishRaw, storedEvents } from '../harness/publish.js';
import { freshStream, sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

/** Users: one may all, one what a replay needs (to publish events is not part of it), one not even that. */
const USERS = `
accounts { A { jetstream: enabled, users: [
  { user: all, password: p }
  { user: viewer, password: p, permissions: {
    publish: [
      "$JS.API.STREAM.INFO.PROGRESS", "$JS.API.STREAM.MSG.GET.PROGRESS",
      "$JS.API.CONSUMER.CREATE.PROGRESS", "$JS.API.CONSUMER.CREATE.PROGRESS.*.progress.*",
      "$JS.API.CONSUMER.INFO.PROGRESS.*", "$JS.API.CONSUMER.DELETE.PROGRESS.*",
      "$JS.API.CONSUMER.MSG.NEXT.PROGRESS.*", "$JS.ACK.PROGRESS.*.>"
    ], subscribe: ["_INBOX.>"] } }
  { user: reader, password: p, permissions: { publish: ["$JS.API.>"], subscribe: ["_INBOX.>"] } }
] } }`;

const shared = sharedNats({ server: { config: USERS }, connection: { user: 'all', pass: 'p' } });
beforeEach(() => freshStream(shared));

// Everything here runs with credentials that may not publish to the stream.
const env = () => natsEnv(shared.nats.url.replace('//', '//viewer:p@'));
const run = (...args: string[]): Promise<Ended> => headway(['replay', ...args], { env: env() });
const start = (...args: string[]): HeadwayCommand => startHeadway(['replay', ...args], { env: env() });
const updates = (text: string): UpdateFrame[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as UpdateFrame);
const seqsOf = (text: string): number[] => updates(text).map(({ seq }) => seq);

/** Two jobs in turn; `gapMs` between one event and the next. */
async function fill(count: number, gapMs = 0): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (i > 0 && gapMs > 0) await delay(gapMs);
    const isEnd = i >= count - 2;
    await publish(shared.nc, i % 2 === 0 ? 'a' : 'b', {
      progress: isEnd ? 100 : i,
      status: isEnd ? 'completed' : 'processing',
      job_type: i % 2 === 0 ? 'pdf.ocr' : 'video',
    });
  }
}

describe('on stdout', () => {
  test('a job comes as it is stored, as updates, and the stream is as it was', async () => {
    await fill(10);
    await publishRaw(shared.nc, 'progress.a', 'no JSON');
    await publish(shared.nc, 'a', { status: 'completed', progress: 100 });
    const before = (await shared.jsm.streams.info('PROGRESS')).state;
    const { code, stdout, stderr } = await run('a', '--speed', 'max', '-o', 'ndjson');
    expect(code).toBe(0);
    const valid = (await storedEvents(shared.nc, 'PROGRESS', 'a')).filter(({ json }) => json !== undefined);
    expect(updates(stdout)).toEqual(
      valid.map(({ seq, json }, at) => ({
        type: 'progress_update',
        ...(json as object),
        seq,
        prev_seq: valid[at - 1]?.seq ?? 0,
      })),
    );
    expect(stderr).toMatch(/^headway: replayed 6 events in .*, seq 1 to 12; 1 messages? that (is|are) no/);
    const after = (await shared.jsm.streams.info('PROGRESS')).state;
    expect(after).toEqual({ ...before, consumer_count: 0 });
  });

  test('all jobs, of a type, with a status, from a sequence, and in a table', async () => {
    await fill(10);
    const of = async (...args: string[]) =>
      seqsOf((await run('--speed', 'max', '-o', 'ndjson', ...args)).stdout);
    expect(await of()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(await of('--job-type', 'video')).toEqual([2, 4, 6, 8, 10]);
    expect(await of('--status', 'finished')).toEqual([9, 10]);
    expect(await of('--start-sequence', '8')).toEqual([8, 9, 10]);
    expect(await of('--until', '1h')).toEqual([]);
    const { stdout } = await run('b', '--speed', 'max', '--timestamps');
    expect(stdout.split('\n').slice(0, -1)).toHaveLength(5);
    expect(stdout).toMatch(/^\d{4}-\d\d-\d\dT\S+Z +2 +b +processing +1%\n/);
  });

  test('takes as long as it took, or the part of it that the speed says; silences are cut', async () => {
    await fill(6, 250);
    const stored = await storedEvents(shared.nc, 'PROGRESS');
    expect(stored).toHaveLength(6);
    const timed = async (...args: string[]) => {
      const from = performance.now();
      const { stdout, stderr } = await run('-o', 'ndjson', ...args);
      expect(seqsOf(stdout)).toEqual([1, 2, 3, 4, 5, 6]);
      // The process's own word for the time between its start and its end.
      expect(stderr).toContain('replayed 6 events');
      return performance.now() - from;
    };
    expect(await timed()).toBeGreaterThan(5 * 250);
    expect(await timed('--speed', '0.5x')).toBeGreaterThan(10 * 250);
    // With its silences it would take two minutes, which this test does not have.
    await timed('--speed', '0.01x', '--max-gap', '1ms');
  });

  test('a broken pipe is no error', async () => {
    await publishAll(
      shared.nc,
      Array.from({ length: 5_000 }, (_, i) => event(`job-${i % 50}`, { message: 'x'.repeat(200) })),
    );
    await using command = start('--speed', 'max', '-o', 'ndjson');
    await command.shows('"seq":1,');
    command.closeStdout();
    expect(await command.ended()).toMatchObject({ code: 0 });
  });

  test('a signal ends it', async () => {
    await fill(4);
    await publish(shared.nc, 'a');
    await using command = start('--paused');
    await delayUntilRunning(command);
    command.signal('SIGTERM');
    expect(await command.ended()).toMatchObject({
      code: 143,
      stdout: '',
      stderr: expect.stringContaining('without a terminal there are no keys that end the pause'),
    });
  });
});

/** It has a consumer on the stream, so it reads. */
async function delayUntilRunning(_command: HeadwayCommand): Promise<void> {
  await waitFor(async () => (await shared.jsm.streams.info('PROGRESS')).state.consumer_count > 0, {
    what: 'the replay to read',
  });
}

describe.skipIf(noTerminal !== null)('at a terminal', () => {
  test('it is paused, stepped, let go, made faster and slower, and left, by keys', async () => {
    await fill(30, 20);
    const args = ['replay', '--paused', '--speed', '0.001', '-o', 'ndjson'];
    await using command = startHeadwayAtTerminal(args, { env: env() });
    const shown = () => (command.stdout.match(/"seq":\d+,/g) ?? []).map((text) => Number(text.slice(6, -1)));
    await command.shows('[paused (0.001x)]');
    expect(shown()).toEqual([]);
    command.type('n');
    await waitFor(() => shown().length === 1, { what: 'one event' });
    command.type('\u001b[C');
    await waitFor(() => shown().length === 2, { what: 'another event' });
    command.type(' ');
    await command.shows('[0.001x]');
    command.type('+');
    await command.shows('[0.1x]');
    command.type('-');
    command.type('n');
    await waitFor(() => shown().length >= 3, { what: 'a step while it plays' });
    command.type('++++++++++++');
    await waitFor(() => shown().length === 30, { what: 'all of it at full speed' });
    expect(shown()).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    expect(await command.ended()).toMatchObject({ code: 0 });
  });

  test('q ends it, and the checkpoint is kept', async () => {
    await fill(6);
    const args = ['replay', '--paused', '--durable', 'desk', '-o', 'ndjson'];
    await using command = startHeadwayAtTerminal(args, { env: env() });
    await command.shows('[paused');
    command.type('n');
    await command.shows('"seq":1,');
    command.type('q');
    const ended = await command.ended();
    expect(ended.code).toBe(0);
    expect(ended.stdout).toContain('the checkpoint desk is kept');
    expect(seqsOf((await run('--durable', 'desk', '--speed', 'max', '-o', 'ndjson')).stdout)).toEqual([
      2, 3, 4, 5, 6,
    ]);
  });
});

describe('--durable', () => {
  const checkpoints = async () =>
    (await shared.jsm.consumers.list('PROGRESS').next()).map(({ name }) => name);

  /** Shows some of it, so slowly that the end is seconds away, and is stopped. */
  async function some(name: string, wanted: number, ...args: string[]): Promise<number[]> {
    await using command = start('--durable', name, '--speed', '0.1x', '-o', 'ndjson', ...args);
    await command.shows(new RegExp(`("seq":[\\s\\S]*){${wanted}}`));
    command.signal('SIGINT');
    const { code, stdout } = await command.ended();
    expect(code).toBe(130);
    return seqsOf(stdout);
  }

  test('goes on after what was shown, with the same range or with none; at its end the checkpoint is gone', async () => {
    await fill(60, 10);
    const first = await some('night', 5);
    const second = await some('night', 5);
    const rest = await run('--durable', 'night', '--speed', 'max', '-o', 'ndjson');
    expect(rest.stderr).toContain(
      `going on from the checkpoint night, after seq ${first.length + second.length}`,
    );
    expect([...first, ...second, ...seqsOf(rest.stdout)]).toEqual(
      Array.from({ length: 60 }, (_, i) => i + 1),
    );
    expect(rest.stderr).toContain('the checkpoint night is not kept any longer');
    expect(await checkpoints()).toEqual([]);
  });

  test('keeps range, filter and end of its first run: what came later is not part of it', async () => {
    await fill(40, 10);
    const shown = await some('one', 3, 'a', '--since', '1h');
    await publish(shared.nc, 'a', { progress: 1 });
    expect(await checkpoints()).toEqual(['replay-one']);
    const again = await run('--durable', 'one', 'a', '--since', '1h', '--speed', 'max', '-o', 'ndjson');
    const all = [...shown, ...seqsOf(again.stdout)];
    expect(all).toEqual(Array.from({ length: 20 }, (_, i) => 2 * i + 1));
  });

  test('another range is a clear mistake, and --reset begins anew', async () => {
    await fill(40, 10);
    await some('monday', 3, 'a');
    const other = await run('--durable', 'monday', 'b', '--speed', 'max');
    expect(other.stderr).toMatch(
      /^headway: The checkpoint monday was kept for another range \(a; this is b\)\. .*--reset.*\n$/,
    );
    expect(other).toMatchObject({ code: 2, stdout: '' });
    const anew = await run('--durable', 'monday', '--reset', 'b', '--speed', 'max', '-o', 'ndjson');
    expect(seqsOf(anew.stdout)).toEqual(Array.from({ length: 20 }, (_, i) => 2 * i + 2));
  });

  test("an edge's consumer cannot be taken for a checkpoint", async () => {
    await fill(4);
    await shared.jsm.consumers.add('PROGRESS', { durable_name: 'edge-x' });
    await shared.jsm.consumers.add('PROGRESS', { durable_name: 'replay-mine' });
    expect((await run('--durable', 'edge-x', '--speed', 'max')).code).toBe(0);
    const foreign = await run('--durable', 'mine', '--speed', 'max');
    expect(foreign.stderr).toMatch(/has a consumer replay-mine that no replay has made/);
    expect(foreign.code).toBe(2);
    expect(new Set(await checkpoints())).toEqual(new Set(['edge-x', 'replay-mine']));
  });

  test('what was lost behind the checkpoint is said, and it goes on only when told to', async () => {
    await fill(40, 10);
    const shown = await some('gap', 3);
    await shared.jsm.streams.purge('PROGRESS', { seq: 30 });
    const refused = await run('--durable', 'gap', '--speed', 'max', '-o', 'ndjson');
    expect(refused.stderr).toMatch(
      /What follows the checkpoint gap, seq \d+, may not be all kept any more.*--allow-gap/,
    );
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    const rest = await run('--durable', 'gap', '--allow-gap', '--speed', 'max', '-o', 'ndjson');
    expect(seqsOf(rest.stdout)).toEqual(Array.from({ length: 11 }, (_, i) => i + 30));
    expect(shown.length).toBeLessThan(29);
  });

  test('credentials that may not move it are told at once', async () => {
    await fill(20, 20);
    const reader = natsEnv(shared.nats.url.replace('//', '//reader:p@'));
    const ended = await headway(['replay', '--durable', 'mute', '--speed', '0.1'], { env: reader });
    expect(ended.stderr).toMatch(
      /does not permit \$JS\.ACK\.PROGRESS\.replay-mute\.\S+, and so no checkpoint can be kept/,
    );
    expect(ended.code).toBe(4);
  });

  test('of two at the same checkpoint the later one stays', async () => {
    await fill(60, 10);
    await using first = start('--durable', 'same', '--speed', '0.1x', '-o', 'ndjson');
    await first.shows('"seq":2,');
    await using second = start('--durable', 'same', '--speed', '0.1x', '-o', 'ndjson');
    const ended = await first.ended();
    expect(ended.stderr).toMatch(/Another replay goes on from the checkpoint same now, so this one ends/);
    expect(ended.code).toBe(1);
    second.signal('SIGINT');
    expect((await second.ended()).code).toBe(130);
  });
});

describe('--to ws', () => {
  const served = async (command: HeadwayCommand): Promise<string> => {
    await command.shows(/served at ws:\S+/, 'stderr');
    return /served at (ws:\S+)/.exec(command.stderr)?.[1] as string;
  };

  test('a client sees the jobs again, drops, comes back with its cursor, and misses nothing', async () => {
    await fill(40, 25);
    await using command = start('--to', 'ws', '--port', '0', '--wait');
    const url = await served(command);
    expect(url).toMatch(/^ws:\/\/127\.0\.0\.1:\d+\/ws\/upload-progress$/);
    const seen: UpdateFrame[] = [];
    let resume = '';
    let epoch = '';
    for (let drop = 0; drop < 4; drop++) {
      await using client = await WsClient.connect(`${url}${resume}`);
      const hello = await client.next('hello');
      expect(hello.epoch).toMatch(/^replay-/);
      if (epoch !== '') expect(hello.epoch).toBe(epoch);
      epoch = hello.epoch as string;
      seen.push(...(await client.updates(drop === 3 ? 40 - seen.length : 5, { timeoutMs: 20_000 })));
      expect(client.frames.map(({ type }) => type)).not.toContain('reset');
      resume = `?last_seq=${seen.at(-1)?.seq}&epoch=${epoch}`;
    }
    const stored = await storedEvents(shared.nc, 'PROGRESS');
    expect(seen.map(({ seq, prev_seq }) => [seq, prev_seq])).toEqual(
      stored.map(({ seq }) => [seq, Math.max(0, seq - 2)]),
    );
    await command.shows('what it has shown is served until', 'stderr');
    // One job: its end has come, so the last state and the end are all there is to see.
    await using late = await WsClient.connect(`${url}/a`);
    const frames = await late.until(({ type }) => type === 'end');
    expect(frames.filter(({ type }) => type === 'progress_update')).toMatchObject([
      { status: 'completed', seq: 39 },
    ]);
    expect((await late.closed).code).toBe(1000);
    await using stays = await WsClient.connect(url);
    await stays.until(({ type }) => type === 'caught_up');
    command.signal('SIGINT');
    expect((await stays.closed).code).toBe(1012);
    expect((await command.ended()).code).toBe(130);
  });

  test('a client that names its jobs is served as by an edge', async () => {
    await fill(20, 200);
    await using command = start('--to', 'ws', '--port', '0', '--wait', '--speed', 'max');
    const url = await served(command);
    await using client = await WsClient.connect(`${url}?select&processing_id=a`);
    await client.next('hello');
    const ended = await client.until(({ type }) => type === 'end', { timeoutMs: 20_000 });
    expect(ended.at(-1)).toEqual({ type: 'end', processing_id: 'a' });
    const newest = (await storedEvents(shared.nc, 'PROGRESS', 'a')).at(-1);
    expect(client.seen('a').at(-1)).toMatchObject({ status: 'completed', seq: newest?.seq });
  });

  test('G1 order: a client that is there before the replay begins sees it from its first event', async () => {
    await fill(40);
    await using link = await startTcpProxy(shared.nats.port);
    const through = natsEnv(`nats://viewer:p@${link.host}`);
    await using command = startHeadway(
      ['replay', 'a', '--to', 'ws', '--port', '0', '--wait', '--speed', 'max'],
      { env: through },
    );
    const url = await served(command);
    // What it reads next is held back until the client is there.
    link.stall('down');
    await using client = await WsClient.connect(`${url}/a`);
    await client.next('hello');
    link.flow('down');
    const stored = await storedEvents(shared.nc, 'PROGRESS', 'a');
    const seen = await client.updates(stored.length, { timeoutMs: 20_000 });
    expect(seen.map(({ seq }) => seq)).toEqual(stored.map(({ seq }) => seq));
  });

  test('without --wait it begins at once, and says so before anybody is late', async () => {
    await fill(10);
    await using command = start('--to', 'ws', '--port', '0', '--speed', 'max');
    const url = await served(command);
    await command.shows(/it begins now, .* with --wait it begins when the first client is there/, 'stderr');
    await command.shows('what it has shown is served until', 'stderr');
    await using late = await WsClient.connect(url);
    await late.until(({ type }) => type === 'caught_up');
    await using waiting = start('--to', 'ws', '--port', '0', '--wait');
    await waiting.shows('waiting for the first client', 'stderr');
    expect(waiting.stderr).not.toContain('it begins now');
  });

  test('one job is at the paths of an edge, and others have nothing in this world', async () => {
    await fill(10);
    await using command = start('a', '--to', 'ws', '--port', '0', '--speed', 'max');
    const url = await served(command);
    await command.shows('what it has shown', 'stderr');
    await using all = await WsClient.connect(`${url}?last_seq=0`);
    const seqs = (await all.until(({ type }) => type === 'caught_up')).filter(
      ({ type }) => type === 'progress_update',
    );
    expect(seqs.map(({ seq }) => seq)).toEqual([1, 3, 5, 7, 9]);
    await using one = await WsClient.connect(`${url}/a?last_seq=3`);
    expect((await one.until(({ type }) => type === 'end')).map(({ seq }) => seq).filter(Number)).toEqual([
      5, 7, 9,
    ]);
    await using other = await WsClient.connect(`${url}/b`);
    const [, ...rest] = await other.until(({ type }) => type === 'caught_up');
    expect(rest.map(({ type }) => type)).toEqual(['caught_up']);
    const http = url.replace('ws:', 'http:').replace('/ws/upload-progress', '');
    expect(await (await fetch(`${http}/v1/jobs/a`)).json()).toMatchObject({ seq: 9 });
    expect((await fetch(`${http}/readyz`)).status).toBe(200);
  });

  test('G5 a stale cursor: one of the real stream is reset, as is one ahead of what was shown', async () => {
    await fill(10);
    await using command = start('--to', 'ws', '--port', '0', '--start-sequence', '5', '--speed', 'max');
    const url = await served(command);
    await command.shows('what it has shown', 'stderr');
    const real = epochOf(await shared.jsm.streams.info('PROGRESS'));
    await using production = await WsClient.connect(`${url}/a?last_seq=7&epoch=${real}`);
    expect(await production.next('hello')).toMatchObject({ epoch: expect.stringMatching(/^replay-/) });
    expect(await production.next()).toMatchObject({ type: 'reset', reason: 'epoch' });
    expect(await production.next()).toMatchObject({ type: 'progress_update', seq: 9, status: 'completed' });
    await using ahead = await WsClient.connect(`${url}?last_seq=99`);
    await ahead.next('hello');
    expect(await ahead.next()).toMatchObject({ type: 'reset', reason: 'ahead' });
    // From before the beginning of this world everything in it follows.
    await using before = await WsClient.connect(`${url}?last_seq=2`);
    const frames = await before.until(({ type }) => type === 'caught_up');
    expect(frames.map(({ seq }) => seq).filter(Number)).toEqual([5, 6, 7, 8, 9, 10]);
  });

  test('one with nothing to show before its end begins all the same, and its clients are told so', async () => {
    await fill(4);
    await using command = start('--to', 'ws', '--port', '0', '--until', '1h');
    const url = await served(command);
    await using client = await WsClient.connect(url);
    const frames = await client.until(({ type }) => type === 'caught_up');
    expect(frames).toMatchObject([{ type: 'hello' }, { type: 'caught_up', cursor: 0 }]);
  });

  test('a replay that goes on from its checkpoint shows clients the state from before it', async () => {
    await fill(20);
    await using paused = start('--durable', 'ws', '--speed', 'max', '--to', 'ws', '--port', '0');
    await paused.shows('is not kept any longer', 'stderr');
    paused.signal('SIGINT');
    await paused.ended();
    await using command = start('--durable', 'ws2', '--paused', '-o', 'ndjson');
    await delayUntilRunning(command);
    command.signal('SIGINT');
    await command.ended();
    // The checkpoint is moved as a replay would have.
    const consumer = await shared.nc.jetstream().consumers.get('PROGRESS', 'replay-ws2');
    // Those that the command had already been sent come again only after a while.
    for await (const message of await consumer.consume()) {
      if (message.seq !== 6) continue;
      await message.ackAck();
      break;
    }
    await using again = start('--durable', 'ws2', '--paused', '--to', 'ws', '--port', '0');
    const url = await served(again);
    // Whether it came before the replay began or behind, it is shown the states and nothing that led to them.
    await using client = await WsClient.connect(url);
    const frames = await client.until(({ type }) => type === 'caught_up');
    expect(frames.map(({ seq }) => seq).filter(Number)).toEqual([5, 6]);
    await using resumed = await WsClient.connect(`${url}/a?last_seq=0`);
    const shown = await resumed.until(({ type }) => type === 'caught_up');
    expect(shown.map(({ type, seq, reason }) => reason ?? seq ?? type)).toEqual([
      'hello',
      'retention',
      5,
      'caught_up',
    ]);
  });

  test('pages of other origins come in only where they are named, and only over loopback', async () => {
    await fill(2);
    await using command = start('--to', 'ws', '--port', '0', '--origin', 'http://localhost:5173');
    const url = await served(command);
    await using client = await WsClient.connect(url, { headers: { origin: 'http://localhost:5173' } });
    await client.next('hello');
    const refused = WsClient.connect(url, { headers: { origin: 'https://evil.example' } });
    await expect(refused).rejects.toThrow(HandshakeRefused);
    await command.shows('--origin', 'stderr');
  });
});

describe('what goes wrong is one clear line, with its exit code', () => {
  test.each<[what: string, args: string[], told: RegExp, code: number]>([
    ['an unknown job', ['nobody'], /keeps nothing of the job nobody/, 3],
    ['an unknown job with a checkpoint', ['nobody', '--durable', 'x'], /keeps nothing of the job nobody/, 3],
    ['no such stream', ['--stream', 'OTHER'], /There is no stream OTHER|does not permit/, 4],
    ['no NATS', ['-s', 'nats://127.0.0.1:1'], /Cannot reach NATS/, 4],
    ['a speed that is none', ['--speed', 'fast'], /Expected a number above 0 such as 0\.5x/, 2],
    ['a name that is none', ['--durable', 'a.b'], /Expected 1 to 64 of A-Z a-z 0-9 _ -/, 2],
    ['--reset without a name', ['--reset'], /--reset needs --durable NAME/, 2],
    ['--wait without clients', ['--wait'], /--wait is for --to ws/, 2],
    ['an origin that is none', ['--to', 'ws', '--port', '0', '--origin', '*'], /--origin: .*wildcard/, 2],
    ['another checkpoint to go', ['--to', 'mars'], /Allowed choices are ws/, 2],
  ])('%s', async (_what, args, told, code) => {
    await publish(shared.nc, 'a');
    const ended = await run(...args);
    expect(ended.stderr).toMatch(told);
    expect(ended.stderr).toMatch(/^headway: [^\n]+\n$/);
    expect(ended).toMatchObject({ code, stdout: '' });
  });

  test('a port that is taken', async () => {
    await publish(shared.nc, 'a');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const ended = await run('--to', 'ws', '--port', String(port));
    server.close();
    expect(ended.stderr).toMatch(/Cannot listen on 127\.0\.0\.1:\d+: .*--port/);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
  });
});
