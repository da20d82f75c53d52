import { expect, test } from 'vitest';
import type { LogRecord } from '../../internal/eventlog/record.js';
import type { HistorySource, Page } from '../../internal/session/ports.js';
import { all, event, job, pureEdge, settled, types } from './edge-fixture.js';

const MINUTE = 60_000;

/** An edge that is ready, of a stream that is at `streamHead`. */
function edge(
  given: {
    tailBytes?: number;
    lastStateBytes?: number;
    maxReplay?: number;
    /** What lies behind the tail: up to where a page goes, and how many messages the stream keeps after the cursor. */
    page?: (after: number) => Pick<Page, 'cursor' | 'pending'>;
  } = {},
) {
  const clock = { now: 1_000_000_000 };
  const streamHead = { seq: 0 };
  const stored = { records: new Map<number, LogRecord>(), reads: 0 };
  const history: Partial<HistorySource> = {
    lastState: () => Promise.resolve(null),
    records: (seqs) => {
      stored.reads++;
      return Promise.resolve(seqs.flatMap((seq) => stored.records.get(seq) ?? []));
    },
    page: (_scope, after) => {
      if (given.page === undefined) return Promise.reject(new Error('this test does not read pages'));
      const read = given.page(after);
      const records = [...stored.records.values()].filter(({ seq }) => seq > after && seq <= read.cursor);
      return Promise.resolve({ kind: 'page', ...read, records, gap: null, previous: null });
    },
    reached: (cursor) =>
      Promise.resolve(
        cursor <= streamHead.seq
          ? { kind: 'ok' }
          : { kind: 'refused', reason: 'ahead', firstSeq: 1, lastSeq: streamHead.seq },
      ),
  };
  const { tailBytes, lastStateBytes, maxReplay = 1e6 } = given;
  const replay = { maxReplayJob: maxReplay, maxReplayAll: maxReplay };
  const limits = { heartbeatMs: 1_000, heartbeatAfterMs: 1_000, ...replay };
  const core = pureEdge({ tailBytes, lastStateBytes, limits, history, wallClock: () => clock.now });
  const { log } = core;
  log.begin('epoch');
  log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
  return {
    ...core,
    clock,
    streamHead,
    stored,
    append(seq: number, of: ReturnType<typeof event> | null) {
      const record = log.append(seq, clock.now, of);
      if (record !== null) stored.records.set(seq, record);
    },
  };
}

test('G5 stale cursors: a cursor ahead of the stream gets a reset, not a wait for ever', async () => {
  const { append, connect, streamHead, turn } = edge();
  append(1, event('a'));
  streamHead.seq = 1;
  const { frames } = connect(job('a'), { lastSeq: 9, epoch: null });
  await settled();
  turn();
  expect(frames[1]).toMatchObject({ type: 'reset', reason: 'ahead', first_seq: 1, last_seq: 1 });
  expect(types(frames)).toEqual(['hello', 'reset', 'progress_update', 'caught_up']);
});

test('G10 any edge: a cursor ahead of this edge, but not of the stream, is served without a reset', async () => {
  const { append, connect, streamHead, turn } = edge();
  append(1, event('a'));
  streamHead.seq = 3;
  const { frames } = connect(job('a'), { lastSeq: 3, epoch: 'epoch' });
  for (let i = 0; i < 2; i++) {
    await settled();
    turn();
  }
  append(2, event('a'));
  append(3, event('a'));
  append(4, event('a'));
  turn();
  expect(frames.slice(1)).toMatchObject([
    { type: 'caught_up', cursor: 3 },
    { type: 'progress_update', seq: 4 },
  ]);
});

test('G5 stale cursors: a cursor of another epoch gets a reset and the last state', () => {
  const { append, connect } = edge();
  append(1, event('a'));
  const { frames } = connect(job('a'), { lastSeq: 1, epoch: 'older' });
  expect(frames).toMatchObject([
    { type: 'hello' },
    { type: 'reset', reason: 'epoch', epoch: 'epoch' },
    { type: 'progress_update', seq: 1 },
    { type: 'caught_up', cursor: 1 },
  ]);
});

