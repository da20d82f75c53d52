/** Messages that were deleted before they could be read, and jobs that leave the stream. */
import { describe, expect, test } from 'vitest';
import { GapList } from '../../internal/eventlog/gaps.js';
import { RECENTLY_FINISHED_MS } from '../../internal/eventlog/log.js';
import { makeRecord } from '../../internal/eventlog/record.js';
import type { HistorySource } from '../../internal/session/ports.js';
import { all, event, job, pureEdge, settled, types } from './edge-fixture.js';

/** An edge that is ready, over a stream that keeps what `kept` says. */
function edge(given: { tailBytes?: number; lastStateBytes?: number; maxReplay?: number } = {}) {
  const clock = { now: 1_000 };
  const kept = { isKept: (_seq: number) => true };
  const asked = { kept: [] as number[], states: [] as number[], pages: 0 };
  const history: Partial<HistorySource> = {
    isKept: (seq) => {
      asked.kept.push(seq);
      return Promise.resolve(kept.isKept(seq));
    },
    page: (scope, after) => {
      asked.pages++;
      const refused = { kind: 'refused', reason: 'retention', firstSeq: 1, lastSeq: log.head } as const;
      if (scope.kind === 'job') return Promise.resolve(refused);
      const gap = { after, before: log.head + 1 };
      return Promise.resolve({
        kind: 'page',
        records: [],
        cursor: log.head,
        previous: null,
        pending: 0,
        gap,
      });
    },
    lastState: () => Promise.resolve(null),
    reached: () => Promise.resolve({ kind: 'ok' }),
    records: (seqs) => {
      asked.states.push(...seqs);
      return Promise.resolve(seqs.map((seq) => makeRecord(event(`large-${seq}`), seq, null, clock.now)));
    },
  };
  const { tailBytes, lastStateBytes, maxReplay = 1e6 } = given;
  const limits = {
    heartbeatMs: 1_000,
    heartbeatAfterMs: 1_000,
    maxReplayJob: maxReplay,
    maxReplayAll: maxReplay,
  };
  const parts = pureEdge({ tailBytes, lastStateBytes, limits, history, wallClock: () => clock.now });
  const { log, hub, turn } = parts;
  log.begin('epoch');
  log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
  return {
    ...parts,
    clock,
    kept,
    asked,
    append(seq: number, id: string, fields = {}) {
      log.append(seq, clock.now, event(id, fields));
    },
    heartbeat() {
      clock.now += 1_000;
      hub.tick(clock.now, 'ok');
    },
    async rest() {
      for (let i = 0; i < 20; i++) {
        await settled();
        turn();
      }
    },
  };
}

