/** What an edge writes for jobs that fell silent, over a real nats-server. */
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectNats as openConnection } from '../../internal/jetstream/connection.js';
import { monitorOf } from '../../internal/jetstream/connection-monitor.js';
import { HeartbeatSubscription } from '../../internal/jetstream/heartbeat-subscription.js';
import { HistoryReader } from '../../internal/jetstream/history-reader.js';
import { epochOf, storedMessage } from '../../internal/jetstream/stream.js';
import { LivenessMonitor } from '../../internal/liveness/liveness-monitor.js';
import {
  TIMEOUT_WRITER_LIMITS,
  type TimeoutOutcome,
  TimeoutWriter,
} from '../../internal/liveness/timeout-writer.js';
import { subjectOf } from '../../schemas/ids.js';
import { jobId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publish, publishRaw, storedEvents } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

const STREAM = 'PROGRESS';

interface Writer extends AsyncDisposable {
  readonly timeouts: TimeoutWriter;
  readonly outcomes: TimeoutOutcome[];
  readonly failures: string[];
  settled(count?: number): Promise<unknown>;
}

/** What an edge has to write timeouts with, on a connection of its own. */
async function startWriter(
  url: string,
  beforeLook: (id: string) => Promise<unknown> = async () => undefined,
  timeoutMs = 5_000,
): Promise<Writer> {
  const connection: NatsConnection = await openConnection({ url, name: 'writer' });
  const jsm = await connection.jetstreamManager({ checkAPI: false, timeout: timeoutMs });
  const js = connection.jetstream({ timeout: timeoutMs });
  const info = await jsm.streams.info(STREAM).catch(() => undefined);
  const epoch = info === undefined ? '' : epochOf(info);
  const history = new HistoryReader(
    {
      connection,
      jsm,
      stream: STREAM,
      monitor: monitorOf(connection),
      onRefused: () => () => undefined,
      epoch: () => epoch,
    },
    4,
    { read: () => undefined, failed: () => undefined },
    () => performance.now(),
  );
  const outcomes: TimeoutOutcome[] = [];
  const failures: string[] = [];
  const timeouts = new TimeoutWriter(
    {
      js,
      stream: STREAM,
      newest: async (id) => {
        const message = await storedMessage(jsm, STREAM, { last_by_subj: subjectOf(id) });
        await beforeLook(id);
        return message;
      },
      lastState: (id) => history.lastState(id),
    },
    TIMEOUT_WRITER_LIMITS,
    {
      settled: (_id, _seq, outcome) => outcomes.push(outcome),
      failed: (_id, error) => failures.push(error.message),
    },
    { now: () => performance.now(), wallClock: Date.now },
    { retries: 3, firstMs: 20 },
  );
  return {
    timeouts,
    outcomes,
    failures,
    settled: (count = 1) =>
      waitFor(() => outcomes.length >= count, { what: 'the outcome', timeoutMs: 30_000 }),
    [Symbol.asyncDispose]: async () => {
      timeouts.stop();
      history.stop();
      await connection.close();
    },
  };
}