test('G5 stale cursors: too far behind is a reset by the configured limit, exactly above it', () => {
  const { append, connect } = edge({ maxReplay: 2 });
  for (let seq = 1; seq <= 5; seq++) append(seq, event('a'));
  expect(types(connect(job('a'), { lastSeq: 3, epoch: null }).frames)).not.toContain('reset');
  expect(connect(job('a'), { lastSeq: 2, epoch: null }).frames[1]).toMatchObject({
    type: 'reset',
    reason: 'limit',
  });
});

test("G5 stale cursors: too far behind in the history is a reset as well, but only for the client's own cursor", async () => {
  const { append, connect, log, turn } = edge({
    tailBytes: 1,
    maxReplay: 2,
    page: (after) => ({ cursor: after + 1, pending: after === 2 ? 2 : 3 }),
  });
  for (let seq = 1; seq <= 5; seq++) append(seq, event('a'));
  const far = connect(job('a'), { lastSeq: 1, epoch: null });
  const near = connect(job('a'), { lastSeq: 2, epoch: null });
  for (let i = 0; i < 9; i++) {
    await settled();
    turn();
  }
  expect(log.tailStart).toBe(4);
  expect(far.frames[1]).toMatchObject({ type: 'reset', reason: 'limit' });
  // Its first page is within the limit. More may be stored while it catches up: that is not its fault.
  expect(types(near.frames)).toEqual([
    'hello',
    'progress_update',
    'progress_update',
    'progress_update',
    'caught_up',
  ]);
});

test('G5 stale cursors: the cursor of a quiet connection does not age, since heartbeats carry a watermark', () => {
  const { append, connect, clock, hub, turn } = edge();
  const quiet = connect(job('quiet'));
  const filtered = connect({ kind: 'all', jobTypes: new Set(['other']) });
  for (let seq = 1; seq <= 50; seq++) append(seq, event('busy'));
  turn();
  clock.now += 1_000;
  hub.tick(clock.now, 'ok');
  for (const { frames } of [quiet, filtered]) {
    expect(frames.at(-1)).toEqual({ type: 'heartbeat', cursor: 50, feed: 'ok' });
  }
});

test('heartbeats come only after a silence of heartbeat_ms, and say when the feed is away', () => {
  const { append, connect, clock, hub, turn } = edge();
  const { frames } = connect(job('a'));
  clock.now += 999;
  hub.tick(clock.now, 'ok');
  expect(types(frames)).toEqual(['hello', 'caught_up']);
  append(1, event('a'));
  turn();
  clock.now += 999;
  hub.tick(clock.now, 'ok');
  expect(types(frames)).toEqual(['hello', 'caught_up', 'progress_update']);
  clock.now += 1;
  hub.tick(clock.now, 'away');
  expect(frames.at(-1)).toEqual({ type: 'heartbeat', cursor: 1, feed: 'away' });
});

test.each([
  { name: 'all jobs of a type', scope: all('render') },
  { name: 'a job of a type', scope: job('a', 'render') },
])('heartbeats come also while many events come that a client of $name is not shown', ({ scope }) => {
  const { append, clock, connect, hub, turn } = edge();
  append(1, event('a', { job_type: 'render' }));
  const { frames } = connect(scope);
  while (turn());
  const { length } = frames;
  for (let seq = 2; seq <= 5; seq++) {
    clock.now += 300;
    append(seq, event('a'));
    while (turn());
    hub.tick(clock.now, 'ok');
  }
  expect(frames.slice(length)).toEqual([{ type: 'heartbeat', cursor: 5, feed: 'ok' }]);
});

test('G4 slow readers: a full socket gets nothing more, no heartbeat either, and all of it in order when it drains', () => {
  const { append, connect, clock, hub, turn } = edge();
  const { session, frames, socket } = connect(job('a'));
  socket.buffered = 1_000;
  for (let seq = 1; seq <= 30; seq++) {
    append(seq, event('a'));
    turn();
  }
  clock.now += MINUTE;
  hub.tick(clock.now, 'ok');
  expect(types(frames)).toEqual(['hello', 'caught_up']);
  expect(session.cursor).toBe(0);
  socket.buffered = 0;
  session.pump();
  expect(frames.slice(2).map((frame) => 'seq' in frame && frame.seq)).toEqual(
    Array.from({ length: 30 }, (_, i) => i + 1),
  );
});

