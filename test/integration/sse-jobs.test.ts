/** Several jobs on one stream of server-sent events, over real edges. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { edgeHasRead } from '../harness/edge-head.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { jobId } from '../harness/ids.js';
import { LinkedEdge } from '../harness/linked-edge.js';
import { metric, metricByLabel } from '../harness/metrics.js';
import { startNats } from '../harness/nats-server.js';
import { startTcpProxy } from '../harness/proxy.js';
import { connectNats, deleteStreams, publish, storedEvents } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { SseClient } from '../harness/sse-client.js';
import { bearer, inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats();
let edge: LocalEdge;
beforeAll(async () => {
  edge = await startLocalEdge(shared.nats.url, {
    ...JWT_ENV,
    HEADWAY_HEARTBEAT_MS: '500',
    HEADWAY_MAX_FOLLOWED_JOBS: '4',
  });
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready' });
});
afterAll(() => edge[Symbol.asyncDispose]());

const DONE = { status: 'completed', progress: 100 };
const token = async (claims: Record<string, unknown> = { jobs: ['*'] }) =>
  bearer(await mint({ exp: inSeconds(60), ...claims })).headers;
const url = (ids: readonly string[], of: LocalEdge = edge, rest = '') =>
  `${of.http}/sse/upload-progress?${ids.map((id) => `processing_id=${id}`).join('&')}${rest}`;
const types = (client: SseClient, id: string) =>
  client.frames.flatMap((frame) =>
    'processing_id' in frame && frame.processing_id === id ? [frame.type] : [],
  );
const following = (client: SseClient, ids: readonly string[]) =>
  waitFor(() => ids.every((id) => types(client, id).includes('following')), { what: 'all to be followed' });
const back = async (client: SseClient) => ({ ...(await token()), 'last-event-id': client.lastEventId });

describe('several jobs on one stream', () => {
  test('G2 state first: hello, of each job its last state and following, and then what is new', async () => {
    const ids = [jobId(), jobId(), jobId()];
    const [a = '', b = '', c = ''] = ids;
    const seqs = [await publish(shared.nc, a, {}), await publish(shared.nc, b, {})];
    await edgeHasRead(edge.http, shared.nc);
    using client = new SseClient(url(ids), await token());
    await following(client, ids);
    expect(client.status).toBe(200);
    expect(client.frames[0]?.type).toBe('hello');
    expect(types(client, a)).toEqual(['progress_update', 'following']);
    expect(types(client, c)).toEqual(['following']);
    seqs.push(await publish(shared.nc, c, {}), await publish(shared.nc, a, {}));
    await waitFor(() => client.updates.length === seqs.length, { what: 'what is new' });
    expect(client.updates).toEqual(seqs);
    expect(await metricByLabel(edge.http, 'headway_connections')).toMatchObject({ selected: 1 });
  });

  test('G6 the end: an id covers it, also where the stream is handed over with the end as its last frame', async () => {
    const HANDED_OVER_AT = 65_536;
    const streamOf = async (padding: number) => {
      const id = jobId();
      await publish(shared.nc, id, { ...DONE, padding: 'x'.repeat(padding) });
      await edgeHasRead(edge.http, shared.nc);
      const answer = await fetch(url([id]), { headers: await token() });
      const text = await answer.text();
      return {
        id,
        text,
        beforeEnd: text.indexOf('data: {"type":"end"') - text.indexOf('data: {"type":"hello"'),
      };
    };
    const { beforeEnd } = await streamOf(0);
    const { id, text, ...long } = await streamOf(HANDED_OVER_AT - 20 - beforeEnd);
    expect(long.beforeEnd).toBeGreaterThan(HANDED_OVER_AT - 40);
    expect(long.beforeEnd).toBeLessThan(HANDED_OVER_AT);
    const lastEventId = [...text.matchAll(/^id: (.*)$/gm)].at(-1)?.[1] ?? '';
    const headers = { ...(await token()), 'last-event-id': lastEventId };
    expect((await fetch(url([id]), { headers })).status).toBe(204);
  });

  test('G1 order, G10 any edge: Last-Event-ID alone resumes them all, on another edge as well', async () => {
    await using other = await startLocalEdge(shared.nats.url, JWT_ENV);
    const ids = [jobId(), jobId(), jobId()];
    for (const id of ids) await publish(shared.nc, id, {});
    await edgeHasRead(edge.http, shared.nc);
    using client = new SseClient(url(ids), await token());
    await following(client, ids);
    // The id of an event comes in the same write: nothing has to be waited for.
    const last = await publish(shared.nc, ids[1] as string, { progress: 2 });
    await waitFor(() => client.lastEventId.startsWith(`${last}.`), { what: 'the id' });
    client[Symbol.dispose]();
    const missed: number[] = [];
    for (let round = 0; round < 3; round++)
      for (const id of ids) missed.push(await publish(shared.nc, id, { progress: 3 }));
    for (const of of [edge, other]) {
      await edgeHasRead(of.http, shared.nc);
      using again = new SseClient(url([...ids].reverse(), of), await back(client));
      await following(again, ids);
      expect(again.updates.sort((x, y) => x - y)).toEqual(missed);
      expect(again.frames.map(({ type }) => type)).not.toContain('reset');
    }
  });

  test('G1 order: each goes on from its own cursor, and the others from that of all', async () => {
    const [a, b] = [jobId(), jobId()];
    const first = await publish(shared.nc, a, {});
    const owed = [await publish(shared.nc, a, {}), await publish(shared.nc, b, {})];
    const newest = await publish(shared.nc, b, {});
    await edgeHasRead(edge.http, shared.nc);
    using client = new SseClient(url([a, b]), await token());
    const { epoch, scope } = await client.frame('hello');
    const cursors = `&epoch=${epoch}&scope=${scope}&after=${a}:${first}&last_seq=${owed[1]}`;
    using resumed = new SseClient(url([a, b], edge, cursors), await token());
    await following(resumed, [a, b]);
    expect(resumed.updates).toEqual([owed[0], newest]);
    expect(resumed.frames.map(({ type }) => type)).not.toContain('reset');
    // What a browser comes back with is newer than its address.
    using newer = new SseClient(url([a, b], edge, cursors), await back(resumed));
    await following(newer, [a, b]);
    expect(newer.updates).toEqual([]);
  });

  test('G6 the end: of one job it concerns that job alone; behind the last the stream ends, and 204 follows', async () => {
    const [a, b] = [jobId(), jobId()];
    await publish(shared.nc, a, DONE);
    await edgeHasRead(edge.http, shared.nc);
    using client = new SseClient(url([a, b]), await token());
    await following(client, [a, b]);
    expect(types(client, a)).toEqual(['progress_update', 'following', 'end']);
    const middle = await back(client);
    client[Symbol.dispose]();
    const seq = await publish(shared.nc, b, { progress: 50 });
    await edgeHasRead(edge.http, shared.nc);
    using again = new SseClient(url([a, b]), middle);
    await following(again, [b]);
    // What has ended is not told again.
    expect([again.updates, types(again, a)]).toEqual([[seq], []]);
    await publish(shared.nc, b, DONE);
    await again.closed();
    expect(types(again, b).at(-1)).toBe('end');
    expect(again.isWhole).toBe(true);
    using stopped = new SseClient(url([a, b]), await back(again));
    await stopped.closed();
    expect([stopped.status, stopped.frames]).toEqual([204, []]);
    // Whoever comes anew gets the states and the ends.
    using fresh = new SseClient(url([a, b]), await token());
    await fresh.closed();
    expect(types(fresh, a)).toEqual(['progress_update', 'following', 'end']);
  });

  test('G7 nobody unauthorised: a job that is not open gets an error, and the others go on', async () => {
    const [mine, other, byType] = [jobId(), jobId(), jobId()];
    await publish(shared.nc, other, {});
    await publish(shared.nc, byType, { job_type: 'ocr' });
    await edgeHasRead(edge.http, shared.nc);
    using client = new SseClient(
      url([mine, other, byType]),
      await token({ jobs: [mine], job_types: ['pdf'] }),
    );
    await following(client, [mine]);
    await waitFor(() => types(client, byType).includes('error'), { what: 'the refusals' });
    expect(client.updates).toEqual([]);
    const seq = await publish(shared.nc, mine, {});
    await waitFor(() => client.updates.length === 1, { what: 'what is new' });
    expect(client.updates).toEqual([seq]);
    // Another token opens more: of that it has nothing yet, whatever its cursor says.
    client[Symbol.dispose]();
    using wider = new SseClient(url([mine, other, byType]), await back(client));
    await following(wider, [mine, other, byType]);
    expect(types(wider, other)).toEqual(['reset', 'progress_update', 'following']);
  });

  test('G7 nobody unauthorised: when none is open the answer is 403', async () => {
    using client = new SseClient(url([jobId(), jobId()]), await token({ jobs: ['mine'] }));
    await client.closed();
    expect(client.status).toBe(403);
    expect(JSON.parse(client.body)).toMatchObject({ code: 'forbidden' });
  });

  test('a heartbeat is a comment, and the id moves with it though every job is silent', async () => {
    const ids = [jobId(), jobId()];
    using client = new SseClient(url(ids), await token());
    await following(client, ids);
    const elsewhere = await publish(shared.nc, jobId(), {});
    await waitFor(() => Number(client.lastEventId.split('.')[0]) >= elsewhere, { what: 'the id to move' });
    expect(client.frames.map(({ type }) => type)).toEqual(['hello', 'following', 'following']);
  });

  test.each<[string, string, string, RegExp]>([
    ['a type', '?processing_id=a&job_type=pdf', 'invalid_query', /^job_type is a filter of all jobs/],
    ['a job in the path', '/a?processing_id=b', 'invalid_query', /without a job in its path/],
    ['no id', '?processing_id=a&processing_id=b.c', 'invalid_processing_id', /"b\.c"/],
    ['too many', `?${[1, 2, 3, 4, 5].map((n) => `processing_id=${n}`).join('&')}`, 'too_many_jobs', /5.* 4$/],
    ['a cursor of another job', '?processing_id=a&after=b:5', 'invalid_query', /no processing_id names/],
    ['two cursors', '?processing_id=a&after=a:5&after=a:6', 'invalid_query', /more than once/],
    ['no cursor', '?processing_id=a&after=a', 'invalid_last_seq', /expected a processing_id, ":", 0 to/],
    ['a cursor of no job', '?after=a:5', 'invalid_query', /^after is the cursor of one job/],
  ])('G8 bad input: %s', async (_what, path, code, detail) => {
    using client = new SseClient(`${edge.http}/sse/upload-progress${path}`, await token());
    await client.closed();
    expect(JSON.parse(client.body)).toMatchObject({
      status: 400,
      code,
      detail: expect.stringMatching(detail),
    });
  });
});

test('G1 order, G3 faults: three jobs report, and the connection is cut again and again: nothing is lost', async () => {
  await using link = await startTcpProxy(Number(new URL(edge.http).port));
  const ids = [jobId(), jobId(), jobId()];
  const stored = new Map<string, number[]>(ids.map((id) => [id, []]));
  const shown = new Map<string, number[]>(ids.map((id) => [id, []]));
  const cut = new AbortController();
  let lastEventId = '';
  let cuts = 0;
  for (const id of ids) stored.get(id)?.push(await publish(shared.nc, id, {}));
  await edgeHasRead(edge.http, shared.nc);
  const report = async () => {
    for (let i = 0; i < 60; i++)
      for (const id of ids) stored.get(id)?.push(await publish(shared.nc, id, { progress: i }));
    for (const id of ids) stored.get(id)?.push(await publish(shared.nc, id, DONE));
    cut.abort();
  };
  let reporting: Promise<void> | null = null;
  const headers = await token();
  for (let status = 0; status !== 204; ) {
    using client = new SseClient(url(ids).replace(edge.http, `http://${link.host}`), {
      ...headers,
      ...(lastEventId !== '' && { 'last-event-id': lastEventId }),
    });
    // From the first id on nothing may be missing; before it a client begins anew.
    await waitFor(() => client.lastEventId !== '' || client.status === 204, { what: 'an id' });
    reporting ??= report();
    await waitFor(() => client.updates.length >= 9 || client.isClosed || client.status === 204, {
      what: 'a few of them',
    });
    if (!cut.signal.aborted) {
      link.cut();
      cuts++;
    }
    await client.closed();
    ({ lastEventId, status } = client);
    for (const frame of client.frames) {
      expect(frame.type).not.toBe('reset');
      if (frame.type !== 'progress_update') continue;
      const seqs = shown.get(frame.processing_id) ?? [];
      // What comes again is known by its seq.
      if (frame.seq > (seqs.at(-1) ?? 0)) seqs.push(frame.seq);
    }
  }
  await reporting;
  expect(cuts).toBeGreaterThan(0);
  expect(shown).toEqual(stored);
}, 60_000);

test('G5 stale cursors: a stream that is made anew under a standing connection is a reset of each job', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using one = await startLocalEdge(own.url);
  const ids = [jobId(), jobId()];
  using client = new SseClient(url(ids, one));
  await following(client, ids);
  await publish(worker, ids[0] as string, {});
  await waitFor(() => client.updates.length === 1, { what: 'the first event' });
  const before = client.lastEventId;
  await deleteStreams(worker, own);
  const resets = () => client.frames.filter(({ type }) => type === 'reset');
  await waitFor(() => resets().length === ids.length, { what: 'the resets' });
  const [reset] = resets();
  await waitFor(() => client.lastEventId.includes((reset as { epoch: string }).epoch), {
    what: 'another id',
  });
  using again = new SseClient(url(ids, one), { 'last-event-id': before });
  await following(again, ids);
  expect(again.frames.filter(({ type }) => type === 'reset')).toMatchObject([
    { reason: 'epoch' },
    { reason: 'epoch' },
  ]);
}, 60_000);

test('G4 slow readers: one that does not read for a while costs bounded memory and misses nothing', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using small = await startLocalEdge(own.url);
  const ids = [jobId(), jobId()];
  using client = new SseClient(url(ids, small));
  await following(client, ids);
  client.pause();
  const stored: number[] = [];
  // More than the kernel's buffers and the watermark hold.
  for (let i = 0; i < 250; i++)
    stored.push(
      await publish(worker, ids[i % 2] as string, {
        message: 'x'.repeat(4_000),
        padding: 'y'.repeat(50_000),
      }),
    );
  await edgeHasRead(small.http, worker);
  client.resume();
  await waitFor(() => client.updates.length === stored.length, { what: 'all of it' });
  expect(client.updates.sort((x, y) => x - y)).toEqual(stored);
}, 60_000);

test('G9 memory: whoever is gone is counted out', async () => {
  await waitFor(async () => (await metric(edge.http, 'headway_sessions')) === 0, { what: 'nobody' });
});

test('G5 stale cursors: more jobs behind the tail than reads may wait for are followed all the same, one after the other', async () => {
  const ids = Array.from({ length: 12 }, () => jobId());
  await using linked = await LinkedEdge.start(ids, { HEADWAY_MAX_PENDING_READS_PER_SUBJECT: '2' });
  const { edge, link, world } = linked;
  link.stall();
  using client = new SseClient(
    `${edge.http}/sse/upload-progress?${ids.map((id) => `processing_id=${id}`).join('&')}&last_seq=1`,
  );
  await client.frame('hello');
  await waitFor(async () => (await metric(edge.http, 'headway_history_reads_pending')) === 2, {
    what: 'as many reads as may wait',
  });
  link.flow();
  await following(client, ids);
  const owed = (await storedEvents(world.nc, 'PROGRESS')).flatMap(({ seq }) => (seq > 1 ? [seq] : []));
  expect([...client.updates].sort((one, other) => one - other)).toEqual(owed);
  expect(new Set(client.frames.map(({ type }) => type))).toEqual(
    new Set(['hello', 'progress_update', 'following']),
  );
});
