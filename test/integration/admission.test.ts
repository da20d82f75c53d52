import { expect, test } from 'vitest';
import { HandshakeRefused, WsClient } from '../harness/client.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { startNats } from '../harness/nats-server.js';
import { startTcpProxy } from '../harness/proxy.js';
import { connectNats, createStream, publish } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

test('herds: while too many reads from JetStream wait, newcomers are refused with 503 and Retry-After, and those who wait are served', async () => {
  await using nats = await startNats();
  const nc = await connectNats(nats.url);
  const ids = Array.from({ length: 5 }, () => jobId());
  await createStream(nc, 'PROGRESS');
  for (const id of [...ids, ...ids]) await publish(nc, id);
  await using link = await startTcpProxy(nats.port);
  await using edge = await startEdgeProcess({
    natsUrl: `nats://127.0.0.1:${link.port}`,
    env: { HEADWAY_MAX_PENDING_READS: '3' },
  });
  // NATS answers nothing, so that reads wait.
  link.stall();
  const waiting = await Promise.all(
    ids.slice(0, 3).map((id) => WsClient.connect(`${edge.ws}/ws/upload-progress/${id}?last_seq=1`)),
  );
  const refusal = await waitFor(
    () =>
      WsClient.connect(`${edge.ws}/ws/upload-progress/${ids[3]}?last_seq=1`).then(
        (client) => void client.drop(),
        (error: unknown) => (error instanceof HandshakeRefused ? error : undefined),
      ),
    { what: 'a refusal' },
  );
  expect(refusal.status).toBe(503);
  expect(refusal.headers['retry-after']).toBe('1');
  expect(JSON.parse(refusal.body)).toMatchObject({ status: 503, code: 'overloaded' });
  link.flow();
  for (const client of waiting) await client.until(({ type }) => type === 'caught_up', { timeoutMs: 30_000 });
  const newcomer = await waitFor(() => WsClient.connect(`${edge.ws}/ws/upload-progress/${ids[4]}`), {
    what: 'room again',
  });
  newcomer.drop();
  for (const client of waiting) client.drop();
  await nc.close();
});

test('herds: reads that wait for clients who have gone are not done', async () => {
  await using nats = await startNats();
  await using nc = await connectNats(nats.url);
  const ids = Array.from({ length: 40 }, () => jobId());
  await createStream(nc, 'PROGRESS');
  // A trimmed job each, so that every resume from its beginning needs a page of its own.
  for (const id of [...ids, ...ids]) await publish(nc, id);
  await using link = await startTcpProxy(nats.port);
  await using edge = await startEdgeProcess({
    natsUrl: `nats://127.0.0.1:${link.port}`,
    env: { HEADWAY_COLD_READS: '1' },
  });
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`${edge.http}/metrics`)).text();
    const values = [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, 'gm'))];
    return values.reduce((sum, [, value]) => sum + Number(value), 0);
  };
  link.stall();
  const clients = await Promise.all(
    ids.map((id) => WsClient.connect(`${edge.ws}/ws/upload-progress/${id}?last_seq=1`)),
  );
  await waitFor(async () => (await metric('headway_cold_reads_pending')) === ids.length, {
    what: 'reads that wait',
  });
  for (const client of clients.slice(1)) client.drop();
  await waitFor(async () => (await metric('headway_connections')) === 1, { what: 'the clients to be gone' });
  link.flow();
  await clients[0]?.until(({ type }) => type === 'caught_up', { timeoutMs: 30_000 });
  await waitFor(async () => (await metric('headway_cold_reads_pending')) === 0, { what: 'no reads' });
  expect(await metric('headway_cold_read_seconds_count')).toBeLessThan(5);
  clients[0]?.drop();
});
