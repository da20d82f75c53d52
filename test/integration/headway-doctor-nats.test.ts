/** `headway doctor` where NATS itself is the trouble: away, without JetStream, or with few permissions. */
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { isAtLeast } from '../../internal/server-version.js';

import { aboveNotes, detailsOf, examine, findingOf, idsOf, unchecked } from '../harness/doctor.js';
import { type Env, headway, natsEnv } from '../harness/headway-command.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publish } from '../harness/publish.js';

const CONF = fileURLToPath(new URL('../../docs/nats/permissions.conf', import.meta.url));
const include = `include ${JSON.stringify(relative(join(tmpdir(), 'any'), CONF))}`;
const USERS = ['edge', 'admin', 'operator', 'worker', 'single', 'reader'] as const;
for (const user of USERS) process.env[`HEADWAY_${user.toUpperCase()}_PASSWORD`] = `secret-of-${user}`;

/** It says what is wrong in one line on stderr, nothing on stdout, and ends with 4. */
async function expectNoNats(url: string, told: RegExp): Promise<void> {
  const { code, stdout, stderr } = await headway(['doctor', '-o', 'json'], { env: natsEnv(url) });
  expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
  expect(stderr).toMatch(/^headway: \S.*\n$/);
  expect(stderr).toMatch(told);
  expect(stderr).not.toContain('secret');
}

describe('NATS cannot be asked', () => {
  test('nobody listens', async () => {
    await expectNoNats(
      'nats://127.0.0.1:1',
      /Cannot reach NATS at nats:\/\/127\.0\.0\.1:1 \(connection refused\)/,
    );
  });

  test('it refuses the credentials', async () => {
    await using nats = await startNats({ config: 'authorization { user: a, password: b }' });
    await expectNoNats(nats.url.replace('//', '//a:secret@'), /refused the credentials/);
  });
});

test('a nats-server that is too old is a finding', async () => {
  await using old = await oldServer('2.9.25');
  const report = await examine(natsEnv(old.url));
  expect([report.code, idsOf(report)]).toEqual([11, ['server-too-old']]);
  expect(report.findings[0]?.what).toContain('2.9.25');
});

test('a server without JetStream is a finding, and so is an account without', async () => {
  await using none = await startNats({ jetstream: false });
  const report = await examine(natsEnv(none.url));
  expect([report.code, aboveNotes(report)]).toEqual([11, ['jetstream-disabled']]);

  const accounts =
    'accounts { A { jetstream: enabled, users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }';
  await using nats = await startNats({ config: accounts });
  const other = await examine(natsEnv(nats.url.replace('//', '//b:b@')));
  expect([other.code, aboveNotes(other)]).toEqual([11, ['jetstream-disabled']]);
});

test('an account that is near its limits, of a server that takes small messages only', async () => {
  const account =
    '{ jetstream: { max_file: 20000, max_mem: 1000000, max_streams: 1, max_consumers: 100 }, users: [{user: a, password: a}] }';
  await using nats = await startNats({ config: `max_payload: 16384\naccounts { A ${account} }` });
  const url = nats.url.replace('//', '//a:a@');
  await using nc = await connectNats(nats.url, { user: 'a', pass: 'a' });
  await createStream(nc);
  for (let i = 0; i < 9; i++)
    await publish(nc, `job-${i}`, { status: 'completed', progress: 100, pad: 'x'.repeat(1_700) });
  const report = await examine(natsEnv(url));
  expect([report.code, aboveNotes(report)]).toEqual([
    10,
    ['stream-refuses-large-events', 'account-near-limit'],
  ]);
  expect(findingOf(report, 'stream-refuses-large-events')?.what).toMatch(
    /more than 16 KiB .* by the server;/,
  );
  expect(detailsOf(report, 'account-near-limit')).toMatch(/^storage: 1\d(\.\d)? KiB of 19\.5 KiB \(8\d %\)$/);
});

