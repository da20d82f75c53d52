/** `headway purge`: what it says goes, goes, and nothing else; and nothing goes without a yes. */
import { beforeEach, describe, expect, test } from 'vitest';
import { carryOut } from '../../internal/cli/commands/purge/plan.js';
import { WsClient } from '../harness/client.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import {
  type Ended,
  headway,
  natsEnv,
  noTerminal,
  startHeadwayAtTerminal,
} from '../harness/headway-command.js';
import { startNats } from '../harness/nats-server.js';
import {
  connectNats,
  createStream,
  deleteStreams,
  publish,
  publishRaw,
  storedEvents,
} from '../harness/publish.js';
import { freshStream, sharedNats, streamAccess } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats();
beforeEach(async () => {
  await freshStream(shared);
  for (let i = 1; i <= 4; i++) {
    await publish(shared.nc, 'a', { progress: i });
    await publish(shared.nc, 'b', { progress: i });
  }
});

const purge = (...args: string[]): Promise<Ended> =>
  headway(['purge', ...args], { env: natsEnv(shared.nats.url) });
/** What is stored: `a1` is the first event of job `a`. */
const stored = async (): Promise<string> =>
  (await storedEvents(shared.nc, 'PROGRESS'))
    .map(({ json }) => json as { processing_id: string; progress: number })
    .map((one) => `${one.processing_id}${one.progress}`)
    .join(' ');
const ALL = 'a1 b1 a2 b2 a3 b3 a4 b4';
const timeOf = async (seq: number): Promise<string> =>
  (await shared.jsm.streams.getMessage('PROGRESS', { seq })).time.toISOString();
/** JetStream keeps nanoseconds, and a time has milliseconds: the next event is stored in another one. */
const nextMillisecond = async (): Promise<void> => {
  const now = Date.now();
  await waitFor(() => Date.now() > now + 1, { what: 'the next millisecond', everyMs: 1 });
};

describe('with --yes', () => {
  test('every event of a job', async () => {
    const { code, stdout, stderr } = await purge('a', '--yes');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Purged 4 events of a; 0 events left.\n' });
    expect(stderr).toMatch(/^headway: clients with an older cursor are told that events are gone; .*\n$/);
    expect(await stored()).toBe('b1 b2 b3 b4');
  });

  test('all of a job but the newest', async () => {
    expect((await purge('a', '--keep', '1', '-y', '-o', 'json')).stdout).toBe(
      '{"processing_id":"a","purged":3,"would_purge":0,"left":1}\n',
    );
    expect(await stored()).toBe('b1 b2 b3 a4 b4');
    expect((await purge('b', '--keep', '9', '--yes')).stdout).toBe('Nothing to purge of b; 4 events left.\n');
    expect(await stored()).toBe('b1 b2 b3 a4 b4');
  });

  test('G1 nothing lost: what a stream keeps of other subjects stays', async () => {
    const { jsm } = shared;
    await jsm.streams.update('PROGRESS', { subjects: ['progress.*', 'orders.*'] });
    await shared.nc.jetstream().publish('orders.1', 'theirs');
    await publish(shared.nc, 'a', { progress: 5 });
    const left = async (): Promise<number> => (await jsm.streams.info('PROGRESS')).state.messages;
    expect((await purge('--all', '--dry-run')).stdout).toBe(
      'Would purge 9 events; 0 events would be left.\n',
    );
    expect((await purge('--all', '--keep', '2', '--yes')).stdout).toMatch(
      /^Purged 7 events; 2 events left\./,
    );
    expect(await left()).toBe(3);
    expect((await purge('--before', '2099-01-01T00:00:00Z', '--yes')).stdout).toMatch(/^Purged 2 events; 0 /);
    expect(await left()).toBe(1);
    expect((await purge('--all', '--yes')).stdout).toBe('Nothing to purge; 0 events left.\n');
    expect(await left()).toBe(1);
  });

  test('everything', async () => {
    expect((await purge('--all', '--keep', '3', '--yes')).stdout).toMatch(
      /^Purged 5 events; 3 events left\./,
    );
    expect(await stored()).toBe('b3 a4 b4');
    expect((await purge('--all', '--yes')).code).toBe(0);
    expect(await stored()).toBe('');
    expect((await purge('--all', '--yes')).stdout).toBe('Nothing to purge; 0 events left.\n');
  });

  test('what was stored before a time, of all jobs or of one', async () => {
    await nextMillisecond();
    const fifth = await publish(shared.nc, 'a', { progress: 5 });
    await publish(shared.nc, 'b', { progress: 5 });
    const time = await timeOf(fifth);
    expect((await purge('b', '--before', time, '--yes')).stdout).toBe(
      'Purged 4 events of b; 1 event left.\n',
    );
    expect(await stored()).toBe('a1 a2 a3 a4 a5 b5');
    expect((await purge('--before', time, '--yes')).stdout).toBe('Purged 4 events; 2 events left.\n');
    expect(await stored()).toBe('a5 b5');
    // Again: there is nothing before the first one, and that must not mean everything.
    expect((await purge('--before', time, '--yes')).stdout).toBe('Nothing to purge; 2 events left.\n');
    for (const longAgo of ['1h', '999999999d', '1600-01-01T00:00:00Z']) {
      const { stdout } = await purge('--before', longAgo, '--yes');
      expect(stdout).toBe('Nothing to purge; 2 events left.\n');
    }
    expect((await purge('--before', '2001-01-01T00:00:00Z', '--yes')).stdout).toMatch(/^Nothing/);
    expect(await stored()).toBe('a5 b5');
    expect((await purge('--before', '2101-01-01T00:00:00Z', '--yes')).stdout).toMatch(/^Purged 2 events/);
    expect(await stored()).toBe('');
  });

  test('what was stored before a time, where events in the middle are gone', async () => {
    const { jsm } = shared;
    await jsm.streams.deleteMessage('PROGRESS', 3);
    await jsm.streams.deleteMessage('PROGRESS', 8);
    await nextMillisecond();
    const next = await publish(shared.nc, 'a', { progress: 5 });
    const time = await timeOf(next);
    expect((await purge('--before', time, '--dry-run')).stdout).toMatch(
      /^Would purge 6 events; 1 event would be left/,
    );
    expect((await purge('--before', time, '--yes')).stdout).toMatch(/^Purged 6 events; 1 event left/);
    expect(await stored()).toBe('a5');
  });
});

