/** A `max_rate`: what is sent when, what each update stands for, and where a client goes on. */
import { describe, expect, test } from 'vitest';
import type { Scope } from '../../internal/eventlog/record.js';
import { makeRecord } from '../../internal/eventlog/record.js';
import { DueQueue } from '../../internal/session/due-queue.js';
import { FoldBuffer } from '../../internal/session/fold-buffer.js';
import { all, event, job, settled, types, updates } from './edge-fixture.js';
import { edge, times, told } from './paced-edge.js';

describe('one job', () => {
  test('the first update of a quiet time goes at once, the next one when its time has come, for all since', () => {
    const { publish, pass, connect } = edge();
    const { frames } = connect(job('a'), null, { maxRate: 5 });
    expect(frames[0]).toMatchObject({ type: 'hello', max_rate: 5 });
    publish(['a']);
    expect(told(frames)).toEqual([[1, 0, undefined, undefined]]);
    publish(...times(10, 'a'));
    pass(150);
    publish(...times(10, 'a'));
    expect(told(frames)).toHaveLength(1);
    pass(60);
    expect(told(frames).slice(1)).toEqual([[21, 1, 20, undefined]]);
    pass(1_000);
    publish(['a']);
    expect(told(frames).slice(2)).toEqual([[22, 21, undefined, undefined]]);
  });

  test.each([
    ['status', { status: 'error', error: { retryable: true } }],
    ['step.name', { step: { name: 'next' } }],
    ['attempt', { attempt: 2 }],
    ['job_type', { job_type: 'pdf' }],
  ])('a change of %s comes at once, and stands for what was held back before it', (_what, fields) => {
    const { publish, pass, connect } = edge();
    const { frames } = connect(job('a'), null, { maxRate: 0.1 });
    publish(['a']);
    publish(...times(3, 'a'));
    publish(['a', fields]);
    publish(['a', fields]);
    publish(['a']);
    expect(told(frames).slice(1)).toEqual([
      [5, 1, 4, undefined],
      [7, 5, 2, undefined],
    ]);
    pass(10_010);
    expect(told(frames)).toHaveLength(3);
  });

  test('G6 the end: an error that may be tried again behind a final one is a change', () => {
    const { publish, pass, connect } = edge();
    const { frames } = connect(all(), null, { maxRate: 1 });
    publish(['a', { status: 'error' }]);
    const again = { status: 'error', error: { retryable: true } };
    publish(['a', again], ['a', again]);
    pass(1_010);
    expect(told(frames).slice(1)).toEqual([
      [2, 1, undefined, undefined],
      [3, 2, undefined, undefined],
    ]);
  });

  test('a step without another name, a message and progress are no change', () => {
    const { publish, connect } = edge();
    const { frames } = connect(job('a'), null, { maxRate: 1 });
    publish(['a', { step: { name: 'read', index: 1 } }]);
    publish(['a', { step: { name: 'read', index: 2 }, message: 'x', progress: 7, eta_seconds: 3 }]);
    expect(told(frames)).toHaveLength(1);
  });

  test('G6 the end: it comes at once, and behind it the end', () => {
    const { publish, connect } = edge();
    const { frames } = connect(job('a'), null, { maxRate: 0.1 });
    publish(['a'], ['a'], ['a']);
    publish(['a'], ['a', { status: 'completed' }]);
    expect(told(frames)).toEqual(
      [
        [1, 0, undefined, undefined],
        [5, 1, 4, undefined],
      ].slice(0, 2),
    );
    expect(types(frames).at(-1)).toBe('end');
  });

  test('G1 order: the cursor of a heartbeat stays before what is held back, and a resume is exact', () => {
    const { publish, connect, hub, clock } = edge({ heartbeatAfterMs: 0 });
    const first = connect(job('a'), null, { maxRate: 0.1 });
    publish(['a']);
    publish(['b'], ['a'], ['b'], ['a']);
    hub.tick(clock.now, 'ok');
    const cursor = first.frames.at(-1);
    expect(cursor).toEqual({ type: 'heartbeat', cursor: 1, feed: 'ok' });
    hub.remove(first.connection);
    const resume = { lastSeq: 1, epoch: 'epoch' };
    expect(told(connect(job('a'), resume, { maxRate: 0.1 }).frames)).toEqual([[5, 1, 2, undefined]]);
    expect(told(connect(job('a'), resume).frames)).toEqual([
      [3, 1, undefined, undefined],
      [5, 3, undefined, undefined],
    ]);
  });

  test('G1 order: a log that starts over sends what was held back, behind the event that was sent', async () => {
    const stored = [2, 3].map((seq) => makeRecord(event('a'), seq, null, 0));
    const page = { kind: 'page', records: stored, cursor: 3, pending: 2, gap: null, previous: null } as const;
    const { publish, connect, log, turn } = edge({}, { page: () => Promise.resolve(page) });
    const { frames } = connect(job('a'), null, { maxRate: 0.1 });
    publish(['a']);
    publish(['a'], ['a']);
    log.begin('epoch');
    log.load(3, 0, event('a'));
    log.ready({ head: 3, firstSeq: 1, complete: true, neverTrimmed: true });
    while (turn());
    await settled();
    while (turn());
    expect(told(frames).slice(1)).toEqual([
      [2, 1, undefined, undefined],
      [3, 2, undefined, undefined],
    ]);
    expect(frames.at(-1)).toEqual({ type: 'caught_up', cursor: 3 });
  });

  test.each([
    ['before', 500, 1],
    ['when', 1_500, 2],
  ])(
    'what is held back waits for its time, and for no answer of JetStream, which is asked %s it comes',
    (_when, ms, atOnce) => {
      let asked = 0;
      const never = () => new Promise<never>(() => asked++);
      const { publish, pass, connect, log, turn, clock } = edge({}, { isKept: never });
      const { frames } = connect(job('a'), null, { maxRate: 1 });
      publish(['a']);
      publish(['a'], ['a']);
      clock.now += ms;
      // Something was deleted unread: whether it was of this job JetStream has to say.
      log.append(6, clock.now, event('a'));
      turn();
      expect([asked, told(frames).length]).toEqual([1, atOnce]);
      pass(1_010);
      expect(told(frames)).toEqual([
        [1, 0, undefined, undefined],
        [3, 1, 2, undefined],
      ]);
    },
  );

  test('a stall is told behind what was held back', () => {
    const { publish, connect, hub } = edge();
    const { frames } = connect(job('a'), null, { maxRate: 0.1 });
    publish(['a']);
    publish(['a'], ['a']);
    hub.stalled('a', 1_000);
    expect(types(frames).slice(-2)).toEqual(['progress_update', 'stalled']);
    expect(told(frames).at(-1)).toEqual([3, 1, 2, undefined]);
  });

  test('the job of a worker that alternates between two types is shown with each change', () => {
    const { publish, connect } = edge();
    const { frames } = connect(job('a'), null, { maxRate: 0.1 });
    for (const job_type of ['x', 'y', 'x']) publish(['a', { job_type }]);
    expect(told(frames)).toHaveLength(3);
  });
});