test('the end: a finished job ends its connection once the last update is sent, also behind a full socket', () => {
  const { append, connect, turn } = edge();
  const { session, frames, socket } = connect(job('a'));
  socket.buffered = 1_000;
  append(1, event('a', { status: 'completed', progress: 100 }));
  turn();
  expect(types(frames)).toEqual(['hello', 'caught_up']);
  socket.buffered = 0;
  session.pump();
  expect(types(frames)).toEqual(['hello', 'caught_up', 'progress_update', 'end']);
  expect(socket.closed).toBe(1000);
});

test('G6 the end: whoever connects after the end, fresh or with any cursor, gets it', () => {
  const { append, connect } = edge();
  append(1, event('a'));
  append(2, event('a', { status: 'error', progress: 5, error: { code: 'x' } }));
  append(3, event('b'));
  for (const resume of [null, 0, 1, 2, 3]) {
    const { frames, socket } = connect(
      job('a'),
      resume === null ? null : { lastSeq: resume, epoch: 'epoch' },
    );
    expect(types(frames).slice(-2)).toEqual(['caught_up', 'end']);
    expect(socket.closed).toBe(1000);
    const seqs = frames.flatMap((frame) => (frame.type === 'progress_update' ? [frame.seq] : []));
    expect(seqs).toEqual(resume === null ? [2] : [1, 2].filter((seq) => seq > resume));
  }
});

test('G6 the end: a failed attempt that may be retried is no end, nor is one that a later attempt followed', () => {
  const { append, connect, turn } = edge();
  append(1, event('a', { status: 'error', error: { code: 'x', retryable: true } }));
  append(2, event('b', { status: 'completed', progress: 100 }));
  append(3, event('b', { status: 'processing', attempt: 2 }));
  const waiting = connect(job('a'));
  const replayed = connect(job('b'), { lastSeq: 0, epoch: null });
  turn();
  expect(types(waiting.frames)).toEqual(['hello', 'progress_update', 'caught_up']);
  expect(types(replayed.frames)).toEqual(['hello', 'progress_update', 'progress_update', 'caught_up']);
});

test('G2 state first: all jobs get unfinished ones and those finished within ten minutes, in rising seq', () => {
  const { append, connect, clock } = edge();
  append(1, event('old', { status: 'completed' }));
  clock.now += 9 * MINUTE;
  append(2, event('new', { status: 'completed' }));
  append(3, event('open-1'));
  append(4, event('open-2'));
  append(5, event('open-1'));
  clock.now += 2 * MINUTE;
  const { frames } = connect({ kind: 'all', jobTypes: null });
  const shown = frames.flatMap((frame) => (frame.type === 'progress_update' ? [frame.processing_id] : []));
  expect(shown).toEqual(['new', 'open-2', 'open-1']);
  expect(frames.at(-1)).toEqual({ type: 'caught_up', cursor: 5 });
});

test('G9 bounded memory: jobs are let go by the limit, not while they are watched or in the tail, and are shown all the same', async () => {
  const { append, connect, log, turn, stored } = edge({ tailBytes: 900, lastStateBytes: 10_000 });
  connect(job('watched'));
  append(1, event('watched'));
  for (let i = 2; i <= 40; i++) append(i, event(`job-${i}`, i % 2 === 0 ? { status: 'completed' } : {}));
  expect(log.stats.lastStateBytes).toBeLessThanOrEqual(2 * 10_000);
  expect(log.stats.jobs).toBeLessThan(30);
  expect(log.hasAllStates).toBe(true);
  for (const id of ['watched', 'job-39', 'job-40']) expect(log.last(id)).toBeDefined();
  // Finished ones go before the others.
  expect(log.last('job-2')).toBeUndefined();
  expect(log.last('job-37')).toBeDefined();

  const { frames } = connect({ kind: 'all', jobTypes: null });
  for (let i = 0; i < 20; i++) {
    await settled();
    turn();
  }
  const shown = frames.flatMap((frame) => (frame.type === 'progress_update' ? [frame.seq] : []));
  expect(shown).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  expect(frames.at(-1)).toEqual({ type: 'caught_up', cursor: 40 });
  expect(stored.reads).toBeGreaterThan(0);
});

