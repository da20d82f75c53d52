import { expect, test } from 'vitest';
import { edgeHasRead } from '../harness/edge-head.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { startNats } from '../harness/nats-server.js';
import { PageClient } from '../harness/page-client.js';
import { connectNats, createStream, event, publish, publishAll, storedEvents } from '../harness/publish.js';
import { discrepancy, type Follower, ReconnectingClient } from '../harness/reconnecting-client.js';

const STREAM = 'PROGRESS';
const JOB = '/ws/upload-progress';

test('G3 faults: behind the last states the feed goes on by the same consumer, event by event', async () => {
  await using nats = await startNats();
  const nc = await connectNats(nats.url);
  await createStream(nc);
  const id = jobId();
  await publish(nc, id, { progress: 0 });
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  await using follower = ReconnectingClient.start(edge.ws, `${JOB}/${id}`);
  await follower.until(({ cursor }) => cursor !== null, 'the first state');
  for (let i = 0; i < 100; i++) {
    const seq = await publish(nc, id, { progress: 1 });
    await follower.until(({ cursor }) => cursor === seq, 'the update');
  }
  expect(edge.logged('the feed was lost, rebuilding it')).toEqual([]);
  await nc.close();
});

test('G1 order: over many drops at any moment a client gets every stored event of its job, once, in order', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  const nc = await connectNats(nats.url);
  const id = jobId();
  const other = jobId();
  await publish(nc, id, { progress: 0 });
  await using follower = ReconnectingClient.start(edge.ws, `${JOB}/${id}`);
  await using page = PageClient.start(edge.ws, id);
  await using all = PageClient.start(edge.ws);
  await Promise.all(
    [follower, page, all].map((one: Follower) =>
      one.until(({ cursor }) => cursor !== null, 'the first state'),
    ),
  );

  for (let round = 0; round < 40; round++) {
    await publishAll(
      nc,
      Array.from({ length: 25 }, (_, i) =>
        event(i % 3 === 0 ? other : id, { progress: round, message: 'x'.repeat(i * 40) }),
      ),
    );
    for (const one of [follower, page] as Follower[]) {
      const { connects } = one;
      one.drop();
      // Most drops come while the follower is still on its way back; some come to one that is back.
      if (round % 5 === 0) await one.until(() => one.connects > connects, 'a new connection');
    }
    if (round % 3 === 0) all.drop();
  }
  const last = await publish(nc, id, { status: 'completed', progress: 100 });
  for (const one of [follower, page]) await one.until(({ hasEnded }) => hasEnded, 'the end');
  await all.until(({ cursor }) => (cursor ?? 0) >= last, 'the head');

  const stored = await storedEvents(nc, STREAM);
  for (const one of [follower, page, { updates: page.given }])
    expect(discrepancy(one, stored, new Set([id]))).toBeNull();
  for (const one of [all, { updates: all.given }]) expect(discrepancy(one, stored)).toBeNull();
  for (const one of [follower, page]) {
    expect(one.resets).toEqual([]);
    expect(one.connects).toBeGreaterThan(5);
  }
  await nc.close();
});

test('G1 order: a resume gives exactly what was missed, in order, once, from every possible cursor', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  const nc = await connectNats(nats.url);
  const [id, other] = [jobId(), jobId()];
  for (let i = 0; i < 10; i++) await publish(nc, i % 2 === 0 ? id : other, { progress: i });
  const stored = await storedEvents(nc, STREAM);
  await edgeHasRead(edge.http, nc);
  for (let lastSeq = 0; lastSeq <= 10; lastSeq++) {
    for (const [path, ids] of [
      [`${JOB}/${id}`, [id]],
      [JOB, [id, other]],
    ] as const) {
      await using running = ReconnectingClient.start(edge.ws, path, lastSeq);
      await running.until(({ caughtUp }) => caughtUp > 0, 'caught_up');
      const owed = stored.filter(
        ({ seq, subject }) => seq > lastSeq && ids.some((one) => subject.endsWith(one)),
      );
      expect(running.updates.map(({ seq }) => seq)).toEqual(owed.map(({ seq }) => seq));
      expect(running.resets).toEqual([]);
    }
  }
  await nc.close();
});

test('G3 faults, G10 any edge: edges killed with -9 and started again leave every client able to resume, on any edge', async () => {
  await using nats = await startNats();
  await using one = await startEdgeProcess({ natsUrl: nats.url });
  await using two = await startEdgeProcess({ natsUrl: nats.url });
  const nc = await connectNats(nats.url);
  const ids = Array.from({ length: 20 }, () => jobId());
  await publishAll(
    nc,
    ids.map((id) => event(id, { progress: 0 })),
  );

  let edges = [one.ws, two.ws];
  let turn = 0;
  const base = () => edges[turn++ % edges.length] as string;
  const jobs = ids.map((id, index) =>
    index % 2 === 0 ? PageClient.start(base, id) : ReconnectingClient.start(base, `${JOB}/${id}`),
  );
  await using all = PageClient.start(base);
  await Promise.all(
    [...jobs, all].map((follower: Follower) =>
      follower.until(({ cursor }) => cursor !== null, 'the first state'),
    ),
  );

  const load = async (from: number) => {
    for (let i = 0; i < 10; i++)
      await publishAll(
        nc,
        ids.map((id) => event(id, { progress: from + i })),
      );
  };
  await Promise.all([load(1), one.kill()]);
  edges = [two.ws];
  await Promise.all([load(11), two.kill()]);
  await load(21);
  await using three = await startEdgeProcess({ natsUrl: nats.url });
  edges = [three.ws];
  await load(31);
  await publishAll(
    nc,
    ids.map((id) => event(id, { status: 'completed', progress: 100 })),
  );

  const stored = await storedEvents(nc, STREAM);
  const last = stored.at(-1)?.seq ?? 0;
  await Promise.all(jobs.map((follower: Follower) => follower.until(({ hasEnded }) => hasEnded, 'the end')));
  await all.until(({ cursor }) => (cursor ?? 0) >= last, 'the head');
  for (const [index, follower] of jobs.entries()) {
    expect(discrepancy(follower, stored, new Set([ids[index] as string]))).toBeNull();
    expect(follower.resets).toEqual([]);
    expect(follower.connects).toBeGreaterThan(1);
  }
  for (const one of [all, { updates: all.given }]) expect(discrepancy(one, stored)).toBeNull();
  await Promise.all(jobs.map((follower) => follower.stop()));
  await nc.close();
});