describe('with the users of docs/nats/permissions.conf', () => {
  let nats: NatsServer;
  const env = (user: (typeof USERS)[number]): Env =>
    natsEnv(nats.url.replace('//', `//${user}:secret-of-${user}@`));
  beforeAll(async () => {
    nats = await startNats({ config: include });
    await using nc = await connectNats(nats.url, { user: 'admin', pass: 'secret-of-admin' });
    await createStream(nc);
    for (const job of ['job-1', 'job-2']) await publish(nc, job);
  });
  afterAll(async () => {
    await nats?.[Symbol.asyncDispose]();
  });
  /** Nobody's examination changes anything. */
  afterEach(async () => {
    await using nc = await connectNats(nats.url, { user: 'admin', pass: 'secret-of-admin' });
    const { state } = await (await nc.jetstreamManager()).streams.info('PROGRESS');
    expect(state).toMatchObject({ last_seq: 2, messages: 2, consumer_count: 0 });
  });

  test('the admin sees everything and lacks nothing, in every role', async () => {
    const report = await examine(env('admin'));
    expect([report.code, unchecked(report)]).toEqual([0, []]);
    expect(idsOf(report)).not.toContain('credentials-limited');
    for (const role of ['edge', 'worker', 'operator']) {
      expect(idsOf(await examine(env('admin'), '--for', role))).not.toContain('permission-missing');
    }
  });

  test('an edge has all that an edge needs; what it may not look at is said', async () => {
    const strict = await examine(env('edge'), '--for', 'edge');
    expect([strict.code, aboveNotes(strict)]).toEqual([0, []]);
    expect(unchecked(strict)).toEqual([
      { check: 'permissions', why: expect.stringMatching(/^publish progress\.\*: NATS does not tell/) },
      // A nats-server before 2.11 is not asked, whoever asks.
      ...(isAtLeast(nats.version, '2.11.0')
        ? [
            {
              check: 'storage',
              why: 'NATS does not permit these credentials publish _INBOX.headway-doctor.*',
            },
          ]
        : []),
      { check: 'account', why: 'NATS does not permit these credentials publish $JS.API.INFO' },
      {
        check: 'consumers',
        why: 'NATS does not permit these credentials publish $JS.API.CONSUMER.LIST.PROGRESS',
      },
    ]);
    const report = await examine(env('edge'));
    expect(detailsOf(report, 'credentials-limited')).toMatch(
      /^as an edge: nothing is known to be missing\nas a worker: lacks .*\nas an operator: lacks publish \$JS\.API\.CONSUMER\.CREATE\.PROGRESS\.\*\.progress\.\*, publish \$JS\.API\.CONSUMER\.LIST\.PROGRESS, publish \$JS\.API\.INFO$/,
    );
  });

  test('a worker is no edge, and sees nothing', async () => {
    const report = await examine(env('worker'), '--for', 'edge');
    expect(report.code).toBe(11);
    expect(new Set(aboveNotes(report))).toEqual(new Set(['permission-missing', 'stream-not-visible']));
    const details = detailsOf(report, 'permission-missing');
    for (const call of ['STREAM.INFO.PROGRESS', 'STREAM.MSG.GET.PROGRESS', 'CONSUMER.CREATE.PROGRESS'])
      expect(details).toContain(`publish $JS.API.${call}: `);
    expect(details).toContain('subscribe alive.progress.*: ');
    // What is optional is not asked for strictly.
    expect(details).not.toContain('STREAM.CREATE');

    const own = await examine(env('worker'), '--for', 'worker');
    expect(aboveNotes(own)).toEqual(['stream-not-visible']);
    expect(own.not_checked).toContainEqual({
      check: 'permissions',
      why: expect.stringMatching(/^publish progress\.\*, publish alive\.progress\.\*: /),
    });
  });

  test('a permission that is missing is told before it is needed', async () => {
    const rules =
      'publish: { deny: ["$JS.API.CONSUMER.MSG.NEXT.>", "$JS.API.STREAM.PURGE.>"] }, subscribe: { deny: "alive.>" }';
    const account = `{ jetstream: enabled, users: [{user: a, password: a, permissions: { ${rules} }}] }`;
    await using other = await startNats({ config: `accounts { A ${account} }` });
    await using nc = await connectNats(other.url, { user: 'a', pass: 'a' });
    await createStream(nc);
    const report = await examine(natsEnv(other.url.replace('//', '//a:a@')), '--for', 'edge');
    expect(report.code).toBe(11);
    expect(detailsOf(report, 'permission-missing')).toBe(
      'publish $JS.API.CONSUMER.MSG.NEXT.PROGRESS.*: get events\nsubscribe alive.progress.*: hear the heartbeats of workers',
    );
  });
});

/** What an old server says to whoever connects. */
async function oldServer(version: string): Promise<{ url: string } & AsyncDisposable> {
  const info = {
    server_id: 'old',
    version,
    host: '127.0.0.1',
    port: 0,
    headers: true,
    max_payload: 1_048_576,
    proto: 1,
  };
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
    socket.on('data', (data) => {
      if (data.toString().includes('PING')) socket.write('PONG\r\n');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `nats://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
