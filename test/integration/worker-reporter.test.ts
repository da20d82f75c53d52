/** The worker SDK over a real nats-server: what a worker's author gets, compared with what JetStream stored. */

import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { checkEvent } from '../../schemas/event.js';
import {
  connectReporter,
  createReporter,
  EventTooLargeError,
  InvalidEventError,
  type Job,
  JobEndedError,
  type Reporter,
  ReporterClosedError,
  SupersededError,
} from '../../sdk/worker/index.js';
import { jobId } from '../harness/ids.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, publish, type StoredEvent, storedEvents } from '../harness/publish.js';
import { waitFor, withTimeout } from '../harness/wait.js';
import { workerFixture } from './worker-fixture.js';

const fixture = workerFixture();
const { warnings, onWarning } = fixture;

type Body = Record<string, unknown> & { status: string; progress: number; attempt: number };
const bodyOf = ({ json }: StoredEvent): Body => json as Body;

/** What is stored of the job, all of it valid. */
async function stored(job = fixture.id): Promise<Body[]> {
  const bodies = (await storedEvents(fixture.nc, 'PROGRESS', job)).map(bodyOf);
  for (const body of bodies) expect(checkEvent(body)).toBeNull();
  return bodies;
}

/** The headers of the job's last event. */
async function lastHeaders(job = fixture.id): Promise<Map<string, string>> {
  const jsm = await fixture.nc.jetstreamManager();
  const message = await jsm.streams.getMessage('PROGRESS', { last_by_subj: `progress.${job}` });
  return new Map([...message.header].map(([name, values]) => [name, values[0] ?? '']));
}

describe('run', () => {
  test('starts, reports, completes with the result, and gives it back', async () => {
    // So few that the report is never sent on its own, also where the start takes long.
    await using reporter = createReporter(fixture.nc, { onWarning, maxUpdatesPerSecond: 0.01 });
    const options = {
      processingId: fixture.id,
      jobType: 'pdf.words',
      total: 4,
      message: 'opening',
      stallAfterSeconds: 60,
    };
    const result = await reporter.run(options, (job) => {
      job.report({
        current: 3,
        message: 'page 3',
        step: { name: 'read', index: 3, total: 4 },
        fields: { words: 17 },
      });
      expect([job.attempt, job.processingId, job.signal.aborted]).toEqual([1, fixture.id, false]);
      return { pages: 4 };
    });
    expect(result).toEqual({ pages: 4 });
    const shared = {
      processing_id: fixture.id,
      job_type: 'pdf.words',
      attempt: 1,
      stall_after_seconds: 60,
      total: 4,
    };
    expect(await stored()).toEqual([
      { ...shared, status: 'processing', progress: 0, message: 'opening', timestamp: expect.any(String) },
      {
        ...shared,
        status: 'completed',
        progress: 100,
        message: 'page 3',
        current: 3,
        step: { name: 'read', index: 3, total: 4 },
        words: 17,
        result: { pages: 4 },
        timestamp: expect.any(String),
      },
    ]);
    expect(warnings).toEqual([]);
    expect(reporter.stats).toMatchObject({ openJobs: 0, pendingJobs: 0, pendingBytes: 0, acknowledged: 2 });
  });

  test('fails with what the work throws, without its stack, and throws it on', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const error = Object.assign(new Error('page 7 is damaged'), {
      code: 'page_unreadable',
      retryable: true,
      details: { page: 7 },
    });
    const run = reporter.run({ processingId: fixture.id }, async (job) => {
      job.report({ progress: 42 });
      throw error;
    });
    await expect(run).rejects.toBe(error);
    const last = (await stored()).at(-1);
    expect(last).toMatchObject({ status: 'error', progress: 42 });
    expect(last?.error).toEqual({
      code: 'page_unreadable',
      message: 'page 7 is damaged',
      retryable: true,
      details: { page: 7 },
    });
  });

  test('puts the stack on the wire only when asked to', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning, includeStack: true });
    await expect(
      reporter.run({ processingId: fixture.id }, () => Promise.reject(new TypeError('no'))),
    ).rejects.toThrow('no');
    expect((await stored()).at(-1)?.error).toMatchObject({
      code: 'TypeError',
      stack: expect.stringContaining('at '),
    });
  });

  test('leaves an end that the work wrote by itself as it is', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    await reporter.run({ processingId: fixture.id }, async (job) => {
      void job.complete('mine');
      return 'not mine';
    });
    expect((await stored()).map(({ status, result }) => [status, result])).toEqual([
      ['processing', undefined],
      ['completed', 'mine'],
    ]);
  });

  test('a result that is too large fails the job clearly: nobody waits for ever', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const run = reporter.run({ processingId: fixture.id }, () => 'x'.repeat(70_000));
    await expect(run).rejects.toBeInstanceOf(EventTooLargeError);
    expect((await stored()).at(-1)?.error).toMatchObject({ code: 'event_too_large' });
  });

  test('details that are too large, or no JSON, are left out of the error', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    for (const details of ['x'.repeat(70_000), 10n]) {
      const job = jobId();
      const error = Object.assign(new Error('bad'), { details });
      await expect(reporter.run({ processingId: job }, () => Promise.reject(error))).rejects.toBe(error);
      expect((await stored(job)).at(-1)?.error).toEqual({ code: 'error', message: 'bad', retryable: false });
    }
    expect(warnings.map(({ kind }) => kind)).toContain('event_truncated');
  });
});

