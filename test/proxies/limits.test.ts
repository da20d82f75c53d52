/** Whose address it is behind a proxy, and what the limits of addresses make of it. Clients come from many addresses: Linux. */
import pLimit from 'p-limit';
import { beforeAll, describe, expect, test } from 'vitest';
import { HandshakeRefused, type WsClient } from '../harness/client.js';
import { jobId } from '../harness/ids.js';
import { DEFAULT_LIMITS, makeSite, ProxiedEdges, type Site } from '../harness/proxied-edges.js';
import { publish } from '../harness/publish.js';
import { PROXIES } from '../harness/reverse-proxy.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const WS = '/ws/upload-progress';
const CLIENTS = 1_200;
/** Clients for each address: below every limit of one. */
const OF_ONE_ADDRESS = 100;

/** So many TLS handshakes take their time on a busy machine. */
const PATIENT_MS = 90_000;

const shared = sharedNats();
let site: Site;
beforeAll(async () => {
  site = await makeSite();
});

/** All of them, to be connected at the same time; how many were refused with which status, and those who are in. */
async function connectAll(edges: ProxiedEdges, path: string, count = CLIENTS) {
  const clients: WsClient[] = [];
  const refusals = new Map<number, HandshakeRefused[]>();
  const connectOne = async (i: number): Promise<void> => {
    const from = `127.0.1.${1 + Math.floor(i / OF_ONE_ADDRESS)}`;
    try {
      clients.push(await edges.connect(path, { from, timeoutMs: PATIENT_MS }));
    } catch (error) {
      if (!(error instanceof HandshakeRefused)) throw error;
      refusals.set(error.status, [...(refusals.get(error.status) ?? []), error]);
    }
  };
  // A proxy cuts off who takes ten seconds for a request, and this process has all the handshakes to do.
  const turns = pLimit(100);
  await Promise.all(Array.from({ length: count }, (_, i) => turns(() => connectOne(i))));
  return { clients, refusals };
}

describe.each(PROXIES)('%s', (proxy) => {
  test('a client is known by the address that the proxy saw, whatever it says of itself', async () => {
    await using edges = await ProxiedEdges.start({
      proxy,
      site,
      natsUrl: shared.nats.url,
      edges: 1,
      env: { HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: '2' },
    });
    const from = (address: string, claims: string) =>
      edges.connect(`${WS}/${jobId()}`, { from: address, headers: { 'x-forwarded-for': claims } });
    const first = [await from('127.0.0.2', '192.0.2.1'), await from('127.0.0.2', '192.0.2.2, 192.0.2.3')];
    for (const client of first) await client.next('hello');
    await using third = await from('127.0.0.2', '192.0.2.4');
    expect(await third.next('error')).toMatchObject({ code: 'too_many_connections' });
    expect((await third.ended()).code).toBe(4429);
    // Nobody uses up the places of another address by claiming it.
    await using other = await from('127.0.0.3', '127.0.0.2');
    await other.next('hello');
    const [edge] = edges.edges;
    await waitFor(() => edge?.logged('a connection was refused').length, { what: 'the log line' });
    expect(edge?.logged('a connection was refused')).toEqual([
      expect.objectContaining({
        address: '127.0.0.2',
        limit: 'connections_per_address',
        setting: 'HEADWAY_MAX_CONNECTIONS_PER_ADDRESS',
      }),
    ]);
    for (const client of first) client.drop();
  });

  test('1,200 clients of twelve addresses are connected at the same time, under the limits that an edge has by itself', async () => {
    await using edges = await ProxiedEdges.start({
      proxy,
      site,
      natsUrl: shared.nats.url,
      env: { ...DEFAULT_LIMITS, HEADWAY_HEARTBEAT_MS: '15000' },
    });
    const id = jobId();
    await publish(shared.nc, id, { progress: 1 });
    const { clients, refusals } = await connectAll(edges, `${WS}/${id}`);
    expect([...refusals.keys()]).toEqual([]);
    const seq = await publish(shared.nc, id, { progress: 2 });
    await Promise.all(
      clients.map((client) => client.until((frame) => frame.seq === seq, { timeoutMs: PATIENT_MS })),
    );
    for (const client of clients) client.drop();
  });
});

describe('behind a proxy that is not listed all clients count as one', () => {
  const start = (env: Record<string, string>) =>
    ProxiedEdges.start({
      proxy: 'nginx',
      site,
      natsUrl: shared.nats.url,
      edges: 1,
      env: { ...DEFAULT_LIMITS, HEADWAY_TRUSTED_PROXIES: undefined, HEADWAY_HEARTBEAT_MS: '15000', ...env },
    });
  const settings = (edges: ProxiedEdges) =>
    new Set(edges.edges[0]?.logged('a connection was refused').map(({ setting }) => setting));

  test('1,000 of 1,200 are served, the others are told of the setting, and so is the log', async () => {
    // How many come in one second is a matter of the machine.
    await using edges = await start({ HEADWAY_MAX_UPGRADES_PER_ADDRESS: '0' });
    const { clients, refusals } = await connectAll(edges, `${WS}/${jobId()}`);
    expect(refusals.size).toBe(0);
    const first = await Promise.all(
      clients.map((client) => client.next(undefined, { timeoutMs: PATIENT_MS })),
    );
    const told = first.filter(({ type }) => type === 'error');
    expect([first.length, told.length]).toEqual([1_200, 200]);
    for (const frame of told) {
      expect(frame).toMatchObject({
        code: 'too_many_connections',
        message: expect.stringContaining('HEADWAY_TRUSTED_PROXIES'),
      });
    }
    expect(edges.edges[0]?.logged('most connections are from one address')).toEqual([
      expect.objectContaining({ address: '127.0.0.1', held: 500, setting: 'HEADWAY_TRUSTED_PROXIES' }),
    ]);
    expect([...settings(edges)]).toEqual(['HEADWAY_MAX_CONNECTIONS_PER_ADDRESS']);
    for (const client of clients) client.drop();
  });

  test('more than may come in one second get 503, which tells of the setting', async () => {
    await using edges = await start({ HEADWAY_MAX_UPGRADES_PER_ADDRESS: '2' });
    const { clients, refusals } = await connectAll(edges, `${WS}/${jobId()}`, 100);
    expect([...refusals.keys()]).toEqual([503]);
    for (const { body, headers } of refusals.get(503) ?? []) {
      expect(JSON.parse(body)).toMatchObject({
        code: 'overloaded',
        detail: expect.stringMatching(/from this address.*HEADWAY_TRUSTED_PROXIES/),
      });
      expect(headers['retry-after']).toBe('3');
    }
    expect([...settings(edges)]).toEqual(['HEADWAY_MAX_UPGRADES_PER_ADDRESS']);
    for (const client of clients) client.drop();
  });
});
