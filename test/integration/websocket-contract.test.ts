/** Both WebSocket endpoints, as the contract describes them, against a real edge and a real NATS. */
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Frame, type UpdateFrame, WsClient } from '../harness/client.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, event, publish } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

let nats: NatsServer;
let nc: NatsConnection & AsyncDisposable;
let edge: EdgeProcess;

beforeAll(async () => {
  nats = await startNats();
  nc = await connectNats(nats.url);
  edge = await startEdgeProcess({ natsUrl: nats.url });
});
afterAll(async () => {
  await edge[Symbol.asyncDispose]();
  await nc[Symbol.asyncDispose]();
  await nats[Symbol.asyncDispose]();
});

const watch = async (path: string, options?: Parameters<typeof WsClient.connect>[1], on = edge) => {
  if (on === edge) await edgeHasRead(on.http, nc);
  return WsClient.connect(`${on.ws}/ws/upload-progress${path}`, options);
};
const types = (frames: Frame[]) => frames.map(({ type }) => type);
const seqs = (frames: Frame[]) =>
  frames.filter(({ type }) => type === 'progress_update').map(({ seq }) => seq);
const isType = (type: string) => (frame: Frame) => frame.type === type;
const completed = { status: 'completed', progress: 100, result: { pages: 3 } };

/** Frames that came although nothing should; a ping tells when everything before it has come. */
async function quiet(client: WsClient): Promise<Frame[]> {
  client.send({ type: 'ping' });
  return (await client.until(isType('pong'))).slice(0, -1);
}

describe('connecting', () => {
  test.each(['one job', 'all jobs'])('hello is the first frame, on %s', async (scope) => {
    const sessions = new Set<unknown>();
    for (let i = 0; i < 3; i++) {
      await using client = await watch(scope === 'one job' ? `/${jobId()}` : '');
      const hello = await client.next('hello');
      expect(hello).toEqual({
        type: 'hello',
        protocol: 'progress.v1',
        epoch: expect.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
        session: expect.stringMatching(/^\S{1,64}$/),
        heartbeat_ms: 15_000,
        scope: expect.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
      });
      sessions.add(hello.session);
    }
    expect(sessions.size).toBe(3);
  });

  test('G10 any edge: the epoch is the same on all', async () => {
    await using other = await startEdgeProcess({ natsUrl: nats.url });
    await using here = await watch('');
    await using there = await watch('', {}, other);
    expect((await here.next('hello')).epoch).toBe((await there.next('hello')).epoch);
  });

  test.each<[string, string[], string]>([
    ['progress.v1', ['progress.v1'], 'progress.v1'],
    ['progress.v1 before a token', ['progress.v1', 'bearer.xyz'], 'progress.v1'],
    ['progress.v1 behind a token', ['bearer.xyz', 'progress.v1'], 'progress.v1'],
    ['progress.v1 among others', ['progress.v2', 'progress.v1', 'json'], 'progress.v1'],
    ['none', [], ''],
  ])('the subprotocol: %s', async (_name, protocols, chosen) => {
    await using client = await watch(`/${jobId()}`, { protocols });
    expect(client.protocol).toBe(chosen);
    await client.next('hello');
  });

  test.each(['bearer.xyz', 'progress.v2', 'PROGRESS.V1'])(
    'the subprotocol %s alone gets none',
    async (offer) => {
      await using client = await watch('', { headers: { 'sec-websocket-protocol': offer } });
      expect(client.protocol).toBe('');
      await client.next('hello');
    },
  );
});

describe('G8 bad input: a request that makes no sense is explained and closed with 4400', () => {
  const requests: [path: string, code: string][] = [
    ['/', 'invalid_processing_id'],
    ['/a.b', 'invalid_processing_id'],
    ['/a/b', 'invalid_processing_id'],
    ['/a%20b', 'invalid_processing_id'],
    ['/*', 'invalid_processing_id'],
    [`/${'a'.repeat(129)}`, 'invalid_processing_id'],
    ['/a?last_seq=', 'invalid_last_seq'],
    ['/a?last_seq=-1', 'invalid_last_seq'],
    ['/a?last_seq=9007199254740992', 'invalid_last_seq'],
    ['?last_seq=x', 'invalid_last_seq'],
    ['/a?last_seq=1&last_seq=2', 'invalid_query'],
    ['?last_seq=1&epoch=a&epoch=a', 'invalid_query'],
    ['/a?job_type=pdf', 'invalid_query'],
    [`?${'job_type=a&'.repeat(65)}`, 'invalid_query'],
    ['/a?last_seq=1&epoch=a.b', 'invalid_epoch'],
    ['?job_type=', 'invalid_job_type'],
    ['?job_type=pdf&job_type=a%20b', 'invalid_job_type'],
  ];
  const named = requests.map(([path, code]) => [path.slice(0, 40), path, code] as const);
  test.each(named)('%s', async (_name, path, code) => {
    await using client = await watch(path, { protocols: ['progress.v1'] });
    expect(await client.closed).toEqual({ code: 4400, reason: code });
    expect(client.frames).toEqual([{ type: 'error', code, message: expect.stringMatching(/\S/) }]);
  });

  test('but parameters of others are ignored', async () => {
    await using client = await watch(`/${jobId()}?utm_source=mail&x=%zz&last_seq=0`);
    await client.until(isType('caught_up'));
  });
});

