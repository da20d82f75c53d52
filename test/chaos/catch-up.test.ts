import type { JetStreamManager, PurgeOpts } from 'nats';
import { expect, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId, uniqueId } from '../harness/ids.js';
import { startNats } from '../harness/nats-server.js';
import { PageClient } from '../harness/page-client.js';
import { startTcpProxy } from '../harness/proxy.js';
import { connectNats, event, publish, publishAll } from '../harness/publish.js';
import { ReconnectingClient } from '../harness/reconnecting-client.js';
import { waitFor } from '../harness/wait.js';
import { measured, notReady, recovery } from './workload.js';

const STREAM = 'PROGRESS';
/** More than the edge asks for at once. */
const BACKLOG = 5_000;

/** When the edge's consumer was made, to the nanosecond. */
async function made(jsm: JetStreamManager, consumer: string): Promise<string> {
  return (await jsm.consumers.info(STREAM, consumer)).created;
}

const purges: [when: 'before' | 'while', what: string, purge?: PurgeOpts][] = [
  ['before', 'all of it'],
  ['before', 'all but its last event', { keep: 1 }],
  ['before', 'all but one job’s', { filter: 'progress.other' }],
  ['while', 'all of it'],
];

for (const [when, what, purge] of purges) {
  test(`G3 faults: the backlog of an edge that was away is purged ${when} it is read, ${what}: the edge is ready again, and clients are told`, async () => {
    await using nats = await startNats();
    await using nc = await connectNats(nats.url);
    const jsm = await nc.jetstreamManager();
    await using link = await startTcpProxy(nats.port);
    const edgeId = uniqueId('catch-up');
    const consumer = `edge-${edgeId}`;
    await using edge = await startEdgeProcess({
      natsUrl: `nats://${link.host}`,
      env: { HEADWAY_EDGE_ID: edgeId, HEADWAY_READ_BUFFER_BYTES: '131072' },
    });
    // Nothing is trimmed while the test runs.
    await jsm.streams.update(STREAM, { max_msgs_per_subject: 1_000_000 });
    const id = jobId();
    await publish(nc, id);
    await using follower = ReconnectingClient.start(edge.ws, `/ws/upload-progress/${id}`);
    await using all = PageClient.start(edge.ws);
    for (const one of [follower, all]) await one.until(({ caughtUp }) => caughtUp > 0, 'caught up');
    const before = await made(jsm, consumer);

    link.refuse();
    link.cut();
    await notReady(edge);
    await publishAll(nc, [
      ...Array.from({ length: BACKLOG / 2 }, () => event(id)),
      ...Array.from({ length: BACKLOG / 2 }, () => event('other')),
    ]);
    // What the server sends arrives a while later: its word that the new consumer is made, and what that delivers.
    link.delay(1_000, 'down');
    await link.accept();
    const delivered = async () => (await jsm.consumers.info(STREAM, consumer)).delivered.consumer_seq;
    await waitFor(
      async () => (await made(jsm, consumer)) !== before && (when === 'before' || (await delivered()) > 0),
      {
        what: when === 'before' ? 'the new consumer' : 'the first events to be sent',
        timeoutMs: 30_000,
        everyMs: 5,
      },
    );
    await jsm.streams.purge(STREAM, purge);
    if (when === 'before') expect(await delivered()).toBe(0);
    else expect(await delivered()).toBeLessThan(BACKLOG);
    link.delay(0, 'down');
    measured(`backlog purged ${when} it is read, ${what}, until the edge follows`, await recovery(edge));

    const end = await publish(nc, id, { status: 'completed', progress: 100 });
    await follower.until(({ hasEnded }) => hasEnded, 'the end');
    await all.until(({ cursor }) => (cursor ?? 0) >= end, 'the head');
    // Who follows all jobs keeps what it shows, and is told what it does not get: the newest states are enough.
    expect(all.resets).toEqual([]);
    expect(all.skips).not.toEqual([]);
    for (const { reason } of all.skips) expect(reason).toBe('retention');
    expect(all.updates.at(-1)?.seq).toBe(end);
    // Of this job nothing is missing where another's was purged.
    const isWhole = purge?.filter !== undefined;
    expect(follower.resets).toMatchObject(isWhole ? [] : [{ reason: 'retention' }]);
    expect(follower.updates.at(-1)?.seq).toBe(end);
    if (isWhole) expect(follower.updates).toHaveLength(BACKLOG / 2 + 2);
    for (const one of [follower, all]) expect(one.connects).toBe(1);
  });
}
