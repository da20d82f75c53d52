/** `headway doctor` in a cluster: copies that are too few, behind, gone, or without a leader. */
import type { NatsConnection, StreamConfig } from 'nats';
import { expect, test } from 'vitest';
import { aboveNotes, afterAnswer, type DoctorReport, detailsOf, examine, idsOf } from '../harness/doctor.js';
import { natsEnv } from '../harness/headway-command.js';
import { type NatsCluster, startNatsCluster } from '../harness/nats-cluster.js';
import type { NatsServer } from '../harness/nats-server.js';
import { connectNats, createStream, publish } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

const DONE = { status: 'completed', progress: 100 };
// Of 2.15.1 with copies there is something to say however healthy it is.
const IGNORED = ['--ignore', 'server-replica-write-bug'];

test('a cluster: healthy, with a copy behind, without a server, without a leader, without a majority', async () => {
  await using cluster = await startNatsCluster(3);
  const env = natsEnv(cluster.urls.join(','));
  await using nc = await connectNats(cluster.urls);
  const jsm = await nc.jetstreamManager({ timeout: 30_000 });

  await makeStream(nc, { num_replicas: 1 });
  const single = await examine(env);
  expect([single.code, aboveNotes(single)]).toEqual([0, []]);
  expect(idsOf(single)).toContain('single-replica-in-cluster');
  expect(single.not_checked).toContainEqual({
    check: 'other-servers',
    why: expect.stringContaining('cluster test'),
  });
  await jsm.streams.delete('PROGRESS');

  await makeStream(nc, { num_replicas: 3 });
  await makeStream(nc, { name: 'TWO', subjects: ['two.*'], num_replicas: 2 });
  await waitFor(() => publish(nc, 'job-1', DONE), { what: 'the new stream to take an event' });
  // The copies of a new stream need a moment.
  const healthy = await examineUntil((now) => aboveNotes(now).length === 0, 'three current copies', env);
  expect(healthy.code).toBe(0);
  const isWedged = cluster.nodes[0]?.version === '2.15.1';
  expect(idsOf(await examine(env)).includes('server-replica-write-bug')).toBe(isWedged);
  // Also a stream that is not as Headway needs it has its copies looked at.
  const two = await examine(env, '--stream', 'TWO', ...IGNORED);
  expect(aboveNotes(two)).toEqual(['stream-drift', 'replica-count-even']);

  await aCopyIsBehind(cluster);

  const leader = await cluster.leaderOf('PROGRESS');
  const ofTwo = (await jsm.streams.info('TWO')).cluster;
  const withTwo = [ofTwo?.leader, ...(ofTwo?.replicas ?? []).map(({ name }) => name)];
  const victim = nodeOf(cluster, (node) => node !== leader && withTwo.includes(node.name));
  await cluster.kill(victim);
  const wounded = await examineUntil((now) => idsOf(now).includes('replica-offline'), 'the lost copy', env);
  expect(wounded.code).toBe(10);
  expect(detailsOf(wounded, 'replica-offline')).toMatch(new RegExp(`^${victim.name}: silent for `));

  // Of TWO one copy of two is left, which is no majority; JetStream itself still has one.
  const isLeaderless = (now: DoctorReport): boolean => idsOf(now).includes('stream-without-leader');
  const leaderless = await examineUntil(isLeaderless, 'TWO to lose its leader', env, '--stream', 'TWO');
  expect([leaderless.code, idsOf(leaderless).includes('replica-offline')]).toEqual([11, false]);

  // With the majority gone nothing answers any more; the report says so and does not hang.
  await cluster.kill(nodeOf(cluster, (node) => node !== leader && node !== victim));
  const isGone = (now: DoctorReport): boolean => now.code !== 0 && !idsOf(now).includes('replica-offline');
  const dead = await examineUntil(isGone, 'the stream to be out of reach', natsEnv(leader.url));
  expect(['stream-not-visible', 'stream-without-leader', 'jetstream-disabled']).toContain(
    aboveNotes(dead)[0],
  );
}, 240_000);

/**
 * A frozen server has the same effect as one that is too slow: the leader counts it as there for some seconds, and goes
 * on without it. A machine that is so busy that the doctor needs longer than that finds the copy gone instead.
 */
async function aCopyIsBehind(cluster: NatsCluster): Promise<void> {
  const behind = await waitFor(
    async () => {
      const now = await examineFrozen(cluster, 'throughout');
      return idsOf(now).includes('replica-lagging') && now;
    },
    { what: 'the copy that is behind', timeoutMs: 60_000 },
  );
  expect([behind.code, aboveNotes(behind)]).toEqual([10, ['replica-lagging']]);
  expect(detailsOf(behind, 'replica-lagging')).toMatch(/^n\d: \d+ operations behind, not current$/);

  // Behind at the first look and not at the second: that is how copies are, and nothing is said of it.
  await waitFor(async () => aboveNotes(await examineFrozen(cluster, 'at the first look')).length === 0, {
    what: 'a copy that was behind for a moment not to be named',
    timeoutMs: 40_000,
  });
}

async function examineFrozen(
  cluster: NatsCluster,
  how: 'throughout' | 'at the first look',
): Promise<DoctorReport> {
  const leader = await cluster.leaderOf('PROGRESS');
  const frozen = nodeOf(cluster, (node) => node !== leader);
  await using nc = await connectNats(leader.url);
  if (how === 'at the first look') {
    await afterAnswer(nc, '$JS.API.STREAM.INFO.PROGRESS', () => void frozen.thaw());
  }
  await frozen.freeze();
  try {
    for (const job of ['job-2', 'job-3']) await publish(nc, job, DONE);
    return await examine(natsEnv(leader.url), ...IGNORED);
  } finally {
    await frozen.thaw();
    await cluster.ready();
  }
}

function nodeOf(cluster: NatsCluster, fits: (node: NatsServer) => boolean): NatsServer {
  const node = cluster.nodes.find(fits);
  if (node === undefined) throw new Error('no such node in the cluster');
  return node;
}

async function examineUntil(
  isIt: (report: DoctorReport) => boolean,
  what: string,
  env: Record<string, string>,
  ...args: string[]
): Promise<DoctorReport> {
  const look = async (): Promise<DoctorReport | false> => {
    const now = await examine(env, ...args, ...IGNORED);
    return isIt(now) && now;
  };
  return await waitFor(look, { what, timeoutMs: 60_000 });
}

/** A new cluster may take a server for offline that is not. */
async function makeStream(
  nc: NatsConnection,
  { name = 'PROGRESS', ...changes }: Partial<StreamConfig>,
): Promise<void> {
  const make = async (): Promise<boolean> => {
    await createStream(nc, name, changes);
    return true;
  };
  await waitFor(make, { what: `the stream ${name}`, timeoutMs: 20_000 });
}
