/** Server-sent events: the sessions of WebSockets over another transport. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { edgeHasRead } from '../harness/edge-head.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { jobId } from '../harness/ids.js';
import { LinkedEdge } from '../harness/linked-edge.js';
import { metric } from '../harness/metrics.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, deleteStreams, publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { SseClient } from '../harness/sse-client.js';
import { bearer, inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const LISTED = 'https://app.example.com';
const shared = sharedNats();
let edge: LocalEdge;

beforeAll(async () => {
  edge = await startLocalEdge(shared.nats.url, {
    ...JWT_ENV,
    HEADWAY_ALLOWED_ORIGINS: LISTED,
    HEADWAY_HEARTBEAT_MS: '500',
    HEADWAY_TOKEN_WARNING_SECONDS: '1',
  });
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready' });
});
afterAll(() => edge[Symbol.asyncDispose]());

const token = async (claims: Record<string, unknown> = { jobs: ['*'] }, seconds = 60) =>
  bearer(await mint({ exp: inSeconds(seconds), ...claims })).headers;
const url = (path: string, of: LocalEdge = edge) => `${of.http}/sse/upload-progress${path}`;

describe('one job', () => {
  test('G2 state first: hello, the last state, caught_up, and then what is new', async () => {
    await publish(shared.nc, 'one', { progress: 10 });
    const seq = await publish(shared.nc, 'one', { progress: 20 });
    await edgeHasRead(edge.http, shared.nc);
    using client = new SseClient(url('/one'), await token());
    await client.frame('caught_up');
    expect(client.status).toBe(200);
    expect(client.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
    });
    expect(client.frames.map(({ type }) => type)).toEqual(['hello', 'progress_update', 'caught_up']);
    const next = await publish(shared.nc, 'one', { progress: 30 });
    await waitFor(() => client.updates.length === 2, { what: 'the new event' });
    expect(client.updates).toEqual([seq, next]);
    expect(client.retryMs).toBeGreaterThanOrEqual(1_000);
    expect(client.retryMs).toBeLessThanOrEqual(5_000);
  });

  test('G1 order, G10 any edge: Last-Event-ID alone resumes, on another edge as well', async () => {
    await using other = await startLocalEdge(shared.nats.url, JWT_ENV);
    await publish(shared.nc, 'two', { progress: 1 });
    await edgeHasRead(edge.http, shared.nc);
    let lastEventId: string;
    {
      using client = new SseClient(url('/two'), await token());
      await client.frame('caught_up');
      ({ lastEventId } = client);
      const hello = await client.frame('hello');
      expect(lastEventId).toContain(hello.epoch);
    }
    const missed = [];
    for (let i = 2; i <= 4; i++) missed.push(await publish(shared.nc, 'two', { progress: i }));
    for (const of of [edge, other]) {
      await edgeHasRead(of.http, shared.nc);
      using client = new SseClient(url('/two', of), { ...(await token()), 'last-event-id': lastEventId });
      await client.frame('caught_up');
      expect(client.frames.map(({ type }) => type)).not.toContain('reset');
      expect(client.updates).toEqual(missed);
    }
  });

  test('G6 the end: it comes, the stream ends, and 204 keeps a browser from coming back', async () => {
    using client = new SseClient(url('/three'), await token());
    await client.frame('caught_up');
    await publish(shared.nc, 'three', { status: 'completed', progress: 100 });
    await client.frame('end');
    await client.closed();
    expect(client.isWhole).toBe(true);
    using again = new SseClient(url('/three'), {
      ...(await token()),
      'last-event-id': client.lastEventId,
    });
    await again.closed();
    expect([again.status, again.frames]).toEqual([204, []]);
    // Whoever comes anew gets the state and the end, as over WebSocket.
    using fresh = new SseClient(url('/three'), await token());
    await fresh.closed();
    expect(fresh.frames.map(({ type }) => type)).toEqual(['hello', 'progress_update', 'caught_up', 'end']);
  });

  test.each([
    ['of another scope', (seq: number) => `${seq}.EPOCH.another`, 'scope'],
    ['ahead of the stream', () => '9007199254740991.EPOCH.SCOPE', 'ahead'],
  ])('G5 stale cursors: one %s is a reset, of a job that has ended as well', async (_what, id, reason) => {
    const end = await publish(shared.nc, 'ended', { status: 'completed', progress: 100 });
    await edgeHasRead(edge.http, shared.nc);
    using first = new SseClient(url('/ended'), await token());
    await first.closed();
    const [, epoch = '', scope = ''] = first.lastEventId.split('.');
    const lastEventId = id(end).replace('EPOCH', epoch).replace('SCOPE', scope);
    using client = new SseClient(url('/ended'), { ...(await token()), 'last-event-id': lastEventId });
    expect(await client.frame('reset')).toMatchObject({ reason });
    await client.frame('end');
    expect(client.updates).toEqual([end]);
  });

  test('a heartbeat is a comment, and its cursor is kept', async () => {
    using client = new SseClient(url('/four'), await token());
    const { cursor } = await client.frame('caught_up');
    await publish(shared.nc, 'elsewhere', {});
    await waitFor(() => client.comments.some((comment) => comment.includes('"heartbeat"')), {
      what: 'a heartbeat',
    });
    await waitFor(() => Number(client.lastEventId.split('.')[0]) > cursor, { what: 'the cursor to move' });
    expect(client.frames.map(({ type }) => type)).toEqual(['hello', 'caught_up']);
  });

  test('G5 stale cursors: one of another stream is a reset, and the browser forgets it', async () => {
    using client = new SseClient(url('/one'), { ...(await token()), 'last-event-id': '3.another.scope' });
    const reset = await client.frame('reset');
    expect(reset.reason).toBe('epoch');
    await client.frame('caught_up');
    expect(client.lastEventId).toContain(reset.epoch);
  });
});

describe('all jobs', () => {
  test('every state, then every event, and a resume of all', async () => {
    using client = new SseClient(url('?job_type=sse'), await token());
    await client.frame('caught_up');
    const first = await publish(shared.nc, 'a', { job_type: 'sse' });
    await publish(shared.nc, 'b', { job_type: 'other' });
    await waitFor(() => client.updates.includes(first), { what: 'the event' });
    client[Symbol.dispose]();
    const second = await publish(shared.nc, 'c', { job_type: 'sse' });
    await edgeHasRead(edge.http, shared.nc);
    using back = new SseClient(url('?job_type=sse'), {
      ...(await token()),
      'last-event-id': client.lastEventId,
    });
    await back.frame('caught_up');
    expect(back.updates).toEqual([second]);
  });
});

describe('who may', () => {
  test.each<[string, string, Record<string, unknown> | null, number, string]>([
    ['no token', '/one', null, 401, 'unauthorized'],
    ['another job', '/one', { jobs: ['two'] }, 403, 'forbidden'],
    ['all jobs with a token for one', '', { jobs: ['one'] }, 403, 'forbidden'],
    ['no id of a job', '/a.b', { jobs: ['*'] }, 400, 'invalid_processing_id'],
    ['no cursor', '/one?last_seq=x', { jobs: ['*'] }, 400, 'invalid_last_seq'],
  ])('G7 nobody unauthorised, G8 bad input: %s', async (_what, path, claims, status, code) => {
    using client = new SseClient(url(path), claims === null ? {} : await token(claims));
    await client.closed();
    expect(client.status).toBe(status);
    expect(JSON.parse(client.body)).toMatchObject({ status, code });
  });

  test('G8 bad input: an id that is none of ours is explained', async () => {
    using client = new SseClient(url('/one'), { ...(await token()), 'last-event-id': 'abc' });
    await client.closed();
    expect(JSON.parse(client.body)).toMatchObject({
      code: 'invalid_last_seq',
      detail: 'Last-Event-ID is "abc"; expected the id of an event of this stream',
    });
  });

  test('a page of a listed origin may read the stream, any other may not', async () => {
    using page = new SseClient(url('/one'), { ...(await token()), origin: LISTED });
    await page.frame('caught_up');
    expect(page.headers).toMatchObject({ 'access-control-allow-origin': LISTED, vary: 'Origin' });
    using evil = new SseClient(url('/one'), { ...(await token()), origin: 'https://evil.example.com' });
    await evil.closed();
    expect([evil.status, evil.headers['access-control-allow-origin']]).toEqual([403, undefined]);
  });

  test('G7 nobody unauthorised: the stream ends with its token', async () => {
    using client = new SseClient(url('/one'), await token({ jobs: ['one'] }, 2));
    await client.frame('token_expiring');
    expect(await client.frame('error')).toMatchObject({ code: 'token_expired' });
    await client.closed();
    const before = client.updates.length;
    await publish(shared.nc, 'one', {});
    await edgeHasRead(edge.http, shared.nc);
    expect(client.updates).toHaveLength(before);
  });

  test('G7 nobody unauthorised: that a job has ended is not told whoever it is not opened to', async () => {
    await publish(shared.nc, 'secret', { job_type: 'ocr', status: 'completed', progress: 100 });
    await edgeHasRead(edge.http, shared.nc);
    using owner = new SseClient(url('/secret'), await token());
    await owner.closed();
    for (const id of ['secret', 'nothing']) {
      using other = new SseClient(url(`/${id}`), {
        ...(await token({ job_types: ['pdf'] })),
        'last-event-id': owner.lastEventId,
      });
      await other.frame('reset');
      expect(other.status).toBe(200);
    }
  });

  test('limits: too many of one address get 429, and a browser is told to come back', async () => {
    await using small = await startLocalEdge(shared.nats.url, {
      HEADWAY_MAX_CONNECTIONS_PER_ADDRESS: '1',
    });
    using first = new SseClient(url('/one', small));
    await first.frame('caught_up');
    using browser = new SseClient(url('/one', small));
    await browser.closed();
    expect(browser.status).toBe(200);
    expect(browser.frames).toMatchObject([{ type: 'error', code: 'too_many_connections' }]);
    expect(browser.retryMs).toBeGreaterThanOrEqual(1_000);
    using other = new SseClient(url('/one', small), { accept: '*/*' });
    await other.closed();
    expect([other.status, other.headers['retry-after']]).toEqual([429, '1']);
    first[Symbol.dispose]();
    await waitFor(
      async () => {
        using again = new SseClient(url('/one', small));
        return await Promise.race([again.frame('caught_up'), again.closed().then(() => false)]);
      },
      { what: 'the place to be free again' },
    );
  });
});