describe('all jobs', () => {
  test('a window for all of them: the newest of each, changes as well, in one go when the time has come', () => {
    const { publish, pass, connect } = edge();
    const { frames, connection } = connect(all(), null, { maxRate: 1 });
    publish(['a'], ['b']);
    expect(told(frames)).toHaveLength(2);
    publish(['a'], ['b'], ['a'], ['a', { step: { name: 'x' } }], ['b']);
    publish(['a', { step: { name: 'x' } }], ['c']);
    expect(told(frames)).toHaveLength(2);
    expect(connection.session.state).toBe('live');
    pass(1_010);
    expect(told(frames).slice(2)).toEqual([
      [6, 1, 3, 3],
      [7, 2, 2, undefined],
      [8, 6, undefined, undefined],
      [9, 0, undefined, undefined],
    ]);
    pass(10_000);
    publish(['a', { step: { name: 'x' } }]);
    expect(told(frames).at(-1)).toEqual([10, 8, undefined, undefined]);
  });

  test('G1 order: cut off at any frame of a window, a client gets by its cursor all that is missing', () => {
    const { publish, pass, connect, hub } = edge();
    const first = connect(all(), null, { maxRate: 1 });
    publish(['a'], ['b'], ['c']);
    publish(['a'], ['b'], ['a'], ['c'], ['b'], ['c'], ['c'], ['a']);
    pass(1_010);
    const window = updates(first.frames).slice(3);
    expect(window).toHaveLength(3);
    for (const cut of [1, 2, 3]) {
      const seen = new Map<string, number>();
      for (const { processing_id, seq } of [...updates(first.frames).slice(0, 3), ...window.slice(0, cut)])
        seen.set(processing_id, seq);
      const last = window[cut - 1];
      const lastSeq = last?.resume_seq ?? last?.seq ?? 0;
      const { frames, connection } = connect(all(), { lastSeq, epoch: 'epoch' }, { maxRate: 1 });
      for (const { processing_id, seq, prev_seq } of updates(frames)) {
        expect(prev_seq).toBeLessThanOrEqual(seen.get(processing_id) ?? 0);
        seen.set(processing_id, seq);
      }
      expect(Object.fromEntries(seen)).toEqual({ a: 11, b: 8, c: 10 });
      hub.remove(connection);
    }
  });

  test('G9 memory: a window that grows too large is sent before its time', () => {
    const { publish, connect, pass } = edge({ watermarkBytes: 1_000 });
    const { frames } = connect(all(), null, { maxRate: 0.1 });
    publish(['a']);
    publish(...Array.from({ length: 50 }, (_, index): [string] => [`job-${index}`]));
    expect(told(frames)).toHaveLength(1);
    pass(10_010);
    expect(told(frames)).toHaveLength(51);
    expect(told(frames).map(([seq]) => seq)).toEqual(Array.from({ length: 51 }, (_, index) => index + 1));
  });

  test('G7 nobody unauthorised: what was held back when the token was narrowed stays back', async () => {
    const { connect, publish, pass } = edge();
    const expiry = { at: 1e9, text: '2026-01-01T00:00:00Z' };
    const narrow = (scope: Scope) => ({ ok: true, scope: { ...scope, jobTypes: new Set(['x']) } }) as const;
    const renew = () => Promise.resolve({ kind: 'renewed', expiry, narrow } as const);
    const credentials = { expiry, warnMs: 0, renew };
    const { frames, connection } = connect(all(), null, { maxRate: 0.1, credentials });
    publish(['a', { job_type: 'y' }]);
    publish(['a', { job_type: 'y' }], ['b', { job_type: 'x' }]);
    connection.receive(JSON.stringify({ type: 'auth', token: 't' }));
    await settled();
    pass(10_010);
    expect(types(frames)).toContain('auth_ok');
    expect(updates(frames).map(({ seq }) => seq)).toEqual([1, 3]);
  });

  test('G7 nobody unauthorised: of one job as well', async () => {
    const { connect, publish, pass } = edge();
    const expiry = { at: 1e9, text: '2026-01-01T00:00:00Z' };
    const narrow = (scope: Scope) => ({ ok: true, scope: { ...scope, jobTypes: new Set(['x']) } }) as const;
    const renew = () => Promise.resolve({ kind: 'renewed', expiry, narrow } as const);
    const { frames, connection, socket } = connect(job('a'), null, {
      maxRate: 0.1,
      credentials: { expiry, warnMs: 0, renew },
    });
    publish(['a']);
    publish(['a']);
    connection.receive(JSON.stringify({ type: 'auth', token: 't' }));
    await settled();
    pass(10_010);
    expect(updates(frames).map(({ seq }) => seq)).toEqual([1]);
    expect(socket.closed).toBeNull();
  });
});

