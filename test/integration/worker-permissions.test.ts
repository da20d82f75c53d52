/** The worker SDK with as little permission as docs/nats/permissions.conf gives a worker, and with what else there is. */
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connectReporter, InvalidOptionError, type Trouble } from '../../sdk/worker/index.js';
import { jobId } from '../harness/ids.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, storedEvents } from '../harness/publish.js';

const CONF = fileURLToPath(new URL('../../docs/nats/permissions.conf', import.meta.url));
for (const user of ['edge', 'admin', 'worker', 'single', 'reader']) {
  process.env[`HEADWAY_${user.toUpperCase()}_PASSWORD`] = `secret-of-${user}`;
}

let troubles: Trouble[];
let id: string;
const onTrouble = (trouble: Trouble): void => void troubles.push(trouble);
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
  troubles = [];
  id = jobId();
});

async function attempts(server: NatsServer, user: string, job = id): Promise<string[]> {
  await using nc = await connectNats(server.url, { user, pass: `secret-of-${user}` });
  const events = await storedEvents(nc, 'PROGRESS', job);
  return events
    .map(({ json }) => json as Record<string, unknown>)
    .map(({ attempt, status }) => `${attempt} ${status}`);
}

test('a worker that may publish and nothing else runs a new job; of a second run it says that the attempt is a guess', async () => {
  await using reporter = await connectReporter({ servers: urlOf(nats, 'worker'), onTrouble });
  await reporter.run({ processingId: id }, () => 'one');
  expect(troubles).toEqual([]);
  await reporter.run({ processingId: id }, () => 'again');
  expect(troubles.map(({ kind }) => kind)).toEqual(['attempt_unknown']);
  await reporter.run({ processingId: id, attempt: 2 }, () => 'two');
  const expected = [
    '1 processing',
    '1 completed',
    '1 processing',
    '1 completed',
    '2 processing',
    '2 completed',
  ];
  expect(await attempts(nats, 'admin')).toEqual(expected);
  expect(nats.log()).not.toContain('secret-of-worker');
});

test('a worker that may do nothing but publish loses its job to another all the same', async () => {
  await using reporter = await connectReporter({ servers: urlOf(nats, 'worker'), onTrouble });
  const run = reporter.run({ processingId: id }, async () => {
    await reporter.run({ processingId: id, attempt: 2 }, () => 'his');
  });
  await expect(run).rejects.toMatchObject({ code: 'superseded', reason: 'other_writer' });
  expect(await attempts(nats, 'admin')).toEqual(['1 processing', '2 processing', '2 completed']);
});

test('a worker that is trusted with one job uses the inbox that it may use', async () => {
  const options = {
    servers: urlOf(nats, 'single'),
    inboxPrefix: '_INBOX_single',
    closeTimeoutMs: 100,
    onTrouble,
  };
  await using reporter = await connectReporter(options);
  await reporter.run({ processingId: 'job-1' }, () => 'done');
  expect(await attempts(nats, 'admin', 'job-1')).toEqual(['1 processing', '1 completed']);
  // It says what it is refused, and the job itself goes on.
  const job = await reporter.start({ processingId: 'job-2', signal: AbortSignal.timeout(1) });
  job.report({ progress: 1 });
  expect(troubles.map(({ message }) => message).join()).toContain('publish to progress.job-2');
});

test('a worker that may read the last event of its jobs from any copy knows the attempts', async () => {
  await using own = await startNats({
    config: `authorization {
      users: [
        { user: admin, password: secret-of-admin }
        { user: worker, password: secret-of-worker, permissions: {
          publish: ["progress.*", "alive.progress.*", "$JS.API.DIRECT.GET.PROGRESS.progress.*"], subscribe: "_INBOX.>" } }
      ]
    }`,
  });
  await using admin = await connectNats(own.url, { user: 'admin', pass: 'secret-of-admin' });
  await createStream(admin);
  await using reporter = await connectReporter({ servers: urlOf(own, 'worker'), onTrouble });
  await reporter.run({ processingId: id }, () => 'one');
  const run = reporter.run({ processingId: id }, async (job) => {
    await reporter.run({ processingId: id }, () => job.attempt);
  });
  await expect(run).rejects.toMatchObject({ reason: 'newer_attempt', attempt: 2 });
  const expected = ['1 processing', '1 completed', '2 processing', '3 processing', '3 completed'];
  expect(await attempts(own, 'admin')).toEqual(expected);
  expect(troubles.map(({ kind }) => kind)).toEqual(['superseded']);
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
    onTrouble,
    closeTimeoutMs: 0,
  });
  const job = await reporter.start({ processingId: id });
  job.report({ progress: 10 });
  expect(troubles.map(({ kind, message }) => `${kind} ${message}`).join()).toMatch(/away .*Authorization/i);
  expect(JSON.stringify(troubles)).not.toContain('wrong');
});
