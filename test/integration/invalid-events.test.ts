/** Messages that are not events: never shown, never in the way, counted and logged with the reason. */
import type { NatsConnection } from 'nats';
import { describe, expect, test } from 'vitest';
import { type Frame, type UpdateFrame, WsClient } from '../harness/client.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metricByLabel } from '../harness/metrics.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, event, publish, publishRaw } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const LOG_LINE = 'a stored message is not an event';

/** One message for each reason, for a job; `bad_subject` is about no job at all. */
const BAD: Record<string, (job: string) => [subject: string, body: string | Uint8Array]> = {
  bad_subject: (job) => [`progress.${job}$`, JSON.stringify(event(job))],
  too_large: (job) => [`progress.${job}`, JSON.stringify(event(job, { padding: 'x'.repeat(65_536) }))],
  not_utf8: (job) => [`progress.${job}`, Uint8Array.from([0x7b, 0xff, 0x7d])],
  not_json: (job) => [`progress.${job}`, `${JSON.stringify(event(job))},`],
  too_deep: (job) => [
    `progress.${job}`,
    JSON.stringify(event(job, { own: JSON.parse(`${'['.repeat(64)}${']'.repeat(64)}`) })),
  ],
  schema: (job) => [`progress.${job}`, JSON.stringify(event(job, { progress: 101 }))],
  subject_mismatch: (job) => [`progress.${job}`, JSON.stringify(event(`${job}-other`))],
};
const REASONS = Object.keys(BAD);

const shared = sharedNats();

/** Publishes one message that is not an event; returns its sequence. */
async function publishBad(job: string, reason: string, to: NatsConnection = shared.nc): Promise<number> {
  const [subject, body] = BAD[reason]?.(job) ?? [];
  return await publishRaw(to, String(subject), body ?? '');
}

/** Valid events with one of each kind of garbage before, between and behind them; returns the valid sequences. */
async function publishMixed(job: string, count: number): Promise<number[]> {
  const valid: number[] = [];
  for (let i = 0; i <= count; i++) {
    for (const reason of REASONS) await publishBad(job, reason);
    if (i < count) valid.push(await publish(shared.nc, job, { progress: i }));
  }
  return valid;
}

const watch = async (edge: EdgeProcess, path: string, on = shared.nc) => {
  await edgeHasRead(edge.http, on);
  return WsClient.connect(`${edge.ws}/ws/upload-progress${path}`);
};
const links = (updates: UpdateFrame[]) => updates.map(({ seq, prev_seq }) => [seq, prev_seq]);
/** Each sequence with the one before it; the first with `first`. */
const chain = (seqs: number[], first: number | null = 0) => seqs.map((seq, i) => [seq, seqs[i - 1] ?? first]);
const caughtUp = ({ type }: Frame) => type === 'caught_up';

const invalidByReason = (edge: EdgeProcess): Promise<Record<string, number>> =>
  metricByLabel(edge.http, 'headway_events_invalid_total');

