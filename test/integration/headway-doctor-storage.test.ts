import { isAtLeast } from '../../internal/server-version.js';
/** `headway doctor` where JetStream has no room: it says what a publisher would meet, and stores nothing to know it. */

import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DiscardPolicy, type NatsConnection } from 'nats';
import { describe, expect, test } from 'vitest';
import { probePublish } from '../../internal/cli/commands/doctor/dry-publish.js';
import { streamFactsOf } from '../../internal/cli/commands/doctor/stream-facts.js';

import { aboveNotes, type DoctorReport, detailsOf, examine, findingOf, idsOf } from '../harness/doctor.js';
import { natsEnv } from '../harness/headway-command.js';
import { startNatsCluster } from '../harness/nats-cluster.js';
import { connectNats, createStream, publish } from '../harness/publish.js';
import { connectedNats, streamAccess } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const ERRORS = 11;
const DONE = { status: 'completed', progress: 100 };
const BIG = { ...DONE, pad: 'x'.repeat(30_000) };
const ASKED = 300;
const CANNOT_TELL = {
  check: 'storage',
  why: expect.stringMatching(/^nats-server 2\.10\.\d+ cannot be asked without storing something: /),
};

/** Publishes until the stream takes no more. @returns what it said, and how many it took */
async function fill(nc: NatsConnection): Promise<{ told: string; taken: number }> {
  for (let taken = 0; taken < 100; taken++) {
    try {
      await publish(nc, `job-${taken}`, BIG);
    } catch (error) {
      const { chainedError } = error as { chainedError?: Error };
      return { told: chainedError?.message ?? (error as Error).message, taken };
    }
  }
  throw new Error('the stream took everything');
}

const stateOf = async (nc: NatsConnection): Promise<unknown> =>
  (await (await nc.jetstreamManager()).streams.info('PROGRESS')).state;

describe('no event is stored any more, because', () => {
  test('the storage of the server is full (max_file_store)', async () => {
    await using one = await connectedNats({ server: { jetstream: 'max_file_store: 200000' }, stream: {} });
    const { told, taken } = await fill(one.nc);
    expect([told, taken]).toEqual(['insufficient resources', 7]);
    const before = await stateOf(one.nc);
    const full = await examine(natsEnv(one.nats.url));
    expect(await stateOf(one.nc)).toEqual(before);
    if (!isAtLeast(one.nats.version, '2.11.0')) {
      expect([full.code, aboveNotes(full)]).toEqual([0, []]);
      expect(full.not_checked).toContainEqual(CANNOT_TELL);
      return;
    }
    expect([full.code, aboveNotes(full)]).toEqual([ERRORS, ['storage-full']]);
    expect(detailsOf(full, 'storage-full')).toBe(
      'storage of the server (max_file_store): it answers "insufficient resources" (10023)',
    );

    await one.jsm.streams.purge('PROGRESS');
    const empty = await examine(natsEnv(one.nats.url));
    expect([empty.code, empty.not_checked]).toEqual([0, []]);
    expect(empty.checked).toContainEqual({
      check: 'storage',
      note: 'no limit keeps an event from being stored',
    });
    expect(await publish(one.nc, 'job-1', DONE)).toBe(taken + 1);
  });

  test('the storage of the account is full', async () => {
    const account = '{ jetstream: { max_file: 100000, max_mem: 0 }, users: [{user: a, password: a}] }';
    await using one = await connectedNats({
      server: { config: `accounts { A ${account} }` },
      connection: { user: 'a', pass: 'a' },
      stream: {},
    });
    // Up to the last bytes, with small ones.
    const { told } = await fill(one.nc);
    expect(told).toBe('resource limits exceeded for account');
    await expect(
      (async () => {
        for (let i = 0; i < 200; i++) await publish(one.nc, `small-${i}`, DONE);
      })(),
    ).rejects.toThrow();
    const full = await examine(natsEnv(one.nats.url.replace('//', '//a:a@')));
    expect([full.code, aboveNotes(full)]).toEqual([ERRORS, ['storage-full']]);
    expect(detailsOf(full, 'storage-full')).toMatch(/^storage of the account: 97\.\d KiB of 97\.7 KiB$/);
  });

  test.each<[string, Record<string, number>, string, RegExp]>([
    ['max_msgs', { max_msgs: 20 }, 'maximum messages exceeded', /^max_msgs of the stream: 20 of 20, and new/],
    [
      'max_bytes',
      { max_bytes: 4_000 },
      'maximum bytes exceeded',
      /^max_bytes of the stream: 3\.\d KiB of 3\.9 KiB, /,
    ],
  ])('%s of the stream is reached, which discards new events', async (_what, limit, told, detail) => {
    await using one = await connectedNats({ stream: { ...limit, discard: DiscardPolicy.New } });
    const taking = async (): Promise<void> => {
      for (let i = 0; i < 100; i++) await publish(one.nc, `job-${i}`, DONE);
    };
    await expect(taking()).rejects.toMatchObject({
      chainedError: expect.objectContaining({ message: told }),
    });
    const full = await examine(natsEnv(one.nats.url));
    expect([full.code, aboveNotes(full)]).toEqual([ERRORS, ['stream-drift', 'storage-full']]);
    expect(detailsOf(full, 'storage-full')).toMatch(detail);
    expect(findingOf(full, 'storage-full')?.what_to_do).toContain(
      `nats stream edit PROGRESS --${_what.replace('_', '-')} `,
    );
  });
});

