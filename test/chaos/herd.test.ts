import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Child } from '../harness/child.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, event, publishAll, type StoredEvent, storedEvents } from '../harness/publish.js';
import { discrepancy, ReconnectingClient } from '../harness/reconnecting-client.js';
import { measured } from './workload.js';

const STREAM = 'PROGRESS';
const JOB = '/ws/upload-progress';
const CLIENTS = Number(process.env.HEADWAY_HERD ?? 10_000);
const JOBS = 2_000;
const AWAY = new Error('there is no edge');
/**
 * While there is no edge nobody dials: this process would be busy with refused connections for seconds at a time, and not
 * see that the next edge is ready.
 */
const away = (): never => {
  throw AWAY;
};
/** Other tests run beside this one, and all its clients are in one process. */
const PATIENCE_MS = 120_000;

test(`herds: ${CLIENTS} clients of ${JOBS} jobs come back within a second after their edge was killed; a live one hardly feels it`, async () => {
  await using nats = await startNats();
  await using first = await startEdgeProcess({ natsUrl: nats.url });
  const nc = await connectNats(nats.url);
  const ids = Array.from({ length: JOBS }, () => jobId());
  const publishRound = (progress: number) =>
    publishAll(
      nc,
      ids.map((id) => event(id, { progress })),
    );
  await publishRound(0);

  let base: string | null = first.ws;
  const followers = Array.from({ length: CLIENTS }, (_, i) =>
    ReconnectingClient.start(() => base ?? away(), `${JOB}/${ids[i % JOBS]}`),
  );
  await Promise.all(
    followers.map((one) => one.until(({ caughtUp }) => caughtUp > 0, 'caught up', PATIENCE_MS)),
  );
  await publishRound(1);

  // What they miss is older than all that the next edge has in memory, so that each of them needs a read.
  base = null;
  await first.kill();
  await publishRound(2);
  await using second = await startEdgeProcess({ natsUrl: nats.url });
  const live = jobId('live');
  await using witness = ReconnectingClient.start(second.ws, `${JOB}/${live}`);
  await witness.until(({ caughtUp }) => caughtUp > 0, 'caught up');
  base = second.ws;
  const startedAt = performance.now();
  const delays: number[] = [];
  const back = Promise.all(
    followers.map((one) => one.until(({ caughtUp }) => caughtUp > 1, 'caught up again', PATIENCE_MS)),
  );
  let isBack = false;
  void back.then(() => {
    isBack = true;
  });
  for (let i = 0; !isBack; i++) {
    const sentAt = performance.now();
    const [seq] = await publishAll(nc, [event(live, { progress: i % 100 })]);
    await witness.until(({ cursor }) => (cursor ?? 0) >= (seq ?? 0), 'the live update');
    delays.push(performance.now() - sentAt);
  }
  await back;
  measured(`${CLIENTS} clients back and caught up`, Math.round(performance.now() - startedAt));
  delays.sort((a, b) => a - b);
  measured('live update meanwhile, median', Math.round(delays[delays.length >> 1] ?? 0));
  measured('live update meanwhile, slowest', Math.round(delays.at(-1) ?? 0));
  const reads = await metric(second.http, 'headway_history_read_seconds_count{kind="page"}', 0);
  process.stdout.write(`    pages read from JetStream for them: ${reads}\n`);
  // Equal reads are done once.
  expect(reads).toBeGreaterThan(JOBS / 2);
  expect(reads).toBeLessThan(CLIENTS);

  await publishAll(
    nc,
    ids.map((id) => event(id, { status: 'completed', progress: 100 })),
  );
  await Promise.all(followers.map((one) => one.until(({ hasEnded }) => hasEnded, 'the end', PATIENCE_MS)));
  const byJob = new Map<string, StoredEvent[]>(ids.map((id) => [id, []]));
  for (const stored of await storedEvents(nc, STREAM))
    byJob.get(stored.subject.slice('progress.'.length))?.push(stored);
  for (const [i, follower] of followers.entries()) {
    expect(discrepancy(follower, byJob.get(ids[i % JOBS] as string) ?? [])).toBeNull();
    expect(follower.resets).toEqual([]);
  }
  await Promise.all(followers.map((one) => one.stop()));
  await nc.close();
}, 420_000);

/** Each process has one file for each client, and may open 20,000. */
const PROCESSES = 2;
const JOBS_EACH = 20;

test(`G1 order, G3 faults: ${CLIENTS} connections of ${JOBS_EACH} selected jobs each come back after their edge was killed; each follows every job again and misses nothing`, async () => {
  await using nats = await startNats();
  const first = await startEdgeProcess({ natsUrl: nats.url });
  await using nc = await connectNats(nats.url);
  const ids = Array.from({ length: JOBS }, () => jobId());
  const publishRound = (fields: Record<string, unknown>) =>
    publishAll(
      nc,
      ids.map((id) => event(id, fields)),
    );
  await publishRound({ progress: 0 });
  const folder = await mkdtemp(join(tmpdir(), 'herd-'));
  const address = join(folder, 'address');
  await writeFile(address, first.ws);
  const program = fileURLToPath(new URL('selected-herd.mjs', import.meta.url));
  const each = Math.ceil(CLIENTS / PROCESSES);
  const herds = await Promise.all(
    Array.from({ length: PROCESSES }, (_, index) =>
      Child.spawn(`herd ${index}`, process.execPath, [
        program,
        address,
        String(each),
        String(JOBS_EACH),
        String(index * each),
        ...ids,
      ]),
    ),
  );
  try {
    const all = async (word: string, nth: number): Promise<string[]> =>
      Promise.all(
        herds.map((herd) => {
          let left = nth;
          return herd.line(
            (line) => (line.startsWith(word) && --left === 0 ? line : undefined),
            word,
            PATIENCE_MS,
          );
        }),
      );
    await all('following', 1);
    await writeFile(address, '');
    await first.kill();
    // What they miss is older than all that the next edge has in memory, and more than a last state.
    await publishRound({ progress: 1 });
    await publishRound({ progress: 2 });
    await using second = await startEdgeProcess({ natsUrl: nats.url });
    const startedAt = performance.now();
    await writeFile(address, second.ws);
    const back = await all('following', 2);
    measured(
      `${CLIENTS} connections of ${JOBS_EACH} jobs back, and every job followed`,
      Math.round(performance.now() - startedAt),
    );
    const resident = await metric(second.http, 'process_resident_memory_bytes');
    measured('memory of their edge', Math.round(resident / 1024 / 1024), 'MiB');
    process.stdout.write(`    ${back.join('; ')}\n`);
    expect(await metric(second.http, 'headway_sessions{state="live"}')).toBe(herds.length * each * JOBS_EACH);
    await publishRound({ status: 'completed', progress: 100 });
    const totals = (await all('ended', 1)).map((line) => JSON.parse(line.slice('ended '.length)));
    // The first state, the two that were missed, and the end: all that is stored of each job. Each came after the one before it.
    for (const { updates } of totals) expect(updates).toBe(each * JOBS_EACH * 4);
    for (const herd of herds) expect(herd.output()).not.toContain('wrong');
  } finally {
    for (const herd of herds) await herd.kill();
    await first.kill();
    await rm(folder, { recursive: true });
  }
}, 420_000);
