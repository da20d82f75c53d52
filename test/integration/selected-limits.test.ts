/** What a connection of selected jobs may cost: jobs named twice, in loops, behind the tail, and a client that does not read. */
import { expect, test } from 'vitest';
import { type Frame, WsClient } from '../harness/client.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { LinkedEdge } from '../harness/linked-edge.js';
import { metric, metricByLabel } from '../harness/metrics.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, event, publish, publishAll, storedEvents } from '../harness/publish.js';
import { bearer, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const SELECT = '/ws/upload-progress?select';
const MiB = 1024 * 1024;
const PENDING = 'headway_history_reads_pending';
/** As many as a frame of the usual size holds. */
const IN_A_FRAME = 128;

const as = async (sub: string) => bearer(await mint({ sub, jobs: ['*'] }));
const isOf = (type: string, id?: string) => (frame: Frame) =>
  frame.type === type && (id === undefined || frame.processing_id === id);
/** Frames that follow all of them. */
function* follows(ids: readonly string[], lastSeq?: number): Generator<object> {
  for (let from = 0; from < ids.length; from += IN_A_FRAME) {
    const jobs = ids
      .slice(from, from + IN_A_FRAME)
      .map((processing_id) => ({ processing_id, ...(lastSeq !== undefined && { last_seq: lastSeq }) }));
    yield { type: 'follow', jobs };
  }
}
const countOf = (client: WsClient, type: string) =>
  client.frames.filter((frame) => frame.type === type).length;

test('G9 memory: a client that follows and unfollows as fast as it may while NATS does not answer leaves no more reads behind than a subject may have; others are served', async () => {
  const ids = Array.from({ length: IN_A_FRAME }, () => jobId());
  const limit = 200;
  await using linked = await LinkedEdge.start(ids, {
    ...JWT_ENV,
    HEADWAY_MAX_PENDING_READS_PER_SUBJECT: String(limit),
    HEADWAY_MAX_CLIENT_FRAMES_PER_SECOND: '0',
    HEADWAY_MAX_CLIENT_BYTES_PER_SECOND: '0',
  });
  const { edge, link } = linked;
  await using storm = await WsClient.connect(`${edge.ws}${SELECT}`, await as('storm'));
  await storm.next('hello');
  link.stall();
  // Each cursor is another read, so that none of them stands for two.
  const rounds = 20;
  for (let round = 1; round <= rounds; round++) {
    for (const frame of follows(ids, round)) storm.send(frame);
    storm.send({ type: 'unfollow', jobs: ids });
  }
  await waitFor(() => countOf(storm, 'error') >= rounds * IN_A_FRAME - limit, { what: 'the refusals' });
  expect(await metric(edge.http, PENDING)).toBeLessThanOrEqual(limit);
  expect(await metric(edge.http, PENDING)).toBeGreaterThanOrEqual(IN_A_FRAME);
  const refusals = storm.frames.filter(isOf('error'));
  expect(refusals.length).toBe(rounds * IN_A_FRAME - limit);
  expect(new Set(refusals.map(({ code }) => code))).toEqual(new Set(['overloaded']));
  expect((await metricByLabel(edge.http, 'headway_limits_reached_total')).pending_reads_per_subject).toBe(
    refusals.length,
  );

  // Somebody else has room, and both go on when NATS answers.
  await using other = await WsClient.connect(`${edge.ws}${SELECT}`, await as('other'));
  // What is sent before it is not read.
  await other.next('hello');
  for (const frame of follows(ids, 1)) other.send(frame);
  other.send({ type: 'ping' });
  await other.until(isOf('pong'));
  expect(countOf(other, 'error')).toBe(0);
  link.flow();
  await waitFor(() => countOf(other, 'following') === ids.length, { what: 'the other one to follow all' });
  await waitFor(async () => (await metric(edge.http, PENDING)) === 0, { what: 'no read left' });
  for (const frame of follows(ids, 1)) storm.send(frame);
  await waitFor(() => countOf(storm, 'following') === ids.length, { what: 'the first one, too' });
  expect(storm.seen().length).toBeGreaterThanOrEqual(ids.length);
});

test('each job of a connection that is behind the tail counts for the reads that wait, and new connections are refused at the limit', async () => {
  const ids = Array.from({ length: 256 }, () => jobId());
  await using linked = await LinkedEdge.start(ids, { HEADWAY_MAX_PENDING_READS: '256' });
  const { edge, link } = linked;
  await using client = await WsClient.connect(`${edge.ws}${SELECT}`);
  await client.next('hello');
  link.stall();
  for (const frame of follows(ids, 1)) client.send(frame);
  await waitFor(async () => (await metric(edge.http, PENDING)) === ids.length, { what: 'a read for each' });
  await expect(WsClient.connect(`${edge.ws}${SELECT}`)).rejects.toThrow('503');
  link.flow();
  await waitFor(() => countOf(client, 'following') === ids.length, { what: 'all of them to be followed' });
  const owed = (await storedEvents(linked.world.nc, 'PROGRESS')).flatMap(({ seq }) => (seq > 1 ? [seq] : []));
  const seen = client.seen().map(({ seq }) => seq);
  expect(seen.sort((one, other) => one - other)).toEqual(owed);
  await using later = await WsClient.connect(`${edge.ws}${SELECT}`);
  await later.next('hello');
});

test('a job that is named twice is followed once, from the cursor that was named last; of 257 jobs the last is refused, and a place that is given up is free', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url });
  await using nc = await connectNats(nats.url);
  const [twice] = [jobId()];
  const seqs = [];
  for (let i = 0; i < 3; i++) seqs.push(await publish(nc, twice, { progress: i }));
  await using client = await WsClient.connect(
    `${edge.ws}${SELECT}&processing_id=${twice}&processing_id=${twice}`,
  );
  await client.until(isOf('following', twice));
  expect(client.seen().map(({ seq }) => seq)).toEqual([seqs[2]]);
  const named = { processing_id: twice };
  client.send({ type: 'follow', jobs: [named, { ...named, last_seq: seqs[0] }] });
  client.send({ type: 'ping' });
  const frames = await client.until(isOf('pong'));
  // The first of the two was begun, and the second began anew.
  expect(
    frames
      .filter(isOf('progress_update'))
      .map(({ seq }) => seq)
      .slice(-2),
  ).toEqual(seqs.slice(1));
  const next = await publish(nc, twice, { progress: 50 });
  await client.until(isOf('progress_update', twice));
  expect(client.seen().filter(({ seq }) => seq === next)).toHaveLength(1);
  expect(await metric(edge.http, 'headway_sessions')).toBe(1);

  const ids = Array.from({ length: 255 }, () => jobId());
  for (const frame of follows(ids)) client.send(frame);
  const extra = jobId();
  client.send({ type: 'follow', jobs: [{ processing_id: extra }] });
  const refusal = (await client.until(isOf('error'))).at(-1);
  expect(refusal).toMatchObject({ code: 'too_many_jobs', processing_id: extra });
  client.send({ type: 'unfollow', jobs: [ids[0]] });
  client.send({ type: 'follow', jobs: [{ processing_id: extra }] });
  await client.until(isOf('following', extra));
  expect(countOf(client, 'error')).toBe(1);
});

