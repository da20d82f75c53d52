/** The worker SDK with as little permission as docs/nats/permissions.conf gives a worker, and with what else there is. */
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { timeoutEvent } from '../../internal/liveness/timeout-event.js';
import type { Event } from '../../schemas/event.js';
import {
  connectReporter,
  InvalidOptionError,
  NotPermittedError,
  type ReporterWarning,
} from '../../sdk/worker/index.js';
import { jobId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, event, publish, publishRaw, storedEvents } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

const CONF = fileURLToPath(new URL('../../docs/nats/permissions.conf', import.meta.url));
for (const user of ['edge', 'admin', 'worker', 'single', 'reader', 'operator']) {
  process.env[`HEADWAY_${user.toUpperCase()}_PASSWORD`] = `secret-of-${user}`;
}

let warnings: ReporterWarning[];
let id: string;
const onWarning = (warning: ReporterWarning): void => void warnings.push(warning);
const urlOf = (server: NatsServer, user: string): string =>
  server.url.replace('//', `//${user}:secret-of-${user}@`);

let nats: NatsServer;
beforeAll(async () => {
  nats = await startNats({ config: `include ${JSON.stringify(relative(join(tmpdir(), 'any'), CONF))}` });
  await using admin = await connectNats(nats.url, { user: 'admin', pass: 'secret-of-admin' });
  await createStream(admin);
});
afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  warnings = [];
  id = jobId();
});

async function attempts(server: NatsServer, user: string, job = id): Promise<string[]> {
  await using nc = await connectNats(server.url, { user, pass: `secret-of-${user}` });
  const events = await storedEvents(nc, 'PROGRESS', job);
  return events
    .map(({ json }) => json as Record<string, unknown>)
    .map(({ attempt, status }) => `${attempt} ${status}`);
}

test('G6 the end: with the permissions of docs/nats a second run is the next attempt, also behind an end', async () => {
  await using reporter = await connectReporter({ servers: urlOf(nats, 'worker'), onWarning });
  await reporter.run({ processingId: id }, () => 'one');
  const run = reporter.run({ processingId: id }, async () => {
    await reporter.run({ processingId: id }, () => 'three');
  });
  await expect(run).rejects.toMatchObject({ code: 'superseded', reason: 'newer_attempt', attempt: 2 });
  const expected = ['1 processing', '1 completed', '2 processing', '3 processing', '3 completed'];
  expect(await attempts(nats, 'admin')).toEqual(expected);
  expect(warnings.map(({ kind }) => kind)).toEqual(['superseded']);
  expect(nats.log()).not.toContain('secret-of-worker');
});

test('with the permissions of docs/nats a worker that was timed out goes on behind the timeout', async () => {
  await using edge = await connectNats(nats.url, { user: 'edge', pass: 'secret-of-edge' });
  await using reporter = await connectReporter({ servers: urlOf(nats, 'worker'), onWarning });
  await reporter.run({ processingId: id }, async () => {
    // Between its own events there are others'.
    await reporter.run({ processingId: jobId() }, () => 'another job');
    const last = event(id, { attempt: 1 }) as unknown as Event;
    const text = timeoutEvent(last, 60_000, new Date().toISOString());
    await edge.jetstream({ checkAPI: false }).publish(`progress.${id}`, text);
  });
  expect(await attempts(nats, 'admin')).toEqual(['1 processing', '1 error', '1 completed']);
  expect(warnings).toEqual([]);
});