test('limits: a browser that is refused before its token is looked at is told why, and to come back', async () => {
  await using small = await startLocalEdge(shared.nats.url, { HEADWAY_MAX_CONNECTIONS: '1' });
  using first = new SseClient(url('/one', small));
  await first.frame('caught_up');
  using browser = new SseClient(url('/one', small), { accept: 'Text/Event-Stream' });
  await browser.closed();
  expect(browser.frames).toEqual([
    {
      type: 'error',
      code: 'overloaded',
      message: 'this edge has as many connections as it takes; connect again in a moment',
    },
  ]);
});

test('G4 slow readers: one that does not read for a while costs bounded memory and misses nothing', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using small = await startLocalEdge(own.url);
  using client = new SseClient(url('/slow', small));
  await client.frame('caught_up');
  client.pause();
  const stored: number[] = [];
  // More than the kernel's buffers and the watermark hold.
  for (let i = 0; i < 250; i++)
    stored.push(await publish(worker, 'slow', { message: 'x'.repeat(4_000), padding: 'y'.repeat(50_000) }));
  await edgeHasRead(small.http, worker);
  const text = await (await fetch(`${small.http}/metrics`)).text();
  expect(text).toContain('headway_sessions{state="catching_up"} 1');
  client.resume();
  await waitFor(() => client.updates.length === stored.length, { what: 'all of it' });
  expect(client.updates).toEqual(stored);
}, 60_000);