describe('single calls', () => {
  test('a thousand reports at once become few events, and the first, the last and the end are among them', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning, maxUpdatesPerSecond: 1 });
    const job = await reporter.start({ processingId: fixture.id, total: 1_000 });
    for (let current = 1; current <= 1_000; current++) job.report({ current });
    await waitFor(() => reporter.stats.pendingJobs === 0, { what: 'the last state to be stored' });
    await job.complete();
    const events = await stored();
    // A machine that is slow enough to let a second pass meanwhile sends one update more.
    expect(events.length).toBeLessThanOrEqual(5);
    expect(events[0]).toMatchObject({ progress: 0 });
    expect(events[0]).not.toHaveProperty('current');
    expect(events.slice(-2)).toMatchObject([
      { current: 1_000, progress: 99.9 },
      { current: 1_000, progress: 100 },
    ]);
    expect(reporter.stats.coalesced).toBe(1_000 - (events.length - 2));
  });

  test('what is too large is refused before it is sent, and the job goes on with less', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const job = await reporter.start({ processingId: fixture.id });
    const large = 'x'.repeat(70_000);
    expect(() => job.report({ fields: { large } })).toThrow(EventTooLargeError);
    await expect(job.complete(large)).rejects.toMatchObject({ code: 'event_too_large', limit: 65_536 });
    await expect(job.fail(Object.assign(new Error('x'), { details: large }))).rejects.toBeInstanceOf(
      EventTooLargeError,
    );
    await job.complete('less');
    expect((await stored()).map(({ status }) => status)).toEqual(['processing', 'completed']);
  });

  test('the largest event that fits is stored, whatever characters it is of', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const job = await reporter.start({ processingId: fixture.id });
    let bytes = 65_536;
    // The error says how large it would be, so the room that is left is known.
    await job.complete('é'.repeat(40_000)).catch((error: EventTooLargeError) => {
      bytes = 65_536 - (error.bytes - 80_000);
    });
    await expect(job.complete('x'.repeat(bytes + 1))).rejects.toBeInstanceOf(EventTooLargeError);
    await job.complete('x'.repeat(bytes));
    expect((await storedEvents(fixture.nc, 'PROGRESS', fixture.id)).at(-1)?.raw.length).toBe(65_536);
  });

  test('G8 bad input: what no event can hold is refused at the call, by name, and nothing of it is sent', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    await expect(reporter.start({ processingId: 'a.b' })).rejects.toThrow(/\/processingId is "a\.b"/);
    await expect(reporter.start({ processingId: fixture.id, jobType: 'a b' })).rejects.toMatchObject({
      path: '/jobType',
    });
    await expect(reporter.start({ processingId: fixture.id, attempt: 0 })).rejects.toMatchObject({
      path: '/attempt',
    });
    await expect(reporter.start({ processingId: fixture.id, traceparent: '00-x' })).rejects.toMatchObject({
      path: '/traceparent',
    });
    const job = await reporter.start({ processingId: fixture.id });
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    const bad: [unknown, string][] = [
      [{ step: { name: 7 } }, '/step/name'],
      [{ message: 7 }, '/message'],
      [{ curent: 7 }, '/curent'],
      [{ seq: 7 }, '/seq'],
      [{ status: 'completed' }, '/status'],
      [{ fields: { pages: 10n } }, '/pages'],
      [{ fields: { circle } }, '/circle/self'],
      [{ fields: { seq: 7 } }, '/seq'],
    ];
    for (const [update, path] of bad) {
      expect(() => job.report(update as never)).toThrow(
        expect.objectContaining({ code: 'invalid_event', path }),
      );
    }
    await expect(job.complete(10n)).rejects.toBeInstanceOf(InvalidEventError);
    await job.complete();
    expect(await stored()).toHaveLength(2);
  });

  test('G6 the end: after it nothing is written, and a second end is an error', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const job = await reporter.start({ processingId: fixture.id });
    const end = job.complete('first');
    await expect(job.fail(new Error('late'))).rejects.toBeInstanceOf(JobEndedError);
    job.report({ progress: 50 });
    await end;
    job.report({ progress: 60 });
    await expect(job.complete('second')).rejects.toBeInstanceOf(JobEndedError);
    expect((await stored()).map(({ status, result }) => [status, result])).toEqual([
      ['processing', undefined],
      ['completed', 'first'],
    ]);
    expect(warnings.map(({ kind }) => kind)).toEqual(['update_after_end']);
  });

  test('traceparent and CloudEvents go along as headers, and the body is the same', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const options = { processingId: fixture.id, traceparent, cloudEvents: { source: '/workers/7' } };
    await (await reporter.start(options)).complete(1);
    const headers = await lastHeaders();
    const last = (await stored()).at(-1);
    expect(Object.fromEntries(headers)).toEqual({
      'Nats-Msg-Id': expect.stringMatching(/^[\w-]{22}\.2\.[\w-]{12}$/),
      'Nats-Expected-Last-Subject-Sequence': expect.stringMatching(/^\d+$/),
      traceparent,
      'ce-specversion': '1.0',
      'ce-id': headers.get('Nats-Msg-Id'),
      'ce-source': '/workers/7',
      'ce-type': 'headway.progress.completed',
      'ce-subject': fixture.id,
      'ce-time': last?.timestamp,
      'ce-datacontenttype': 'application/json',
    });
    const without = jobId();
    await (await reporter.start({ processingId: without })).complete(1);
    const { timestamp: _, processing_id: __, ...body } = last ?? ({} as Body);
    expect((await stored(without)).at(-1)).toMatchObject(body);
    expect([...(await lastHeaders(without)).keys()]).toHaveLength(2);
  });

  test('heartbeats are sent while the job runs, are not stored, and stop with it', async () => {
    const heard: string[] = [];
    const subscription = fixture.nc.subscribe(`alive.progress.${fixture.id}`, {
      callback: (_, message) => void heard.push(message.string()),
    });
    await fixture.nc.flush();
    await using reporter = createReporter(fixture.nc, { onWarning, heartbeatSeconds: 0.02 });
    const job = await reporter.start({ processingId: fixture.id });
    await waitFor(() => heard.length >= 3, { what: 'three heartbeats' });
    await job.complete();
    // Messages of one connection come in order, so what this job sends is heard after all that it was to send before.
    const at = heard.length;
    const other = await reporter.start({ processingId: jobId(), heartbeatSeconds: 0.02 });
    await waitFor(() => reporter.stats.openJobs === 1, { what: 'the other job alone' });
    await other.complete();
    await fixture.nc.flush();
    expect(heard.length - at).toBeLessThanOrEqual(1);
    expect(heard.every((text) => text === '{"attempt":1}')).toBe(true);
    expect((await stored()).map(({ status }) => status)).toEqual(['processing', 'completed']);
    subscription.unsubscribe();
  });

  test('the signal that was given aborts the job, which can still be failed', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const controller = new AbortController();
    const run = reporter.run({ processingId: fixture.id, signal: controller.signal }, async (job) => {
      const aborted = new Promise((_, reject) => {
        job.signal.addEventListener('abort', () => reject(job.signal.reason));
      });
      controller.abort(new Error('the user went away'));
      await aborted;
    });
    await expect(run).rejects.toThrow('the user went away');
    expect((await stored()).at(-1)).toMatchObject({
      status: 'error',
      error: { message: 'the user went away' },
    });
  });
});