describe('the timeout of a silent job', () => {
  let nats: NatsServer;
  let worker: NatsConnection & AsyncDisposable;
  beforeAll(async () => {
    nats = await startNats();
    worker = await connectNats(nats.url);
    await createStream(worker, STREAM);
  });
  afterAll(async () => {
    await worker?.close();
    await nats?.[Symbol.asyncDispose]();
  });

  const stored = (id: string) => storedEvents(worker, STREAM, id);

  test('is written once, though three edges write it at once', async () => {
    const ids = Array.from({ length: 20 }, () => jobId());
    const seqs = await Promise.all(
      ids.map((id) => publish(worker, id, { progress: 40, job_type: 'pdf', attempt: 2, pages: 3 })),
    );
    // All three have looked before any of them writes.
    const looks = new Map<string, number>();
    const together = async (id: string): Promise<void> => {
      looks.set(id, (looks.get(id) ?? 0) + 1);
      await waitFor(() => (looks.get(id) ?? 0) >= 3, { what: 'the other edges', everyMs: 1 });
    };
    await using first = await startWriter(nats.url, together);
    await using second = await startWriter(nats.url, together);
    await using third = await startWriter(nats.url, together);
    const writers = [first, second, third];
    for (const [index, id] of ids.entries())
      for (const { timeouts } of writers)
        expect(timeouts.write(id, seqs[index] as number, 30_000)).toBe(true);
    await Promise.all(writers.map(({ settled }) => settled(ids.length)));

    const outcomes = writers.flatMap((one) => one.outcomes);
    expect(outcomes.filter((outcome) => outcome === 'written')).toHaveLength(ids.length);
    expect(outcomes.filter((outcome) => outcome === 'moved')).toHaveLength(2 * ids.length);
    expect(writers.flatMap(({ failures }) => failures)).toEqual([]);
    for (const id of ids) {
      const events = await stored(id);
      expect(events).toHaveLength(2);
      expect(events[1]?.json).toMatchObject({
        processing_id: id,
        status: 'error',
        progress: 40,
        job_type: 'pdf',
        attempt: 2,
        pages: 3,
        error: { code: 'timeout', retryable: true, details: { silent_ms: 30_000 } },
      });
    }
  });

  test('G6 the end: a job that moved in between is not written over', async () => {
    const [moved, ended] = [jobId(), jobId()];
    const seqs = [
      await publish(worker, moved, { progress: 40 }),
      await publish(worker, ended, { progress: 90 }),
    ];
    await using writer = await startWriter(nats.url, async (id) => {
      if (id === moved) await publish(worker, id, { progress: 41 });
      else await publish(worker, id, { status: 'completed', progress: 100 });
    });
    writer.timeouts.write(moved, seqs[0] as number, 30_000);
    writer.timeouts.write(ended, seqs[1] as number, 30_000);
    await writer.settled(2);
    expect(writer.outcomes).toEqual(['moved', 'moved']);
    for (const id of [moved, ended]) {
      const statuses = (await stored(id)).map(({ json }) => (json as { status: string }).status);
      expect(statuses).not.toContain('error');
    }
  });

  test('is written behind a message that is no event', async () => {
    const id = jobId();
    const seq = await publish(worker, id, { progress: 40, pages: 3 });
    await publishRaw(worker, subjectOf(id), 'no event');
    await using writer = await startWriter(nats.url);
    writer.timeouts.write(id, seq, 30_000);
    await writer.settled();
    expect(writer.outcomes).toEqual(['written']);
    expect((await stored(id)).at(-1)?.json).toMatchObject({ status: 'error', progress: 40, pages: 3 });
  });

  test('is not written for a job that is gone', async () => {
    await using writer = await startWriter(nats.url);
    writer.timeouts.write(jobId(), 1, 30_000);
    await writer.settled();
    expect(writer.outcomes).toEqual(['gone']);
  });

  test('comes of a silence, and not while heartbeats come', async () => {
    const [busy, dead] = [jobId('busy'), jobId('dead')];
    const connection = await openConnection({ url: nats.url, name: 'edge' });
    await using writer = await startWriter(nats.url);
    const monitor = new LivenessMonitor(
      { stallAfterMs: null, timeoutMs: null, maxWatched: 10 },
      {
        stalled: () => undefined,
        timedOut: (id, lastSeq, silentMs) => writer.timeouts.write(id, lastSeq, silentMs),
      },
    );
    let now = 0;
    let beats = 0;
    const alive = new HeartbeatSubscription(connection, {
      heard: (id) => {
        beats++;
        monitor.recordHeartbeat(id, now);
      },
      changed: () => undefined,
    });
    await waitFor(() => alive.state === 'subscribed', { what: 'the subscription' });
    monitor.resume(now);
    for (const id of [busy, dead]) {
      const seq = await publish(worker, id, { progress: 40, timeout_seconds: 10 });
      monitor.recordEvent({ id, seq, isRunning: true, timeoutSeconds: 10 }, now);
    }
    // A minute of a clock that is passed in, with a heartbeat every second.
    for (let second = 1; second <= 60; second++) {
      worker.publish(`alive.progress.${busy}`);
      await waitFor(() => beats === second, { what: 'the heartbeat', everyMs: 1 });
      now += 1_000;
      monitor.tick(now);
    }
    await writer.settled();
    expect((await stored(dead)).map(({ json }) => (json as { status: string }).status)).toEqual([
      'processing',
      'error',
    ]);
    expect(await stored(busy)).toHaveLength(1);
    // Never stored, whatever it says.
    expect(beats).toBe(60);
    alive.close();
    await connection.close();
  });
});

describe('where NATS does not take it', () => {
  test('for want of permissions: nothing throws, and both are told', async () => {
    await using nats = await startNats({
      config: `
        authorization {
          users: [
            { user: edge, password: edge, permissions: {
              publish: ["$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*"]
              subscribe: ["_INBOX.>"]
            } }
            { user: worker, password: worker }
          ]
        }`,
    });
    await using worker = await connectNats(nats.url, { user: 'worker', pass: 'worker' });
    await createStream(worker, STREAM);
    const id = jobId();
    const seq = await publish(worker, id, { progress: 40 });
    const url = nats.url.replace('//', '//edge:edge@');
    await using writer = await startWriter(url);
    writer.timeouts.write(id, seq, 30_000);
    await writer.settled();
    expect(writer.outcomes).toEqual(['failed']);
    expect(writer.failures).toHaveLength(1);
    expect(writer.failures[0]).toContain(`Publish to "progress.${id}"`);
    expect(await storedEvents(worker, STREAM, id)).toHaveLength(1);

    const connection = await openConnection({ url, name: 'edge' });
    const changes: string[] = [];
    const alive = new HeartbeatSubscription(connection, {
      heard: () => undefined,
      changed: (state, error) => changes.push(`${state} ${error?.message ?? ''}`),
    });
    await waitFor(() => alive.state === 'denied', { what: 'the refusal' });
    expect(changes).toHaveLength(1);
    expect(changes[0]).toContain('Subscription to "alive.progress.*"');
    alive.close();
    await connection.close();
  });

  test('while it is away: given up, not thrown; and written once it is back', async () => {
    await using nats = await startNats();
    await using worker = await connectNats(nats.url);
    await createStream(worker, STREAM);
    const id = jobId();
    const seq = await publish(worker, id, { progress: 40 });
    await using writer = await startWriter(nats.url, undefined, 500);
    let beats = 0;
    const connection = await openConnection({ url: nats.url, name: 'edge' });
    const alive = new HeartbeatSubscription(connection, { heard: () => beats++, changed: () => undefined });
    await waitFor(() => alive.state === 'subscribed', { what: 'the subscription' });

    await nats.kill();
    expect(writer.timeouts.write(id, seq, 30_000)).toBe(true);
    await writer.settled();
    expect(writer.outcomes).toEqual(['failed']);

    await nats.start();
    await waitFor(
      () => {
        worker.publish(`alive.progress.${id}`);
        return beats > 0;
      },
      { what: 'heartbeats again' },
    );
    await waitFor(
      async () => {
        writer.timeouts.write(id, seq, 30_000);
        const count = writer.outcomes.length;
        await writer.settled(count + 1);
        return writer.outcomes.includes('written');
      },
      { what: 'the write', timeoutMs: 30_000 },
    );
    expect(await storedEvents(worker, STREAM, id)).toHaveLength(2);
    alive.close();
    await connection.close();
  });
});
