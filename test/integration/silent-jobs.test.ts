/** Jobs that fall silent, as clients and the log see it: an edge, real workers, a real nats-server. */
import { fileURLToPath } from 'node:url';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Child } from '../harness/child.js';
import { WsClient } from '../harness/client.js';
import { startLocalEdge } from '../harness/edge-in-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publish, publishRaw, storedEvents } from '../harness/publish.js';

import { waitFor } from '../harness/wait.js';

const STREAM = 'PROGRESS';
const SDK = fileURLToPath(new URL('../../dist/sdk/worker/index.js', import.meta.url));

let server: NatsServer;
let nc: NatsConnection & AsyncDisposable;

beforeAll(async () => {
  server = await startNats();
  nc = await connectNats(server.url);
  await createStream(nc, STREAM);
});
afterAll(async () => {
  await nc?.close();
  await server?.[Symbol.asyncDispose]();
});

const stalls = (client: WsClient, id?: string) =>
  client.frames.filter(
    ({ type, processing_id }) => type === 'stalled' && (id ?? processing_id) === processing_id,
  );

const follow = (ws: string, id: string) => WsClient.connect(`${ws}/ws/upload-progress/${id}`);

/** A worker in a process of its own, with a job that never ends; resolves when the job has begun. */
async function startWorker(id: string, options: object): Promise<Child> {
  const program = `
    const { connectReporter } = await import(${JSON.stringify(SDK)});
    const reporter = await connectReporter({ servers: ${JSON.stringify(server.url)} });
    await reporter.run(${JSON.stringify({ processingId: id, ...options })}, async (job) => {
      await job.report({ progress: 40 });
      console.log('at work');
      await new Promise((resolve) => setTimeout(resolve, 600_000));
    });`;
  const child = await Child.spawn('worker', process.execPath, ['--input-type=module', '--eval', program]);
  await child.line((line) => (line === 'at work' ? true : undefined), 'the job to begin');
  return child;
}