test('one signal for many jobs has one listener, aborts all of them, and keeps none when they are over', async () => {
  await using reporter = createReporter(fixture.nc, { onWarning });
  const controller = new AbortController();
  const { signal } = controller;
  const listeners = (): number => getEventListeners(signal, 'abort').length;
  const jobs = await Promise.all(
    Array.from({ length: 20 }, () => reporter.start({ processingId: jobId(), signal })),
  );
  expect(listeners()).toBe(1);
  await Promise.all(jobs.splice(0, 10).map((job) => job.complete()));
  expect(listeners()).toBe(1);
  controller.abort(new Error('down'));
  expect(jobs.map((job) => job.signal.reason?.message)).toEqual(Array(10).fill('down'));
  await Promise.all(jobs.map((job) => job.fail(job.signal.reason)));
  const late = await reporter.start({ processingId: jobId(), signal });
  expect(late.signal.aborted).toBe(true);
  await late.complete();
  const fresh = new AbortController();
  await reporter.run({ processingId: jobId(), signal: fresh.signal }, () => {});
  expect([listeners(), getEventListeners(fresh.signal, 'abort').length]).toEqual([0, 0]);
});

test('G9 memory: a reporter that is closed leaves nothing of itself at a connection that goes on', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const gone: WeakRef<Reporter>[] = [];
  const use = async (): Promise<void> => {
    const reporter = createReporter(fixture.nc, { onWarning });
    await reporter.run({ processingId: jobId() }, () => {});
    await reporter.close();
    gone.push(new WeakRef(reporter));
  };
  for (let i = 0; i < 5; i++) await use();
  const left = async (): Promise<boolean> => {
    await fixture.nc.flush();
    collect();
    return gone.filter((one) => one.deref() !== undefined).length === 0;
  };
  await waitFor(left, { what: 'the closed reporters to be collected' });
  // And the connection is whole.
  await use();
});

