/** The worker SDK over a real nats-server: whatever the job or its connection does, its end is told, and waits end. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nkeys } from 'nats';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  ConnectionClosedError,
  connectReporter,
  createReporter,
  InvalidEventError,
  InvalidOptionError,
} from '../../sdk/worker/index.js';
import { jobId } from '../harness/ids.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, createStream, storedEvents } from '../harness/publish.js';
import { waitFor, withTimeout } from '../harness/wait.js';
import { workerFixture } from './worker-fixture.js';

const fixture = workerFixture();
const { warnings, onWarning } = fixture;
const kinds = (): string[] => warnings.map(({ kind }) => kind);

async function lastStored(): Promise<Record<string, unknown>> {
  return (await storedEvents(fixture.nc, 'PROGRESS', fixture.id)).at(-1)?.json as Record<string, unknown>;
}

describe('G6 the end: it is written whatever the job throws or gives back', () => {
  test.each<[string, unknown]>([
    ['an error without a message', Object.assign(new Error('no'), { message: undefined })],
    ['an error with a number for its name', Object.assign(new Error('no'), { name: 42 })],
    [
      'details that refuse to be JSON with a text',
      Object.assign(new Error('no'), {
        details: {
          toJSON() {
            throw 'boo';
          },
        },
      }),
    ],
  ])('%s', async (_, error) => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const run = reporter.run({ processingId: fixture.id }, () => Promise.reject(error));
    await expect(run).rejects.toBe(error);
    expect(await lastStored()).toMatchObject({ status: 'error', error: { retryable: false } });
    expect(reporter.stats.openJobs).toBe(0);
  });

  test('a result that throws at being written', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const result = {
      toJSON() {
        throw 'boo';
      },
    };
    await expect(reporter.run({ processingId: fixture.id }, () => result)).rejects.toBeInstanceOf(
      InvalidEventError,
    );
    expect(await lastStored()).toMatchObject({ status: 'error', error: { code: 'invalid_event' } });
    expect(reporter.stats.openJobs).toBe(0);
  });

  test('a job whose own fields leave no room for its error', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const error = new Error('e'.repeat(4_000));
    const run = reporter.run({ processingId: fixture.id, jobType: 'a.b' }, (job) => {
      job.report({ progress: 40, fields: { mine: 'x'.repeat(65_000) } });
      throw error;
    });
    await expect(run).rejects.toBe(error);
    const last = await lastStored();
    expect(last).toMatchObject({ status: 'error', progress: 40, job_type: 'a.b', error: { code: 'error' } });
    expect(last.mine).toBeUndefined();
    expect(kinds()).toContain('event_truncated');
    expect(reporter.stats.openJobs).toBe(0);
  });
});

describe('a connection that its owner closes', () => {
  test('is told, and whoever waits for an end is told too, instead of waiting for ever', async () => {
    const own = await connectNats(fixture.nats.url);
    const reporter = createReporter(own, { onWarning });
    const job = await reporter.start({ processingId: fixture.id });
    await using silent = await startNats();
    const nowhere = await connectNats(silent.url);
    const stuck = createReporter(nowhere, { onWarning, startTimeoutMs: 1 });
    // There is no stream, so nothing is ever acknowledged.
    const waiting = stuck.run({ processingId: fixture.id }, () => 1).catch((error: unknown) => error);
    await waitFor(() => kinds().includes('retrying'), { what: 'a try that failed' });

    await own.close();
    await nowhere.close();
    expect(await withTimeout(waiting, 5_000, 'the end')).toBeInstanceOf(ConnectionClosedError);
    await waitFor(() => !reporter.stats.connected, { what: 'the closed connection' });
    expect(kinds()).toContain('connection_closed');

    // The job itself goes on.
    job.report({ progress: 50 });
    expect(warnings.at(-1)?.message).toContain('connection was closed');
    await expect(job.complete()).rejects.toBeInstanceOf(ConnectionClosedError);
    let hasWorked = false;
    const next = reporter.run({ processingId: jobId() }, () => {
      hasWorked = true;
    });
    await expect(next).rejects.toBeInstanceOf(ConnectionClosedError);
    expect(hasWorked).toBe(true);
    expect([reporter.stats.openJobs, stuck.stats.openJobs]).toEqual([0, 0]);
    await reporter.close();
    await stuck.close();
  });
});

describe('an event that was not taken', () => {
  test('is sent again when its pause is over, not only when something else happens to the job', async () => {
    await using own = await startNats();
    // Nothing else wakes the job within this test.
    await using reporter = await connectReporter({
      servers: own.url,
      onWarning,
      startTimeoutMs: 1,
      ackTimeoutMs: 600_000,
      heartbeatSeconds: 0,
    });
    // There is no stream yet.
    const run = reporter.run({ processingId: fixture.id }, () => 1);
    await waitFor(() => reporter.stats.retried >= 2, { what: 'a third try' });
    const operator = await connectNats(own.url);
    await createStream(operator);
    await operator.close();
    expect(await withTimeout(run, 15_000, 'the end')).toBe(1);
  });
});

describe('the way to NATS, as an author gives it', () => {
  test('several addresses in one text, as an edge takes them from NATS_URL', async () => {
    await using reporter = await connectReporter({
      servers: `${fixture.nats.url}, nats://127.0.0.1:9`,
      onWarning,
    });
    expect(reporter.stats.connected).toBe(true);
  });

  test('a user and a password that no address of the web could hold, and the file of a user', async () => {
    const seed = nkeys.createUser();
    const folder = await mkdtemp(join(tmpdir(), 'headway-creds-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const credsFile = join(folder, 'user.creds');
    const pem = (name: string, text: string) => `-----BEGIN ${name}-----\n${text}\n------END ${name}------\n`;
    await writeFile(
      credsFile,
      pem('NATS USER JWT', 'a.b.c') + pem('USER NKEY SEED', new TextDecoder().decode(seed.getSeed())),
    );
    const servers = fixture.nats.url.replace('nats://', 'nats://user:a#b?c@');
    await using reporter = await connectReporter({ servers, credsFile, onWarning });
    expect(reporter.stats.connected).toBe(true);
  });

  test('what the environment leaves empty counts as not given', async () => {
    await using reporter = await connectReporter({
      servers: fixture.nats.url,
      credsFile: '',
      name: undefined,
      onWarning,
    });
    expect(reporter.stats.connected).toBe(true);
  });

  test.each([
    [{ servers: 'nats://127.0.0.1:99999' }, 'servers'],
    [{ servers: 'nats://user:50%@127.0.0.1' }, 'servers'],
    [{ servers: 'nats//127.0.0.1:4222' }, 'servers'],
    [{ servers: [5] as unknown as string[] }, 'servers'],
    [{ credsFile: import.meta.filename }, 'credsFile'],
  ])('what can never connect is an error at once: %j', async (options, option) => {
    const made = connectReporter({ servers: fixture.nats.url, ...options, onWarning, closeTimeoutMs: 0 });
    const error = await made.then((reporter) => reporter.close()).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({ option });
  });

  test('a signal that is none is refused by name, and leaves nothing behind', async () => {
    await using reporter = createReporter(fixture.nc, { onWarning });
    const signal = {} as AbortSignal;
    const run = reporter.run({ processingId: fixture.id, signal }, () => 1);
    await expect(run).rejects.toMatchObject({ code: 'invalid_event', path: '/signal' });
    expect(reporter.stats).toMatchObject({ openJobs: 0, pendingJobs: 0 });
  });
});

describe('an event that this NATS takes none so large of is sent with less, and holds nothing up', () => {
  const big = 'x'.repeat(6_000);
  type Sent = { status: string; progress: number; big?: string; result?: unknown; error?: object };
  const sent = async (url: string, id: string): Promise<Sent[]> => {
    await using nc = await connectNats(url);
    return (await storedEvents(nc, 'PROGRESS', id)).map(({ json }) => json as Sent);
  };

  test('as its stream takes none: updates, the end, and what comes after', async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    await createStream(nc, 'PROGRESS', { max_msg_size: 2_000 });
    await using reporter = createReporter(nc, { onWarning, maxUpdatesPerSecond: 1_000 });
    await reporter.run({ processingId: 'a', message: big.slice(0, 4_000) }, async (job) => {
      job.report({ progress: 10, fields: { big } });
      await waitFor(async () => (await sent(nats.url, 'a')).length === 2, { what: 'the update' });
      job.report({ progress: 20, message: null, fields: { big: null } });
      await waitFor(async () => (await sent(nats.url, 'a')).length === 3, { what: 'the next one' });
      job.report({ progress: 30, fields: { big } });
    });
    const events = await sent(nats.url, 'a');
    expect(events.slice(0, 3).map(({ progress }) => progress)).toEqual([0, 10, 20]);
    expect(events.at(-1)).toMatchObject({ status: 'completed', progress: 100 });
    expect(events.filter((event) => event.big !== undefined)).toEqual([]);
    expect(kinds()).toContain('event_truncated');
  });

  test('a result that cannot be stored fails the job, and whoever waits is told why', async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    await createStream(nc, 'PROGRESS', { max_msg_size: 2_000 });
    await using reporter = createReporter(nc, { onWarning });
    await expect(reporter.run({ processingId: 'a' }, () => big)).rejects.toThrow(
      /its stream takes none so large/,
    );
    await expect(
      reporter.run({ processingId: 'b' }, () =>
        Promise.reject(Object.assign(new Error(big), { code: 'mine', retryable: true, details: big })),
      ),
    ).rejects.toThrow('xxx');
    expect((await sent(nats.url, 'a')).at(-1)).toMatchObject({
      status: 'error',
      error: { code: 'event_too_large', retryable: false },
    });
    expect((await sent(nats.url, 'b')).at(-1)).toMatchObject({
      status: 'error',
      error: { code: 'mine', retryable: true, message: expect.stringMatching(/^x{255}…$/) },
    });
    expect(reporter.stats.openJobs).toBe(0);
  });

  test('as its server takes none, which was away when the job began', async () => {
    await using nats = await startNats({ config: 'max_payload: 8192' });
    await using nc = await connectNats(nats.url);
    await createStream(nc);
    await nats.stop();
    await using reporter = await connectReporter({ servers: nats.url, onWarning });
    const run = reporter.run({ processingId: 'a', message: 'm' }, (job) => {
      job.report({ progress: 10, fields: { big: big + big } });
    });
    await nats.start();
    await withTimeout(run, 20_000, 'the run');
    expect((await sent(nats.url, 'a')).map(({ status }) => status)).toEqual(['processing', 'completed']);
  });
});