describe('a job that stalls', () => {
  test('is told once, to who follows it and to who follows all, and goes on when it goes on', async () => {
    await using edge = await startLocalEdge(server.url);
    const id = jobId();
    await using one = await follow(edge.ws, id);
    await using all = await WsClient.connect(`${edge.ws}/ws/upload-progress`);
    await publish(nc, id, { stall_after_seconds: 0.5, progress: 10 });
    for (const client of [one, all]) {
      const frames = await client.until(
        ({ type, processing_id }) => type === 'stalled' && processing_id === id,
      );
      expect(frames.at(-1)?.silent_ms).toBeGreaterThanOrEqual(500);
      expect(frames.at(-1)).toEqual({ type: 'stalled', processing_id: id, silent_ms: expect.any(Number) });
    }
    await publish(nc, id, { stall_after_seconds: 0.5, progress: 20 });
    expect((await one.until(({ progress }) => progress === 20)).at(-1)?.type).toBe('progress_update');
    // A second silence is a second stall.
    await one.until(({ type }) => type === 'stalled');
    expect(stalls(one)).toHaveLength(2);
    expect(await metric(edge.http, 'headway_stalls_total')).toBeGreaterThanOrEqual(2);
  });

  test('is told behind caught_up to who comes later, and not to who comes after it went on', async () => {
    await using edge = await startLocalEdge(server.url);
    const id = jobId();
    await using first = await follow(edge.ws, id);
    await publish(nc, id, { stall_after_seconds: 0.4 });
    await first.until(({ type }) => type === 'stalled');
    await using late = await follow(edge.ws, id);
    const types = (await late.until(({ type }) => type === 'stalled')).map(({ type }) => type);
    expect(types).toEqual(['hello', 'progress_update', 'caught_up', 'stalled']);
    await publish(nc, id, { stall_after_seconds: 3_600, progress: 50 });
    await late.until(({ progress }) => progress === 50);
    await using later = await follow(edge.ws, id);
    await later.until(({ type }) => type === 'caught_up');
    await publish(nc, id, { status: 'completed', progress: 100 });
    await later.closed;
    expect(stalls(later)).toEqual([]);
  });

  test('is noticed by the default, and by an edge that started after its last event', async () => {
    const id = jobId();
    await publish(nc, id);
    await using edge = await startLocalEdge(server.url, { HEADWAY_STALL_AFTER_SECONDS: '1' });
    await using client = await follow(edge.ws, id);
    await client.until(({ type }) => type === 'stalled');
    expect(await metric(edge.http, 'headway_jobs_watched')).toBeGreaterThanOrEqual(1);
  });

  test('G7 nobody unauthorised: nothing of it comes where its type is filtered out', async () => {
    await using edge = await startLocalEdge(server.url);
    const [mine, other] = [jobId(), jobId()];
    await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress?job_type=mine`);
    await publish(nc, other, { job_type: 'other', stall_after_seconds: 0.3 });
    await publish(nc, mine, { job_type: 'mine', stall_after_seconds: 0.8 });
    await client.until(({ type }) => type === 'stalled');
    expect(client.frames.filter(({ processing_id }) => processing_id === other)).toEqual([]);
    expect(stalls(client, mine)).toHaveLength(1);
  });

  test('is nobody’s business where no job is watched', async () => {
    await using edge = await startLocalEdge(server.url, { HEADWAY_MAX_WATCHED_JOBS: '0' });
    await publish(nc, jobId(), { stall_after_seconds: 0.01 });
    expect(await metric(edge.http, 'headway_liveness_active')).toBe(0);
    expect(await metric(edge.http, 'headway_jobs_watched')).toBe(0);
  });
});

describe('busy is not dead, dead is not busy', () => {
  test('a heartbeat keeps a job alive whose percent stands still', async () => {
    await using edge = await startLocalEdge(server.url);
    const [busy, silent] = [jobId('busy'), jobId('silent')];
    await using client = await follow(edge.ws, busy);
    await using witness = await follow(edge.ws, silent);
    const worker = await startWorker(busy, { stallAfterSeconds: 2 });
    try {
      // The witness stalls twice as late; heartbeats are all that came of the busy one meanwhile.
      await publish(nc, silent, { stall_after_seconds: 4 });
      await witness.until(({ type }) => type === 'stalled');
      expect(stalls(client)).toEqual([]);
    } finally {
      await worker.kill();
    }
    // Killed with -9: nobody said goodbye, and it is seen all the same.
    const frames = await client.until(({ type }) => type === 'stalled');
    expect(frames.at(-1)?.silent_ms).toBeGreaterThanOrEqual(2_000);
  });

  test('G3 faults: a worker killed with -9 times out, once in the log under two edges, and clients see it', async () => {
    await using one = await startLocalEdge(server.url);
    await using two = await startLocalEdge(server.url);
    const id = jobId();
    await using a = await follow(one.ws, id);
    await using b = await follow(two.ws, id);
    const worker = await startWorker(id, {
      jobType: 'pdf',
      stallAfterSeconds: 0.5,
      timeoutSeconds: 1,
      attempt: 3,
    });
    for (const client of [a, b]) await client.until(({ progress }) => progress === 40);
    await worker.kill();
    for (const client of [a, b]) {
      const frames = await client.until(({ status }) => status === 'error');
      expect(frames.at(-1)).toMatchObject({
        attempt: 3,
        job_type: 'pdf',
        progress: 40,
        error: { code: 'timeout', retryable: true },
      });
      expect(stalls(client)).toHaveLength(1);
    }
    // Both edges judge it, whoever was first.
    await waitFor(
      async () =>
        (await metric(one.http, 'headway_timeouts_total')) +
          (await metric(two.http, 'headway_timeouts_total')) >=
        1,
      { what: 'the timeout to be judged' },
    );
    // The next attempt goes on where everybody still is.
    await publish(nc, id, { attempt: 4, progress: 1 });
    for (const client of [a, b]) await client.until(({ attempt }) => attempt === 4);
    const errors = (await storedEvents(nc, STREAM, id)).filter(
      ({ json }) => (json as { status: string }).status === 'error',
    );
    expect(errors).toHaveLength(1);
  });

  test('G6 the end: a worker that was only cut off goes on behind its timeout, and its result arrives', async () => {
    await using edge = await startLocalEdge(server.url);
    const id = jobId();
    await using client = await follow(edge.ws, id);
    const program = `
      const { connectReporter } = await import(${JSON.stringify(SDK)});
      const reporter = await connectReporter({ servers: ${JSON.stringify(server.url)} });
      await reporter.run({ processingId: ${JSON.stringify(id)}, total: 400, timeoutSeconds: 0.6 }, async (job) => {
        for (let page = 1; page <= 400; page++) {
          job.report({ current: page });
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        return { pages: 400 };
      });
      await reporter.close();`;
    const worker = await Child.spawn('worker', process.execPath, ['--input-type=module', '--eval', program]);
    try {
      const before = (await client.until(({ progress }) => Number(progress) > 5)).at(-1);
      await worker.freeze();
      const failed = (await client.until(({ status }) => status === 'error')).at(-1);
      expect(failed).toMatchObject({ attempt: 1, error: { code: 'timeout' } });
      await worker.thaw();
      const next = (await client.until(({ status }) => status === 'processing')).at(-1);
      expect(next).toMatchObject({ attempt: 1, prev_seq: failed?.seq });
      expect(Number(next?.progress)).toBeGreaterThanOrEqual(Number(before?.progress));
      const last = await client.until(({ type }) => type === 'end');
      expect(last.at(-2)).toMatchObject({ status: 'completed', attempt: 1, result: { pages: 400 } });
      expect(await client.closed).toMatchObject({ code: 1000 });
      expect(await worker.exited).toMatchObject({ code: 0 });
    } finally {
      await worker.kill();
    }
  });

  test('a timeout is written behind a message that is no event, and never over an end', async () => {
    await using edge = await startLocalEdge(server.url, { HEADWAY_TIMEOUT_SECONDS: '1' });
    const [junk, done] = [jobId('junk'), jobId('done')];
    await publish(nc, done, { status: 'completed', progress: 100 });
    await publish(nc, junk, { progress: 30 });
    await publishRaw(nc, `progress.${junk}`, 'not an event');
    await using client = await follow(edge.ws, junk);
    const frames = await client.until(({ status }) => status === 'error');
    expect(frames.at(-1)).toMatchObject({ progress: 30, error: { code: 'timeout' } });
    expect(await storedEvents(nc, STREAM, done)).toHaveLength(1);
  });
});

describe('what is not heard is not judged', () => {
  test('G3 faults: a nats-server that hangs, or is away, is no silence of jobs', async () => {
    await using own = await startNats();
    await using mine = await connectNats(own.url);
    await createStream(mine, STREAM);
    await using edge = await startLocalEdge(own.url);
    const [busy, silent] = [jobId('busy'), jobId('silent')];
    await using client = await follow(edge.ws, busy);
    await using witness = await follow(edge.ws, silent);
    const beating = setInterval(() => mine.publish(`alive.progress.${busy}`), 100);
    try {
      await publish(mine, busy, { stall_after_seconds: 1.5 });
      await client.until(({ progress }) => progress === 0);
      await own.freeze();
      // The edge's own clock: far longer than the silence that would be a stall.
      const from = performance.now();
      await waitFor(() => performance.now() - from > 4_000, { what: 'four seconds of a frozen server' });
      await own.thaw();
      await own.restart('kill');
      await waitFor(async () => (await metric(edge.http, 'headway_liveness_active')) === 1, {
        what: 'the edge to listen again',
        timeoutMs: 20_000,
      });
      await publish(mine, silent, { stall_after_seconds: 2 });
      await witness.until(({ type }) => type === 'stalled', { timeoutMs: 20_000 });
      expect(stalls(client)).toEqual([]);
    } finally {
      clearInterval(beating);
    }
    await client.until(({ type }) => type === 'stalled');
  });

  test('heartbeats that may not be heard: nothing is judged, and the log says so', async () => {
    await using own = await startNats({
      config: `authorization { users = [
        { user: all, password: all }
        { user: deaf, password: deaf, permissions: { subscribe: { deny: "alive.>" } } }
      ] }`,
    });
    await using mine = await connectNats(own.url, { user: 'all', pass: 'all' });
    await using edge = await startLocalEdge(own.url.replace('//', '//deaf:deaf@'));
    await using hearing = await startLocalEdge(own.url.replace('//', '//all:all@'));
    const id = jobId();
    await using deaf = await follow(edge.ws, id);
    await using client = await follow(hearing.ws, id);
    await publish(mine, id, { stall_after_seconds: 0.5 });
    await client.until(({ type }) => type === 'stalled');
    await publish(mine, id, { progress: 77 });
    await deaf.until(({ progress }) => progress === 77);
    expect(stalls(deaf)).toEqual([]);
    expect(await metric(edge.http, 'headway_liveness_active')).toBe(0);
  });
});