describe('attempts', () => {
  const lost = (job: Job): Promise<SupersededError> =>
    waitFor(() => job.signal.aborted && (job.signal.reason as SupersededError), {
      what: 'the job to be lost',
    });

  test('each run of a job is one more attempt, after an end and after a failure', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    await expect(
      reporter.run({ processingId: fixture.id }, () => Promise.reject(new Error('one'))),
    ).rejects.toThrow('one');
    await reporter.run({ processingId: fixture.id }, () => 'two');
    expect(await reporter.run({ processingId: fixture.id }, (job) => job.attempt)).toBe(3);
    expect((await stored()).map(({ attempt, status }) => `${attempt} ${status}`)).toEqual([
      '1 processing',
      '1 error',
      '2 processing',
      '2 completed',
      '3 processing',
      '3 completed',
    ]);
    expect(warnings).toEqual([]);
  });

  test('G6 the end: of two workers the one that began later goes on; the other is told at its next report and overwrites nothing', async () => {
    await using one = createReporter(fixture.nc, { onWarning });
    await using connection = await connectNats(fixture.nats.url);
    await using two = createReporter(connection, { onWarning });
    const first = await one.start({ processingId: fixture.id });
    first.report({ progress: 10 });
    await waitFor(() => one.stats.pendingJobs === 0, { what: 'the first worker to rest' });
    const second = await two.start({ processingId: fixture.id });
    expect(second.attempt).toBe(2);
    first.report({ progress: 20 });
    expect(await lost(first)).toMatchObject({ code: 'superseded', attempt: 1, reason: 'newer_attempt' });
    expect(() => first.report({ progress: 30 })).toThrow(SupersededError);
    await expect(first.complete('mine')).rejects.toBeInstanceOf(SupersededError);
    await second.complete('his');
    expect((await stored()).map(({ attempt, progress, result }) => [attempt, progress, result])).toEqual([
      [1, 0, undefined],
      [1, 10, undefined],
      [2, 0, undefined],
      [2, 100, 'his'],
    ]);
    expect(one.stats.openJobs).toBe(0);
  });

  test('an end that cannot be written because the job was taken is refused, and run says so', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const run = reporter.run({ processingId: fixture.id }, async () => {
      await reporter.run({ processingId: fixture.id }, () => 'his');
      return 'mine';
    });
    await expect(run).rejects.toMatchObject({ code: 'superseded', reason: 'newer_attempt' });
    expect((await stored()).map(({ attempt, result }) => [attempt, result])).toEqual([
      [1, undefined],
      [2, undefined],
      [2, 'his'],
    ]);
  });

  test('an attempt that was asked for must be a newer one', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    await reporter.run({ processingId: fixture.id, attempt: 5 }, () => null);
    const refused = (attempt: number): Promise<unknown> =>
      reporter.start({ processingId: fixture.id, attempt }).catch((error: unknown) => error);
    expect(await refused(4)).toMatchObject({ code: 'superseded', reason: 'newer_attempt' });
    expect(await refused(5)).toMatchObject({ code: 'superseded', reason: 'finished' });
    await reporter.run({ processingId: fixture.id, attempt: 9 }, () => null);
    expect((await stored()).map(({ attempt }) => attempt)).toEqual([5, 5, 9, 9]);
    expect(reporter.stats.openJobs).toBe(0);
  });

  test('what somebody wrote before the first attempt takes no attempt, and what an old attempt writes late does no harm', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    await publish(fixture.nc, fixture.id, { message: 'queued' });
    const job = await reporter.start({ processingId: fixture.id, attempt: 2 });
    await publish(fixture.nc, fixture.id, { attempt: 1, progress: 99 });
    job.report({ progress: 10 });
    await job.complete();
    const events = await storedEvents(fixture.nc, 'PROGRESS', fixture.id);
    expect(events.map(bodyOf).map(({ attempt, progress }) => [attempt, progress])).toEqual([
      [undefined, 0],
      [2, 0],
      [1, 99],
      [2, 100],
    ]);
  });

  test('a stream that was purged or made anew takes nobody his job', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const job = await reporter.start({ processingId: fixture.id });
    const jsm = await fixture.nc.jetstreamManager();
    await jsm.streams.purge('PROGRESS', { filter: `progress.${fixture.id}` });
    job.report({ progress: 10 });
    await job.complete('there');
    expect((await stored()).at(-1)).toMatchObject({ status: 'completed', attempt: 1, result: 'there' });
  });
});