describe('frames from the client', () => {
  test.each(['all jobs', 'one job'])('ping is answered by pong, auth is taken, on %s', async (scope) => {
    await using client = await watch(scope === 'all jobs' ? '?job_type=none' : `/${jobId()}`);
    await client.until(isType('caught_up'));
    client.send({ type: 'auth', token: 'x'.repeat(8_192) });
    client.send(' {"type":"ping", "id":1} ');
    client.send({ type: 'ping' });
    expect([await client.next(), await client.next()]).toEqual([{ type: 'pong' }, { type: 'pong' }]);
    expect(await quiet(client)).toEqual([]);
  });

  test.each<[string, object | string | Buffer, string, RegExp]>([
    [
      'an unknown type',
      { type: 'subscribe' },
      'unknown_frame',
      /^type is "subscribe"; expected one of: auth, ping, follow, unfollow$/,
    ],
    ['no type', {}, 'unknown_frame', /expected one of/],
    ['no JSON', 'hello?', 'invalid_frame', /^the frame is not JSON$/],
    ['nothing', '', 'invalid_frame', /not JSON/],
    ['a list', '[]', 'invalid_frame', /not a JSON object/],
    [
      'binary',
      Buffer.from('{"type":"ping"}'),
      'invalid_frame',
      /^a binary frame; expected JSON in a text frame$/,
    ],
    ['auth without a token', { type: 'auth' }, 'invalid_frame', /^auth: \/token is not text/],
    [
      'a token beyond 8,192',
      { type: 'auth', token: 'x'.repeat(8_193) },
      'invalid_frame',
      /^auth: \/token is not/,
    ],
    ['16 KiB of anything', 'x'.repeat(16 * 1024), 'invalid_frame', /not JSON/],
    ['more than that', 'x'.repeat(20_000), 'invalid_frame', /./],
  ])('G8 bad input: %s is explained and closed with 4400', async (_name, frame, code, message) => {
    const job = jobId();
    await using other = await watch(`/${job}`);
    await using client = await watch(`/${job}`);
    await client.until(isType('caught_up'));
    client.send(frame);
    expect(await client.closed).toEqual({ code: 4400, reason: code });
    expect(client.frames.at(-1)).toEqual({ type: 'error', code, message: expect.stringMatching(message) });
    await publish(nc, job);
    await other.updates(1);
  });
});

describe('heartbeats', () => {
  let quick: EdgeProcess;
  beforeAll(async () => {
    quick = await startEdgeProcess({ natsUrl: nats.url, env: { HEADWAY_HEARTBEAT_MS: '100' } });
  });
  afterAll(async () => {
    await quick[Symbol.asyncDispose]();
  });

  test('come in silence, with a cursor up to which everything in scope was sent', async () => {
    const job = jobId();
    const own = await publish(nc, job);
    await edgeHasRead(quick.http, nc);
    await using client = await watch(`/${job}`, {}, quick);
    expect(await client.next('hello')).toMatchObject({ heartbeat_ms: 100 });
    await client.until(isType('caught_up'));
    expect(await client.next()).toEqual({ type: 'heartbeat', cursor: expect.any(Number), feed: 'ok' });
    const elsewhere = await publish(nc, jobId());
    const frames = await client.until(({ cursor }) => cursor === elsewhere);
    expect(new Set(types(frames))).toEqual(new Set(['heartbeat']));
    expect(elsewhere).toBeGreaterThan(own);
    const cursors = client.frames.filter(isType('heartbeat')).map(({ cursor }) => Number(cursor));
    expect(cursors).toEqual([...cursors].sort((a, b) => a - b));
    // The watermark is a cursor like any other.
    await using resumed = await watch(`/${job}?last_seq=${elsewhere}&epoch=${client.epoch}`, {}, quick);
    expect(types(await resumed.until(isType('caught_up')))).toEqual(['hello', 'caught_up']);
  });

  test('come about every heartbeat_ms, and not while updates come', async () => {
    const job = jobId();
    const heartbeats: number[] = [];
    await using client = await watch(
      `/${job}`,
      { onFrame: ({ type }) => type === 'heartbeat' && heartbeats.push(performance.now()) },
      quick,
    );
    await waitFor(() => heartbeats.length >= 6, { what: 'six heartbeats', timeoutMs: 5_000 });
    // Ours may come to us in a bunch when this machine is busy; five gaps of 100 ms do not shrink by half.
    expect((heartbeats[5] ?? 0) - (heartbeats[0] ?? 0)).toBeGreaterThan(250);
    // A machine that stands still for a moment makes silences, and each of them has its heartbeats.
    let inSilence = 0;
    const busyUntil = performance.now() + 1_000;
    heartbeats.length = 0;
    for (let last = performance.now(), now = last; now < busyUntil; last = now) {
      await publish(nc, job);
      now = performance.now();
      inSilence += Math.floor((now - last) / 100);
    }
    expect(heartbeats.length).toBeLessThanOrEqual(3 + inSilence);
    expect(client.seen().length).toBeGreaterThan(10);
  });

  test('say so while NATS is away', async () => {
    await using server = await startNats();
    await using own = await startEdgeProcess({ natsUrl: server.url, env: { HEADWAY_HEARTBEAT_MS: '100' } });
    await using client = await watch('', {}, own);
    await client.until(({ feed }) => feed === 'ok');
    await server.kill();
    await client.until(({ feed }) => feed === 'away');
    await server.start();
    await client.until(({ feed }) => feed === 'ok', { timeoutMs: 20_000 });
  });
});

