/** The browser's client over a real edge, with `ws` as its WebSocket. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { createProgressClient } from '../../sdk/client/index.js';
import type { ProgressClientOptions, ProgressUpdate, WebSocketClass } from '../../sdk/client/types.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { jobId } from '../harness/ids.js';
import { metricByLabel } from '../harness/metrics.js';
import { startTcpProxy } from '../harness/proxy.js';
import { publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
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