describe('G8 bad input: among valid events', () => {
  test('every kind is left out live, and prev_seq names the previous valid event', async () => {
    await using edge = await startEdgeProcess({ natsUrl: shared.nats.url });
    const before = await invalidByReason(edge);
    const job = jobId();
    await using one = await watch(edge, `/${job}`);
    await using all = await watch(edge, '?job_type=mixed');
    await one.until(caughtUp);
    await all.until(caughtUp);
    const valid = await publishMixed(job, 5);
    const typed = await publish(shared.nc, job, { job_type: 'mixed' });

    const updates = await one.updates(6);
    expect(links(updates).slice(1)).toEqual(chain([...valid, typed]).slice(1));
    expect(updates[0]?.prev_seq).toBe(0);
    expect(links(await all.updates(1))).toEqual([[typed, valid.at(-1)]]);
    expect(one.seen()).toHaveLength(6);

    const counted = await invalidByReason(edge);
    const change = REASONS.map((reason) => [reason, (counted[reason] ?? 0) - (before[reason] ?? 0)]);
    expect(Object.fromEntries(change)).toEqual(Object.fromEntries(REASONS.map((reason) => [reason, 6])));
  });

  test('every kind is left out of a replay, from memory and from JetStream', async () => {
    await using roomy = await startEdgeProcess({ natsUrl: shared.nats.url });
    const job = jobId();
    const first = await publish(shared.nc, job);
    const valid = await publishMixed(job, 12);
    const last = await publish(shared.nc, job, { progress: 99 });
    // Its tail holds hardly more than the padding that follows.
    await using tight = await startEdgeProcess({
      natsUrl: shared.nats.url,
      env: { HEADWAY_TAIL_BYTES: '65536' },
    });
    const padding = jobId('padding');
    for (let i = 0; i < 5; i++) await publish(shared.nc, padding, { note: 'x'.repeat(30_000) });
    for (const edge of [roomy, tight]) {
      for (const path of [`/${job}?last_seq=${first}`, `?last_seq=${first}`]) {
        await using client = await watch(edge, path);
        const frames = await client.until(caughtUp);
        expect(frames.map(({ type }) => type)).not.toContain('reset');
        const updates = client.seen(job);
        expect(updates.map(({ seq }) => seq)).toEqual([...valid, last]);
        for (const [index, [, prevSeq]] of links(updates).entries()) {
          const true_ = [first, ...valid][index];
          // At the start of a page of JetStream's the previous one may be unknown; it is never a wrong one.
          expect(edge === roomy || path.startsWith('/') ? [true_] : [true_, null]).toContain(prevSeq);
        }
      }
      await using amid = await watch(edge, `/${job}?last_seq=${valid[3]}`);
      await amid.until(caughtUp);
      expect(amid.seen().map(({ seq }) => seq)).toEqual([...valid.slice(4), last]);
    }
  });

  test('a cursor that stands on one of them resumes like any other', async () => {
    await using edge = await startEdgeProcess({ natsUrl: shared.nats.url });
    const job = jobId();
    const first = await publish(shared.nc, job);
    const bad = await publishBad(job, 'schema');
    const second = await publish(shared.nc, job, { progress: 2 });
    await using client = await watch(edge, `/${job}?last_seq=${bad}`);
    await client.until(caughtUp);
    expect(links(client.seen())).toEqual([[second, first]]);
  });
});

describe('G8 bad input: is explained to operators', () => {
  test('each with seq, subject, reason and detail', async () => {
    await using server = await startNats();
    await using own = await connectNats(server.url);
    await using edge = await startEdgeProcess({ natsUrl: server.url });
    const job = jobId();
    const bad: [number, string][] = [];
    for (const reason of REASONS) bad.push([await publishBad(job, reason, own), reason]);
    const lines = await waitFor(
      () => {
        const now = edge.logged(LOG_LINE);
        return now.length >= bad.length && now;
      },
      { what: 'a line for each' },
    );
    expect(lines.map(({ seq, reason }) => [seq, reason])).toEqual(bad);
    for (const { level, subject, reason, detail } of lines) {
      expect(level).toBe(40);
      expect(subject).toBe(BAD[String(reason)]?.(job)[0]);
      expect(detail).toMatch(/\S/);
    }
    expect(lines.find(({ reason }) => reason === 'schema')?.detail).toBe(
      '/progress is 101; expected a number from 0 to 100',
    );
    expect(edge.output()).not.toContain('xxxxxxxxxx');
  });

  test('at a bounded rate: a flood is counted in full and logged in part', async () => {
    await using server = await startNats();
    await using own = await connectNats(server.url);
    await using edge = await startEdgeProcess({ natsUrl: server.url });
    const job = jobId();
    await using client = await watch(edge, `/${job}`, own);
    await client.until(caughtUp);
    const js = own.jetstream();
    const startedAt = performance.now();
    const seqs = await Promise.all(
      // Over four jobs: of one the stream keeps 1,000, and lets the oldest go before a busy edge has read them.
      Array.from({ length: 2_000 }, (_, index) => publishRaw(js, `progress.${job}-${index % 4}`, 'garbage')),
    );
    const valid = await publish(js, job);
    expect((await client.updates(1))[0]?.seq).toBe(valid);
    expect(await invalidByReason(edge)).toEqual({ not_json: 2_000 });
    const windows = Math.ceil((performance.now() - startedAt) / 10_000);
    await waitFor(() => edge.logged(LOG_LINE).length >= 10, { what: 'ten lines' });
    const lines = edge.logged(LOG_LINE);
    expect(lines.length).toBeLessThanOrEqual(10 * (windows + 1));
    expect(lines.slice(0, 10).map(({ seq }) => seq)).toEqual(seqs.sort((a, b) => a - b).slice(0, 10));
  });
});