describe('a gap concerns those whose events may lie in it', () => {
  test('G1 order: who follows another job goes on from memory, after one look at whether its last event is kept', async () => {
    const { append, asked, connect, rest } = edge();
    append(1, 'quiet');
    append(2, 'busy');
    const quiet = Array.from({ length: 50 }, () => connect(job('quiet')));
    const followsAll = connect(all());
    await rest();
    // 3 to 99 were pushed out of the stream by their own job before they could be read.
    append(100, 'busy');
    await rest();
    for (const { session } of quiet) expect(session.state).toBe('live');
    expect(asked).toEqual({ kept: [], states: [], pages: 0 });

    append(101, 'quiet');
    await rest();
    for (const { frames } of quiet) {
      expect(frames.at(-1)).toMatchObject({ type: 'progress_update', seq: 101, prev_seq: 1 });
      expect(types(frames)).not.toContain('reset');
    }
    expect(new Set(asked.kept)).toEqual(new Set([1]));
    expect(asked.pages).toBe(0);
    expect(followsAll.frames.slice(4)).toMatchObject([
      { type: 'skipped', reason: 'retention', after: 2, before: 100 },
      { type: 'progress_update', seq: 100, prev_seq: null },
      { type: 'progress_update', seq: 101 },
    ]);
  });

  test.each([
    ['short', 2_000],
    ['long', 1e6],
  ])(
    'G1 order: nobody’s history is read for it either where the job’s last event is not in the tail, a %s one',
    async (_, tailBytes) => {
      const { append, asked, connect, log, rest } = edge({ tailBytes });
      log.begin('epoch');
      for (const [seq, id] of ['loaded', 'busy'].entries()) log.load(seq + 1, 0, event(id));
      log.ready({ head: 2, firstSeq: 1, complete: true, neverTrimmed: true });
      const { frames } = connect(job('loaded'));
      await rest();
      for (let seq = 100; seq < 120; seq++) append(seq, 'busy');
      append(120, 'loaded');
      append(121, 'loaded');
      await rest();
      expect(frames.slice(-2)).toMatchObject([
        { seq: 120, prev_seq: 1 },
        { seq: 121, prev_seq: 120 },
      ]);
      expect(asked).toEqual({ kept: [1], states: [], pages: 0 });
    },
  );

  test('G1 order: the job whose events were lost gets a reset with its next event', async () => {
    const { append, connect, kept, rest } = edge();
    append(1, 'busy');
    const { frames } = connect(job('busy'));
    await rest();
    kept.isKept = () => false;
    append(9, 'busy');
    await rest();
    expect(types(frames)).toEqual([
      'hello',
      'progress_update',
      'caught_up',
      'reset',
      'progress_update',
      'caught_up',
    ]);
    expect(frames.at(-2)).toMatchObject({ seq: 9, prev_seq: null });
  });

  test('G1 order: a silent job whose events were lost gets a reset by and by, and its heartbeats do not go past the gap before', async () => {
    const { append, connect, heartbeat, kept, rest } = edge();
    append(1, 'purged');
    append(2, 'quiet');
    const purged = connect(job('purged'));
    const quiet = connect(job('quiet'));
    await rest();
    heartbeat();
    kept.isKept = (seq) => seq === 2;
    append(9, 'another');
    await rest();
    expect(purged.session.cursor).toBe(2);
    heartbeat();
    expect(purged.frames.at(-1)).toMatchObject({ type: 'heartbeat', cursor: 2 });
    await rest();
    expect(types(purged.frames).slice(-3)).toEqual(['reset', 'progress_update', 'caught_up']);
    expect(types(quiet.frames)).not.toContain('reset');
    expect(quiet.session.cursor).toBe(9);
  });

  test('G5 stale cursors: who waits for the first event of a job is looked after as well, and goes on behind the gap', async () => {
    const { append, asked, connect, heartbeat, rest } = edge();
    append(1, 'another');
    const { frames, session } = connect(job('none yet'));
    await rest();
    append(9, 'another');
    await rest();
    heartbeat();
    await rest();
    expect(types(frames).slice(-2)).toEqual(['reset', 'caught_up']);
    heartbeat();
    await rest();
    expect(frames.at(-1)).toMatchObject({ type: 'heartbeat', cursor: 9 });
    expect(session.cursor).toBe(9);
    expect(asked.pages).toBe(1);
  });

  test('G1 order: while gaps go on and on, every silent job is looked up, and not the first ones again and again', async () => {
    const { append, asked, connect, heartbeat, rest } = edge();
    const silent = Array.from({ length: 250 }, (_, i) => i + 1);
    for (const seq of silent) append(seq, `silent-${seq}`);
    for (const seq of silent) connect(job(`silent-${seq}`));
    await rest();
    for (let seq = 1_000; seq < 1_005; seq++) {
      append(2 * seq, 'busy');
      heartbeat();
      await rest();
    }
    expect(new Set(asked.kept)).toEqual(new Set(silent));
  });

  test('G5 stale cursors: a gap before a message that is no event is told as well', async () => {
    const { append, connect, log, rest } = edge();
    append(1, 'a');
    const { frames } = connect(all());
    await rest();
    log.append(5, 0, null);
    await rest();
    expect(frames.at(-1)).toEqual({ type: 'skipped', reason: 'retention', after: 1, before: 5 });
  });

  test('G9 bounded memory: however many gaps there are, a bounded number is kept, and none is forgotten that is in the tail', () => {
    const gaps = new GapList();
    for (let seq = 10; seq <= 100_000; seq += 10) gaps.push({ after: seq, before: seq + 5 });
    expect(gaps.newestSeq).toBe(100_004);
    expect(gaps.between(0, 200_000)).toEqual({ after: 10, before: 100_005 });
    expect(gaps.between(99_004, 99_010)).toBeNull();
    expect(gaps.between(99_999, 100_001)).toEqual({ after: 100_000, before: 100_005 });
    gaps.dropUpTo(99_990);
    expect(gaps.between(0, 200_000)).toEqual({ after: 99_990, before: 100_005 });
    gaps.dropUpTo(200_000);
    expect(gaps.between(0, 200_000)).toBeNull();
    expect(gaps.newestSeq).toBe(100_004);
  });
});