describe('one job', () => {
  test('without an event is waited for: its first one comes when it is there', async () => {
    const job = jobId();
    await using client = await watch(`/${job}`);
    expect(types(await client.until(isType('caught_up')))).toEqual(['hello', 'caught_up']);
    const fields = { message: 'first', note: { kept: [1] } };
    const seq = await publish(nc, job, fields);
    const [update] = await client.updates(1);
    expect(update).toEqual({
      ...event(job, fields),
      timestamp: expect.any(String),
      type: 'progress_update',
      seq,
      prev_seq: 0,
    });
  });

  test('G2 state first: a fresh client gets the last state and nothing older', async () => {
    const job = jobId();
    for (let i = 0; i < 5; i++) await publish(nc, job, { progress: i });
    const last = await publish(nc, job, { progress: 50 });
    await using client = await watch(`/${job}`);
    const frames = await client.until(isType('caught_up'));
    expect(types(frames)).toEqual(['hello', 'progress_update', 'caught_up']);
    expect(frames[1]).toMatchObject({ seq: last, progress: 50 });
    expect(frames[2]?.cursor).toBeGreaterThanOrEqual(last);
  });

  test('G1 order: a client that comes back gets exactly what it missed, then what follows', async () => {
    const job = jobId();
    const all: number[] = [];
    for (let i = 0; i < 10; i++) {
      all.push(await publish(nc, job, { progress: i }));
      await publish(nc, jobId());
    }
    await using client = await watch(`/${job}?last_seq=${all[3]}`);
    expect(seqs(await client.until(isType('caught_up')))).toEqual(all.slice(4));
    all.push(await publish(nc, job, { progress: 99 }));
    await client.updates(1);
    const links = client.seen().map(({ seq, prev_seq }) => [seq, prev_seq]);
    expect(links).toEqual(all.slice(4).map((seq, i) => [seq, all[i + 3]]));
  });

  test.each<[string, (last: number) => string]>([
    ['epoch', (last) => `last_seq=${last}&epoch=another`],
    ['ahead', () => 'last_seq=9007199254740991'],
  ])('G5 stale cursors: reset (%s) comes before the last state', async (reason, query) => {
    const job = jobId();
    await publish(nc, job);
    const last = await publish(nc, job);
    await using client = await watch(`/${job}?${query(last)}`);
    const [hello, reset, update, caughtUp, ...more] = await client.until(isType('caught_up'));
    const { epoch } = hello as Frame;
    expect(reset).toEqual({ type: 'reset', reason, epoch, first_seq: 1, last_seq: expect.any(Number) });
    expect(reset?.last_seq).toBeGreaterThanOrEqual(last);
    expect([update?.seq, caughtUp?.type, more]).toEqual([last, 'caught_up', []]);
  });

  test('G6 the end: a finished job gives its state, end and 1000, live and to whoever comes later', async () => {
    const job = jobId();
    await using live = await watch(`/${job}`);
    await live.until(isType('caught_up'));
    const first = await publish(nc, job);
    const last = await publish(nc, job, completed);
    expect(types(await live.until(isType('end')))).toEqual(['progress_update', 'progress_update', 'end']);
    const ways: [query: string, expected: (string | number)[]][] = [
      ['', ['hello', last, 'caught_up', 'end']],
      [`?last_seq=${first}`, ['hello', last, 'caught_up', 'end']],
      ['?last_seq=0', ['hello', first, last, 'caught_up', 'end']],
      [`?last_seq=${last}`, ['hello', 'caught_up', 'end']],
    ];
    for (const [query, expected] of ways) {
      await using late = await watch(`/${job}${query}`);
      expect(await late.closed).toEqual({ code: 1000, reason: 'end' });
      expect(late.frames.map((frame) => (frame as UpdateFrame).seq ?? frame.type)).toEqual(expected);
    }
    expect(await live.closed).toEqual({ code: 1000, reason: 'end' });
  });

  test('G6 the end: an error ends the job, a retryable one does not', async () => {
    const job = jobId();
    await using client = await watch(`/${job}`);
    await client.until(isType('caught_up'));
    await publish(nc, job, { status: 'error', error: { code: 'E', retryable: true } });
    await client.updates(1);
    expect(await quiet(client)).toEqual([]);
    await using fresh = await watch(`/${job}`);
    expect(types(await fresh.until(isType('caught_up')))).toEqual(['hello', 'progress_update', 'caught_up']);
    await publish(nc, job, { attempt: 2 });
    await publish(nc, job, { attempt: 2, status: 'error', error: { code: 'E', retryable: false } });
    for (const one of [client, fresh]) {
      expect(types(await one.until(isType('end')))).toEqual(['progress_update', 'progress_update', 'end']);
      expect((await one.closed).code).toBe(1000);
    }
  });
});

