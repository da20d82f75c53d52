import { expect, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, event, publish, publishAll, storedEvents } from '../harness/publish.js';
import { discrepancy, ReconnectingClient } from '../harness/reconnecting-client.js';
import { waitFor } from '../harness/wait.js';

const STREAM = 'PROGRESS';
const JOB = '/ws/upload-progress';
const MiB = 1024 * 1024;

test('G4 slow readers, G9 memory: ten that stop reading while 40 MB pass cost little, and get all of it when they read again', async () => {
  await using nats = await startNats();
  // A tail far smaller than what passes, so that the readers come back from far behind it.
  await using edge = await startEdgeProcess({ natsUrl: nats.url, env: { HEADWAY_TAIL_BYTES: String(MiB) } });
  const nc = await connectNats(nats.url);
  const id = jobId();
  await publish(nc, id, { progress: 0 });
  const slow = Array.from({ length: 10 }, () => ReconnectingClient.start(edge.ws, `${JOB}/${id}`));
  await using quick = ReconnectingClient.start(edge.ws, `${JOB}/${id}`);
  await Promise.all(
    [...slow, quick].map((one) => one.until(({ cursor }) => cursor !== null, 'the first state')),
  );
  for (const follower of slow) follower.pauseReading();
  const before = await metric(edge.http, 'process_resident_memory_bytes');

  const message = 'x'.repeat(4_000);
  let last = 0;
  let peak = before;
  for (let i = 0; i < 10; i++) {
    const extra = { note: 'y'.repeat(36_000) };
    await publishAll(
      nc,
      Array.from({ length: 95 }, () => event(id, { progress: i, message, extra })),
    );
    last = await publish(nc, id, { progress: i });
    peak = Math.max(peak, await metric(edge.http, 'process_resident_memory_bytes'));
  }
  await quick.until(({ cursor }) => cursor === last, 'the head');
  expect(slow.every((follower) => (follower.cursor ?? 0) < last)).toBe(true);
  expect(await metric(edge.http, 'headway_tail_bytes')).toBeLessThanOrEqual(MiB);
  // 40 MB for each of ten readers would be 400 MB.
  expect(peak - before).toBeLessThan(150 * MiB);

  for (const follower of slow) follower.resumeReading();
  const end = await publish(nc, id, { status: 'completed', progress: 100 });
  await Promise.all([...slow, quick].map((one) => one.until(({ hasEnded }) => hasEnded, 'the end', 50_000)));
  const stored = await storedEvents(nc, STREAM, id);
  expect(stored.at(-1)?.seq).toBe(end);
  for (const follower of [...slow, quick]) {
    expect(discrepancy(follower, stored)).toBeNull();
    expect(follower.resets).toEqual([]);
    expect(follower.connects).toBe(1);
  }
  await Promise.all(slow.map((follower) => follower.stop()));
  const after = await metric(edge.http, 'process_resident_memory_bytes');
  const mib = (bytes: number) => Math.round(bytes / MiB);
  process.stdout.write(
    `    resident memory: before ${mib(before)}, at most ${mib(peak)}, after ${mib(after)} MiB\n`,
  );
  await waitFor(async () => (await metric(edge.http, 'headway_history_reads_pending')) === 0, {
    what: 'no history read left',
  });
  await nc.close();
});