test('G3 faults: an edge that drains tells its streams, and ends each with what it was owed', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using going = await startLocalEdge(own.url, { HEADWAY_DRAIN_MS: '200' });
  using client = new SseClient(url('/job', going));
  await client.frame('caught_up');
  const seq = await publish(worker, 'job', {});
  await edgeHasRead(going.http, worker);
  const closing = going.edge.close();
  await client.frame('draining');
  await client.closed();
  expect(client.isWhole).toBe(true);
  await closing;
  expect(client.updates).toEqual([seq]);
});

test('G3 faults, G9 memory: while NATS is away a stream begins all the same, and whoever leaves is counted out', async () => {
  await using linked = await LinkedEdge.start(['cold'], {
    HEADWAY_LAST_STATE_BYTES: '65536',
    HEADWAY_TAIL_BYTES: '65536',
  });
  const { edge: away, world, link } = linked;
  const sse = (id: string) => `${away.http}/sse/upload-progress/${id}`;
  // The edge forgets the job.
  for (let i = 0; i < 100; i++) await publish(world.nc, `other-${i}`, { message: 'x'.repeat(4_000) });
  await edgeHasRead(away.http, world.nc);
  using first = new SseClient(sse('cold'));
  const { epoch, scope } = await first.frame('hello');
  await first.frame('caught_up');
  first[Symbol.dispose]();
  for (let i = 0; i < 100; i++) await publish(world.nc, `more-${i}`, { message: 'x'.repeat(4_000) });
  await edgeHasRead(away.http, world.nc);
  link.stall();
  const resume = { 'last-event-id': `1.${epoch}.${scope}` };
  using client = new SseClient(sse('cold'), resume);
  {
    using leaver = new SseClient(sse('cold'), resume);
    const asked = fetch(`${away.http}/v1/jobs/cold`, { signal: AbortSignal.timeout(500) });
    await expect(asked).rejects.toThrow(/aborted|timeout/i);
    leaver[Symbol.dispose]();
  }
  await client.frame('hello');
  link.flow();
  await client.frame('caught_up');
  expect(client.updates).toEqual([2]);
  client[Symbol.dispose]();
  await waitFor(async () => (await metric(away.http, 'headway_connections')) === 0, { what: 'nobody' });
  // The one that asks.
  await waitFor(async () => (await metric(away.http, 'headway_http_sockets')) === 1, { what: 'no socket' });
  expect(away.logged('a handler failed')).toEqual([]);
}, 60_000);