test('G4 slow readers, G9 memory: a client of 40 jobs that stops reading while 40 MB pass costs little, and gets all of it', async () => {
  await using nats = await startNats();
  await using edge = await startEdgeProcess({ natsUrl: nats.url, env: { HEADWAY_TAIL_BYTES: String(MiB) } });
  await using nc = await connectNats(nats.url);
  const ids = Array.from({ length: 40 }, () => jobId());
  await publishAll(
    nc,
    ids.map((id) => event(id, { progress: 0 })),
  );
  await using client = await WsClient.connect(`${edge.ws}${SELECT}`);
  await client.next('hello');
  for (const frame of follows(ids)) client.send(frame);
  await waitFor(() => countOf(client, 'following') === ids.length, { what: 'all of them to be followed' });
  client.pauseReading();
  const before = await metric(edge.http, 'process_resident_memory_bytes');
  let peak = before;
  const extra = { note: 'y'.repeat(40_000) };
  for (let round = 1; round <= 25; round++) {
    await publishAll(
      nc,
      ids.map((id) => event(id, { progress: round, extra })),
    );
    peak = Math.max(peak, await metric(edge.http, 'process_resident_memory_bytes'));
  }
  expect(peak - before).toBeLessThan(150 * MiB);
  client.resumeReading();
  await waitFor(() => client.seen().length === 26 * ids.length, { what: 'all of it', timeoutMs: 50_000 });
  const stored = await storedEvents(nc, 'PROGRESS');
  for (const id of ids) {
    const owed = stored.flatMap(({ subject, seq }) => (subject === `progress.${id}` ? [seq] : []));
    expect(client.seen(id).map(({ seq }) => seq)).toEqual(owed);
  }
  expect(countOf(client, 'reset')).toBe(0);
  process.stdout.write(
    `    resident memory: before ${Math.round(before / MiB)}, at most ${Math.round(peak / MiB)} MiB\n`,
  );
}, 90_000);
