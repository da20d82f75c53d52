/** What stops the commands that read: a clear line on stderr, nothing on stdout, the right exit code. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ended, headway, natsEnv, startHeadway } from '../harness/headway-command.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, createStream, event, publish, publishAll } from '../harness/publish.js';

const READERS: string[][] = [
  ['list'],
  ['list', '-f'],
  ['get', 'job-1'],
  ['tail'],
  ['tail', '-f'],
  ['history', 'job-1'],
  ['stats', '--scan'],
  ['stalled', '--no-listen'],
];
const LOCKED = `authorization {
  users: [
    { user: op, password: hunter2, permissions: { publish: ["$JS.API.>"], subscribe: ["_INBOX.>"] } }
    { user: blind, password: hunter2, permissions: {
      publish: { allow: ["$JS.API.STREAM.>", "$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.DELETE.>"] }
      subscribe: ["_INBOX.>"]
    } }
    { user: admin, password: hunter2 }
  ]
}`;

let nats: NatsServer;
let locked: NatsServer;
const as = (user: string, password = 'hunter2') =>
  natsEnv(`nats://${user}:${password}@127.0.0.1:${locked.port}`);

beforeAll(async () => {
  [nats, locked] = await Promise.all([startNats(), startNats({ config: LOCKED })]);
  await using nc = await connectNats(nats.url);
  await createStream(nc, 'PROGRESS', { max_msgs_per_subject: -1 });
  await publish(nc, 'job-1', { progress: 1 });
  await createStream(nc, 'ORDERS', { subjects: ['orders.>'] });
  await publishAll(
    nc,
    Array.from({ length: 3_000 }, (_, at) => event(`crowd-${at}`, { message: 'x'.repeat(50) })),
  );
  await using admin = await connectNats(locked.url, { user: 'admin', pass: 'hunter2' });
  await createStream(admin, 'PROGRESS');
  await publish(admin, 'job-1', { stall_after_seconds: 0.001 });
});

afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
  await locked?.[Symbol.asyncDispose]();
});

/** One paragraph for people, and nothing else. */
function expectTold({ stdout, stderr }: Ended, told: RegExp): void {
  expect(stderr).toMatch(told);
  expect(stderr).toMatch(/^headway: \S.*\n$/);
  expect(stderr + stdout).not.toContain('hunter2');
  expect(stdout).toBe('');
}

describe('NATS cannot be used: exit code 4', () => {
  test.each(READERS)('nobody listens there: %s %s', async (...args) => {
    const ended = await headway(args, { env: natsEnv('nats://127.0.0.1:1') });
    expectTold(
      ended,
      /Cannot reach NATS at nats:\/\/127\.0\.0\.1:1 \(connection refused\)\. Start a nats-server/,
    );
    expect(ended.code).toBe(4);
  });

  test.each(READERS)('it refuses the credentials: %s %s', async (...args) => {
    const ended = await headway(args, { env: as('op', 'hunter2-but-wrong') });
    expectTold(ended, /refused the credentials \(authorization violation\)/);
    expect(ended.code).toBe(4);
  });

  test('it permits only a part of what is needed', async () => {
    for (const args of [['list'], ['tail'], ['stats', '--scan']]) {
      const ended = await headway(args, { env: as('blind') });
      expectTold(ended, /it does not permit \$JS\.API\.CONSUMER\.MSG\.NEXT/);
      expect(ended.code).toBe(4);
    }
  });

  test('stalled without permission to hear heartbeats lists what is silent, and says so', async () => {
    const { code, stdout, stderr } = await headway(['stalled', '-o', 'ndjson'], { env: as('op') });
    expect({ code, id: JSON.parse(stdout).processing_id }).toEqual({ code: 0, id: 'job-1' });
    expect(stderr).toMatch(
      /^headway: heartbeats cannot be heard \(.*\); jobs that only send heartbeats are listed/m,
    );
  });

  test('it has no JetStream', async () => {
    await using plain = await startNats({ jetstream: false });
    for (const args of READERS) {
      const ended = await headway(args, { env: natsEnv(plain.url) });
      expectTold(ended, /has no JetStream for this account/);
      expect(ended.code).toBe(4);
    }
  });
});

