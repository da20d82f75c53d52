/** What an edge answers over plain HTTP: probes, metrics, mistakes, and garbage. */
import { connect } from 'node:net';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, publish } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

let nats: NatsServer;
let nc: NatsConnection & AsyncDisposable;
let edge: EdgeProcess;

beforeAll(async () => {
  nats = await startNats();
  edge = await startEdgeProcess({ natsUrl: nats.url });
  nc = await connectNats(nats.url);
});
afterAll(async () => {
  await nc[Symbol.asyncDispose]();
  await edge[Symbol.asyncDispose]();
  await nats[Symbol.asyncDispose]();
});

/** All that comes back on a plain TCP connection for these bytes, until it is closed or quiet for a moment. */
function raw(bytes: string | Buffer, quietMs = 150): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: edge.port });
    let answer = '';
    socket.setTimeout(quietMs, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('data', (data) => {
      answer += data.toString('latin1');
    });
    socket.once('close', () => resolve(answer));
    socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  });
}

async function problemOf(response: Response): Promise<unknown> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  return await response.json();
}

describe('probes', () => {
  test('/livez and /readyz of an edge that follows the stream', async () => {
    const live = await fetch(`${edge.http}/livez`);
    expect([live.status, live.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(live.headers.get('cache-control')).toBe('no-store');
    expect(await live.json()).toEqual({ live: true });
    const ready = await fetch(`${edge.http}/readyz`);
    expect([ready.status, ready.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(await ready.json()).toEqual({ ready: true, detail: 'following the stream' });
  });

  test('G3 faults: /readyz is 503 while NATS is away and 200 when it is back; /livez is 200 all the time', async () => {
    await using server = await startNats();
    await using own = await startEdgeProcess({ natsUrl: server.url });
    const readyz = async (status: number) => {
      const response = await fetch(`${own.http}/readyz`);
      const body: unknown = await response.json();
      return response.status === status && body;
    };
    const livez = async () => (await fetch(`${own.http}/livez`)).status;
    await server.kill();
    expect(await waitFor(() => readyz(503), { what: '503' })).toEqual({
      ready: false,
      detail: 'NATS is away, reconnecting',
    });
    expect(await livez()).toBe(200);
    await server.start();
    expect(await waitFor(() => readyz(200), { what: '200', timeoutMs: 20_000 })).toMatchObject({
      ready: true,
    });
    expect(await livez()).toBe(200);
    expect(await own.stop()).toBe(0);
  });
});

interface Metrics {
  types: Map<string, string>;
  /** By name and labels, as they stand in the text: `name{a="b"}`. */
  values: Map<string, number>;
}

/** Reads the text format of Prometheus as strictly as its specification allows. */
async function scrape(): Promise<Metrics> {
  const response = await fetch(`${edge.http}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  expect(text.endsWith('\n')).toBe(true);
  const types = new Map<string, string>();
  const values = new Map<string, number>();
  const label = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"';
  const sample = new RegExp(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\\{(?:${label},?)*\\})? (\\S+)$`);
  for (const line of text.split('\n').filter(Boolean)) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (comment) {
      if (comment[1] === 'TYPE') types.set(String(comment[2]), String(comment[3]));
      continue;
    }
    const [, name = '', labels = '', value = ''] = sample.exec(line) ?? [];
    const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
    expect(types.get(family), `a type for: ${line}`).toMatch(/^(counter|gauge|histogram|summary)$/);
    // A number as Go's ParseFloat reads it, which is the specification's word: NaN in any case of letters.
    expect(Number.isNaN(Number(value)) && !/^nan$/i.test(value), line).toBe(false);
    expect(values.has(name + labels), `twice: ${line}`).toBe(false);
    values.set(name + labels, Number(value));
  }
  return { types, values };
}

describe('/metrics', () => {
  test('is Prometheus text, with a name of its own for everything', async () => {
    const { types, values } = await scrape();
    const own = [...types].filter(([name]) => name.startsWith('headway_'));
    expect(Object.fromEntries(own)).toMatchObject({
      headway_connections: 'gauge',
      headway_connections_opened_total: 'counter',
      headway_connections_closed_total: 'counter',
      headway_requests_refused_total: 'counter',
      headway_events_total: 'counter',
      headway_events_invalid_total: 'counter',
      headway_updates_sent_total: 'counter',
      headway_feed_following: 'gauge',
      headway_feed_lost_total: 'counter',
      headway_feed_recovery_seconds: 'histogram',
      headway_history_read_seconds: 'histogram',
      headway_log_head_seq: 'gauge',
      headway_tail_bytes: 'gauge',
    });
    for (const [name, type] of own) expect(name.endsWith('_total'), name).toBe(type === 'counter');
    expect(values.get('headway_feed_following')).toBe(1);
    expect(values.get('process_resident_memory_bytes')).toBeGreaterThan(0);
  });

  test('looks at the delay of the loop every 50 ms, and not more often', async () => {
    const least = async (): Promise<number> =>
      (await scrape()).values.get('nodejs_eventloop_lag_min_seconds') ?? 0;
    // A scrape begins anew: it takes two looks until there is one to tell of, and before that a number beyond all times.
    const seen = await waitFor(async () => [await least()].find((seconds) => seconds < 3_600), {
      what: 'a look at the loop',
      everyMs: 500,
    });
    expect(seen).toBeGreaterThan(0.045);
  });

  test('counts what happens', async () => {
    const before = await scrape();
    const job = jobId();
    const seq = await publish(nc, job);
    const client = await WsClient.connect(`${edge.ws}/ws/upload-progress/${job}`);
    await using everything = await WsClient.connect(`${edge.ws}/ws/upload-progress?job_type=none`);
    await everything.until(({ type }) => type === 'caught_up');
    await client.until(({ type }) => type === 'caught_up');
    await publish(nc, job, { progress: 1 });
    await client.updates(1);
    await using refused = await WsClient.connect(`${edge.ws}/ws/upload-progress/${job}?last_seq=x`);
    await refused.closed;

    const during = await scrape();
    const change = (name: string, from: Metrics, to: Metrics) =>
      (to.values.get(name) ?? 0) - (from.values.get(name) ?? 0);
    expect(change('headway_events_total', before, during)).toBe(2);
    expect(change('headway_updates_sent_total', before, during)).toBe(2);
    expect(change('headway_connections_opened_total', before, during)).toBe(2);
    expect(change('headway_connections{scope="job"}', before, during)).toBe(1);
    expect(change('headway_connections{scope="all"}', before, during)).toBe(1);
    expect(change('headway_sessions{state="live"}', before, during)).toBe(2);
    expect(change('headway_requests_refused_total{code="invalid_last_seq"}', before, during)).toBe(1);
    expect(change('headway_jobs', before, during)).toBe(1);
    expect(change('headway_tail_events', before, during)).toBe(2);
    expect(during.values.get('headway_log_head_seq')).toBe(seq + 1);

    await client.close();
    const after = await waitFor(
      async () => {
        const metrics = await scrape();
        return change('headway_connections{scope="job"}', before, metrics) === 0 && metrics;
      },
      { what: 'the connection to be gone from the metrics' },
    );
    expect(change('headway_connections_closed_total{code="1000"}', before, after)).toBe(1);
  });
});

describe('mistakes are answered with application/problem+json', () => {
  test.each([
    '/index.html',
    '/nope',
    '/ws',
    '/ws/upload-progress2',
    '/livez/',
    '/LIVEZ',
    '/%00',
    '//livez',
    '/readyz/x?y',
  ])('nothing is at %s: 404', async (path) => {
    const response = await fetch(edge.http + path);
    expect(response.status).toBe(404);
    expect(await problemOf(response)).toEqual({
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      code: 'not_found',
      detail: 'nothing answers GET here',
    });
  });

  test.each(['/ws/upload-progress', '/ws/upload-progress/job', '/ws/upload-progress?job_type=x'])(
    '%s without an upgrade: 426',
    async (path) => {
      const response = await fetch(edge.http + path);
      expect([response.status, response.headers.get('upgrade')]).toEqual([426, 'websocket']);
      expect(await problemOf(response)).toMatchObject({ status: 426, code: 'upgrade_required' });
    },
  );

  const METHODS = ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
  test.each(METHODS)('%s is answered everywhere', async (method) => {
    for (const path of [
      '/livez',
      '/readyz',
      '/metrics',
      '/ws/upload-progress',
      '/ws/upload-progress/a',
      '/x',
    ]) {
      const body = ['POST', 'PUT', 'PATCH'].includes(method) ? 'x'.repeat(100_000) : null;
      const response = await fetch(edge.http + path, { method, body });
      expect(response.status).toBe(404);
      expect(await problemOf(response)).toMatchObject({ detail: `nothing answers ${method} here` });
    }
  });

  test('HEAD is answered with a head and nothing behind it, and the connection ends', async () => {
    for (const path of ['/livez', '/metrics', '/ws/upload-progress', '/x']) {
      const [head, ...rest] = (await raw(`HEAD ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)).split('\r\n\r\n');
      expect(head).toMatch(/^HTTP\/1\.1 \d{3} /);
      expect(head).toMatch(/^connection: close$/im);
      expect(rest, `behind the head of ${path}`).toEqual(['']);
    }
  });
});

describe('G8 bad input: what is no HTTP hurts nobody', () => {
  const upgrade = (path: string, more = '') =>
    `GET ${path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${more}\r\n`;
  const garbage: [name: string, bytes: string | Buffer, answer: RegExp][] = [
    ['zeros', Buffer.alloc(5_000), /^(HTTP\/1\.1 (400|431|505) |$)/],
    [
      'noise',
      Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 7919) % 256)),
      /^(HTTP\/1\.1 (400|431|505) |$)/,
    ],
    [
      'a TLS greeting',
      `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${'a'.repeat(200)}`,
      /^(HTTP\/1\.1 505 |$)/,
    ],
    ['HTTP/1.0', 'GET /livez HTTP/1.0\r\n\r\n', /^HTTP\/1\.1 505 /],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /^(HTTP\/1\.1 505 |$)/],
    ['half a request', 'GET /livez HTTP/1.1\r\nHo', /^$/],
    ['nothing', '', /^$/],
    ['no Host', 'GET /livez HTTP/1.1\r\n\r\n', /^(HTTP\/1\.1 400 |$)/],
    ['a header without end', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}`, /^HTTP\/1\.1 431 /],
    ['an address without end', `GET /${'x'.repeat(20_000)}`, /^HTTP\/1\.1 431 /],
    ['a negative length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'an absurd length',
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${'9'.repeat(30)}\r\n\r\n`,
      /^HTTP\/1\.1 400 /,
    ],
    [
      'broken chunks',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n',
      /^HTTP\/1\.1 400 /,
    ],
    ['a word for a method', 'BREW /livez HTTP/1.1\r\nHost: a\r\n\r\n', /^HTTP\/1\.1 404 /],
    ['an upgrade elsewhere', upgrade('/livez'), /^HTTP\/1\.1 200 /],
    ['an upgrade nowhere', upgrade('/nope'), /^HTTP\/1\.1 404 /],
    ['an upgrade by POST', upgrade('/ws/upload-progress').replace('GET', 'POST'), /^HTTP\/1\.1 404 /],
    ['a short key', upgrade('/ws/upload-progress').replace('dGhlI', ''), /^HTTP\/1\.1 426 /],
    ['frames of noise', `${upgrade('/ws/upload-progress')}${'\xff'.repeat(5_000)}`, /^HTTP\/1\.1 101 /],
    [
      'a frame that is not masked',
      `${upgrade('/ws/upload-progress')}\x81\x02{}${'x'.repeat(50)}`,
      /^HTTP\/1\.1 101 /,
    ],
    [
      'a frame of 2^63 bytes',
      `${upgrade('/ws/upload-progress')}\x81\xff\xff${'\xff'.repeat(20)}`,
      /^HTTP\/1\.1 101 /,
    ],
    ['a control frame in pieces', `${upgrade('/ws/upload-progress')}\x09\x80\0\0\0\0`, /^HTTP\/1\.1 101 /],
    [
      'a raw path',
      upgrade('/ws/upload-progress/\xff\xfe%zz%00/../..'),
      /^HTTP\/1\.1 101 .*invalid_processing_id/s,
    ],
    [
      'a raw query',
      upgrade('/ws/upload-progress?last_seq=%ff%00&\xff'),
      /^HTTP\/1\.1 101 .*invalid_last_seq/s,
    ],
  ];
  test.each(garbage)('%s', async (_name, bytes, answer) => {
    const job = jobId();
    await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress/${job}`);
    expect(await raw(bytes)).toMatch(answer);
    await publish(nc, job);
    await client.updates(1);
    expect((await fetch(`${edge.http}/livez`)).status).toBe(200);
  });

  test('all of it at once, many times', async () => {
    const pid = edge.pid;
    await Promise.all(Array.from({ length: 10 }, () => garbage.map(([, bytes]) => raw(bytes))).flat());
    expect(edge.pid).toBe(pid);
    expect((await fetch(`${edge.http}/readyz`)).status).toBe(200);
    expect(edge.logged('a handler failed')).toEqual([]);
  });
});
