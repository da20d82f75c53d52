import { expect, test } from 'vitest';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { startTcpProxy } from '../harness/proxy.js';
import { connectNats, event, publish, publishAll, storedEvents } from '../harness/publish.js';
import { discrepancy, ReconnectingClient } from '../harness/reconnecting-client.js';
import { waitFor } from '../harness/wait.js';
import { measured } from './workload.js';

const STREAM = 'PROGRESS';
const JOB = '/ws/upload-progress';
/** The shortest that can be set. */
const IDLE_SECONDS = 8;

function startEdge(nats: NatsServer, env: Record<string, string> = {}): Promise<EdgeProcess> {
  return startEdgeProcess({
    natsUrl: nats.url,
    env: { HEADWAY_IDLE_TIMEOUT_SECONDS: String(IDLE_SECONDS), ...env },
  });
}

const connections = (edge: EdgeProcess): Promise<number> => metric(edge.http, 'headway_connections', 0);

/** Waits until so many connections are left, and returns how long that took. */
async function untilConnections(edge: EdgeProcess, left: number, timeoutMs: number): Promise<number> {
  const startedAt = performance.now();
  await waitFor(async () => (await connections(edge)) === left, {
    what: `${left} connections left`,
    timeoutMs,
    everyMs: 100,
  });
  return Math.round(performance.now() - startedAt);
}

for (const [what, heartbeatMs] of [
  ['that is sent nothing but pings', 300_000],
  ['that is sent heartbeats all the time', 500],
] as const) {
  test(`G9 memory: a peer ${what} and whose line went silent is found and freed`, async () => {
    await using nats = await startNats();
    await using edge = await startEdge(nats, { HEADWAY_HEARTBEAT_MS: String(heartbeatMs) });
    await using front = await startTcpProxy(edge.port);
    const path = `${JOB}/${jobId()}`;
    const dead = Array.from({ length: 20 }, () => ReconnectingClient.start(`ws://${front.host}`, path));
    await Promise.all(dead.map((one) => one.until(({ caughtUp }) => caughtUp > 0, 'caught up')));
    await using alive = ReconnectingClient.start(edge.ws, path);
    await alive.until(({ caughtUp }) => caughtUp > 0, 'caught up');
    front.stall();
    // They come back through the same silent line; nobody new is let in.
    front.refuse();
    const ms = await untilConnections(edge, 1, 40_000);
    measured(`line of a peer ${what} silent, until the edge frees it (idle timeout ${IDLE_SECONDS} s)`, ms);
    expect(ms).toBeLessThan(20_000);
    expect(alive.connects).toBe(1);
    front.cut();
    await Promise.all(dead.map((one) => one.stop()));
  });
}

test('G4 slow readers: who stops reading for less than the idle timeout is not cut, and gets everything', async () => {
  await using nats = await startNats();
  await using edge = await startEdge(nats);
  const nc = await connectNats(nats.url);
  const id = jobId();
  await publish(nc, id);
  await using follower = ReconnectingClient.start(edge.ws, `${JOB}/${id}`);
  await connected(follower);
  const { held, end } = await pausedWhile(nc, id, follower, async () => {
    const until = performance.now() + (IDLE_SECONDS / 2 - 1) * 1_000;
    await waitFor(() => performance.now() > until, {
      what: 'less than the time to the first ping',
      everyMs: 100,
    });
  });
  expect(await connections(edge)).toBe(1);
  expect(held).toBeLessThan(end);
  await follower.until(({ hasEnded }) => hasEnded, 'the end');
  expect(follower.connects).toBe(1);
  expect(follower.resets).toEqual([]);
  expect(discrepancy(follower, await storedEvents(nc, STREAM, id))).toBeNull();
  await nc.close();
});

test('G1 order, G4 slow readers: who stops reading for longer is cut, though its system still acknowledges; the resume loses nothing', async () => {
  await using nats = await startNats();
  await using edge = await startEdge(nats);
  const nc = await connectNats(nats.url);
  const id = jobId();
  await publish(nc, id);
  await using follower = ReconnectingClient.start(edge.ws, `${JOB}/${id}`);
  await connected(follower);
  const { held } = await pausedWhile(nc, id, follower, async () => {
    measured('a client stopped reading, until the edge cuts it', await untilConnections(edge, 0, 40_000));
  });
  const atResume = held;
  // What lay in the kernel's buffers still comes; then the cut is seen, and the client comes back.
  await follower.until(({ connects }) => connects > 1, 'the second connection');
  const readAfterCut = follower.updates.length - atResume;
  await follower.until(({ hasEnded }) => hasEnded, 'the end');
  expect(follower.connects).toBe(2);
  expect(follower.resets).toEqual([]);
  expect(discrepancy(follower, await storedEvents(nc, STREAM, id))).toBeNull();
  process.stdout.write(
    `    ${readAfterCut} updates came after the cut from the kernel's buffers, ${follower.updates.length} in all\n`,
  );
  await nc.close();
});

/** Waits for the first state and for the connection's own promise, which may come after it. */
async function connected(follower: ReconnectingClient): Promise<void> {
  const isThere = () => follower.cursor !== null && follower.connects === 1;
  await waitFor(isThere, { what: 'the first state' });
}

/** Stops reading, publishes 20 MB and the end, does `meanwhile`, and reads again. */
async function pausedWhile(
  nc: Awaited<ReturnType<typeof connectNats>>,
  id: string,
  follower: ReconnectingClient,
  meanwhile: () => Promise<void>,
): Promise<{ held: number; end: number }> {
  follower.pauseReading();
  const note = 'x'.repeat(40_000);
  await publishAll(
    nc,
    Array.from({ length: 500 }, () => event(id, { note })),
    100,
  );
  const end = await publish(nc, id, { status: 'completed', progress: 100 });
  await meanwhile();
  const held = follower.updates.length;
  follower.resumeReading();
  return { held, end };
}
