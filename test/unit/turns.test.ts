import { expect, test } from 'vitest';
import { type LogRecord, makeRecord } from '../../internal/eventlog/record.js';
import { event, job, pureEdge, settled, types } from './edge-fixture.js';

const HOUR = 3_600_000;
const WALL = Date.UTC(2026, 0, 1);
/** What all sessions that catch up may cost in one turn of the event loop, and a good bit more. */
const TURN_BYTES = 1.5 * 1024 * 1024;

/** An edge that has yet to read its stream, in which `newest` is the last state of whatever job is asked for. */
function edge(newest: LogRecord | null = null) {
  const clock = { wall: WALL, steady: 0 };
  const core = pureEdge({
    tailBytes: 1e9,
    lastStateBytes: 1e9,
    limits: { heartbeatMs: 1_000, heartbeatAfterMs: 1_000, watermarkBytes: 64 * 1024 },
    history: {
      lastState: () => Promise.resolve(newest),
      records: () => Promise.resolve([]),
      reached: () => Promise.resolve({ kind: 'ok' }),
    },
    wallClock: () => clock.wall,
    now: () => clock.steady,
  });
  const { log, hub } = core;
  return {
    ...core,
    clock,
    load(count: number, id: (seq: number) => string) {
      // All of it is there when the first session starts.
      core.hearing.isOn = false;
      log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
      for (let seq = 1; seq <= count; seq++) log.append(seq, WALL, event(id(seq), { job_type: 'render' }));
      core.hearing.isOn = true;
    },
    append(seq: number, of: ReturnType<typeof event>) {
      log.append(seq, WALL, of);
    },
    ready(head = 0) {
      if (log.isReady) hub.ready();
      else log.ready({ head, firstSeq: 1, complete: true, neverTrimmed: true });
    },
  };
}

test('herds: narrow filters over a long tail: what is looked at counts, so that no turn serves all who waited', () => {
  const EVENTS = 5_000;
  const CLIENTS = 200;
  const { log, connect, load, ready, turn } = edge();
  log.begin('epoch');
  const clients = Array.from({ length: CLIENTS }, () =>
    connect({ kind: 'all', jobTypes: new Set(['none']) }, { lastSeq: 0, epoch: 'epoch' }),
  );
  load(EVENTS, (seq) => `job-${seq}`);
  const live = () => clients.filter(({ session }) => session.state === 'live').length;
  ready();
  expect(live()).toBe(0);

  const perTurn: number[] = [];
  for (let before = 0; turn(); before = live()) perTurn.push(live() - before);
  // 5,000 events looked at for nothing are 80 kB of a turn's share.
  expect(Math.max(...perTurn)).toBeLessThan(CLIENTS / 8);
  expect(perTurn[0]).toBeGreaterThan(0);
  expect(live()).toBe(CLIENTS);
  for (const { frames } of clients) expect(types(frames)).toEqual(['hello', 'caught_up']);
});

test('herds: the states of all jobs for many who waited leave in shares, and everybody gets all of them', () => {
  const JOBS = 2_000;
  const CLIENTS = 20;
  const { log, connect, load, ready, turn, sent } = edge();
  log.begin('epoch');
  const clients = Array.from({ length: CLIENTS }, () => connect({ kind: 'all', jobTypes: null }));
  load(JOBS, (seq) => `job-${seq}`);
  const hellos = sent.bytes;
  ready();
  expect(sent.bytes).toBe(hellos);

  let turns = 0;
  for (let before = sent.bytes; turn(); before = sent.bytes) {
    expect(sent.bytes - before).toBeLessThan(TURN_BYTES);
    turns++;
  }
  expect(turns).toBeGreaterThan(3);
  for (const { frames } of clients) {
    expect(frames.filter(({ type }) => type === 'progress_update')).toHaveLength(JOBS);
    expect(frames.at(-1)).toEqual({ type: 'caught_up', cursor: JOBS });
  }
});

test('herds: hundreds of one subject that catch up have the share of one, so that another is served in the first turn', () => {
  const JOBS = 2_000;
  const { log, connect, load, ready, turn } = edge();
  log.begin('epoch');
  const greedy = Array.from({ length: 190 }, () =>
    connect({ kind: 'all', jobTypes: null }, null, { requester: 'greedy' }),
  );
  // As many again that want little each: what they cost counts, not how many they are.
  const modest = Array.from({ length: 100 }, () => connect(job('job-1'), null, { requester: 'modest' }));
  load(JOBS, (seq) => `job-${seq}`);
  ready();
  turn();
  for (const { frames } of modest) expect(types(frames)).toEqual(['hello', 'progress_update', 'caught_up']);

  // Among themselves the greedy ones are done in the order in which they came, and all of them in the end.
  const areLive = () => greedy.map(({ session }) => session.state === 'live');
  do expect(areLive().lastIndexOf(true)).toBe(areLive().filter(Boolean).length - 1);
  while (turn());
  for (const { frames } of greedy) expect(frames.at(-1)).toEqual({ type: 'caught_up', cursor: JOBS });
});

