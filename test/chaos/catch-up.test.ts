import type { JetStreamManager, PurgeOpts } from 'nats';
import { expect, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { Follower } from '../harness/follower.js';
import { jobId, uniqueId } from '../harness/ids.js';
import { startNats } from '../harness/nats-server.js';
import { startTcpProxy } from '../harness/proxy.js';
import { connectNats, event, publish, publishAll } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';
import { measured, notReady, recovery } from './scene.js';

const STREAM = 'PROGRESS';
const BACKLOG = 500;

/** When the edge's consumer was made, to the nanosecond. */
async function made(jsm: JetStreamManager, consumer: string): Promise<string> {
  return (await jsm.consumers.info(STREAM, consumer)).created;
}

const purges: [what: string, purge: PurgeOpts | undefined][] = [
  ['all of it', undefined],
  ['all but its last event', { keep: 1 }],
  ['all but its first events', { filter: 'progress.late' }],
];

for (const [what, purge] of purges) {
  test(`G3 faults: the backlog that an edge is about to read is purged, ${what}: the edge is ready again, and clients are told`, async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    const jsm = await nc.jetstreamManager();
    await using link = await startTcpProxy(nats.port);
    const edgeId = uniqueId('catch-up');
    await using edge = await startEdgeProcess({
      natsUrl: `nats://${link.host}`,
      env: { HEADWAY_EDGE_ID: edgeId },
    });
    const id = jobId();
    await publish(nc, id);
    await using follower = Follower.start(edge.ws, `/ws/upload-progress/${id}`);
    await using all = Follower.start(edge.ws, '/ws/upload-progress');
    for (const one of [follower, all]) await one.until(({ caughtUp }) => caughtUp > 0, 'caught up');
    const before = await made(jsm, `edge-${edgeId}`);

    link.refuse();
    link.cut();
    await notReady(edge);
    await publishAll(nc, [
      ...Array.from({ length: BACKLOG / 2 }, () => event(id)),
      ...Array.from({ length: BACKLOG / 2 }, () => event('late')),
    ]);
    // The edge hears of its new consumer a while after that was made, and nothing is delivered before.
    link.delay(1_000, 'down');
    await link.accept();
    await waitFor(async () => (await made(jsm, `edge-${edgeId}`)) !== before, {
      what: 'the new consumer',
      timeoutMs: 30_000,
      everyMs: 5,
    });
    await jsm.streams.purge(STREAM, purge);
    const { delivered } = await jsm.consumers.info(STREAM, `edge-${edgeId}`);
    expect(delivered.consumer_seq).toBe(0);
    link.delay(0, 'down');
    measured(`backlog purged, ${what}, until the edge follows`, await recovery(edge));

    const end = await publish(nc, id, { status: 'completed', progress: 100 });
    await follower.until(({ hasEnded }) => hasEnded, 'the end');
    await all.until(({ cursor }) => (cursor ?? 0) >= end, 'the head');
    expect(all.resets).toMatchObject([{ reason: 'retention' }]);
    // Of this job nothing is missing in the last case.
    const isWhole = purge !== undefined && 'filter' in purge;
    expect(follower.resets).toMatchObject(isWhole ? [] : [{ reason: 'retention' }]);
    expect(follower.updates.at(-1)?.seq).toBe(end);
    if (isWhole) expect(follower.updates).toHaveLength(BACKLOG / 2 + 2);
    for (const one of [follower, all]) expect(one.connects).toBe(1);
  });
}
