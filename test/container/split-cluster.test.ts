import { expect, test } from 'vitest';
import { measured, Scene } from '../chaos/workload.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { startNatsCluster } from '../harness/nats-cluster.js';
import { type NetworkLayout, networkLayout } from '../harness/nats-container.js';
import { connectNats, createStream, publish, storedEvents } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

const STREAM = 'PROGRESS';

test('G3 faults: a cluster is cut in two with the stream’s leader in the minority: what the majority acknowledged reaches everyone, once, and the minority acknowledges nothing', async () => {
  let layout: NetworkLayout | undefined;
  await using cluster = await startNatsCluster(3, {}, async (size) => {
    layout = await networkLayout(size);
    return layout;
  });
  const network = layout as NetworkLayout;
  await using setup = await connectNats(cluster.urls);
  await createStream(setup, STREAM, { num_replicas: 3 });
  const cutOff = await cluster.leaderOf(STREAM);
  const [majority, another] = cluster.nodes.filter((node) => node !== cutOff);
  if (majority === undefined || another === undefined) throw new Error('this is no cluster of three');

  const env = { HEADWAY_STREAM_REPLICAS: '3', HEADWAY_HEARTBEAT_MS: '1000' };
  await using here = await startEdgeProcess({ natsUrl: majority.url, env });
  await using there = await startEdgeProcess({ natsUrl: cutOff.url, env });
  // Clients of both kinds on both sides.
  const isHere = (index: number): boolean => index % 4 < 2;
  await using scene = await Scene.start(majority.url, (index) => (isHere(index) ? here.ws : there.ws), 20);
  const ofMajority = scene.followers.filter((_, index) => isHere(index));
  await using ours = await connectNats(majority.url);
  await using theirs = await connectNats(cutOff.url);
  const acknowledged = new Map<number, number>();
  const job = jobId('acknowledged');
  const unheard = jobId('unheard');
  /** At the minority. An answer must never come while it is cut off. */
  const sendThere = (index: number) =>
    publish(theirs, unheard, { step: { index } }, { timeout: 1_500, msgID: `${unheard}-${index}` });

  await network.cut(cutOff.name);
  const cutAt = performance.now();
  const refused: unknown[] = [];
  for (let index = 1; index <= 3; index++) refused.push(await sendThere(index).catch((error) => error));
  expect(refused).toEqual(refused.map(() => expect.any(Error)));

  for (let index = 1; index <= 50; index++) {
    const seq = await waitFor(
      () =>
        publish(
          ours,
          job,
          { progress: index, step: { index } },
          { timeout: 2_000, msgID: `${job}-${index}` },
        ),
      { what: 'the majority acknowledges', timeoutMs: 60_000 },
    );
    if (index === 1) measured('cut, until the majority acknowledges', Math.round(performance.now() - cutAt));
    acknowledged.set(seq, index);
  }
  const before = ofMajority.map((follower) => follower.updates.length);
  await Promise.all(
    ofMajority.map((follower, i) =>
      follower.until(({ updates }) => updates.length > (before[i] ?? 0) + 10, 'events flow on this side'),
    ),
  );
  expect(await sendThere(4).catch((error) => error)).toBeInstanceOf(Error);

  await network.heal(cutOff.name);
  const healedAt = performance.now();
  await cluster.ready();
  await scene.flowing(90_000);
  measured('healed, until events flow to every client', Math.round(performance.now() - healedAt));
  for (let index = 1; index <= 4; index++) {
    await waitFor(() => sendThere(index), { what: 'it is acknowledged now', timeoutMs: 60_000 });
  }
  // A consumer of the reading back may stand on the server that was cut off: until its copy is whole it would skip events.
  const { streams } = await setup.jetstreamManager();
  const isWhole = async (): Promise<boolean> => {
    const { cluster: copies } = await streams.info(STREAM);
    return (
      copies?.replicas?.length === 2 && copies.replicas.every(({ current, lag = 0 }) => current && lag < 100)
    );
  };
  await waitFor(isWhole, { what: 'each copy of the stream is whole', timeoutMs: 60_000 });
  // A cluster that has just found together again may not let a new consumer read for a moment.
  const read = (id: string) =>
    waitFor(() => storedEvents(ours, STREAM, id), { what: `${id} is read back`, timeoutMs: 60_000 });
  await read(job);
  const { events } = await scene.finish();
  expect(events).toBeGreaterThanOrEqual(scene.acknowledged + acknowledged.size);

  const stored = await read(job);
  const indexOf = ({ json }: { json: unknown }) => (json as { step: { index: number } }).step.index;
  expect(new Map(stored.map((one) => [one.seq, indexOf(one)]))).toEqual(acknowledged);
  expect((await read(unheard)).map(indexOf).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4]);
  // Neither edge had to send anybody away.
  for (const follower of [...scene.followers, scene.all]) expect(follower.connects).toBe(1);
}, 300_000);
