/** Selected jobs on one connection, over real edges: `?select`, `follow`, `unfollow`, `following`. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { jobId } from '../harness/ids.js';
import { metric, metricByLabel } from '../harness/metrics.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { bearer, inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats();
let edge: LocalEdge;
beforeAll(async () => {
  edge = await startLocalEdge(shared.nats.url, { ...JWT_ENV, HEADWAY_HEARTBEAT_MS: '500' });
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready' });
});
afterAll(() => edge[Symbol.asyncDispose]());

const ws = (query: string, of: LocalEdge = edge) =>
  `${of.http.replace('http', 'ws')}/ws/upload-progress?select${query}`;
const connect = async (query = '', claims: Record<string, unknown> = { jobs: ['*'] }, of: LocalEdge = edge) =>
  await WsClient.connect(ws(query, of), bearer(await mint({ exp: inSeconds(60), ...claims })));
const follows = (...ids: string[]) => ({
  type: 'follow',
  jobs: ids.map((processing_id) => ({ processing_id })),
});
const isFollowing = (id: string) => (frame: { type: string; processing_id?: unknown }) =>
  frame.type === 'following' && frame.processing_id === id;

describe('jobs that a client names', () => {
  test('G2 state first: in the address and by frames, each with its last state', async () => {
    const [a, b] = [jobId(), jobId()];
    const seq = await publish(shared.nc, a, { progress: 10 });
    await publish(shared.nc, b, { progress: 20 });
    await edgeHasRead(edge.http, shared.nc);
    await using client = await connect(`&processing_id=${a}`);
    expect(await client.next('hello')).toMatchObject({ protocol: 'progress.v1' });
    expect(await client.next('progress_update')).toMatchObject({ processing_id: a, seq });
    await client.until(isFollowing(a));
    client.send(follows(b));
    await client.until(isFollowing(b));
    const next = await publish(shared.nc, a, { progress: 30 });
    expect(await client.updates(1)).toMatchObject([{ processing_id: a, seq: next, prev_seq: seq }]);
    expect(await metricByLabel(edge.http, 'headway_connections')).toMatchObject({ selected: 1 });
  });

  test('G1 order, G10 any edge: each resumes from its cursor, on another edge', async () => {
    await using other = await startLocalEdge(shared.nats.url, JWT_ENV);
    const ids = Array.from({ length: 20 }, () => jobId());
    for (const id of ids) await publish(shared.nc, id, { progress: 1 });
    await edgeHasRead(edge.http, shared.nc);
    const cursors = new Map<string, number>();
    let epoch = '';
    {
      await using client = await connect();
      epoch = (await client.next('hello')).epoch as string;
      client.send(follows(...ids));
      await client.until(isFollowing(ids.at(-1) as string));
      for (const { processing_id, seq } of client.seen()) cursors.set(processing_id, seq);
    }
    const owed = new Map<string, number[]>();
    for (let round = 0; round < 3; round++)
      for (const id of ids)
        owed.set(id, [...(owed.get(id) ?? []), await publish(shared.nc, id, { progress: 2 })]);
    await edgeHasRead(other.http, shared.nc);
    await using back = await connect('', { jobs: ['*'] }, other);
    // What is sent before it is not read.
    await back.next('hello');
    const jobs = ids.map((processing_id) => ({ processing_id, last_seq: cursors.get(processing_id) }));
    back.send({ type: 'follow', epoch, jobs });
    await back.until(isFollowing(ids.at(-1) as string));
    for (const id of ids)
      expect(back.seen().flatMap(({ processing_id, seq }) => (processing_id === id ? [seq] : []))).toEqual(
        owed.get(id),
      );
    expect(back.frames.map(({ type }) => type)).not.toContain('reset');
  });

  test('G1 order: a job that is named again is answered behind follow_ok, from the cursor that is named, whatever was under way', async () => {
    const id = jobId();
    const first = await publish(shared.nc, id, { progress: 1 });
    await using client = await connect();
    const { epoch } = await client.next('hello');
    client.send(follows(id));
    const stored: number[] = [];
    for (let round = 1; round <= 20; round++) {
      stored.push(await publish(shared.nc, id, { progress: round }));
      client.send({ type: 'follow', ack: true, epoch, jobs: [{ processing_id: id, last_seq: first }] });
    }
    // The edge may read the last of them behind the answer.
    const isLast = (() => {
      let answers = 0;
      return ({ type, seq }: { type: string; seq?: number }) => {
        if (type === 'follow_ok') answers += 1;
        return answers === 20 && seq === stored.at(-1);
      };
    })();
    const frames = await client.until(isLast);
    const behind = frames.slice(frames.findLastIndex(({ type }) => type === 'follow_ok'));
    expect(behind.flatMap(({ type, seq }) => (type === 'progress_update' ? [seq] : []))).toEqual(stored);
    client.send({ type: 'follow', ack: 'yes', jobs: [{ processing_id: id }] });
    expect((await client.until(({ type }) => type === 'error')).at(-1)).toMatchObject({
      code: 'invalid_frame',
      message: expect.stringMatching(/^follow: \/ack /),
    });
  });

  test('one number of a heartbeat resumes them all', async () => {
    const [a, b] = [jobId(), jobId()];
    await publish(shared.nc, a, { progress: 1 });
    await publish(shared.nc, b, { progress: 1 });
    await edgeHasRead(edge.http, shared.nc);
    await using client = await connect(`&processing_id=${a}&processing_id=${b}`);
    const hello = await client.next('hello');
    await client.until(isFollowing(b));
    const { cursor } = (await client.until(({ type }) => type === 'heartbeat')).at(-1) as unknown as {
      cursor: number;
    };
    client.drop();
    const missed = [
      await publish(shared.nc, b, { progress: 2 }),
      await publish(shared.nc, a, { progress: 2 }),
    ];
    await edgeHasRead(edge.http, shared.nc);
    await using back = await connect(
      `&processing_id=${a}&processing_id=${b}&last_seq=${cursor}&epoch=${hello.epoch}&scope=${hello.scope}`,
    );
    await back.until(isFollowing(b));
    expect(
      back
        .seen()
        .map(({ seq }) => seq)
        .sort((x, y) => x - y),
    ).toEqual(missed);
    expect(back.frames.map(({ type }) => type)).not.toContain('reset');
  });

  test('G6 the end, G7 nobody unauthorised: each concerns one job alone, and the connection stays', async () => {
    const [mine, done, other] = [jobId(), jobId(), jobId()];
    await publish(shared.nc, done, { status: 'completed', progress: 100 });
    await publish(shared.nc, other, { progress: 5 });
    await edgeHasRead(edge.http, shared.nc);
    await using client = await connect('', { jobs: [mine, done] });
    await client.next('hello');
    client.send(follows(mine, other, done));
    await client.until((frame) => frame.type === 'end' && frame.processing_id === done);
    const refusals = client.frames.filter(({ type }) => type === 'error');
    expect(refusals).toMatchObject([{ code: 'forbidden', processing_id: other }]);
    expect(client.seen().map(({ processing_id }) => processing_id)).toEqual([done]);
    const seq = await publish(shared.nc, mine, { progress: 50 });
    expect((await client.updates(1)).map((update) => update.seq)).toContain(seq);
  });
});

test('G3 faults: NATS is killed and comes back under a connection of many jobs, and nothing is missed', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using one = await startLocalEdge(own.url);
  const ids = Array.from({ length: 10 }, () => jobId());
  await using client = await WsClient.connect(ws('', one));
  client.send(follows(...ids));
  await client.until(isFollowing(ids.at(-1) as string));
  const stored: [string, number][] = [];
  for (const id of ids) stored.push([id, await publish(worker, id, { progress: 1 })]);
  await own.kill();
  await own.start();
  // What the first one sends while it does not know of the cut is lost with the connection.
  await using again = await connectNats(own.url);
  for (const id of ids) stored.push([id, await publish(again, id, { progress: 2 })]);
  await waitFor(() => client.seen().length === stored.length, { what: 'all of it' });
  for (const id of ids) {
    const of = (list: [string, number][]) => list.flatMap(([one, seq]) => (one === id ? [seq] : []));
    expect(of(client.seen().map(({ processing_id, seq }) => [processing_id, seq]))).toEqual(of(stored));
  }
}, 60_000);

test('G9 memory: whoever followed hundreds of jobs and left is counted out with all of them', async () => {
  const ids = Array.from({ length: 256 }, () => jobId());
  const client = await connect();
  await client.next('hello');
  client.send(follows(...ids.slice(0, 100)));
  client.send(follows(...ids.slice(100, 200)));
  client.send(follows(...ids.slice(200)));
  await client.until(isFollowing(ids.at(-1) as string));
  client.send(follows(jobId()));
  const refusal = (await client.until(({ type }) => type === 'error')).at(-1);
  expect(refusal).toMatchObject({ code: 'too_many_jobs' });
  client.drop();
  await waitFor(async () => (await metric(edge.http, 'headway_sessions')) === 0, { what: 'nobody' });
});
