/** `max_rate` over real edges: how often updates come, what they stand for, and what a cut costs. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Frame, type UpdateFrame, WsClient } from '../harness/client.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { event, publish, publishAll } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { SseClient } from '../harness/sse-client.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats();
let edge: LocalEdge;
beforeAll(async () => {
  edge = await startLocalEdge(shared.nats.url, { HEADWAY_HEARTBEAT_MS: '500' });
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready' });
});
afterAll(() => edge[Symbol.asyncDispose]());

type Update = UpdateFrame & { folded?: number; resume_seq?: number };
/** What one connection brought before it was cut off, and the cursor that its client had then. */
interface Piece {
  readonly cursor: number;
  readonly updates: readonly Update[];
}

const isCaughtUp = ({ type }: Frame) => type === 'caught_up';

/** What was taken of a connection, by the rules of PROTOCOL.md. @param before the cursor that it began with */
function pieceOf(frames: readonly Frame[], before: number): Piece {
  let cursor = before;
  const updates: Update[] = [];
  for (const frame of frames) {
    expect(['reset', 'skipped', 'error']).not.toContain(frame.type);
    if (isCaughtUp(frame)) cursor = frame.cursor as number;
    if (frame.type !== 'progress_update') continue;
    const update = frame as Update;
    updates.push(update);
    cursor = update.resume_seq ?? update.seq;
  }
  return { cursor, updates };
}

/**
 * By job, the events that the updates stand for. What lies behind the cursor of a piece does not count: it comes again.
 * @param stored the sequences of each job's events, in order
 */
function covered(stored: ReadonlyMap<string, number[]>, pieces: readonly Piece[]): Map<string, number[]> {
  const counted = new Map([...stored.keys()].map((id): [string, number[]] => [id, []]));
  for (const { cursor, updates } of pieces) {
    for (const { processing_id: id, seq, prev_seq, folded = 1 } of updates) {
      const seqs = stored.get(id);
      if (seqs === undefined) continue;
      const first = seqs.indexOf(seq) - folded + 1;
      if (prev_seq !== null) expect(prev_seq).toBe(seqs[first - 1] ?? 0);
      counted.get(id)?.push(...seqs.slice(first, first + folded));
    }
    for (const [id, seqs] of counted)
      counted.set(
        id,
        seqs.filter((seq) => seq <= cursor),
      );
  }
  return counted;
}

/** The first event of each of these jobs, so that the rest come behind a state that is known. */
async function begin(ids: readonly string[]): Promise<Map<string, number[]>> {
  const stored = new Map<string, number[]>();
  for (const id of ids) stored.set(id, [await publish(shared.nc, id, { job_type: TYPE })]);
  await edgeHasRead(edge.http, shared.nc);
  return stored;
}

/** Many events of these jobs in turn, with a new step now and then. */
async function run(stored: Map<string, number[]>, count: number): Promise<void> {
  const ids = [...stored.keys()];
  const events = Array.from({ length: count }, (_, index) =>
    event(ids[index % ids.length] as string, {
      job_type: TYPE,
      progress: (index / count) * 100,
      step: { name: `step ${Math.floor((index * 4) / count)}` },
    }),
  );
  const seqs = await publishAll(shared.nc, events, 50);
  for (const [index, { processing_id }] of events.entries())
    stored.get(processing_id)?.push(seqs[index] as number);
}
const TYPE = 'conflated';