describe('all jobs catch up by newest states where events are missing or too many', () => {
  test('G5 stale cursors: a cut within them goes on behind what was shown', async () => {
    const { append, connect, rest } = edge({ tailBytes: 1 });
    for (let seq = 1; seq <= 20; seq++)
      append(seq, `job-${seq % 5}`, { status: seq > 18 ? 'completed' : 'processing' });
    const first = connect(all(), { lastSeq: 3, epoch: 'epoch' });
    await rest();
    expect(first.frames.slice(1)).toMatchObject([
      { type: 'skipped', reason: 'retention', after: 3, before: 21 },
      ...[16, 17, 18, 19, 20].map((seq) => ({ type: 'progress_update', seq })),
      { type: 'caught_up', cursor: 20 },
    ]);
    const again = connect(all(), { lastSeq: 17, epoch: 'epoch' });
    await rest();
    expect(again.frames.slice(1)).toMatchObject([
      { type: 'skipped', after: 17, before: 21 },
      { seq: 18 },
      { seq: 19 },
      { seq: 20 },
      { type: 'caught_up' },
    ]);
  });

  test('G5 stale cursors: limits count the events to send, of a job its own, and not sequences', () => {
    const { append, connect } = edge({ maxReplay: 3 });
    append(1, 'quiet');
    for (let seq = 2; seq <= 50; seq++) append(seq, 'busy');
    append(51, 'quiet');
    expect(types(connect(job('quiet'), { lastSeq: 1, epoch: 'epoch' }).frames)).toEqual([
      'hello',
      'progress_update',
      'caught_up',
    ]);
    expect(connect(job('busy'), { lastSeq: 2, epoch: 'epoch' }).frames[1]).toMatchObject({ reason: 'limit' });
    expect(connect(all(), { lastSeq: 1, epoch: 'epoch' }).frames.slice(1)).toMatchObject([
      { type: 'skipped', reason: 'limit', after: 1, before: 52 },
      { seq: 50 },
      { seq: 51 },
      { type: 'caught_up', cursor: 51 },
    ]);
  });

  test('G9 bounded memory: of states that memory let go, no more are read at once than a socket should hold', async () => {
    const stateBytes = 30_000;
    const { append, asked, connect, rest } = edge({ tailBytes: 1, lastStateBytes: 100_000 });
    const message = 'x'.repeat(4_000);
    for (let seq = 1; seq <= 40; seq++)
      append(seq, `large-${seq}`, { message, more: 'x'.repeat(stateBytes - 4_000) });
    const slow = connect(all(), null, { fullAfter: 2 });
    await rest();
    // The client has read one update, and may be cut off now.
    expect(asked.states.length).toBeLessThanOrEqual(3);
    slow.socket.fullAfter = Number.POSITIVE_INFINITY;
    slow.session.pump();
    await rest();
    expect(types(slow.frames).filter((type) => type === 'progress_update')).toHaveLength(40);
    expect(slow.frames.at(-1)).toMatchObject({ type: 'caught_up', cursor: 40 });
  });

  test('G9 bounded memory: jobs that are passed over, as many as they are, are walked in many turns, not in one', () => {
    const { clock, connect, log, turn } = edge({ lastStateBytes: 1e9 });
    log.begin('epoch');
    const ended = { status: 'completed', job_type: 'render' } as const;
    for (let seq = 1; seq <= 100_000; seq++) log.load(seq, 0, event(`job-${seq}`, ended));
    log.ready({ head: 100_000, firstSeq: 1, complete: true, neverTrimmed: true });
    clock.now = 2 * RECENTLY_FINISHED_MS;
    const { session } = connect(all('render'));
    let turns = 0;
    for (; session.state !== 'live'; turns++) expect(turn()).toBe(true);
    expect(turns).toBeGreaterThan(1);
  });

  test('G9 bounded memory: a filter costs what it finds: one that matches nothing among a hundred thousand jobs is done at once', async () => {
    const { append, asked, connect, log, turn } = edge({ tailBytes: 1, lastStateBytes: 1_000_000 });
    for (let seq = 1; seq <= 5_000; seq++) append(seq, `job-${seq}`, { job_type: 'render' });
    expect(log.hasAllStates).toBe(true);
    expect(log.stats.jobs).toBeLessThan(4_000);
    while (turn());
    const { session, frames } = connect(all('none'));
    expect(session.state).toBe('live');
    expect(frames.at(-1)).toEqual({ type: 'caught_up', cursor: 5_000 });
    // What was let go is not read either: its place in the stream says of which type it is.
    expect(asked.states).toEqual([]);
  });
});