test.each([
  [['a', '--dry-run'], 'Would purge 4 events of a; 0 events would be left.\n'],
  [['a', '--keep', '3', '--dry-run'], 'Would purge 1 event of a; 3 events would be left.\n'],
  [['--all', '--dry-run', '--yes'], 'Would purge 8 events; 0 events would be left.\n'],
  [['--before', '1ms', '--dry-run'], 'Would purge 8 events; 0 events would be left.\n'],
  [['--before', '1h', '--dry-run'], 'Nothing to purge; 8 events left.\n'],
])('%j changes nothing', async (args, told) => {
  await nextMillisecond();
  expect(await purge(...args)).toMatchObject({ code: 0, stdout: told, stderr: '' });
  expect(await stored()).toBe(ALL);
});

test('a purge below seq 1, which nats-server 2.10 takes for everything, is never sent', async () => {
  const access = streamAccess(shared);
  for (const seq of [1, 0, -1]) await expect(carryOut(access, { seq })).rejects.toThrow(RangeError);
  expect(await stored()).toBe(ALL);
});

describe('without --yes', () => {
  test('off a terminal it is a mistake, before anything is asked of NATS', async () => {
    for (const args of [['a'], ['--all'], ['--before', '1ms']]) {
      const { code, stdout, stderr } = await purge(...args);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^headway: There is no terminal to ask at; give --yes .*\n$/);
    }
    expect(await stored()).toBe(ALL);
  });

  test.skipIf(noTerminal).each<[args: string[], answer: string, left: string]>([
    [['a'], 'a', 'b1 b2 b3 b4'],
    [['a'], 'yes', ALL],
    [['a'], '', ALL],
    [['--all'], 'PROGRESS', ''],
    [['--all'], 'y', ALL],
  ])('at a terminal %j is asked; "%s" is the answer', async (args, answer, left) => {
    await using command = startHeadwayAtTerminal(['purge', ...args], { env: natsEnv(shared.nats.url) });
    await command.shows(
      /This removes \d events of the (job a for good\. The job is not finished|stream PROGRESS at nats:)/,
    );
    await command.shows(/Type (a|PROGRESS) to go on: /);
    command.type(`${answer}\r`);
    const { code, stdout } = await command.ended();
    expect(await stored()).toBe(left);
    if (left === ALL) expect([code, stdout]).toEqual([1, expect.stringContaining('nothing was purged')]);
    else expect([code, stdout]).toEqual([0, expect.stringMatching(/Purged \d events/)]);
  });

  test.skipIf(noTerminal)(
    'that a job is not finished is said also when its newest message is no event',
    async () => {
      await publishRaw(shared.nc, 'progress.a', 'junk');
      await using command = startHeadwayAtTerminal(['purge', 'a'], { env: natsEnv(shared.nats.url) });
      await command.shows('This removes 5 events of the job a for good. The job is not finished.');
      command.type('no\r');
      expect((await command.ended()).code).toBe(1);
    },
  );

  test.skipIf(noTerminal)('Ctrl-C is no yes', async () => {
    await using command = startHeadwayAtTerminal(['purge', '--all'], { env: natsEnv(shared.nats.url) });
    await command.shows('to go on: ');
    command.type('\u0003');
    expect((await command.ended()).code).toBe(130);
    expect(await stored()).toBe(ALL);
  });
});