test('selected jobs: each has its own time', () => {
  const { publish, pass, select } = edge();
  const { frames } = select(['a', 'b'], null, { maxRate: 5 });
  publish(['a'], ['b']);
  pass(150);
  publish(['a'], ['a'], ['b', { attempt: 2 }], ['b', { attempt: 2 }]);
  expect(told(frames).slice(2)).toEqual([[5, 2, undefined, undefined]]);
  pass(60);
  expect(told(frames).slice(3)).toEqual([[4, 1, 2, undefined]]);
  pass(150);
  expect(told(frames).slice(4)).toEqual([[6, 5, undefined, undefined]]);
});

test('selected jobs: one that is followed later is paced as well, and begins with its state', () => {
  const { publish, pass, select } = edge();
  publish(...times(3, 'a'));
  const { frames, send } = select([], null, { maxRate: 5 });
  send({ type: 'follow', jobs: [{ processing_id: 'a' }] });
  expect(types(frames)).toEqual(['hello', 'progress_update', 'following']);
  publish(...times(4, 'a'));
  expect(told(frames)).toEqual([[3, 2, undefined, undefined]]);
  pass(210);
  expect(told(frames).slice(1)).toEqual([[7, 3, 4, undefined]]);
});

test('G9 memory: of a job that is followed no longer, or of a client that is gone, nothing waits for its time', () => {
  const { publish, select, connect, hub, timers } = edge();
  const selected = select(['a', 'b'], null, { maxRate: 0.1 });
  const one = connect(job('a'), null, { maxRate: 0.1 });
  const everything = connect(all(), null, { maxRate: 0.1 });
  publish(['a'], ['b']);
  publish(['a'], ['b']);
  expect(timers()).toBe(1);
  selected.send({ type: 'unfollow', jobs: ['a'] });
  selected.connection.closed();
  hub.remove(selected.connection);
  for (const { connection } of [one, everything]) {
    expect(timers()).toBe(1);
    hub.remove(connection);
    connection.closed();
  }
  expect(timers()).toBe(0);
});

