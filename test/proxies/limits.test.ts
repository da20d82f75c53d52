/** Whose address it is behind a proxy, and what the limits of addresses make of it. Clients come from many addresses: Linux. */
import { beforeAll, describe, expect, test } from 'vitest';
import { HandshakeRefused, type WsClient } from '../harness/client.js';
import { jobId } from '../harness/ids.js';
import { DEFAULT_LIMITS, makeSite, ProxiedEdges, type Site } from '../harness/proxied-edges.js';
import { publish } from '../harness/publish.js';
import { PROXIES } from '../harness/reverse-proxy.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor, withTimeout } from '../harness/wait.js';

const WS = '/ws/upload-progress';
const CLIENTS = 1_200;
/** Clients for each address: below every limit of one. */
const OF_ONE_ADDRESS = 100;

const shared = sharedNats();
let site: Site;
beforeAll(async () => {
  site = await makeSite();
});

/** All at once; how many were refused with which status, and those who are in. */
async function connectAll(edges: ProxiedEdges, path: string) {
  const clients: WsClient[] = [];
  const refusals = new Map<number, HandshakeRefused[]>();
  const connectOne = async (i: number): Promise<void> => {
    const from = `127.0.1.${1 + Math.floor(i / OF_ONE_ADDRESS)}`;
    try {
      clients.push(await edges.connect(path, { from, timeoutMs: 40_000 }));
    } catch (error) {
      if (!(error instanceof HandshakeRefused)) throw error;
      refusals.set(error.status, [...(refusals.get(error.status) ?? []), error]);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, i) => connectOne(i)));
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
    expect((await withTimeout(third.closed, 10_000, 'the close')).code).toBe(4429);
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

  test('1,200 clients of twelve addresses are let in at once, under the limits of an edge as they are by themselves', async () => {
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
      clients.map((client) => client.until((frame) => frame.seq === seq, { timeoutMs: 40_000 })),
    );
    for (const client of clients) client.drop();
  });
});

test('behind a proxy that is not listed all clients count as one, and every refusal names the setting', async () => {
  await using edges = await ProxiedEdges.start({
    proxy: 'nginx',
    site,
    natsUrl: shared.nats.url,
    edges: 1,
    env: { ...DEFAULT_LIMITS, HEADWAY_TRUSTED_PROXIES: undefined, HEADWAY_HEARTBEAT_MS: '15000' },
  });
  const { clients, refusals } = await connectAll(edges, `${WS}/${jobId()}`);
  const [edge] = edges.edges;
  expect([...refusals.keys()]).toEqual([503]);
  const bodies = new Set(
    refusals.get(503)?.map(({ body }) => (JSON.parse(body) as { detail: string }).detail),
  );
  expect([...bodies].join()).toMatch(/from this address/);
  expect([...bodies].join()).toMatch(/HEADWAY_TRUSTED_PROXIES/);
  expect(edge?.logged('most connections are from one address')).toEqual([
    expect.objectContaining({ address: '127.0.0.1', setting: 'HEADWAY_TRUSTED_PROXIES' }),
  ]);
  const settings = new Set(edge?.logged('a connection was refused').map(({ setting }) => setting));
  expect([...settings]).toContain('HEADWAY_MAX_UPGRADES_PER_ADDRESS');
  for (const client of clients) client.drop();
});
