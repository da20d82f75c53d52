/** nats-server before 2.11.5 leaves a job out of the last states when its newest message was deleted. */
import { expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { startLocalEdge } from '../harness/edge-in-process.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publish } from '../harness/publish.js';

const STREAM = 'PROGRESS';

test('G2 state first: a job whose newest event was deleted shows the one before, to its own client and among all jobs', async () => {
  await using nats = await startNats();
  await using nc = await connectNats(nats.url);
  await createStream(nc, STREAM);
  await publish(nc, 'first', { progress: 1 });
  const kept = await publish(nc, 'first', { progress: 2 });
  const other = await publish(nc, 'other');
  const deleted = await publish(nc, 'first', { progress: 3 });
  const jsm = await nc.jetstreamManager();
  await jsm.streams.deleteMessage(STREAM, deleted);

  await using edge = await startLocalEdge(nats.url);
  for (const [path, expected] of [
    ['', [kept, other]],
    ['/first', [kept]],
  ] as const) {
    await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress${path}`);
    const seen: number[] = [];
    for (;;) {
      const frame = await client.next();
      if (frame.type === 'progress_update') seen.push(Number(frame.seq));
      if (frame.type === 'caught_up') break;
    }
    expect(seen).toEqual(expected);
  }
});

test('G2 state first: with many jobs, a third of them purged in part, no job is missing from a fresh all-jobs connection', async () => {
  await using nats = await startNats();
  await using nc = await connectNats(nats.url);
  await createStream(nc, STREAM);
  const jsm = await nc.jetstreamManager();
  const newest = new Map<string, number>();
  for (let round = 0; round < 3; round++) {
    for (let job = 0; job < 30; job++) {
      const before = newest.get(`job-${job}`);
      const seq = await publish(nc, `job-${job}`);
      // Each third job loses its newest event in the last round, and so shows the one before.
      if (round === 2 && job % 3 === 0 && before !== undefined) await jsm.streams.deleteMessage(STREAM, seq);
      else newest.set(`job-${job}`, seq);
    }
  }
  await using edge = await startLocalEdge(nats.url);
  await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress`);
  const shown = new Map<string, number>();
  for (;;) {
    const frame = await client.next();
    if (frame.type === 'progress_update') shown.set(String(frame.processing_id), Number(frame.seq));
    if (frame.type === 'caught_up') break;
  }
  expect(shown).toEqual(newest);
});
