/** Who follows the rules arrives, however far it was away, however slow it is and however often it is cut. */
import { expect, test } from 'vitest';
import { metric } from '../harness/metrics.js';
import { PageClient } from '../harness/page-client.js';
import { event, publish, publishAll } from '../harness/publish.js';
import { ReconnectingClient } from '../harness/reconnecting-client.js';

import { waitFor } from '../harness/wait.js';
import { arrive, Crowd, framesOf, publishJobs, reportAllTheTime } from './crowd.js';
import { Recorder, type Scope } from './recorder.js';
import { measured } from './workload.js';

const ALL: Scope = { kind: 'all', jobTypes: null };
const JOBS_PATH = '/ws/upload-progress';
/** About how many small events an edge here has in memory. */
const TAIL_EVENTS = 500;

test('G5 stale cursors: all jobs, cut after every 20 updates while one job runs beyond its limit: caught up after a bounded number of connections', async () => {
  await using crowd = await Crowd.start({ max_msgs_per_subject: 50 }, {}, async (nc) => {
    await publishJobs(nc, 'early', 300, 300);
    await publishAll(
      nc,
      Array.from({ length: 200 }, () => event('busy')),
    );
    await publishJobs(nc, 'late', 300, 300);
  });
  await using _ = reportAllTheTime(crowd.nc, 'busy');
  const fresh = new Recorder('new', ALL);
  const stale = new Recorder('away for long', ALL);
  await stale.connect(crowd.edge.ws, 'first', 100);
  await waitFor(() => !stale.isOpen, { what: 'the first cut' });

  for (const client of [fresh, stale]) {
    // Each job once; and, however much the busy one reports, no more of it than the edge's memory has, now and then.
    const updates = 601 + 3 * TAIL_EVENTS;
    const connections = await arrive(client, crowd.edge.ws, 20, updates);
    measured(`${client.name}, cut after each 20 updates, until caught up`, connections, 'connections');
    expect(framesOf(client, 'reset')).toEqual([]);
    expect(client.shown.size).toBe(601);
  }
});

test('G4 slow readers: all jobs on a slow link while one job runs beyond its limit: caught up on one connection, without a reset', async () => {
  const jobs = 6_000;
  const stateBytes = 3_000;
  const bytesPerSecond = 5_000_000;
  await using crowd = await Crowd.start({ max_msgs_per_subject: 20 }, {}, (nc) =>
    publishJobs(nc, 'job', jobs, stateBytes),
  );
  await using _ = reportAllTheTime(crowd.nc, 'busy');
  // The kernel takes some megabytes at once; what is more waits for the reader.
  crowd.front.slow(bytesPerSecond, 'down');
  const startedAt = performance.now();
  const head = await metric(crowd.edge.http, 'headway_log_head_seq');
  await using slow = ReconnectingClient.start(`ws://${crowd.front.host}`, JOBS_PATH);
  await slow.until(({ caughtUp }) => caughtUp > 0, 'caught up', 60_000);
  measured(
    `${jobs} jobs of ${stateBytes} bytes at ${bytesPerSecond / 1e6} MB/s, until caught up`,
    Math.round(performance.now() - startedAt),
  );
  const passed = (await metric(crowd.edge.http, 'headway_log_head_seq')) - head;
  measured('meanwhile the busy job reported', passed, 'times');
  expect(slow.resets).toEqual([]);
  expect(slow.connects).toBe(1);
  expect(new Set(slow.updates.map(({ id }) => id)).size).toBe(jobs + 1);
  // It was left behind on its way, so there was something to skip.
  expect(slow.skips.map(({ reason }) => reason)).toContain('retention');
});

