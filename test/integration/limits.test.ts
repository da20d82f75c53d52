/** What one client, one address, one subject and all together may take of an edge, and that others do not feel it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { HandshakeRefused, WsClient, type WsOptions } from '../harness/client.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { QUICK_SETTINGS } from '../harness/edge-settings.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { publish } from '../harness/publish.js';
import { handshake, RawSocket } from '../harness/raw-socket.js';
import { sharedNats } from '../harness/shared-nats.js';
import {
  bearer,
  bearerProtocol,
  everybodyIsGone,
  JWT_ENV,
  KeyHost,
  mint,
  refusal,
} from '../harness/tokens.js';
import { waitFor, withTimeout } from '../harness/wait.js';

const WS = '/ws/upload-progress';

const shared = sharedNats();

const start = (env: Record<string, string>) => startLocalEdge(shared.nats.url, { ...QUICK_SETTINGS, ...env });

async function enter(edge: LocalEdge, options: WsOptions = {}): Promise<WsClient> {
  const client = await WsClient.connect(`${edge.ws}${WS}`, options);
  await client.next('hello');
  return client;
}

/** The upgrade is refused with 503 and a time to come back. */
async function expectTurnedAway(edge: LocalEdge, options: WsOptions = {}): Promise<void> {
  const error = await WsClient.connect(`${edge.ws}${WS}`, options).then(
    (client) => {
      client.drop();
      return new Error('was let in');
    },
    (reason: unknown) => reason as Error,
  );
  if (!(error instanceof HandshakeRefused)) throw error;
  expect(error.status).toBe(503);
  expect(Number(error.headers['retry-after'])).toBeGreaterThanOrEqual(1);
  expect(error.headers['content-type']).toBe('application/problem+json');
  expect(JSON.parse(error.body)).toMatchObject({
    status: 503,
    code: 'overloaded',
    detail: expect.stringMatching(/connect again in a moment$/),
  });
}

/** The client is let in to be told that there are too many. */
async function expectTooMany(edge: LocalEdge, options: WsOptions, message: RegExp): Promise<void> {
  const { frames, code, reason } = await refusal(`${edge.ws}${WS}`, options);
  expect({ code, reason }).toEqual({ code: 4429, reason: 'too_many_connections' });
  expect(frames).toEqual([
    { type: 'error', code: 'too_many_connections', message: expect.stringMatching(message) },
  ]);
}

const isServedAgain = (edge: LocalEdge, options: WsOptions = {}) =>
  waitFor(() => enter(edge, options), { what: 'room again' });