test('G5 stale cursors: a stream that is made anew under a standing connection is a reset', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using one = await startLocalEdge(own.url);
  using client = new SseClient(url('/job', one));
  await client.frame('caught_up');
  await publish(worker, 'job', { progress: 1 });
  await waitFor(() => client.updates.length === 1, { what: 'the first event' });
  const before = client.lastEventId;
  await deleteStreams(worker, own);
  await client.frame('reset');
  await publish(worker, 'job', { progress: 2 }).catch(() => undefined);
  expect(client.lastEventId).not.toBe(before);
}, 60_000);

test('G9 memory: whoever is gone is counted out', async () => {
  await waitFor(async () => (await metric(edge.http, 'headway_connections_unauthenticated')) === 0, {
    what: 'nobody',
  });
});

test('G6 the end, G10 any edge: an edge that is behind others does not take an old end for that of a job that has begun anew', async () => {
  const id = jobId();
  await using linked = await LinkedEdge.start([id]);
  const { edge: behind, link, world } = linked;
  const path = `${behind.http}/sse/upload-progress/${id}`;
  await publish(world.nc, id, { status: 'error', error: { code: 'broken' } });
  using first = new SseClient(path);
  await first.frame('end');
  const { epoch, scope } = await first.frame('hello');
  link.stall();
  // Another edge has shown this to the client.
  const seq = await publish(world.nc, id, { attempt: 2 });
  using client = new SseClient(path, { 'last-event-id': `${seq}.${epoch}.${scope}` });
  await waitFor(() => client.status !== 0 || client.isClosed, { what: 'an answer' });
  expect(client.status).toBe(200);
  link.flow();
  expect((await client.frame('caught_up')).cursor).toBeGreaterThanOrEqual(seq);
  expect(client.frames.map(({ type }) => type)).not.toContain('end');
});
