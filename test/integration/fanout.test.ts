import { expect, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { startNats } from '../harness/nats-server.js';
import {
  connectNats,
  event,
  publish,
  publishAll,
  type StoredEvent,
  storedEvents,
} from '../harness/publish.js';
import { discrepancy, ReconnectingClient } from '../harness/reconnecting-client.js';

const STREAM = 'PROGRESS';
const JOB = '/ws/upload-progress';
const CLIENTS = 1_000;

test('G1 order: 1,000 clients on one job each get every stored event, once, in order, and the end', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  const nc = await connectNats(nats.url);
  const id = jobId();
  await publish(nc, id, { progress: 0 });
  const followers = Array.from({ length: CLIENTS }, () => ReconnectingClient.start(edge.ws, `${JOB}/${id}`));
  await Promise.all(
    followers.map((follower) => follower.until(({ cursor }) => cursor !== null, 'the first state')),
  );

  await publishAll(
    nc,
    Array.from({ length: 100 }, (_, i) => event(id, { progress: i, message: `page ${i}` })),
  );
  // A tenth of them loses the line half-way.
  for (const follower of followers.filter((_, index) => index % 10 === 0)) follower.drop();
  await publishAll(
    nc,
    Array.from({ length: 100 }, (_, i) => event(id, { progress: i, message: `page ${100 + i}` })),
  );
  await publish(nc, id, { status: 'completed', progress: 100 });
  await Promise.all(followers.map((follower) => follower.until(({ hasEnded }) => hasEnded, 'the end')));

  const stored = await storedEvents(nc, STREAM, id);
  expect(stored).toHaveLength(202);
  for (const follower of followers) {
    expect(discrepancy(follower, stored)).toBeNull();
    expect(follower.updates).toHaveLength(202);
    expect(follower.resets).toEqual([]);
  }
  await Promise.all(followers.map((follower) => follower.stop()));
  await nc.close();
});

test('G1 order: 1,000 jobs with one client each: every client gets its own job, all of it, once, in order, and the end', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  const nc = await connectNats(nats.url);
  const ids = Array.from({ length: CLIENTS }, () => jobId());
  // Half of the clients are there before their job is.
  await publishAll(
    nc,
    ids.slice(0, CLIENTS / 2).map((id) => event(id, { progress: 0 })),
  );
  const followers = ids.map((id) => ReconnectingClient.start(edge.ws, `${JOB}/${id}`));
  await Promise.all(
    followers.map((follower) => follower.until(({ cursor }) => cursor !== null, 'the first state')),
  );
  for (let i = 1; i <= 10; i++)
    await publishAll(
      nc,
      ids.map((id) => event(id, { progress: i })),
    );
  await publishAll(
    nc,
    ids.map((id) => event(id, { status: 'completed', progress: 100 })),
  );
  await Promise.all(followers.map((follower) => follower.until(({ hasEnded }) => hasEnded, 'the end')));

  const byJob = new Map<string, StoredEvent[]>(ids.map((id) => [id, []]));
  for (const stored of await storedEvents(nc, STREAM))
    byJob.get(stored.subject.slice('progress.'.length))?.push(stored);
  for (const [index, follower] of followers.entries()) {
    const stored = byJob.get(ids[index] as string) ?? [];
    expect(discrepancy(follower, stored)).toBeNull();
    expect(follower.updates).toHaveLength(stored.length);
    expect(follower.resets).toEqual([]);
  }
  await Promise.all(followers.map((follower) => follower.stop()));
  await nc.close();
});