test('G1 order: one job’s burst beyond its limit is the business of those who follow it: the others are neither reset nor read for', async () => {
  const quiet = 300;
  await using crowd = await Crowd.start(
    { max_msgs_per_subject: 100 },
    { HEADWAY_TAIL_BYTES: String(64 * 1024 * 1024) },
    (nc) => publishJobs(nc, 'quiet', quiet, 300),
  );
  const { edge, link, nc } = crowd;
  await publish(nc, 'burst');
  const ids = Array.from({ length: quiet }, (_, index) => `quiet-${index}`);
  const followers = ids.map((id) => ReconnectingClient.start(edge.ws, `${JOBS_PATH}/${id}`));
  await using ofBurst = ReconnectingClient.start(edge.ws, `${JOBS_PATH}/burst`);
  await using ofAll = PageClient.start(edge.ws);
  await Promise.all(
    [...followers, ofBurst, ofAll].map((one) => one.until(({ caughtUp }) => caughtUp > 0, 'caught up')),
  );
  const pages = (): Promise<number> =>
    metric(edge.http, 'headway_history_read_seconds_count{kind="page"}', 0);
  expect(await pages()).toBe(0);

  link.stall();
  await publishAll(
    nc,
    Array.from({ length: 3_000 }, () => event('burst')),
  );
  link.flow();
  await crowd.read();
  const seqs = await publishAll(
    nc,
    ids.map((id) => event(id)),
  );
  await Promise.all(
    followers.map((one, at) => one.until(({ cursor }) => (cursor ?? 0) >= (seqs[at] ?? 0), 'its event')),
  );
  const last = seqs.at(-1) ?? 0;
  await ofBurst.until(({ cursor, caughtUp }) => caughtUp > 1 && (cursor ?? 0) >= last, 'the head');
  await ofAll.until(({ cursor }) => (cursor ?? 0) >= last, 'the head');

  for (const [at, one] of followers.entries()) {
    expect(one.resets).toEqual([]);
    expect(one.updates.map(({ seq }) => seq)).toEqual([at + 1, seqs[at]]);
    expect(one.updates[1]?.prevSeq).toBe(at + 1);
    expect(one.connects).toBe(1);
  }
  expect(ofBurst.resets).toMatchObject([{ reason: 'retention' }]);
  expect(ofAll.resets).toEqual([]);
  expect(new Set(ofAll.skips.map(({ reason }) => reason))).toEqual(new Set(['retention']));
  measured(`read for ${quiet} clients on quiet jobs beside a burst`, await pages(), 'pages');
  expect(await pages()).toBeLessThanOrEqual(3);
  await Promise.all(followers.map((one) => one.stop()));
});

test('G9 bounded memory: what an edge reads from NATS for those who are far behind is about what it sends them', async () => {
  const eventBytes = 50_000;
  const each = 60;
  const ids = ['a', 'b', 'c', 'd'];
  const note = 'x'.repeat(eventBytes);
  await using crowd = await Crowd.start({}, {}, (nc) =>
    publishAll(
      nc,
      Array.from({ length: each * ids.length }, (_, index) =>
        event(ids[index % ids.length] as string, { note }),
      ),
      50,
    ),
  );
  const { edge, link } = crowd;
  const before = link.passed('down');
  const sentBefore = await metric(edge.http, 'headway_updates_sent_total');
  // From the job's first event on; two on each job, at the same moment, and two on all jobs.
  const clients = [0, 1].flatMap((copy) => [
    ...ids.map((id) => new Recorder(`${id} ${copy}`, { kind: 'job', id })),
    new Recorder(`all ${copy}`, ALL),
  ]);
  const epoch = await epochOf(edge.ws);
  await Promise.all(
    clients.map(async (client) => {
      client.claim(4, epoch);
      await arrive(client, edge.ws, 7, each * ids.length);
    }),
  );
  const read = link.passed('down') - before;
  const sent = ((await metric(edge.http, 'headway_updates_sent_total')) - sentBefore) * eventBytes;
  for (const client of clients) {
    const updates = framesOf(client, 'progress_update').length;
    expect(updates).toBe(client.scope.kind === 'all' ? each * ids.length - 4 : each - 1);
    expect(framesOf(client, 'reset')).toEqual([]);
  }
  measured('read from NATS', Math.round(read / 1e6), 'MB');
  measured('sent to clients that were cut again and again', Math.round(sent / 1e6), 'MB');
  // With each event of one job come the one at the cursor and, as proof that nothing is missing, the oldest; both as large.
  expect(read).toBeLessThan(4 * sent);
});

async function epochOf(base: string): Promise<string> {
  const client = new Recorder('who asks for the epoch', { kind: 'job', id: 'none' });
  await client.connect(base);
  await waitFor(() => client.epoch, { what: 'hello' });
  await client.drop();
  return client.epoch ?? '';
}