test('G5 stale cursors: one cursor for several jobs stays before whatever one of them holds back', () => {
  const { publish, pass, select } = edge();
  const fixed = { scopeName: 'both', anew: new Set<string>(), over: new Set<string>() };
  const positions: (number | undefined)[] = [];
  const { connection, frames } = select(['a', 'b'], null, {
    maxRate: 1,
    fixed,
    onSend: ({ type }) => {
      if (type === 'progress_update') positions.push(connection.position()?.cursor);
    },
  });
  publish(['a'], ['b']);
  publish(['a'], ['b', { attempt: 2 }], ['a'], ['b', { attempt: 3 }]);
  // Of job a what comes behind 1 is held back; job b has everything up to 6.
  expect(told(frames).map(([seq]) => seq)).toEqual([1, 2, 4, 6]);
  expect(connection.position()).toMatchObject({ cursor: 2, marks: ['follows', 'follows'] });
  pass(1_010);
  expect(told(frames).at(-1)).toEqual([5, 1, 2, undefined]);
  expect(positions).toEqual([0, 2, 2, 2, 6]);
  expect(connection.position()).toMatchObject({ cursor: 6 });
});

test.each([
  ['one job', job('a')],
  ['all jobs', all()],
])('G4 slow readers: of %s one that is paced as well loses nothing', (_what, scope) => {
  const { publish, pass, connect } = edge();
  const slow = connect(scope, null, { maxRate: 1, fullAfter: 3 });
  publish(['a']);
  for (let i = 0; i < 20; i++) {
    publish(...times(7, 'a'), ['a', { attempt: 2 + (i % 2) }]);
    pass(300);
  }
  expect(told(slow.frames)).toEqual([[1, 0, undefined, undefined]]);
  slow.socket.fullAfter = Number.POSITIVE_INFINITY;
  slow.connection.drained();
  pass(1_010);
  let [last, covered]: [number | null, number] = [0, 0];
  for (const { seq, prev_seq, folded = 1 } of updates(slow.frames)) {
    expect(prev_seq).toBe(last);
    [last, covered] = [seq, covered + folded];
  }
  expect([last, covered]).toEqual([161, 161]);
  // Each event that changes the attempt, and each first one behind it, was sent by itself.
  expect(updates(slow.frames).length).toBeGreaterThanOrEqual(40);
});