describe('closing', () => {
  test('sends what is pending, refuses what is new, and leaves a connection that was given open', async () => {
    const reporter = createReporter(fixture.nc, { onWarning });
    const job = await reporter.start({ processingId: fixture.id });
    job.report({ progress: 10 });
    job.report({ progress: 20 });
    await reporter.close();
    expect((await stored()).at(-1)).toMatchObject({ progress: 20 });
    job.report({ progress: 30 });
    await expect(job.complete()).rejects.toBeInstanceOf(ReporterClosedError);
    await expect(reporter.start({ processingId: jobId() })).rejects.toBeInstanceOf(ReporterClosedError);
    expect(fixture.nc.isClosed()).toBe(false);
    expect((await stored()).at(-1)).toMatchObject({ progress: 20 });
    await reporter.close();
  });

  test('waits for ends, but not for ever', async () => {
    await using own = await startNats();
    const reporter: Reporter = await connectReporter({ servers: own.url, onWarning, closeTimeoutMs: 50 });
    const job = await reporter.start({ processingId: fixture.id });
    // There is no stream, so nothing is ever acknowledged.
    const end = job.complete().catch((error: unknown) => error);
    await withTimeout(reporter.close(), 5_000, 'closing');
    expect(await end).toBeInstanceOf(ReporterClosedError);
    expect(warnings.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['retrying', 'not_acknowledged']),
    );
  });

  test('the wait for an end can be given up by the signal', async () => {
    await using own = await startNats();
    await using reporter = await connectReporter({ servers: own.url, onWarning, closeTimeoutMs: 50 });
    const job = await reporter.start({ processingId: fixture.id, signal: AbortSignal.timeout(1) });
    await expect(job.complete()).rejects.toMatchObject({ code: 'not_acknowledged' });
  });
});