test('the server cannot write into the folder of the stream', async () => {
  await using one = await connectedNats({ stream: {} });
  const healthy = await examine(natsEnv(one.nats.url));
  expect(healthy.checked).toContainEqual({ check: 'disk', note: 'the server can write' });
  expect((await one.jsm.streams.info('PROGRESS')).state.consumer_count).toBe(0);
  // A file where a folder has to be: as with a full disk, nothing new can be made there.
  const consumers = join(one.nats.folder, 'jetstream', '$G', 'streams', 'PROGRESS', 'obs');
  await rm(consumers, { recursive: true });
  await writeFile(consumers, '');
  const broken = await examine(natsEnv(one.nats.url));
  expect([broken.code, aboveNotes(broken)]).toEqual([ERRORS, ['storage-not-writable']]);
  expect(findingOf(broken, 'storage-not-writable')?.what).toContain('error creating store for consumer');
});

test('to ask is harmless: everything that is published meanwhile is stored, and nothing else', async () => {
  await using one = await connectedNats({ stream: {} });
  const seen: string[] = [];
  one.nc.subscribe('progress.*', {
    callback: (_error, { subject }) => {
      if (subject.includes('headway-doctor')) seen.push(subject);
    },
  });
  const facts = streamFactsOf(await one.jsm.streams.info('PROGRESS'), one.nats.version);
  const asked: unknown[] = [];
  const asking = (async () => {
    for (let i = 0; i < ASKED; i++) asked.push(await probePublish(streamAccess(one), facts, []));
  })();
  const acked: number[] = [];
  for (let i = 0; i < ASKED; i++) acked.push(await publish(one.nc, `job-${i % 7}`, { progress: i % 100 }));
  await asking;
  acked.push(await publish(one.nc, 'job-last', DONE));
  expect(acked).toEqual(Array.from({ length: ASKED + 1 }, (_, at) => at + 1));
  const takes = { kind: 'known', value: { kind: 'takes' } };
  const expected = isAtLeast(one.nats.version, '2.11.0')
    ? takes
    : { kind: 'skipped', reason: CANNOT_TELL.why };
  expect(asked).toEqual(Array.from({ length: ASKED }, () => expected));
  const { state } = await one.jsm.streams.info('PROGRESS', { subjects_filter: '>' });
  expect(state).toMatchObject({ messages: ASKED + 1, last_seq: ASKED + 1, num_subjects: 8 });
  // Nobody else is given what is only traced.
  expect(seen).toEqual([]);
});

test('a cluster is not asked; when all its servers are full, none leads, and that is said', async () => {
  await using cluster = await startNatsCluster(3, { jetstream: 'max_file_store: 400000' });
  await using nc = await connectNats(cluster.urls);
  const jsm = await nc.jetstreamManager({ timeout: 30_000 });
  const make = (): Promise<boolean> => createStream(nc, 'PROGRESS', { num_replicas: 3 }).then(() => true);
  await waitFor(make, { what: 'the stream', timeoutMs: 20_000 });
  const seen: string[] = [];
  nc.subscribe('progress.>', { callback: (_error, { subject }) => void seen.push(subject) });
  const env = natsEnv(cluster.urls.join(','));
  const healthy = await examine(env);
  expect(healthy.not_checked).toContainEqual({
    check: 'storage',
    why: expect.stringMatching(/^in a cluster a server whose storage is full stops leading/),
  });
  expect(seen).toEqual([]);

  expect((await fill(nc)).told).toBe('insufficient resources');
  const isLeaderless = (report: DoctorReport): boolean => idsOf(report).includes('stream-without-leader');
  const full = await waitFor(
    async () => {
      const report = await examine(env);
      return isLeaderless(report) && report;
    },
    { what: 'the stream to lose its leader', timeoutMs: 60_000 },
  );
  expect(full.code).toBe(ERRORS);
  expect(findingOf(full, 'stream-without-leader')?.what_to_do).toContain('max_file_store');

  // What it advises helps; older servers have to be restarted for it.
  if (!isAtLeast(cluster.nodes[0]?.version ?? '', '2.15.0')) return;
  for (const { folder, pid } of cluster.nodes) {
    const file = join(folder, 'nats.conf');
    const config = await readFile(file, 'utf8');
    await writeFile(file, config.replace('max_file_store: 400000', 'max_file_store: 4000000'));
    if (pid !== undefined) process.kill(pid, 'SIGHUP');
  }
  await waitFor(async () => (await jsm.streams.info('PROGRESS')).cluster?.leader, {
    what: 'a leader',
    timeoutMs: 60_000,
  });
  await waitFor(() => publish(nc, 'job-again', DONE), { what: 'an event to be stored', timeoutMs: 60_000 });
}, 240_000);