describe('a worker that may publish and nothing else', () => {
  let own: NatsServer;
  beforeAll(async () => {
    own = await startNats({
      config: `authorization {
        users: [
          { user: admin, password: secret-of-admin }
          { user: worker, password: secret-of-worker, permissions: {
            publish: ["progress.*", "alive.progress.*"], subscribe: "_INBOX.>" } }
        ]
      }`,
    });
    await using admin = await connectNats(own.url, { user: 'admin', pass: 'secret-of-admin' });
    await createStream(admin);
  });
  afterAll(async () => {
    await own?.[Symbol.asyncDispose]();
  });

  test('G6 the end: runs a new job; of a second run nothing is written without an attempt, and it says what is missing', async () => {
    const options = { servers: urlOf(own, 'worker'), onWarning, startTimeoutMs: 50, closeTimeoutMs: 100 };
    await using reporter = await connectReporter(options);
    await reporter.run({ processingId: id }, () => 'one');
    expect(warnings).toEqual([]);
    // The work is done all the same.
    let isDone = false;
    const again = reporter.run({ processingId: id, signal: AbortSignal.timeout(200) }, () => {
      isDone = true;
    });
    await expect(again).rejects.toMatchObject({ code: 'not_acknowledged' });
    expect(isDone).toBe(true);
    const told = warnings.find(({ kind }) => kind === 'attempt_unknown');
    expect(told?.error).toBeInstanceOf(NotPermittedError);
    const subjects = [`$JS.API.DIRECT.GET.PROGRESS.progress.${id}`, '$JS.API.STREAM.MSG.GET.PROGRESS'];
    expect(told?.error).toMatchObject({ subjects });
    expect(told?.message).toContain('give the attempt');
    expect(await attempts(own, 'admin')).toEqual(['1 processing', '1 completed']);
    await reporter.run({ processingId: id, attempt: 2 }, () => 'two');
    expect((await attempts(own, 'admin')).slice(2)).toEqual(['2 processing', '2 completed']);
  });

  test('loses its job to another all the same', async () => {
    await using reporter = await connectReporter({ servers: urlOf(own, 'worker'), onWarning });
    const run = reporter.run({ processingId: id }, async () => {
      await reporter.run({ processingId: id, attempt: 2 }, () => 'his');
    });
    await expect(run).rejects.toMatchObject({ code: 'superseded', reason: 'other_writer' });
    expect(await attempts(own, 'admin')).toEqual(['1 processing', '2 processing', '2 completed']);
  });
});

test('a worker that is trusted with one job uses the inbox that it may use', async () => {
  const options = {
    servers: urlOf(nats, 'single'),
    inboxPrefix: '_INBOX_single',
    closeTimeoutMs: 100,
    onWarning,
  };
  await using reporter = await connectReporter(options);
  await reporter.run({ processingId: 'job-1' }, () => 'done');
  expect(await attempts(nats, 'admin', 'job-1')).toEqual(['1 processing', '1 completed']);
  // It says what it is refused, and the job itself goes on.
  const job = await reporter.start({ processingId: 'job-2', signal: AbortSignal.timeout(1) });
  job.report({ progress: 1 });
  expect(warnings.map(({ message }) => message).join()).toContain('publish to progress.job-2');
});

test('G6 the end: over what is no event nothing is written, until it may be looked beneath', async () => {
  await using admin = await connectNats(nats.url, { user: 'admin', pass: 'secret-of-admin' });
  await using reporter = await connectReporter({ servers: urlOf(nats, 'worker'), onWarning });
  const job = await reporter.start({ processingId: id });
  await publish(admin, jobId());
  await publishRaw(admin, `progress.${id}`, 'no event');
  job.report({ progress: 50 });
  await waitFor(() => warnings.some(({ error }) => error instanceof NotPermittedError), {
    what: 'it to say what is missing',
  });
  expect(warnings.find(({ error }) => error !== undefined)).toMatchObject({
    kind: 'not_permitted',
    error: { subjects: ['$JS.API.STREAM.MSG.GET.PROGRESS'] },
  });
  expect(job.signal.aborted).toBe(false);
  // What is no event goes away, as here, or is followed by one.
  const jsm = await admin.jetstreamManager();
  await jsm.streams.purge('PROGRESS', { filter: `progress.${id}` });
  await job.complete();
  // What was held back came first.
  expect(await attempts(nats, 'admin')).toEqual(['1 processing', '1 completed']);
});