describe('G1 order, with a max_rate', () => {
  test('one job: five updates a second and the changes, which stand for all events; the last state is exact', async () => {
    const id = jobId();
    const stored = await begin([id]);
    const foldedBefore = await metric(edge.http, 'headway_updates_folded_total');
    await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress/${id}?max_rate=5`);
    const frames = await client.until(isCaughtUp);
    const began = performance.now();
    await run(stored, 2_000);
    const last = await publish(shared.nc, id, { job_type: TYPE, status: 'completed', progress: 100 });
    stored.get(id)?.push(last);
    frames.push(...(await client.until(({ type }) => type === 'end', { timeoutMs: 30_000 })));
    const seconds = (performance.now() - began) / 1_000;
    const piece = pieceOf(frames, 0);
    const { updates } = piece;
    expect(covered(stored, [piece])).toEqual(stored);
    expect(updates.at(-1)).toMatchObject({ seq: last, status: 'completed', progress: 100 });
    // The first state, four steps and the end; and one more for each interval that has begun.
    expect(updates.length).toBeLessThanOrEqual(6 + 1 + Math.floor(seconds * 5));
    const steps = updates.map(({ step }) => (step as { name?: string } | undefined)?.name);
    expect([...new Set(steps)]).toEqual([undefined, 'step 0', 'step 1', 'step 2', 'step 3']);
    const folded = (await metric(edge.http, 'headway_updates_folded_total')) - foldedBefore;
    expect(folded).toBe(2_002 - updates.length);
  });

  test.each([
    ['one job', 1, (ids: readonly string[]) => `/${ids[0]}?max_rate=20`],
    ['all jobs', 20, () => `?job_type=${TYPE}&max_rate=20`],
  ])('G10 any edge: %s, cut again and again, on two edges', async (_what, jobs, pathOf) => {
    await using other = await startLocalEdge(shared.nats.url);
    await waitFor(() => other.edge.isReady(), { what: 'the other edge to be ready' });
    const ids = Array.from({ length: jobs }, () => jobId());
    const stored = await begin(ids);
    await edgeHasRead(other.http, shared.nc);
    const pieces: Piece[] = [];
    let [cursor, epoch] = ['', ''];
    const read = async (of: LocalEdge, isLast: (frame: Frame) => boolean) => {
      await using client = await WsClient.connect(`${of.ws}/ws/upload-progress${pathOf(ids)}${cursor}`);
      const frames = await client.until(isLast, { timeoutMs: 30_000 });
      epoch = frames[0]?.epoch as string;
      const piece = pieceOf(frames, pieces.at(-1)?.cursor ?? 0);
      pieces.push(piece);
      cursor = `&last_seq=${piece.cursor}&epoch=${epoch}`;
    };
    await read(edge, isCaughtUp);
    let isOver = false;
    const running = run(stored, 3_000).finally(() => {
      isOver = true;
    });
    for (let cut = 0; !isOver; cut++) {
      let left = 1 + ((cut * 7) % 30);
      const isLast = (frame: Frame) => isOver || (frame.type === 'progress_update' && --left <= 0);
      await read(cut % 2 === 0 ? other : edge, isLast);
    }
    await running;
    for (const of of [edge, other]) await edgeHasRead(of.http, shared.nc);
    await read(edge, isCaughtUp);
    const of = (map: ReadonlyMap<string, number[]>) => ids.map((id) => map.get(id));
    expect(of(covered(stored, pieces))).toEqual(of(stored));
    expect(pieces.some(({ updates }) => updates.some(({ folded = 1 }) => folded > 1))).toBe(true);
  });

  test('selected jobs: each by itself', async () => {
    const ids = Array.from({ length: 10 }, () => jobId());
    const stored = await begin(ids);
    const named = ids.map((id) => `&processing_id=${id}`).join('');
    await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress?select&max_rate=5${named}`);
    let following = 0;
    const frames = await client.until(({ type }) => type === 'following' && ++following === ids.length);
    await run(stored, 2_000);
    for (const id of ids)
      stored.get(id)?.push(await publish(shared.nc, id, { job_type: TYPE, status: 'completed' }));
    let ended = 0;
    frames.push(
      ...(await client.until(({ type }) => type === 'end' && ++ended === ids.length, { timeoutMs: 30_000 })),
    );
    const { updates } = pieceOf(frames, 0);
    expect(covered(stored, [{ cursor: Number.POSITIVE_INFINITY, updates }])).toEqual(stored);
    expect(updates.some(({ folded = 1 }) => folded > 1)).toBe(true);
  });

  test('G10 any edge: several jobs on one stream, cut again and again, on two edges', async () => {
    await using other = await startLocalEdge(shared.nats.url);
    await waitFor(() => other.edge.isReady(), { what: 'the other edge to be ready' });
    const ids = Array.from({ length: 5 }, () => jobId());
    const stored = await begin(ids);
    await edgeHasRead(other.http, shared.nc);
    const named = ids.map((id) => `processing_id=${id}`).join('&');
    const taken = new Map<string, Update[]>(ids.map((id) => [id, []]));
    let running: Promise<void> | null = null;
    let [lastEventId, isOver, cuts] = ['', false, 0];
    for (let status = 0; status !== 204; ) {
      const of = cuts % 2 === 0 ? edge : other;
      using client = new SseClient(
        `${of.http}/sse/upload-progress?max_rate=10&${named}`,
        lastEventId === '' ? {} : { 'last-event-id': lastEventId },
      );
      await waitFor(() => client.lastEventId !== '' || client.status === 204, { what: 'an id' });
      running ??= run(stored, 3_000).then(async () => {
        for (const id of ids)
          stored.get(id)?.push(await publish(shared.nc, id, { job_type: TYPE, status: 'completed' }));
        for (const one of [edge, other]) await edgeHasRead(one.http, shared.nc);
        isOver = true;
      });
      const wanted = 1 + ((cuts++ * 7) % 23);
      await waitFor(
        () => client.isClosed || client.status === 204 || (!isOver && client.updates.length >= wanted),
        { what: 'a few updates' },
      );
      ({ lastEventId, status } = client);
      for (const frame of client.frames) {
        expect(['reset', 'error']).not.toContain(frame.type);
        if (frame.type !== 'progress_update') continue;
        const updates = taken.get(frame.processing_id) ?? [];
        // What comes again is known by its seq.
        if (frame.seq > (updates.at(-1)?.seq ?? 0)) updates.push(frame as Update);
      }
    }
    await running;
    for (const [id, updates] of taken) {
      const truth = stored.get(id) ?? [];
      let last = updates[0]?.prev_seq ?? 0;
      for (const { seq, prev_seq, folded = 1 } of updates) {
        // It stands for all that was not shown yet, and it may stand for some that was.
        expect(prev_seq ?? 0).toBeLessThanOrEqual(last);
        expect(truth[truth.indexOf(seq) - folded] ?? 0).toBe(prev_seq ?? 0);
        last = seq;
      }
      expect(last).toBe(truth.at(-1));
      expect(updates.length).toBeLessThan(truth.length / 2);
      expect(updates.some(({ folded = 1 }) => folded > 1)).toBe(true);
    }
    expect(cuts).toBeGreaterThan(3);
  });

  test('server-sent events: the id alone resumes, in the midst of a window as well', async () => {
    const ids = Array.from({ length: 5 }, () => jobId());
    const stored = await begin(ids);
    const url = `${edge.http}/sse/upload-progress?job_type=${TYPE}&max_rate=2`;
    using first = new SseClient(url);
    await waitFor(() => first.frames.some(({ type }) => type === 'caught_up'), { what: 'caught_up' });
    await run(stored, 500);
    const isFolded = () =>
      first.frames.some((frame) => frame.type === 'progress_update' && (frame.folded ?? 1) > 1);
    await waitFor(isFolded, { what: 'a folded update' });
    const { lastEventId } = first;
    await edgeHasRead(edge.http, shared.nc);
    using back = new SseClient(url, { 'last-event-id': lastEventId });
    await waitFor(() => back.frames.some(({ type }) => type === 'caught_up'), { what: 'caught_up' });
    const newest = new Map<string, number>();
    for (const frame of [...first.frames, ...back.frames])
      if (frame.type === 'progress_update') newest.set(frame.processing_id, frame.seq);
    for (const id of ids) expect(newest.get(id)).toBe(stored.get(id)?.at(-1));
    expect(back.frames.map(({ type }) => type)).not.toContain('reset');
  });
});

test('G8 bad input: a max_rate that is none is explained', async () => {
  await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress/${jobId()}?max_rate=0`);
  expect(await client.next('error')).toMatchObject({
    code: 'invalid_query',
    message: 'max_rate is "0"; expected 0.1 to 50: updates a second for each job',
  });
  expect(await client.ended()).toMatchObject({ code: 4400 });
  const answer = await fetch(`${edge.http}/sse/upload-progress?max_rate=1&max_rate=1`);
  expect([answer.status, await answer.json()]).toMatchObject([
    400,
    { code: 'invalid_query', detail: 'max_rate is given more than once' },
  ]);
});