test('G9 bounded memory: when not even the places of all jobs fit, a page of all jobs is refused, not cut short', () => {
  const { append, connect, log } = edge({ tailBytes: 900, lastStateBytes: 2_000 });
  for (let i = 1; i <= 40; i++) append(i, event(`job-${i}`));
  // States and places, each within the limit.
  expect(log.stats.lastStateBytes).toBeLessThanOrEqual(2 * 2_000);
  const { frames, socket } = connect({ kind: 'all', jobTypes: null });
  expect(frames.at(-1)).toMatchObject({ type: 'error', code: 'overloaded' });
  expect(socket.closed).toBe(1013);
});

test('G9 bounded memory: watched jobs that exceed the limit by themselves do not cost the others their places', () => {
  const { append, connect, log, turn } = edge({ tailBytes: 900, lastStateBytes: 4_000 });
  const watched = Array.from({ length: 40 }, (_, i) => `watched-${i}`);
  for (const id of watched) connect(job(id));
  for (const [i, id] of watched.entries()) append(i + 1, event(id));
  for (let i = 41; i <= 60; i++) append(i, event(`job-${i}`));
  turn();
  expect(log.stats.lastStateBytes).toBeGreaterThan(2 * 4_000);
  for (const id of watched) expect(log.last(id)).toBeDefined();
  expect(log.last('job-41')).toBeUndefined();
  expect(log.hasAllStates).toBe(true);
});

test('G9 bounded memory: jobs that were kept because they were watched are let go once nobody watches', () => {
  const { append, connect, log, turn } = edge({ tailBytes: 900, lastStateBytes: 4_000 });
  const watchers = Array.from({ length: 40 }, (_, i) => connect(job(`watched-${i}`)));
  for (let i = 0; i < 40; i++) append(i + 1, event(`watched-${i}`));
  turn();
  for (const { connection } of watchers) connection.closed();
  append(41, event('another'));
  expect(log.stats.lastStateBytes).toBeLessThanOrEqual(2 * 4_000);
  expect(log.stats.jobs).toBeLessThan(25);
});

test('prev_seq is the previous valid event of the same job: 0 for its first, null where that cannot be known', () => {
  const { append, log } = edge();
  append(1, event('a'));
  append(2, null);
  append(3, event('b'));
  append(4, event('a'));
  // 5 and 6 were deleted before they could be read.
  append(7, event('a'));
  append(8, event('a'));
  append(9, event('c'));
  expect(log.last('b')?.prevSeq).toBe(0);
  expect(log.last('a')?.prevSeq).toBe(7);
  expect(log.last('c')?.prevSeq).toBeNull();
  // Whether they were a job's can be told by the event before them, where there is one.
  expect(log.read(job('a'), 4, 1e6)).toEqual({ kind: 'unverified', anchor: 4, gapSeq: 6 });
  expect(log.read(job('c'), 4, 1e6)).toEqual({ kind: 'out_of_range' });
  log.verified('a', 4, 6);
  expect(log.read(job('a'), 4, 1e6)).toMatchObject({ kind: 'records', cursor: 8 });
  expect(log.read(job('a'), 2, 1e6)).toMatchObject({ kind: 'unverified', anchor: 1 });
});

test('G5 stale cursors: a heartbeat before the log is loaded does not say the cursor of another epoch', () => {
  const { log, hub, clock, connect } = edge();
  log.begin('epoch');
  const other = connect({ kind: 'all', jobTypes: null }, { lastSeq: 7, epoch: 'another' });
  const same = connect({ kind: 'all', jobTypes: null }, { lastSeq: 7, epoch: 'epoch' });
  clock.now += MINUTE;
  hub.tick(clock.now, 'ok');
  expect(other.frames.at(-1)).toMatchObject({ type: 'heartbeat', cursor: 0 });
  expect(same.frames.at(-1)).toMatchObject({ type: 'heartbeat', cursor: 7 });
});