describe('all jobs', () => {
  test('G2 state first: the last state of each unfinished job and of those finished lately, in order', async () => {
    const [open, failing, done, failed] = ['open', 'failing', 'done', 'failed'].map((name) => jobId(name));
    const type = jobId('type');
    const say = (job: string | undefined, fields: object = {}) =>
      publish(nc, String(job), { job_type: type, ...fields });
    await say(open);
    await say(done);
    const failingSeq = await say(failing, { status: 'error', error: { retryable: true } });
    const doneSeq = await say(done, completed);
    const openSeq = await say(open, { progress: 7 });
    const failedSeq = await say(failed, { status: 'error' });
    await using client = await watch(`?job_type=${type}`);
    const frames = await client.until(isType('caught_up'));
    expect(seqs(frames)).toEqual([failingSeq, doneSeq, openSeq, failedSeq]);
    const again = await say(open, completed);
    expect(seqs(await client.updates(1))).toEqual([again]);
    // A finished job does not end a connection that follows all of them.
    expect(await quiet(client)).toEqual([]);
    await using everything = await watch('');
    expect(seqs(await everything.until(isType('caught_up')))).toEqual(
      expect.arrayContaining([doneSeq, again]),
    );
  });

  test('job_type may repeat, and filters state, replay and live alike', async () => {
    const [pdf, video, other] = [jobId('pdf'), jobId('video'), jobId('other')];
    const round = async () => {
      const wanted: number[] = [];
      for (const job_type of [pdf, video, other, undefined]) {
        const seq = await publish(nc, jobId(), { job_type });
        if (job_type === pdf || job_type === video) wanted.push(seq);
      }
      return wanted;
    };
    const before = await round();
    const query = `job_type=${pdf}&job_type=${video}`;
    await using client = await watch(`?${query}`);
    expect(seqs(await client.until(isType('caught_up')))).toEqual(before);
    const after = await round();
    expect(seqs(await client.updates(2))).toEqual(after);
    await using resumed = await watch(`?${query}&last_seq=${before[0]}&epoch=${client.epoch}`);
    expect(seqs(await resumed.until(isType('caught_up')))).toEqual([before[1], ...after]);
    expect(await quiet(client)).toEqual([]);
  });
});

describe('draining', () => {
  test('SIGTERM: every client is told, closed with 1012, and the edge ends with 0', async () => {
    const own = await startEdgeProcess({ natsUrl: nats.url, env: { HEADWAY_DRAIN_MS: '1234' } });
    const clients = await Promise.all([`/${jobId()}`, '', '?job_type=x'].map((path) => watch(path, {}, own)));
    for (const client of clients) await client.until(isType('caught_up'));
    const { consumers } = await nc.jetstreamManager();
    const names = async () => (await consumers.list('PROGRESS').next()).map(({ name }) => name);
    const before = await names();
    expect(await own.stop()).toBe(0);
    for (const client of clients) {
      const told = client.frames.filter(isType('draining'));
      expect(told).toEqual([{ type: 'draining', reconnect_within_ms: 1_234 }]);
      expect(await client.closed).toEqual({ code: 1012, reason: 'draining' });
    }
    expect((await names()).length).toBe(before.length - 1);
    await expect(watch('', {}, own)).rejects.toThrow('ECONNREFUSED');
    expect(own.logged('stopped')).toHaveLength(1);
  });
});
