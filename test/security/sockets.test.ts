/** Sockets that are no WebSocket: each costs one answer, there are only so many of them, and none stays. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { ProbedEdge } from '../harness/probed-edge.js';
import { handshake, RawSocket } from '../harness/raw-socket.js';
import { sharedNats } from '../harness/shared-nats.js';

import { waitFor } from '../harness/wait.js';

const WS = '/ws/upload-progress';
const ROUTES = ['/livez', '/readyz', '/metrics', '/v1/jobs/job-1', WS, `${WS}/job-1`, '/nothing'];
const METHODS = ['GET', 'HEAD', 'OPTIONS', 'POST', 'DELETE'];
const answers = (text: string): number => text.match(/HTTP\/1\.1 \d{3}/g)?.length ?? 0;
const request = (method: string, path: string): string => `${method} ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

describe('G8 bad input: thousands of requests in one write get one answer at the most, and the end of the connection', () => {
  let world: ProbedEdge;
  beforeAll(async () => {
    world = await ProbedEdge.start();
  });
  afterAll(async () => await world?.[Symbol.asyncDispose]());
  afterEach(async () => await world.stands());

  test.each(METHODS.flatMap((method) => ROUTES.map((path) => [method, path])))(
    '%s %s',
    async (method, path) => {
      await using flood = await RawSocket.connect(world.edge.port, request(method, path).repeat(3_000));
      expect(answers(await flood.gone())).toBeLessThanOrEqual(1);
      await using one = await RawSocket.connect(world.edge.port, request(method, path));
      const text = await one.gone();
      expect(answers(text)).toBe(1);
      if (method === 'HEAD') expect(text).toMatch(/\r\n\r\n$/);
    },
  );

  test('handshakes that are turned away', async () => {
    const foreign = handshake(WS, 'Origin: https://evil.example.com\r\n');
    await using flood = await RawSocket.connect(world.edge.port, foreign.repeat(1_000));
    expect(answers(await flood.gone())).toBeLessThanOrEqual(1);
    await using one = await RawSocket.connect(world.edge.port, foreign);
    expect(await one.gone()).toMatch(/^HTTP\/1\.1 403 /);
  });

  test('requests that ask whether they may go on', async () => {
    const asking = 'POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc';
    await using flood = await RawSocket.connect(world.edge.port, asking.repeat(3_000));
    expect(answers(await flood.gone())).toBeLessThanOrEqual(4);
    await using one = await RawSocket.connect(world.edge.port, asking);
    expect(await one.gone()).toMatch(/^HTTP\/1\.1 100 .*HTTP\/1\.1 404 /s);
  });

  test('of requests that go on and on, on four connections, nobody else feels anything', async () => {
    const piece = request('HEAD', '/livez').repeat(2_000);
    let rounds = 0;
    const attack = async (until: () => boolean): Promise<void> => {
      while (!until()) {
        await using flood = await RawSocket.connect(world.edge.port, piece);
        expect(answers(await flood.gone())).toBeLessThanOrEqual(1);
        rounds++;
      }
    };
    let isOver = false;
    const attacks = [1, 2, 3, 4].map(() => attack(() => isOver));
    try {
      for (let i = 0; i < 50; i++) await world.othersAreServed();
    } finally {
      isOver = true;
    }
    await Promise.all(attacks);
    expect(rounds).toBeGreaterThan(0);
  });
});

describe('G8 bad input: a header that is given twice is refused, since a proxy may have read the other one', () => {
  let world: ProbedEdge;
  beforeAll(async () => {
    world = await ProbedEdge.start();
  });
  afterAll(async () => await world?.[Symbol.asyncDispose]());
  afterEach(async () => await world.stands());

  const behind = request('GET', '/livez');
  test.each([
    ['two hosts', 'GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
    ['the same host twice', 'GET /livez HTTP/1.1\r\nHost: a\r\nHOST: a\r\n\r\n'],
    ['two hosts of a job', 'GET /v1/jobs/job-1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
    ['two hosts of a handshake', handshake(WS, 'Host: b\r\n')],
    [
      'two lengths',
      `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 50\r\n\r\n${behind}`,
    ],
    [
      'the same length twice',
      `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc`,
    ],
  ])('%s', async (_name, bytes) => {
    await using raw = await RawSocket.connect(world.edge.port, bytes);
    const text = await raw.gone();
    expect(answers(text)).toBeLessThanOrEqual(1);
    // Whoever sends on before he was answered may be cut off before.
    if (!bytes.endsWith(behind)) expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).not.toMatch(/HTTP\/1\.1 (101|2|4(?!00))/);
  });
});

describe('G9 memory: sockets that ask nothing', () => {
  const shared = sharedNats();
  const start = (env: Record<string, string>) => startEdgeProcess({ natsUrl: shared.nats.url, env });

  test('one address has so many, others are served, and it is again when they are gone', async () => {
    await using edge = await start({ HEADWAY_MAX_HTTP_SOCKETS_PER_ADDRESS: '20' });
    const all = await Promise.all(
      Array.from({ length: 40 }, () => RawSocket.connect(edge.port, undefined, '127.0.0.2')),
    );
    await waitFor(() => all.filter(({ isClosed }) => isClosed).length === 20, {
      what: 'twenty to be cut off',
    });
    await using other = await WsClient.connect(`${edge.ws}${WS}/${jobId()}`);
    await other.next('hello');
    expect(edge.logged('a connection was refused')[0]).toMatchObject({
      code: 'overloaded',
      address: '127.0.0.2',
      limit: 'http_sockets_per_address',
      setting: 'HEADWAY_MAX_HTTP_SOCKETS_PER_ADDRESS',
    });
    // Whoever asks for something is silent no more.
    const [first, second] = all.filter(({ isClosed }) => !isClosed);
    first?.send(request('GET', '/livez'));
    expect(await first?.gone()).toMatch(/^HTTP\/1\.1 200 /);
    second?.send(handshake(`${WS}/${jobId()}`));
    await second?.until((text) => text.includes('"hello"'));
    for (let i = 0; i < 2; i++) {
      await using next = await RawSocket.connect(edge.port, request('GET', '/livez'), '127.0.0.2');
      expect(await next.gone()).toMatch(/^HTTP\/1\.1 200 /);
    }
    for (const raw of all) await raw[Symbol.asyncDispose]();
  });

  test('there are so many in all; WebSockets have places of their own', async () => {
    await using edge = await start({ HEADWAY_MAX_HTTP_SOCKETS: '20' });
    const id = jobId();
    const clients: WsClient[] = [];
    for (let i = 0; i < 30; i++) clients.push(await WsClient.connect(`${edge.ws}${WS}/${id}`));
    const all = await Promise.all(Array.from({ length: 60 }, () => RawSocket.connect(edge.port)));
    await waitFor(() => all.filter(({ isClosed }) => isClosed).length === 40, {
      what: 'forty to be cut off',
    });
    for (const client of clients) await client.next('hello');
    for (const raw of all) await raw[Symbol.asyncDispose]();
    await waitFor(async () => (await metric(edge.http, 'headway_http_sockets')) <= 1, { what: 'room again' });
    for (const client of clients) client.drop();
  });

  test.runIf(process.platform === 'linux')(
    'at the end of the open files new sockets are cut off, and those who are connected are served',
    async () => {
      await using edge = await startEdgeProcess({ natsUrl: shared.nats.url, maxOpenFiles: 400 });
      await using client = await WsClient.connect(`${edge.ws}${WS}/${jobId()}`);
      await client.next('hello');
      const all = await Promise.all(Array.from({ length: 800 }, () => RawSocket.connect(edge.port)));
      // Without an end the library would go on asking for the next one, and do nothing else.
      await waitFor(() => all.filter(({ isClosed }) => isClosed).length > 400, {
        what: 'the rest to be cut off',
      });
      client.send({ type: 'ping' });
      await client.until(({ type }) => type === 'pong');
      expect(edge.logged('a connection was refused')[0]).toMatchObject({
        limit: 'open_files',
        setting: 'ulimit -n',
      });
      for (const raw of all) await raw[Symbol.asyncDispose]();
      await waitFor(async () => (await fetch(`${edge.http}/livez`)).status === 200, { what: 'room again' });
      expect(edge.logged('a setting may not be what was meant')[0]?.problem).toMatch(
        /HEADWAY_MAX_CONNECTIONS/,
      );
    },
  );
});
