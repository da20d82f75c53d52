/** What an edge says of the proxies in front of it, and of whoever is refused. */
import { expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { handshake, RawSocket } from '../harness/raw-socket.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats();
const WS = '/ws/upload-progress';
const start = (env: Record<string, string>) => startEdgeProcess({ natsUrl: shared.nats.url, env });

test('a range of proxies in which strangers may be is warned of', async () => {
  await using edge = await start({ HEADWAY_TRUSTED_PROXIES: '0.0.0.0/1,10.0.0.0/8,2001:db8::/32' });
  const problems = edge.logged('a setting may not be what was meant').map(({ problem }) => String(problem));
  expect(problems.filter((problem) => problem.includes('HEADWAY_TRUSTED_PROXIES'))).toEqual([
    expect.stringMatching(
      /^HEADWAY_TRUSTED_PROXIES has 0\.0\.0\.0\/1; everybody in it may claim any address/,
    ),
  ]);
});

test('G7 nobody unauthorised: an edge does not start with ranges of proxies that are everybody', async () => {
  const edge = start({ HEADWAY_TRUSTED_PROXIES: '0.0.0.0/1,128.0.0.0/1' });
  await expect(edge).rejects.toThrow(/HEADWAY_TRUSTED_PROXIES: the entries together hold every IPv4 address/);
});

test('a proxy that is not listed, and one that names no client, are told, once each', async () => {
  await using edge = await start({
    HEADWAY_TRUSTED_PROXIES: '127.0.0.3',
    HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: '10',
  });
  const clients = await Promise.all(
    Array.from({ length: 8 }, () => WsClient.connect(`${edge.ws}${WS}/${jobId()}`)),
  );
  await waitFor(() => edge.logged('most connections are from one address').length > 0, {
    what: 'the warning',
  });
  expect(edge.logged('most connections are from one address')).toEqual([
    expect.objectContaining({ address: '127.0.0.1', held: 5, setting: 'HEADWAY_TRUSTED_PROXIES' }),
  ]);
  for (let i = 0; i < 2; i++) {
    await using raw = await RawSocket.connect(edge.port, handshake(`${WS}/${jobId()}`), '127.0.0.3');
    await raw.until((text) => text.includes('"hello"'));
  }
  expect(edge.logged('a trusted proxy sends no X-Forwarded-For')).toEqual([
    expect.objectContaining({ address: '127.0.0.3', setting: 'HEADWAY_TRUSTED_PROXIES' }),
  ]);
  for (const client of clients) client.drop();
});

test('G8 bad input: a refusal names the setting of its limit', async () => {
  await using edge = await start({ HEADWAY_MAX_UPGRADES_PER_ADDRESS: '1', HEADWAY_MAX_CONNECTIONS: '3' });
  for (let i = 0; i < 20; i++) {
    await using raw = await RawSocket.connect(edge.port, handshake(`${WS}/a.b`));
    await raw.gone();
  }
  const settings = () => edge.logged('a connection was refused').map(({ setting }) => setting);
  await waitFor(() => settings().includes('HEADWAY_MAX_UPGRADES_PER_ADDRESS'), { what: 'the log line' });
});
