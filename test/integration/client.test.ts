/** The browser's client over a real edge, with `ws` as its WebSocket. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { UnauthorizedError } from '../../sdk/client/errors.js';
import { createProgressClient } from '../../sdk/client/index.js';
import type { ProgressClientOptions, ProgressUpdate, WebSocketClass } from '../../sdk/client/types.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metricByLabel } from '../harness/metrics.js';
import { startTcpProxy } from '../harness/proxy.js';
import { publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats();
let edge: LocalEdge;
beforeAll(async () => {
  edge = await startLocalEdge(shared.nats.url, { HEADWAY_HEARTBEAT_MS: '500' });
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready' });
});
afterAll(() => edge[Symbol.asyncDispose]());

function open(options: ProgressClientOptions = {}) {
  const client = createProgressClient({
    url: edge.http,
    WebSocket: WebSocket as unknown as WebSocketClass,
    ...options,
  });
  return Object.assign(client, { [Symbol.dispose]: () => client.close() });
}

describe('one job', () => {
  test('G1 order: the last state, what is new, and the end', async () => {
    const id = jobId();
    const first = await publish(shared.nc, id, { progress: 10 });
    using client = open();
    const job = client.job(id);
    const shown: number[] = [];
    job.addEventListener('update', ({ detail }) => shown.push(detail.seq));
    await waitFor(() => shown.length === 1, { what: 'the first state' });
    const second = await publish(shared.nc, id, { progress: 50 });
    const last = await publish(shared.nc, id, { status: 'completed', progress: 100 });
    expect(await job.done).toMatchObject({ seq: last, status: 'completed' });
    expect(shown).toEqual([first, second, last]);
    expect(job.getSnapshot()).toMatchObject({ isEnded: true, continuity: { kind: 'proven' } });
  });

  test('G1 order: over a cut connection a loop gets every update once', async () => {
    const id = jobId();
    await using proxy = await startTcpProxy(Number(new URL(edge.http).port));
    using client = open({ url: `http://${proxy.host}` });
    const seqs: number[] = [];
    for (let i = 0; i < 5; i++) seqs.push(await publish(shared.nc, id, { progress: i }));
    const got: ProgressUpdate[] = [];
    for await (const update of client.job(id)) {
      got.push(update);
      if (got.length === 1) proxy.cut();
      if (got.length % 3 === 1 && got.length < 20)
        for (let i = 0; i < 3; i++) seqs.push(await publish(shared.nc, id, { progress: 10 + i }));
      if (got.length === 10) proxy.cut();
      if (got.length === 21) seqs.push(await publish(shared.nc, id, { progress: 100, status: 'completed' }));
    }
    expect(got.map(({ seq }) => seq)).toEqual(seqs.slice(4));
  });
});

describe('many jobs', () => {
  test('200 jobs on one socket, which closes behind the last follower', async () => {
    const ids = Array.from({ length: 200 }, () => jobId());
    for (const id of ids) await publish(shared.nc, id, { progress: 1 });
    using client = open({ lingerMs: 50 });
    const jobs = ids.map((id) => client.job(id));
    await waitFor(() => jobs.every((job) => job.getSnapshot().isCurrent), { what: 'all to be followed' });
    expect(await metricByLabel(edge.http, 'headway_connections')).toMatchObject({ selected: 1 });
    for (const job of jobs) job.close();
    await waitFor(async () => (await metricByLabel(edge.http, 'headway_connections')).selected === 0, {
      what: 'the socket to close',
    });
    expect(client.connection).toBe('idle');
  });
});

test('a job that is followed later resumes after a cut as well', async () => {
  const [early, late] = [jobId(), jobId()];
  await using proxy = await startTcpProxy(Number(new URL(edge.http).port));
  using client = open({ url: `http://${proxy.host}` });
  await publish(shared.nc, early);
  const first = await publish(shared.nc, late);
  client.job(early);
  await waitFor(() => client.connection === 'open', { what: 'the connection' });
  const job = client.job(late);
  const shown: (number | string)[] = [];
  job.addEventListener('update', ({ detail }) => shown.push(detail.seq));
  job.addEventListener('reset', ({ detail }) => shown.push(detail.reason));
  await waitFor(() => job.getSnapshot().isCurrent, { what: 'the state' });
  proxy.cut();
  const seqs = [first];
  for (let i = 0; i < 3; i++) seqs.push(await publish(shared.nc, late, { progress: i }));
  await waitFor(() => shown.length === 4, { what: 'all updates' });
  expect(shown).toEqual(seqs);
});

test('all jobs of a type, over a cut: each update once, from a connection of its own', async () => {
  const type = `type-${jobId()}`;
  await using proxy = await startTcpProxy(Number(new URL(edge.http).port));
  using client = open({ url: `http://${proxy.host}` });
  const ids = [jobId(), jobId()];
  const seqs: number[] = [];
  for (const id of ids) seqs.push(await publish(shared.nc, id, { job_type: type }));
  await publish(shared.nc, jobId(), { job_type: 'other' });
  const jobs = client.jobs({ jobTypes: [type] });
  const shown: number[] = [];
  jobs.addEventListener('update', ({ detail }) => shown.push(detail.seq));
  await waitFor(() => jobs.getSnapshot().isCurrent, { what: 'all states' });
  proxy.cut();
  for (const id of ids) seqs.push(await publish(shared.nc, id, { job_type: type, progress: 50 }));
  await waitFor(() => shown.length === 4, { what: 'all updates' });
  expect(shown).toEqual(seqs);
  expect([...jobs.getSnapshot().jobs.keys()]).toEqual(ids);
  expect(jobs.getSnapshot().continuity).toEqual({ kind: 'proven' });
});

test('G7 nobody unauthorised: a page of all jobs drops what its renewed token does not open', async () => {
  const [kept, dropped] = [`type-${jobId()}`, `type-${jobId()}`];
  await using guarded = await startLocalEdge(shared.nats.url, JWT_ENV);
  await waitFor(() => guarded.edge.isReady(), { what: 'the edge to be ready' });
  const ids = [jobId(), jobId()] as const;
  await publish(shared.nc, ids[0], { job_type: kept });
  await publish(shared.nc, ids[1], { job_type: dropped });
  let asked = 0;
  using client = open({
    url: guarded.http,
    getToken: async () => {
      asked += 1;
      if (asked === 1) return await mint({ exp: inSeconds(6), sub: 'ada', job_types: [kept, dropped] });
      return await mint({ sub: 'ada', job_types: [kept] });
    },
  });
  const jobs = client.jobs();
  const shown = () => [...jobs.getSnapshot().jobs.keys()];
  await waitFor(() => shown().length === 2, { what: 'both jobs' });
  await waitFor(() => asked >= 2 && jobs.getSnapshot().isCurrent && shown().length === 1, {
    what: 'one job',
  });
  expect(shown()).toEqual([ids[0]]);
  expect(jobs.getSnapshot().continuity).toEqual({ kind: 'reset', reason: 'scope' });
});

test('a cursor that was kept, a job that ended meanwhile: what was missed, and the end', async () => {
  const id = jobId();
  using client = open();
  await publish(shared.nc, id, { progress: 1 });
  const before = client.job(id);
  await waitFor(() => before.getSnapshot().isCurrent, { what: 'the state' });
  const after = before.cursor ?? '';
  before.close();
  const missed = [
    await publish(shared.nc, id),
    await publish(shared.nc, id, { status: 'completed', progress: 100 }),
  ];
  const got: number[] = [];
  for await (const { seq } of client.job(id, { after })) got.push(seq);
  expect(got).toEqual(missed);
  // Behind its last update there is nothing but its end.
  using other = open();
  const ended = other.job(id, { after: `${missed[1]}.${after.split('.')[1]}` });
  expect((await ended.done).seq).toBe(missed[1]);
  expect(ended.getSnapshot()).toMatchObject({ isEnded: true, state: { seq: missed[1] } });
});

describe('edges', () => {
  test('G3 faults: an edge that is killed, and another one in its place', async () => {
    const id = jobId();
    const first = await startEdgeProcess({ natsUrl: shared.nats.url });
    await using second = await startEdgeProcess({ natsUrl: shared.nats.url });
    const proxies = [await startTcpProxy(first.port), await startTcpProxy(second.port)] as const;
    let url = proxies[0].host;
    class Socket extends WebSocket {
      constructor(address: string, protocols: string[]) {
        super(address.replace('edge.test', url), protocols);
      }
    }
    using client = open({ url: 'http://edge.test', WebSocket: Socket as unknown as WebSocketClass });
    const seqs = [await publish(shared.nc, id)];
    const job = client.job(id);
    const shown: number[] = [];
    job.addEventListener('update', ({ detail }) => shown.push(detail.seq));
    await waitFor(() => shown.length === 1, { what: 'the state' });
    await first.kill();
    for (let i = 0; i < 5; i++) seqs.push(await publish(shared.nc, id, { progress: i }));
    url = proxies[1].host;
    await waitFor(() => shown.length === 6, { what: 'all updates' });
    expect(shown).toEqual(seqs);
    for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
  });

  test('G7 nobody unauthorised: a token is renewed on the open connection; a wrong one ends in UnauthorizedError', async () => {
    // An edge looks whether to warn eight times in each heartbeat, once a second at least.
    await using guarded = await startLocalEdge(shared.nats.url, { ...JWT_ENV, HEADWAY_HEARTBEAT_MS: '400' });
    await waitFor(() => guarded.edge.isReady(), { what: 'the edge to be ready' });
    const id = jobId();
    await publish(shared.nc, id);
    let asked = 0;
    using client = open({
      url: guarded.http,
      getToken: async () => {
        asked += 1;
        return await mint({ exp: inSeconds(asked === 1 ? 6 : 60), sub: 'ada', jobs: [id] });
      },
    });
    const states: string[] = [];
    const job = client.job(id);
    await waitFor(() => job.getSnapshot().isCurrent, { what: 'the state' });
    job.addEventListener('connection', ({ detail }) => states.push(detail));
    await waitFor(() => asked === 2, { what: 'the renewal' });
    const last = await publish(shared.nc, id, { status: 'completed', progress: 100 });
    expect((await job.done).seq).toBe(last);
    expect(states).not.toContain('waiting');

    using wrong = open({ url: guarded.http, getToken: () => 'not.a.token' });
    await expect(wrong.job(id).done).rejects.toBeInstanceOf(UnauthorizedError);
  });
});