describe('it is not there: exit code 3', () => {
  test.each(READERS)('no such stream: %s %s', async (...args) => {
    const ended = await headway([...args, '--stream', 'OTHER'], { env: natsEnv(nats.url) });
    expectTold(ended, /There is no stream OTHER in NATS at .*headway init/);
    expect(ended.code).toBe(3);
  });

  const ALL = [...READERS, ['export'], ['replay', '--speed', 'max'], ['purge', '--all', '--yes']];
  test.each(ALL)('a stream of something else: %s %s', async (...args) => {
    const ended = await headway([...args, '--stream', 'ORDERS'], { env: natsEnv(nats.url) });
    expectTold(
      ended,
      /The stream ORDERS takes no progress events, and keeps none: its subjects are orders\.>/,
    );
    expect(ended.code).toBe(3);
  });

  test.each([
    ['get', 'nobody'],
    ['history', 'nobody'],
    ['tail', 'nobody'],
    ['tail', 'nobody', '--since', '1h'],
    ['get', 'nobody', '-o', 'json'],
  ])('no such job: %s %s', async (...args) => {
    const ended = await headway(args, { env: natsEnv(nats.url) });
    expectTold(ended, /The stream PROGRESS keeps nothing of the job nobody: it never reported, or/);
    expect(ended.code).toBe(3);
  });
});