describe('how many', () => {
  test('G8 bad input: connections in all: 503, and room again when one leaves', async () => {
    await using edge = await start({ HEADWAY_MAX_CONNECTIONS: '2' });
    await using _one = await enter(edge);
    const two = await enter(edge);
    await expectTurnedAway(edge);
    await expectTurnedAway(edge);
    two.drop();
    await using _three = await isServedAgain(edge);
    await expectTurnedAway(edge);
  });

  test('G8 bad input: connections from one address: 4429, and room again when one leaves', async () => {
    await using edge = await start({ HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: '2' });
    const one = await enter(edge);
    await using _two = await enter(edge);
    await expectTooMany(edge, {}, /from this address/);
    await expectTooMany(edge, { headers: { 'x-forwarded-for': '198.51.100.7' } }, /from this address/);
    await one.close();
    await using _three = await isServedAgain(edge);
    await expectTooMany(edge, {}, /from this address/);
  });

  test('G8 bad input: behind a trusted proxy the addresses are those of the clients, and nobody takes another one by claiming it', async () => {
    await using edge = await start({
      HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: '1',
      HEADWAY_TRUSTED_PROXIES: '127.0.0.1',
    });
    const from = (...addresses: string[]) => ({ headers: { 'x-forwarded-for': addresses.join(', ') } });
    await using _a = await enter(edge, from('198.51.100.1'));
    await using _b = await enter(edge, from('198.51.100.2'));
    await expectTooMany(edge, from('198.51.100.1'), /from this address/);
    await expectTooMany(edge, from('203.0.113.9', '198.51.100.1'), /from this address/);
    await using _c = await enter(edge, from('2001:db8::1'));
    await expectTooMany(edge, from('2001:db8::2'), /from this address/);
  });

  test('G8 bad input: connections of one subject: 4429, and room again when one leaves; others are not meant', async () => {
    await using edge = await start({ ...JWT_ENV, HEADWAY_MAX_CONNECTIONS_PER_SUBJECT: '2' });
    const of = async (sub?: string) => bearer(await mint({ jobs: ['*'], ...(sub && { sub }) }));
    await using _one = await enter(edge, await of('ada'));
    const two = await enter(edge, await of('ada'));
    await expectTooMany(edge, await of('ada'), /of this token's subject/);
    await using _bob = await enter(edge, await of('bob'));
    for (let i = 0; i < 3; i++) (await enter(edge, await of())).drop();
    two.drop();
    await using _three = await isServedAgain(edge, await of('ada'));
    await expectTooMany(edge, await of('ada'), /of this token's subject/);
  });

  test('G8 bad input: tokens that are being checked: 503, and room again when they are done', async () => {
    await using keys = await KeyHost.start('hold');
    await using edge = await start({ ...keys.env, HEADWAY_MAX_UNAUTHENTICATED: '2' });
    const token = bearer(await keys.mint({ jobs: ['*'] }));
    await using one = await WsClient.connect(`${edge.ws}${WS}`, token);
    await using two = await WsClient.connect(`${edge.ws}${WS}`, token);
    await expectTurnedAway(edge, token);
    expect(await metric(edge.http, 'headway_connections_unauthenticated')).toBe(2);
    keys.release();
    for (const client of [one, two]) await client.next('hello');
    for (let i = 0; i < 3; i++) (await enter(edge, token)).drop();
    one.drop();
    two.drop();
    await everybodyIsGone(edge.http);
  });

  test('G8 bad input: new connections a second: 503, and room again a moment later', async () => {
    await using edge = await start({ HEADWAY_MAX_UPGRADES_PER_SECOND: '3' });
    const clients = await Promise.allSettled(Array.from({ length: 20 }, () => enter(edge)));
    const entered = clients.filter(({ status }) => status === 'fulfilled').length;
    expect(entered).toBeGreaterThanOrEqual(3);
    expect(entered).toBeLessThan(15);
    for (const client of clients) {
      if (client.status === 'fulfilled') client.value.drop();
      else expect(client.reason).toMatchObject({ status: 503 });
    }
    (await isServedAgain(edge)).drop();
  });

  test('0 is no limit', async () => {
    await using edge = await start({
      ...JWT_ENV,
      HEADWAY_MAX_CONNECTIONS: '0',
      HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: '0',
      HEADWAY_MAX_CONNECTIONS_PER_SUBJECT: '0',
      HEADWAY_MAX_UNAUTHENTICATED: '0',
      HEADWAY_MAX_UPGRADES_PER_SECOND: '0',
      HEADWAY_MAX_CLIENT_FRAMES_PER_SECOND: '0',
      HEADWAY_MAX_CLIENT_BYTES_PER_SECOND: '0',
    });
    const token = bearer(await mint({ sub: 'ada', jobs: ['*'] }));
    const clients = await Promise.all(Array.from({ length: 30 }, () => enter(edge, token)));
    const [first] = clients;
    for (let i = 0; i < 300; i++) first?.send({ type: 'ping', pad: 'x'.repeat(1_000) });
    let pongs = 0;
    await first?.until(({ type }) => type === 'pong' && ++pongs === 300);
    for (const client of clients) client.drop();
  });
});

describe('how much one client may send', () => {
  let edge: LocalEdge;
  beforeAll(async () => {
    edge = await start({
      HEADWAY_MAX_CLIENT_FRAMES_PER_SECOND: '10',
      HEADWAY_MAX_CLIENT_BYTES_PER_SECOND: '20000',
      HEADWAY_MAX_CLIENT_FRAME_BYTES: '16000',
    });
  });
  afterAll(() => edge[Symbol.asyncDispose]());

  /** Sends the same thing `times` times at once; how it ends, or null when the edge answers what comes behind. */
  async function sendAll(send: (socket: WebSocket) => void, times: number): Promise<number | null> {
    const socket = new WebSocket(`${edge.ws}${WS}`, { perMessageDeflate: false });
    const end = new Promise<number | null>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('close', resolve);
      socket.once('open', () => {
        for (let i = 0; i < times; i++) send(socket);
        socket.ping('the last');
      });
      socket.on('pong', (data) => {
        if (String(data) === 'the last') resolve(null);
      });
    });
    try {
      return await withTimeout(end, 10_000, 'an answer');
    } finally {
      socket.terminate();
    }
  }
  const text = (frame: object) => (socket: WebSocket) => socket.send(JSON.stringify(frame));

  test.each<[string, (socket: WebSocket) => void, number, number]>([
    ['frames', text({ type: 'ping' }), 5, 15],
    ['WebSocket pings', (socket) => socket.ping(), 5, 15],
    ['WebSocket pongs', (socket) => socket.pong(), 5, 15],
    ['bytes', text({ type: 'ping', pad: 'x'.repeat(6_000) }), 2, 4],
    ['bytes of letters that take three', text({ type: 'ping', pad: '\u20ac'.repeat(5_000) }), 1, 2],
    ['bytes of WebSocket pings', (socket) => socket.ping('x'.repeat(120)), 8, 200],
  ])('G8 bad input: %s: what is allowed passes, more is cut with 4429', async (_, send, few, many) => {
    expect(await sendAll(send, few)).toBeNull();
    expect(await sendAll(send, many)).toBe(4429);
    await everybodyIsGone(edge.http);
  });

  test('G8 bad input: who was cut is told why, and comes back', async () => {
    const client = await enter(edge);
    for (let i = 0; i < 20; i++) client.send({ type: 'ping' });
    expect(await client.closed).toEqual({ code: 4429, reason: 'too_many_frames' });
    expect(client.frames.at(-1)).toEqual({
      type: 'error',
      code: 'too_many_frames',
      message: expect.stringMatching(/too many frames, or too many bytes/),
    });
    (await enter(edge)).drop();
  });

  test('G8 bad input: one frame that is too large is told as such, by its bytes', async () => {
    for (const pad of ['x'.repeat(16_000), '\u20ac'.repeat(6_000)]) {
      await using client = await enter(edge);
      client.send({ type: 'ping', pad });
      expect(await client.closed).toEqual({ code: 4400, reason: 'invalid_frame' });
      expect(client.frames.at(-1)?.message).toMatch(/expected at most 16000/);
    }
  });
});

