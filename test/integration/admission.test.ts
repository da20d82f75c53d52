import { expect, test } from 'vitest';
import { HandshakeRefused, WsClient } from '../harness/client.js';
import { jobId } from '../harness/ids.js';
import { LinkedEdge } from '../harness/linked-edge.js';
import { metric, metricsText } from '../harness/metrics.js';
import { bearer, JWT_ENV, mint, refusal } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const jobIds = (count: number): string[] => Array.from({ length: count }, () => jobId());

test('herds: while too many reads from JetStream wait, newcomers are refused with 503 and Retry-After, and those who wait are served', async () => {
  const ids = jobIds(5);
  await using linked = await LinkedEdge.start(ids, { HEADWAY_MAX_PENDING_READS: '3' });
  const { edge, link } = linked;
  link.stall();
  const waiting = await Promise.all(ids.slice(0, 3).map((id) => linked.resume(id)));
  const refusal = await waitFor(
    () =>
      linked.resume(ids[3]).then(
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
});

test('herds: reads that failed and will be tried again still count', async () => {
  const ids = jobIds(3);
  await using linked = await LinkedEdge.start(ids);
  const { edge, link } = linked;
  link.stall();
  const clients = await Promise.all(ids.map((id) => linked.resume(id)));
  for (const client of clients) await client.until(({ type }) => type === 'hello');
  const pending = new Set<number>();
  await waitFor(
    async () => {
      pending.add(await metric(edge.http, 'headway_history_reads_pending'));
      return (await metric(edge.http, 'headway_history_read_failures_total')) >= 2 * ids.length;
    },
    { what: 'reads that failed', timeoutMs: 60_000 },
  );
  expect([...pending]).toEqual([ids.length]);
  link.flow();
  for (const client of clients) {
    await client.until(({ type }) => type === 'caught_up', { timeoutMs: 30_000 });
    client.drop();
  }
}, 120_000);

test('herds: reads that wait for clients who have gone are not done', async () => {
  // Every resume needs a page of its own.
  const ids = jobIds(40);
  await using linked = await LinkedEdge.start(ids, { HEADWAY_HISTORY_READS: '1' });
  const { edge, link } = linked;
  link.stall();
  const clients = await Promise.all(ids.map((id) => linked.resume(id)));
  await waitFor(async () => (await metric(edge.http, 'headway_history_reads_pending')) === ids.length, {
    what: 'reads that wait',
  });
  for (const client of clients.slice(1)) client.drop();
  await waitFor(async () => (await metric(edge.http, 'headway_connections')) === 1, {
    what: 'the clients to be gone',
  });
  link.flow();
  await clients[0]?.until(({ type }) => type === 'caught_up', { timeoutMs: 30_000 });
  await waitFor(async () => (await metric(edge.http, 'headway_history_reads_pending')) === 0, {
    what: 'no reads',
  });
  expect(await metric(edge.http, 'headway_history_read_seconds_count')).toBeLessThan(5);
  clients[0]?.drop();
});

test('herds: while too many reads of one subject wait, its newcomers are refused with 1013, and others come in', async () => {
  const ids = jobIds(5);
  await using linked = await LinkedEdge.start(ids, {
    ...JWT_ENV,
    HEADWAY_MAX_PENDING_READS_PER_SUBJECT: '3',
  });
  const { edge, link } = linked;
  const [greedy, modest, nobody] = await Promise.all(
    [{ sub: 'greedy' }, { sub: 'modest' }, {}].map((sub) => mint({ ...sub, jobs: ['*'] })),
  );
  const resume = (index: number, token = '') => linked.resume(ids[index], bearer(token));
  link.stall();
  const waiting = await Promise.all([0, 1, 2].map((index) => resume(index, greedy)));
  for (const client of waiting) await client.until(({ type }) => type === 'hello');

  // What has no subject counts as its address, not as the subjects from there.
  for (const token of [modest, nobody]) {
    const other = await resume(3, token);
    await other.until(({ type }) => type === 'hello');
    waiting.push(other);
  }
  const refused = await refusal(`${edge.ws}/ws/upload-progress/${ids[4]}`, bearer(greedy ?? ''));
  expect(refused).toMatchObject({ code: 1013, reason: 'overloaded' });
  expect(refused.frames).toMatchObject([{ type: 'error', code: 'overloaded' }]);
  const answer = await fetch(`${edge.http}/v1/jobs/${ids[4]}`, bearer(greedy ?? ''));
  expect(answer.status).toBe(503);
  expect(answer.headers.get('retry-after')).toBe('1');
  expect(await answer.json()).toMatchObject({ code: 'overloaded' });
  const metrics = await metricsText(edge.http);
  expect(metrics).toContain('headway_limits_reached_total{limit="pending_reads_per_subject"} 2');

  link.flow();
  for (const client of waiting) await client.until(({ type }) => type === 'caught_up', { timeoutMs: 30_000 });
  const newcomer = await resume(4, greedy);
  await newcomer.until(({ type }) => type === 'caught_up', { timeoutMs: 30_000 });
  for (const client of [...waiting, newcomer]) client.drop();
});

test('herds: where nobody shows a token, newcomers of an address whose reads wait are refused with 503', async () => {
  const ids = jobIds(4);
  const env = { HEADWAY_MAX_PENDING_READS_PER_SUBJECT: '3', HEADWAY_TRUSTED_PROXIES: '127.0.0.1' };
  await using linked = await LinkedEdge.start(ids, env);
  const { link } = linked;
  const resume = (index: number, address: string) =>
    linked.resume(ids[index], { headers: { 'x-forwarded-for': address } });
  link.stall();
  const waiting = await Promise.all([0, 1, 2].map((index) => resume(index, '192.0.2.1')));
  for (const client of waiting) await client.until(({ type }) => type === 'hello');
  const other = await resume(3, '192.0.2.2');
  await other.until(({ type }) => type === 'hello');
  waiting.push(other);
  const refused: unknown = await resume(3, '192.0.2.1').catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(HandshakeRefused);
  expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
  link.flow();
  for (const client of waiting) {
    await client.until(({ type }) => type === 'caught_up', { timeoutMs: 30_000 });
    client.drop();
  }
});

test('herds: whoever leaves before the turn of a read is no failure of the edge', async () => {
  const ids = jobIds(2);
  await using linked = await LinkedEdge.start(ids, { HEADWAY_HISTORY_READS: '1' });
  const { edge, link } = linked;
  const reads = () => metric(edge.http, 'headway_history_reads_pending');
  const leaving = new AbortController();
  const ask = (id: string | undefined, init: RequestInit = {}) =>
    fetch(`${edge.http}/v1/jobs/${id}/events?after=1`, init);
  link.stall();
  const first = ask(ids[0]);
  await waitFor(async () => (await reads()) === 1, { what: 'a read' });
  const second = ask(ids[1], { signal: leaving.signal }).catch(() => 'left');
  await waitFor(async () => (await reads()) === 2, { what: 'another one that waits' });
  leaving.abort();
  expect(await second).toBe('left');
  await waitFor(async () => (await metric(edge.http, 'headway_http_sockets')) === 2, {
    what: 'the edge to notice',
  });
  link.flow();
  expect((await first).status).toBe(200);
  await waitFor(async () => (await reads()) === 0, { what: 'no read' });
  expect(edge.logged('a handler failed')).toEqual([]);
});