describe('G8 bad input: as the newest message of a job', () => {
  /** The edge that saw it all, and one that starts afterwards. */
  async function onBothEdges(
    prepare: () => Promise<void>,
    check: (edge: EdgeProcess) => Promise<void>,
  ): Promise<void> {
    await using old = await startEdgeProcess({ natsUrl: shared.nats.url });
    await prepare();
    await using young = await startEdgeProcess({ natsUrl: shared.nats.url });
    await check(old);
    await check(young);
  }

  test.each(REASONS)('%s: the job shows its newest valid state, on every edge', async (reason) => {
    const job = jobId();
    let first = 0;
    let newest = 0;
    let bad = 0;
    await onBothEdges(
      async () => {
        first = await publish(shared.nc, job, { progress: 1 });
        newest = await publish(shared.nc, job, { progress: 42, job_type: job });
        bad = await publishBad(job, reason);
      },
      async (edge) => {
        for (const path of [`/${job}`, `?job_type=${job}`]) {
          await using client = await watch(edge, path);
          const frames = await client.until(caughtUp);
          expect(frames.map(({ type }) => type)).toEqual(['hello', 'progress_update', 'caught_up']);
          expect(frames[1]).toMatchObject({ seq: newest, progress: 42 });
          expect([first, null]).toContain(frames[1]?.prev_seq);
          expect(frames[2]?.cursor).toBeGreaterThanOrEqual(bad);
        }
      },
    );
  });

  test('after hundreds of them', async () => {
    const job = jobId();
    let newest = 0;
    await onBothEdges(
      async () => {
        newest = await publish(shared.nc, job, { progress: 42 });
        for (let i = 0; i < 400; i++) await publishBad(job, 'not_json');
      },
      async (edge) => {
        await using client = await watch(edge, `/${job}`);
        expect((await client.updates(1))[0]?.seq).toBe(newest);
      },
    );
  });

  test('G6 the end: it does not hide that the job is finished', async () => {
    const job = jobId();
    let end = 0;
    await onBothEdges(
      async () => {
        await publish(shared.nc, job);
        end = await publish(shared.nc, job, { status: 'completed', progress: 100, result: { pages: 3 } });
        await publishBad(job, 'not_json');
      },
      async (edge) => {
        await using client = await watch(edge, `/${job}`);
        const frames = await client.until(({ type }) => type === 'end');
        expect(frames.map(({ type }) => type)).toEqual(['hello', 'progress_update', 'caught_up', 'end']);
        expect(frames[1]).toMatchObject({ seq: end, result: { pages: 3 } });
        expect((await client.closed).code).toBe(1000);
      },
    );
  });

  test('a job that has nothing else is waited for, and its first valid event comes', async () => {
    const job = jobId();
    await onBothEdges(
      async () => {
        for (const reason of REASONS) await publishBad(job, reason);
      },
      async (edge) => {
        await using client = await watch(edge, `/${job}`);
        expect((await client.until(caughtUp)).map(({ type }) => type)).toEqual(['hello', 'caught_up']);
      },
    );
    await using edge = await startEdgeProcess({ natsUrl: shared.nats.url });
    await using client = await watch(edge, `/${job}`);
    await client.until(caughtUp);
    const seq = await publish(shared.nc, job);
    const [update] = await client.updates(1);
    expect(update?.seq).toBe(seq);
    expect([0, null]).toContain(update?.prev_seq);
  });
});
