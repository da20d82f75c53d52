/** Workers that an edge took for dead, over a real nats-server: an edge cannot tell dead from cut off. */
import { expect, test } from 'vitest';
import { timeoutEvent } from '../../internal/liveness/timeout-event.js';
import { checkEvent, type Event } from '../../schemas/event.js';
import { connectReporter, createReporter, type Job, SupersededError } from '../../sdk/worker/index.js';
import { jobId } from '../harness/ids.js';
import { startTcpProxy } from '../harness/proxy.js';
import { publish, publishRaw, storedEvents } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';
import { workerFixture } from './worker-fixture.js';

const fixture = workerFixture();
const { warnings, onWarning } = fixture;

/** As an edge does it: the last event's state, and only if nothing was stored since. */
async function timeOut(changes: Partial<Event> = {}): Promise<number> {
  const last = (await storedEvents(fixture.nc, 'PROGRESS', fixture.id)).at(-1);
  const text = timeoutEvent({ ...(last?.json as Event), ...changes }, 60_000, '2026-01-31T12:00:00.000Z');
  const js = fixture.nc.jetstream();
  const { seq } = await js.publish(`progress.${fixture.id}`, text, {
    expect: { streamName: 'PROGRESS', lastSubjectSequence: last?.seq ?? 0 },
  });
  return seq;
}

async function shown(): Promise<string[]> {
  const events = (await storedEvents(fixture.nc, 'PROGRESS', fixture.id)).map(({ json }) => json as Event);
  for (const event of events) expect(checkEvent(event)).toBeNull();
  return events.map(({ attempt, status, progress }) => `${attempt} ${status} ${progress}`);
}

const rested = (reporter: { stats: { pendingJobs: number } }): Promise<unknown> =>
  waitFor(() => reporter.stats.pendingJobs === 0, { what: 'the worker to rest' });

const lost = async (job: Job): Promise<unknown> => {
  await waitFor(() => job.signal.aborted, { what: 'the job to be lost' });
  return job.signal.reason;
};

test('a worker that was cut off, and timed out meanwhile, goes on behind the timeout and completes; the percent never falls', async () => {
  await using proxy = await startTcpProxy(fixture.nats.port);
  await using reporter = await connectReporter({
    servers: `nats://${proxy.host}`,
    connection: { reconnectTimeWait: 20, reconnectJitter: 10 },
    maxUpdatesPerSecond: 1_000,
    onWarning,
  });
  const job = await reporter.start({ processingId: fixture.id });
  job.report({ progress: 60 });
  await rested(reporter);
  proxy.refuse();
  proxy.cut('reset');
  await waitFor(() => !reporter.stats.connected, { what: 'the worker to be cut off' });
  job.report({ progress: 20, message: 'still here' });
  await timeOut();
  await proxy.accept();
  await rested(reporter);
  expect(job.signal.aborted).toBe(false);
  // And once more, while it is there.
  await timeOut();
  await job.complete('done');
  expect(await shown()).toEqual([
    '1 processing 0',
    '1 processing 60',
    '1 error 60',
    '1 processing 60',
    '1 error 60',
    '1 completed 100',
  ]);
  expect(warnings.map(({ kind }) => kind).filter((kind) => kind === 'superseded')).toEqual([]);
});

test('a worker whose attempt has no number of its own goes on, too: a timeout without an attempt is of the first', async () => {
  await using reporter = createReporter(fixture.nc, { onWarning });
  await publish(fixture.nc, fixture.id, { message: 'queued' });
  await reporter.run({ processingId: fixture.id }, async (job) => {
    await publish(fixture.nc, fixture.id, { message: 'queued again' });
    await timeOut();
    job.report({ progress: 10 });
  });
  expect((await shown()).at(-1)).toBe('1 completed 100');
  expect(warnings).toEqual([]);
});

test('G6 the end: a timeout that is not retryable is an end, and a newer attempt behind a timeout has the job', async () => {
  await using reporter = createReporter(fixture.nc, { onWarning });
  const ended = await reporter.start({ processingId: fixture.id });
  await publish(fixture.nc, fixture.id, {
    status: 'error',
    attempt: 1,
    error: { code: 'timeout', retryable: false },
  });
  ended.report({ progress: 50 });
  expect(await lost(ended)).toMatchObject({ reason: 'timeout' });

  fixture.id = jobId();
  const old = await reporter.start({ processingId: fixture.id });
  await timeOut();
  await reporter.run({ processingId: fixture.id }, async (job) => {
    expect(job.attempt).toBe(2);
    await timeOut();
    old.report({ progress: 50 });
    expect(await lost(old)).toBeInstanceOf(SupersededError);
    expect(await lost(old)).toMatchObject({ reason: 'newer_attempt', attempt: 1 });
  });
  expect(await shown()).toEqual([
    '1 processing 0',
    '1 error 0',
    '2 processing 0',
    '2 error 0',
    '2 completed 100',
  ]);
});

test('G6 the end: another worker in the same attempt is not hidden by a timeout, nor by what is no event', async () => {
  await using reporter = createReporter(fixture.nc, { onWarning });
  for (const cover of [timeOut, () => publishRaw(fixture.nc, `progress.${fixture.id}`, 'no event')]) {
    fixture.id = jobId();
    const job = await reporter.start({ processingId: fixture.id });
    await publish(fixture.nc, fixture.id, { attempt: 1, progress: 0 });
    await cover();
    job.report({ progress: 50 });
    expect(await lost(job)).toMatchObject({ reason: 'other_writer' });
  }
});

test('G6 the end: what is no event hides no end and no attempt from a run that begins', async () => {
  await using reporter = createReporter(fixture.nc, { onWarning });
  await reporter.run({ processingId: fixture.id, attempt: 7 }, () => 'done');
  await publishRaw(fixture.nc, `progress.${fixture.id}`, 'no event');
  await publish(fixture.nc, fixture.id, { progress: 'none' });
  const again = reporter.start({ processingId: fixture.id, attempt: 7 });
  await expect(again).rejects.toMatchObject({ code: 'superseded', reason: 'finished' });
  expect(await reporter.run({ processingId: fixture.id }, ({ attempt }) => attempt)).toBe(8);
});

test('G8 bad input: what is no event takes nobody his job', async () => {
  await using reporter = createReporter(fixture.nc, { onWarning });
  await reporter.run({ processingId: fixture.id }, async (job) => {
    await publishRaw(fixture.nc, `progress.${fixture.id}`, 'no event');
    job.report({ progress: 50 });
    await rested(reporter);
    await publish(fixture.nc, fixture.id, { attempt: 9, processing_id: 'another' });
  });
  expect(warnings).toEqual([]);
  const last = (await storedEvents(fixture.nc, 'PROGRESS', fixture.id)).at(-1);
  expect(last?.json).toMatchObject({ status: 'completed', attempt: 1 });
});