test('a client that comes back with a cursor from before gets a reset', async () => {
  await using edge = await startEdgeProcess({ natsUrl: shared.nats.url });
  await using before = await WsClient.connect(`${edge.ws}/ws/upload-progress/a`);
  await before.until(({ type }) => type === 'caught_up');
  await before[Symbol.asyncDispose]();
  await publish(shared.nc, 'a', { progress: 5 });
  expect((await purge('a', '--keep', '1', '--yes')).code).toBe(0);
  await edge.stop();
  await using fresh = await startEdgeProcess({ natsUrl: shared.nats.url });
  await using back = await WsClient.connect(
    `${fresh.ws}/ws/upload-progress/a?last_seq=1&epoch=${before.epoch}`,
  );
  const reset = await back.until(({ type }) => type === 'reset');
  expect(reset.at(-1)).toMatchObject({ type: 'reset', reason: 'retention' });
  expect((await back.updates(1))[0]?.progress).toBe(5);
});

describe('what goes wrong is told in one paragraph', () => {
  test.each<[string[], number, RegExp]>([
    [['--yes'], 2, /Say what to purge: a job, --before TIME, or --all/],
    [['a', '--all', '--yes'], 2, /leave out either the job or --all/],
    [['--all', '--before', '1h', '--yes'], 2, /cannot be used with option '--before/],
    [['a', '--keep', '1', '--before', '1h', '--yes'], 2, /cannot be used with option '--before/],
    [['a', '--keep', '0', '--yes'], 2, /Expected an integer from 1/],
    [['--before', 'yesterday', '--yes'], 2, /Expected a time by RFC 3339/],
    [['--before', '0s', '--yes'], 2, /Expected a time by RFC 3339/],
    [['a.b', '--yes'], 2, /Expected a job's processing_id/],
    [['>', '--yes'], 2, /Expected a job's processing_id/],
    [['*', '--yes'], 2, /Expected a job's processing_id/],
    [['unknown', '--yes'], 3, /keeps nothing of the job unknown/],
    [['a', '--stream', 'NONE', '--yes'], 3, /There is no stream NONE/],
    [['a', '--server', 'nats://127.0.0.1:1', '--yes'], 4, /Cannot reach NATS/],
  ])('%j: code %i', async (args, expected, told) => {
    const { code, stdout, stderr } = await purge(...args);
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
    expect(stderr).toMatch(told);
    expect(stderr).toMatch(/^headway: .*\n$/);
    expect(await stored()).toBe(ALL);
  });

  test('a stream that forbids it', async () => {
    await deleteStreams(shared.nc, shared.nats);
    await createStream(shared.nc, 'PROGRESS', { deny_purge: true });
    await publish(shared.nc, 'a', { progress: 1 });
    const { code, stderr } = await purge('a', '--yes');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^headway: NATS does not purge the stream PROGRESS: .*deny_purge.*\n$/);
    expect(await stored()).toBe('a1');
  });

  test('credentials that may not', async () => {
    const users =
      'authorization { users: [{ user: a, password: a, permissions: { publish: { deny: "$JS.API.STREAM.PURGE.>" } } }] }';
    await using strict = await startNats({ config: users });
    await using own = await connectNats(strict.url, { user: 'a', pass: 'a' });
    await createStream(own);
    await publish(own, 'a');
    const { code, stderr } = await headway(['purge', 'a', '--yes'], {
      env: natsEnv(strict.url.replace('//', '//a:a@')),
    });
    expect(code).toBe(4);
    expect(stderr).toMatch(
      /^headway: .*Permissions Violation for Publish to "\$JS\.API\.STREAM\.PURGE\.PROGRESS".*\n$/,
    );
  });
});