test('G6 the end: behind an event that names no attempt a run is the one after the highest, where it may be looked beneath', async () => {
  await using admin = await connectNats(nats.url, { user: 'admin', pass: 'secret-of-admin' });
  const unlimited = { maxUpdatesPerSecond: Number.POSITIVE_INFINITY, onWarning };
  await using reporter = await connectReporter({ servers: urlOf(nats, 'admin'), ...unlimited });
  await publish(admin, id, { message: 'queued' });
  await reporter.run({ processingId: id }, () => 'one');
  for (let other = 0; other < 30; other++) await publish(admin, jobId());
  await publish(admin, id, { message: 'queued' });
  await publish(admin, id, { attempt: 1, progress: 50 });
  const run = reporter.run({ processingId: id }, async (job) => {
    await publish(admin, id, { message: 'late, and of nobody' });
    job.report({ progress: 10 });
    await waitFor(() => reporter.stats.pendingJobs === 0, { what: 'the report to be stored' });
    await reporter.run({ processingId: id }, async () => {
      // The older one wakes up, and finds an event that names none.
      await publish(admin, id, { message: 'late, and of nobody' });
      job.report({ progress: 20 });
      await waitFor(() => job.signal.aborted, { what: 'the older attempt to be told' });
    });
  });
  await expect(run).rejects.toMatchObject({ code: 'superseded', reason: 'newer_attempt', attempt: 2 });
  expect(await attempts(nats, 'admin')).toEqual([
    'undefined processing',
    ...['1 processing', '1 completed'],
    ...['undefined processing', '1 processing'],
    ...['2 processing', 'undefined processing', '2 processing'],
    ...['3 processing', 'undefined processing', '3 completed'],
  ]);
});

test('G6 the end: with the permissions of docs/nats a run begins behind "queued" where its condition says that nothing was before, and else waits', async () => {
  await using admin = await connectNats(nats.url, { user: 'admin', pass: 'secret-of-admin' });
  await using reporter = await connectReporter({ servers: urlOf(nats, 'worker'), onWarning });
  const queued = (): string => JSON.stringify(event(id, { message: 'queued' }));
  const js = admin.jetstream();
  await publish(admin, jobId());
  await js.publish(`progress.${id}`, queued(), { expect: { lastSubjectSequence: 0 } });
  await reporter.run({ processingId: id }, () => 'one');
  expect(warnings).toEqual([]);
  await js.publish(`progress.${id}`, queued());
  const again = reporter.run({ processingId: id }, () => 'two');
  await waitFor(() => warnings.some(({ kind }) => kind === 'attempt_unknown'), { what: 'it to say so' });
  expect(warnings[0]?.error).toMatchObject({ subjects: ['$JS.API.STREAM.MSG.GET.PROGRESS'] });
  expect(await attempts(nats, 'admin')).toHaveLength(4);
  await publish(admin, id, { attempt: 4, message: 'named' });
  await again;
  expect((await attempts(nats, 'admin')).slice(4)).toEqual(['4 processing', '5 processing', '5 completed']);
});

test('mistakes in the options are told at once, by name', async () => {
  await expect(connectReporter({ credsFile: '/not/there' })).rejects.toThrow(/credsFile names \/not\/there/);
  await expect(connectReporter({ maxUpdatesPerSecond: 0 })).rejects.toThrow(
    /maxUpdatesPerSecond is 0; .* above 0/,
  );
  await expect(connectReporter({ stream: 'A B' })).rejects.toBeInstanceOf(InvalidOptionError);
});

test('credentials that are refused are told, and the job goes on', async () => {
  await using reporter = await connectReporter({
    servers: nats.url.replace('//', '//worker:wrong@'),
    onWarning,
    closeTimeoutMs: 0,
  });
  const job = await reporter.start({ processingId: id });
  job.report({ progress: 10 });
  expect(warnings.map(({ kind, message }) => `${kind} ${message}`).join()).toMatch(
    /not_authorized .*Authorization/i,
  );
  expect(JSON.stringify(warnings)).not.toContain('wrong');
});