test.each([
  ['one job', job('a')],
  ['all jobs', all()],
])('of %s: what comes due in the midst of a turn is sent behind it, and the turn ends', (_what, scope) => {
  const { publish, pass, connect, clock } = edge();
  let [time, looks] = [clock.now, 0];
  Object.defineProperty(clock, 'now', {
    get: () => {
      if (++looks > 1_000) throw new Error('the turn does not end');
      return time;
    },
    set: (now: number) => {
      time = now;
    },
  });
  // Whoever has its turn before takes its time.
  const onSend = () => {
    time += 20;
  };
  connect(job('a'), null, { onSend });
  connect(all(), null, { onSend });
  time += 1_000;
  const { frames } = connect(scope, null, { maxRate: 10 });
  const began = time;
  publish(['a']);
  time = began + 90;
  publish(['a'], ['a']);
  expect(time).toBeGreaterThan(began + 100);
  pass(0);
  expect(told(frames)).toEqual([
    [1, 0, undefined, undefined],
    [3, 1, 2, undefined],
  ]);
});

test('ten thousand clients that wait cost one timer, and none when nobody does', () => {
  const core = edge();
  for (let i = 0; i < 10_000; i++) core.connect(job('a'), null, { maxRate: 5 });
  core.publish(['a']);
  expect(core.timers()).toBe(0);
  core.publish(['a']);
  expect(core.timers()).toBe(1);
  core.pass(210);
  expect(core.timers()).toBe(0);
});

test('a queue of what is due wakes in time, each once, and never before', () => {
  const clock = { now: 3 };
  const timers: { at: number; call: () => void }[] = [];
  const woken: string[] = [];
  const timer = {
    now: () => clock.now,
    later: (call: () => void, ms: number) => {
      const one = { at: clock.now + ms, call };
      timers.push(one);
      return () => void timers.splice(timers.indexOf(one), 1);
    },
  };
  const queue = new DueQueue<string>(timer, (item) => woken.push(`${item}@${clock.now}`));
  queue.add('late', 95);
  queue.add('soon', 21);
  queue.add('also soon', 29.5);
  queue.add('never', 25);
  queue.delete('never');
  queue.add('moved', 22);
  queue.add('moved', 91);
  expect(timers).toHaveLength(1);
  for (; clock.now < 200; clock.now++) {
    for (const one of timers.filter(({ at }) => at <= clock.now)) {
      timers.splice(timers.indexOf(one), 1);
      one.call();
    }
  }
  expect(woken).toEqual(['soon@30', 'also soon@30', 'late@100', 'moved@100']);
  expect([queue.size, timers.length]).toEqual([0, 0]);
});

describe('what is folded', () => {
  const record = (seq: number, prevSeq: number | null, fields: object = {}, isChange = false) =>
    makeRecord(event('a', fields), seq, prevSeq, 0, isChange);

  test('nothing across an event that is missing between two', () => {
    const buffer = new FoldBuffer(false);
    buffer.add(record(1, 0, {}, true), 0);
    buffer.add(record(2, 1), 1);
    expect(buffer.add(record(9, 5), 5)).toBe(true);
    expect(buffer.take().map(({ prevSeq, count }) => [prevSeq, count])).toEqual([
      [0, 1],
      [1, 1],
      [5, 1],
    ]);
  });

  test('of what it holds the bytes, and nothing behind', () => {
    const buffer = new FoldBuffer(true);
    for (let seq = 2; seq < 100; seq++) buffer.add(record(seq, seq - 1), seq - 1);
    expect(buffer.bytes).toBe(record(99, 98).bytes);
    expect(buffer.take()).toMatchObject([{ prevSeq: 1, firstSeq: 2, count: 98, cursor: 99 }]);
    expect([buffer.bytes, buffer.isEmpty]).toEqual([0, true]);
  });
});