describe('jobs that leave the stream', () => {
  test('leave memory, and are told to all jobs: to those who are live, and to those who come back', async () => {
    const { append, asked, connect, log, rest } = edge();
    append(1, 'old', { job_type: 'a' });
    append(2, 'young', { job_type: 'b' });
    const [live, ofType, ofOther] = [connect(all()), connect(all('a')), connect(all('b'))];
    const one = connect(job('old'));
    await rest();
    expect(log.trim({ firstSeq: 2, lastSeq: 2 }, 0).map(({ id }) => id)).toEqual(['old']);
    await rest();
    const gone = { type: 'gone', processing_id: 'old' };
    expect(live.frames.at(-1)).toEqual(gone);
    expect(ofType.frames.at(-1)).toEqual(gone);
    for (const { frames } of [ofOther, one]) expect(types(frames)).not.toContain('gone');
    expect(log.last('old')).toBeUndefined();

    const back = connect(all(), { lastSeq: 2, epoch: 'epoch' });
    expect(back.frames.slice(1)).toEqual([gone, { type: 'caught_up', cursor: 2 }]);
    const fresh = connect(all());
    expect(types(fresh.frames)).toEqual(['hello', 'progress_update', 'caught_up']);

    // It comes back, and is a job like any other.
    append(3, 'old', { job_type: 'a' });
    await rest();
    expect(live.frames.at(-1)).toMatchObject({ type: 'progress_update', seq: 3 });
    const later = connect(all(), { lastSeq: 2, epoch: 'epoch' });
    expect(types(later.frames)).toEqual(['hello', 'progress_update', 'caught_up']);
    expect(asked.pages).toBe(0);
  });

  test('G1 order: what of them was read and not yet sent is sent all the same', async () => {
    const { append, connect, log, rest } = edge();
    append(1, 'a');
    const slow = connect(job('a'), null, { fullAfter: 3 });
    await rest();
    append(2, 'a');
    append(3, 'a', { status: 'completed' });
    await rest();
    expect(log.drop(['a', 'unknown'], 3, 0)).toEqual([{ id: 'a', jobType: undefined }]);
    slow.socket.fullAfter = Number.POSITIVE_INFINITY;
    slow.session.pump();
    expect(types(slow.frames)).toEqual([
      'hello',
      'progress_update',
      'caught_up',
      'progress_update',
      'progress_update',
      'end',
    ]);
  });

  test('G10 any edge: a client is told also where another edge, which had not noticed yet, gave it a higher cursor', () => {
    const { append, clock, connect, log } = edge();
    append(1, 'old');
    append(2, 'young');
    log.trim({ firstSeq: 2, lastSeq: 2 }, clock.now);
    append(3, 'young');
    const from = (lastSeq: number) => types(connect(all(), { lastSeq, epoch: 'epoch' }).frames);
    expect(from(3)).toEqual(['hello', 'gone', 'caught_up']);
    // However late it comes back: by then every edge had noticed, and gave out higher ones to who was told.
    clock.now += 10 * 60_000;
    log.trim({ firstSeq: 2, lastSeq: 3 }, clock.now);
    append(4, 'young');
    expect(from(3)).toEqual(['hello', 'gone', 'progress_update', 'caught_up']);
    expect(from(4)).toEqual(['hello', 'caught_up']);
  });

  test('G10 any edge: a client that is ahead of this edge is told when the edge has read what it was shown, also where that is no event', async () => {
    const { append, clock, connect, log, rest } = edge();
    append(1, 'old');
    append(2, 'back');
    log.trim({ firstSeq: 3, lastSeq: 4 }, clock.now);
    await rest();
    // Another edge has read 3, of a job that is back, and 4.
    const { frames } = connect(all(), { lastSeq: 4, epoch: 'epoch' });
    await rest();
    expect(types(frames)).toEqual(['hello', 'caught_up']);
    append(3, 'back');
    await rest();
    expect(types(frames)).toEqual(['hello', 'caught_up']);
    log.append(4, clock.now, null);
    await rest();
    expect(frames.slice(2)).toEqual([{ type: 'gone', processing_id: 'old' }]);
  });

  test('are not told where they are back, also when memory has let go of them again', () => {
    const { append, clock, connect, log } = edge({ tailBytes: 1, lastStateBytes: 3_000 });
    append(1, 'back');
    append(2, 'old');
    append(3, 'young');
    log.trim({ firstSeq: 3, lastSeq: 3 }, clock.now);
    append(4, 'back', { status: 'completed' });
    clock.now += RECENTLY_FINISHED_MS + 1;
    for (let seq = 5; seq <= 40; seq++) append(seq, `job-${seq}`);
    expect(log.last('back')).toBeUndefined();
    const { frames } = connect(all(), { lastSeq: 40, epoch: 'epoch' });
    expect(frames.slice(1)).toEqual([
      { type: 'gone', processing_id: 'old' },
      { type: 'caught_up', cursor: 40 },
    ]);
  });

  test('are told also where memory had let go of them, and of their place, long after they finished', async () => {
    const { append, clock, connect, log, rest } = edge({ tailBytes: 1, lastStateBytes: 3_000 });
    const { frames } = connect(all());
    append(1, 'done', { status: 'completed' });
    await rest();
    clock.now += RECENTLY_FINISHED_MS + 1;
    for (let seq = 2; seq <= 40; seq++) append(seq, `job-${seq}`);
    await rest();
    expect(log.last('done')).toBeUndefined();
    expect([...log.jobIds()]).toContain('done');
    log.drop(['done'], 40, clock.now);
    await rest();
    expect(frames.at(-1)).toEqual({ type: 'gone', processing_id: 'done' });
  });

  test('G5 stale cursors: are told after the stream was put back to an older past, at once', async () => {
    const { append, clock, connect, log, rest } = edge();
    for (let seq = 1; seq <= 9; seq++) append(seq, `job-${seq}`);
    log.trim({ firstSeq: 2, lastSeq: 9 }, clock.now);
    log.begin('epoch', 'ahead');
    log.load(3, 0, event('a'));
    log.ready({ head: 4, firstSeq: 3, complete: true, neverTrimmed: false });
    const { frames } = connect(all(), { lastSeq: 3, epoch: 'epoch' });
    await rest();
    log.drop(['a'], 4, clock.now);
    await rest();
    expect(frames.at(-1)).toEqual({ type: 'gone', processing_id: 'a' });
  });

  test('what reported after the stream was listed stays', () => {
    const { append, log } = edge();
    append(1, 'a');
    append(2, 'b');
    expect(log.drop(['a', 'b'], 1, 0)).toEqual([{ id: 'a', jobType: undefined }]);
    expect([...log.jobIds()]).toEqual(['b']);
    expect(log.jobCount).toBe(1);
  });

  test('are told when the log was loaded anew meanwhile', async () => {
    const { append, connect, log, rest } = edge();
    append(1, 'a');
    append(2, 'b');
    const { frames } = connect(all());
    await rest();
    log.begin('epoch');
    log.load(2, 0, event('b'));
    log.ready({ head: 2, firstSeq: 2, complete: true, neverTrimmed: false });
    await rest();
    expect(frames.slice(-2)).toEqual([
      { type: 'gone', processing_id: 'a' },
      { type: 'caught_up', cursor: 2 },
    ]);
  });
});