test('G6 the end, G10 any edge: a cursor ahead of an edge that lags gets no end for a job that goes on', async () => {
  // In the stream the job began anew at 2. The client saw that on another edge; this one has yet to read it.
  const { log, append, connect, ready, turn } = edge(makeRecord(event('a', { attempt: 2 }), 2, null, WALL));
  log.begin('epoch');
  ready();
  append(1, event('a', { status: 'completed', progress: 100 }));
  const { session, frames } = connect(job('a'), { lastSeq: 2, epoch: 'epoch' });
  for (let i = 0; i < 4; i++) {
    await settled();
    turn();
  }
  expect(types(frames)).toEqual(['hello', 'caught_up']);
  expect(session.state).toBe('live');

  // It still ends when it does, and not before.
  append(2, event('a', { attempt: 2 }));
  turn();
  expect(types(frames)).toEqual(['hello', 'caught_up']);
  append(3, event('a', { attempt: 2, status: 'completed', progress: 100 }));
  turn();
  expect(types(frames).slice(2)).toEqual(['progress_update', 'end']);
});

test('heartbeats: they go on when the wall clock steps back', () => {
  const { log, hub, clock, connect, ready } = edge();
  log.begin('epoch');
  ready();
  const { frames } = connect({ kind: 'all', jobTypes: null });
  clock.wall -= HOUR;
  for (let second = 1; second <= 10; second++) {
    clock.wall += 1_000;
    clock.steady += 1_000;
    hub.tick(clock.steady, 'ok');
  }
  expect(types(frames)).toEqual(['hello', 'caught_up', ...Array<string>(10).fill('heartbeat')]);
});

test('G5 stale cursors: when the stream is rewound, every session gets a reset, also one that still waits', () => {
  const { log, append, connect, ready, turn } = edge();
  log.begin('epoch');
  ready();
  for (let seq = 1; seq <= 5; seq++) append(seq, event('a'));
  turn();
  const sessions = [
    connect(job('a'), { lastSeq: 5, epoch: 'epoch' }),
    connect(job('b')),
    connect({ kind: 'all', jobTypes: null }),
    connect({ kind: 'all', jobTypes: new Set(['none']) }, { lastSeq: 5, epoch: 'epoch' }),
  ];
  log.begin('epoch');
  sessions.push(connect(job('a'), { lastSeq: 4, epoch: 'epoch' }));
  const before = sessions.map(({ frames }) => frames.length);

  // The same epoch, and an older past: 4 and 5 will be other events.
  log.begin('epoch', 'ahead');
  log.load(3, WALL, event('a', { message: 'older' }));
  ready(3);
  while (turn());
  const after = sessions.map(({ frames }, index) => frames.slice(before[index]));
  for (const frames of after) {
    expect(frames[0]).toEqual({ type: 'reset', reason: 'ahead', epoch: 'epoch', first_seq: 1, last_seq: 3 });
    expect(frames.at(-1)).toEqual({ type: 'caught_up', cursor: 3 });
  }
  const shown = after.map((frames) => frames.filter(({ type }) => type === 'progress_update').length);
  expect(shown).toEqual([1, 0, 1, 0, 1]);

  // Once only: what follows is an ordinary life.
  append(4, event('a', { message: 'anew' }));
  turn();
  expect(sessions[0]?.frames.at(-1)).toMatchObject({ type: 'progress_update', seq: 4, message: 'anew' });
});

test('G3 faults: a log that starts over with the same past resets nobody', () => {
  const { log, append, connect, ready, turn } = edge();
  log.begin('epoch');
  ready();
  for (let seq = 1; seq <= 3; seq++) append(seq, event('a'));
  turn();
  const { frames } = connect(job('a'));
  log.begin('epoch');
  log.load(3, WALL, event('a'));
  ready(3);
  while (turn());
  append(4, event('a'));
  turn();
  expect(types(frames)).not.toContain('reset');
  expect(frames.at(-1)).toMatchObject({ type: 'progress_update', seq: 4 });
});