describe('an edge of its own', () => {
  let edge: EdgeProcess;
  beforeAll(async () => {
    edge = await startEdgeProcess({ natsUrl: shared.nats.url, env: { ...JWT_ENV } });
  });
  afterAll(() => edge.stop());

  const token = () => mint({ sub: 'ada', jobs: ['*'] });

  test('a token of 8,000 characters fits into a subprotocol', async () => {
    const jobs: string[] = [];
    let long = '';
    while (long.length < 8_000) {
      jobs.push(jobId().padEnd(100, 'x'));
      long = await mint({ jobs });
    }
    expect(long.length).toBeLessThanOrEqual(8_192);
    for (const options of [bearerProtocol(long), bearer(long)]) {
      await using client = await WsClient.connect(`${edge.ws}${WS}/${jobs[0]}`, options);
      await client.next('hello');
    }
  });

  test('G8 bad input: headers above HEADWAY_MAX_HEADER_BYTES are answered with 431', async () => {
    await using raw = await RawSocket.connect(edge.port, handshake(WS, `X-Long: ${'x'.repeat(17_000)}\r\n`));
    expect(await raw.gone()).toMatch(/^HTTP\/1.1 431 /);
    await using client = await WsClient.connect(`${edge.ws}${WS}`, {
      headers: { ...bearer(await token()).headers, 'x-long': 'x'.repeat(12_000) },
    });
    await client.next('hello');
  });

  test.each<[string, (socket: WebSocket) => void]>([
    ['frames', (socket) => socket.send('{"type":"ping"}')],
    ['nonsense', (socket) => socket.send('x'.repeat(100))],
    ['large frames', (socket) => socket.send('x'.repeat(60_000))],
    ['WebSocket pings', (socket) => socket.ping('x'.repeat(120))],
    ['WebSocket pongs', (socket) => socket.pong('x'.repeat(120))],
  ])('G8 bad input: while clients flood with %s as fast as they can, others are served', async (_, send) => {
    const job = jobId();
    await using witness = await WsClient.connect(`${edge.ws}${WS}/${job}`, bearer(await token()));
    await witness.until(({ type }) => type === 'caught_up');
    const options = { headers: bearer(await token()).headers, perMessageDeflate: false };
    let isOn = true;
    let cut = 0;
    // As soon as it is cut it comes back and goes on.
    const flood = async (): Promise<void> => {
      while (isOn) {
        await new Promise<void>((resolve) => {
          const socket = new WebSocket(`${edge.ws}${WS}`, options);
          socket.on('error', () => {});
          socket.on('close', (code) => {
            if (code === 4429 || code === 4400) cut++;
            resolve();
          });
          socket.on('open', () => {
            const more = (): void => {
              if (socket.readyState !== WebSocket.OPEN) return;
              if (!isOn) {
                socket.terminate();
                return;
              }
              for (let i = 0; i < 100 && socket.bufferedAmount < 1_000_000; i++) send(socket);
              setImmediate(more);
            };
            more();
          });
        });
      }
    };
    const floods = Promise.all([flood(), flood()]);
    try {
      await waitFor(() => cut >= 5, { what: 'floods that were cut' });
      for (let i = 0; i < 20; i++) {
        const seq = await publish(shared.nc, job, { progress: i });
        await witness.until((frame) => frame.seq === seq, { timeoutMs: 5_000 });
        const ready = await fetch(`${edge.http}/readyz`, { signal: AbortSignal.timeout(5_000) });
        expect(ready.status).toBe(200);
      }
    } finally {
      isOn = false;
      await floods;
    }
    expect(witness.frames.some(({ type }) => type === 'error')).toBe(false);
    expect(edge.logged('a handler failed')).toEqual([]);
    witness.drop();
    await everybodyIsGone(edge.http);
  });
});