describe('a mistake in arguments or environment: exit code 2', () => {
  test.each<[args: string[], told: RegExp, env?: Record<string, string>]>([
    [
      ['list', '-o', 'xml'],
      /argument 'xml' is invalid\. Allowed choices are table, wide, json, jsonl, ndjson, /,
    ],
    [['stats', '-o', 'ndjson'], /Allowed choices are table, wide, json, /],
    [['list', '-f', '-o', 'json'], /-o json is one document, and --follow has no end: use -o ndjson/],
    [['tail', '-f', '-o', 'json'], /-o json is one document/],
    [
      ['list', '--status', 'done'],
      /Allowed choices are processing, completed, error, retrying, finished, unfinished, stalled/,
    ],
    [['list', '--job-type', 'a b'], /Expected 1 to 64 of A-Z a-z 0-9 _ \. -/],
    [['list', '--limit', '0'], /Expected an integer from 1\./],
    [['list', '--limit', '9'.repeat(20)], /Expected an integer from 1 to 9007199254740991\./],
    [['list', '--since', '10'], /Expected a number with s, m, h or d, such as 90s/],
    [['list', '--since-time', 'yesterday'], /Expected a time by RFC 3339, such as 2026-/],
    [['tail', '--since', '1m', '--start-sequence', '3'], /--since and --start-sequence do not go together/],
    [
      ['history', 'a', '--until', 'noon'],
      /Expected a time by RFC 3339, such as .*, or a duration such as 5m/,
    ],
    [['history', 'a', '--since', '1m', '--until', '2m'], /--until lies before --since: there is nothing/],
    [['export', '--since', '1m', '--until', '2m'], /--until lies before --since: there is nothing/],
    [['export', '--since', '1m', '--start-sequence', '3'], /--since and --start-sequence do not go together/],
    [['export', '--resume'], /--resume is for a file: name it with --to FILE/],
    [['export', '--to', ''], /Expected the name of a file/],
    [['history', 'a.b'], /Expected a job's processing_id: 1 to 128 of A-Z a-z 0-9 _ -/],
    [['get'], /missing required argument 'ids'/],
    [['history', 'a', 'b'], /too many arguments/],
    [['get', 'a', 'b.c'], /Expected a job's processing_id: .*, or a pattern of them with \* \? \[a-z\]/],
    [['get', '[z-a]'], /Expected a job's processing_id: /],
    [['list', '--stream', 'a.b'], /--stream is not valid; expected 1 to 64 of A-Z a-z 0-9 _ -/],
    [['list'], /NATS_URL is not valid; expected one or more addresses/, { NATS_URL: 'http://u:hunter2@h' }],
    [['list', '--server', 'nats://a b'], /--server is not valid; expected one or more addresses/],
    [['list', '--server', 'nats://127.0.0.1:65536'], /--server is not valid; expected one or more addresses/],
    [['list', '--creds', '/nowhere/op.creds'], /--creds is "\/nowhere\/op\.creds"; there is no such file\./],
    [['list'], /NATS_CREDS is "\/dev\/null"; expected a NATS cred/, { NATS_CREDS: '/dev/null' }],
    [['list'], /NATS_CREDS and NATS_NKEY are both set/, { NATS_CREDS: '/a', NATS_NKEY: '/b' }],
    [['complete', 'tcsh'], /Allowed choices are zsh, bash, fish, powershell/],
  ])('%j', async (args, told, env) => {
    const ended = await headway(args, env === undefined ? {} : { env });
    expect(ended.stderr).toMatch(told);
    expect(ended.stderr).not.toContain('hunter2');
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code: 2, stdout: '' });
  });
});

describe('the output cannot be written', () => {
  const WRITERS: string[][] = [
    ['list'],
    ['list', '-o', 'json'],
    ['list', '-o', 'ndjson'],
    ['get', 'job-1'],
    ['tail', '--last', '2000'],
    ['tail', '-f'],
    ['history', 'job-1'],
    ['history', 'job-1', '-o', 'json'],
    ['stats'],
    ['stalled', '--no-listen', '--after', '1ms'],
    ['list', '--help'],
  ];

  test.each(WRITERS)('a full disk is told, with exit code 5: %s %s %s', async (...args) => {
    const ended = await headway(args, { env: natsEnv(nats.url), stdoutFile: '/dev/full' });
    expectTold(ended, /^headway: Cannot write to the standard output: the disk is full \(ENOSPC\)\./);
    expect(ended.code).toBe(5);
  });

  test.each(WRITERS)('a reader that is gone is no error: %s %s %s', async (...args) => {
    const { code, signal, stderr } = await headway(args, { env: natsEnv(nats.url), cut: ['stdout'] });
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  });

  test('what doctor found stays what it is for a script that does not read all of it', async () => {
    await using nc = await connectNats(nats.url);
    await publish(nc, 'silent', { stall_after_seconds: 0.001 });
    const args = ['doctor', '--listen', '1ms'];
    const whole = await headway(args, { env: natsEnv(nats.url) });
    const cut = await headway(args, { env: natsEnv(nats.url), cut: ['stdout'] });
    expect([whole.code, cut.code, cut.stderr]).toEqual([10, 10, '']);
  });

  test('tail -f ends by itself when its reader, such as head, has seen enough', async () => {
    await using tail = startHeadway(['tail', '-f', '--last', '1'], { env: natsEnv(nats.url) });
    await tail.shows(/\n/);
    tail.closeStdout();
    await using nc = await connectNats(nats.url);
    await publish(nc, 'late');
    expect(await tail.ended()).toMatchObject({ code: 0, signal: null, stderr: '' });
  });
});

describe('Ctrl-C', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s ends a command that follows', async (signal) => {
    await using tail = startHeadway(['tail', '-f', '--last', '1'], { env: natsEnv(nats.url) });
    await tail.shows(/\n/);
    tail.signal(signal);
    const code = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal];
    expect(await tail.ended(5_000)).toMatchObject({ code, signal: null, stderr: '' });
  });

  test('ends one that waits for a server that does not answer', async () => {
    await using silent = createServer(() => undefined);
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    await using list = startHeadway(['list'], { env: natsEnv(`nats://127.0.0.1:${port}`) });
    const [socket] = await once(silent, 'connection');
    list.signal('SIGINT');
    expect(await list.ended(4_000)).toMatchObject({ code: 130, stdout: '', stderr: '' });
    socket.destroy();
  });
});