describe('a cursor belongs to its scope', () => {
  const scopeOf = (frames: readonly object[]): string => (frames[0] as { scope: string }).scope;

  test('G5 stale cursors: who comes back with a wider filter gets everything of it, after a reset', async () => {
    const { append, connect, rest } = edge();
    append(1, 'x', { job_type: 'x' });
    append(2, 'y', { job_type: 'y' });
    const narrow = scopeOf(connect(all('y')).frames);
    const wide = connect(all('x', 'y'), { lastSeq: 2, epoch: 'epoch', scope: narrow });
    await rest();
    expect(wide.frames.slice(1)).toMatchObject([
      { type: 'reset', reason: 'scope' },
      { seq: 1 },
      { seq: 2 },
      { type: 'caught_up', cursor: 2 },
    ]);
    const same = connect(all('y', 'x'), { lastSeq: 2, epoch: 'epoch', scope: scopeOf(wide.frames) });
    expect(types(same.frames)).toEqual(['hello', 'caught_up']);
    const unsaid = connect(all('x', 'y'), { lastSeq: 2, epoch: 'epoch' });
    expect(types(unsaid.frames)).toEqual(['hello', 'caught_up']);
  });

  test('G5 stale cursors: a cursor of one job is none of another', () => {
    const { append, connect } = edge();
    append(1, 'a');
    append(2, 'b');
    const { frames } = connect(job('a'), {
      lastSeq: 2,
      epoch: 'epoch',
      scope: scopeOf(connect(job('b')).frames),
    });
    expect(types(frames)).toEqual(['hello', 'reset', 'progress_update', 'caught_up']);
  });
});
