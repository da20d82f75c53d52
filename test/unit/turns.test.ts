import { expect, test } from 'vitest';
import { decodeEvent } from '../../internal/eventlog/decode.js';
import { EventLog } from '../../internal/eventlog/log.js';
import { type LogRecord, makeRecord } from '../../internal/eventlog/record.js';
import type { Scope } from '../../internal/eventlog/scope.js';
import { Hub } from '../../internal/session/hub.js';
import type { ColdSource, Outlet } from '../../internal/session/ports.js';
import { type Resume, Session } from '../../internal/session/session.js';
import type { ServerFrame } from '../../schemas/frames.js';

const HOUR = 3_600_000;
const WALL = Date.UTC(2026, 0, 1);
/** What all sessions that catch up may cost in one turn of the event loop, and a good bit more. */
const TURN_BYTES = 1.5 * 1024 * 1024;

function event(id: string, fields: object = {}) {
  const body = {
    processing_id: id,
    status: 'processing',
    progress: 1,
    timestamp: '2026-01-01T00:00:00Z',
    ...fields,
  };
  const decoded = decodeEvent(`progress.${id}`, new TextEncoder().encode(JSON.stringify(body)));
  if (!decoded.ok) throw new Error(decoded.detail);
  return decoded.event;
}

/** An edge's pure rooms, with both clocks, the turns, the sockets and JetStream in the test's hands. */
function edge(newest: LogRecord | null = null) {
  const log = new EventLog({ tailBytes: 1e9, lastStateBytes: 1e9 });
  const turns: (() => void)[] = [];
  const hub = new Hub(log, (flush) => turns.push(flush));
  const clock = { wall: WALL, steady: 0 };
  const sent = { bytes: 0 };
  const cold: ColdSource = {
    lastState: () => Promise.resolve(newest),
    records: () => Promise.resolve([]),
    page: () => Promise.reject(new Error('this test reads no history')),
    reached: () => Promise.resolve({ kind: 'ok' }),
  };
  return {
    log,
    hub,
    clock,
    sent,
    load(count: number, id: (seq: number) => string) {
      for (let seq = 1; seq <= count; seq++) log.append(seq, WALL, event(id(seq), { job_type: 'render' }));
    },
    append(seq: number, of: ReturnType<typeof event>) {
      hub.appended(log.append(seq, WALL, of));
    },
    ready() {
      log.ready(true, true);
      hub.logReady();
    },
    /** One turn of the event loop; false when there was nothing to do. */
    turn(): boolean {
      const due = turns.splice(0);
      for (const flush of due) flush();
      return due.length > 0;
    },
    connect(scope: Scope, resume: Resume | null = null) {
      const frames: ServerFrame[] = [];
      const outlet: Outlet = {
        send: (text) => {
          sent.bytes += text.length;
          frames.push(JSON.parse(text));
        },
        cork: (write) => write(),
        buffered: () => 0,
        end: () => undefined,
      };
      const session = new Session({
        permit: null,
        id: 's',
        scope,
        resume,
        log,
        cold,
        outlet,
        limits: {
          heartbeatMs: 1_000,
          heartbeatAfterMs: 1_000,
          watermarkBytes: 64 * 1024,
          maxReplayJob: 1e6,
          maxReplayAll: 1e6,
          maxFrameCharacters: 16_384,
        },
        wallClock: () => clock.wall,
        now: () => clock.steady,
        again: (waiting) => hub.mark(waiting),
      });
      hub.add(session);
      session.open();
      return { session, frames };
    },
  };
}

const job = (id: string): Scope => ({ kind: 'job', id, jobTypes: null });
const types = (frames: ServerFrame[]) => frames.map((frame) => frame.type);
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('herds: narrow filters over a long tail: what is looked at counts, so that no turn serves all who waited', () => {
  const EVENTS = 5_000;
  const CLIENTS = 200;
  const { log, connect, load, ready, turn } = edge();
  log.begin('epoch', 0, 1);
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
  log.begin('epoch', 0, 1);
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

test('G6 the end, G10 any edge: a cursor ahead of an edge that lags gets no end for a job that goes on', async () => {
  // In the stream the job began anew at 2. The client saw that on another edge; this one has yet to read it.
  const { log, append, connect, ready, turn } = edge(makeRecord(event('a', { attempt: 2 }), 2, null, WALL));
  log.begin('epoch', 0, 1);
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
  log.begin('epoch', 0, 1);
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
  const { log, hub, append, connect, ready, turn } = edge();
  log.begin('epoch', 0, 1);
  ready();
  for (let seq = 1; seq <= 5; seq++) append(seq, event('a'));
  turn();
  const sessions = [
    connect(job('a'), { lastSeq: 5, epoch: 'epoch' }),
    connect(job('b')),
    connect({ kind: 'all', jobTypes: null }),
    connect({ kind: 'all', jobTypes: new Set(['none']) }, { lastSeq: 5, epoch: 'epoch' }),
  ];
  log.suspend();
  sessions.push(connect(job('a'), { lastSeq: 4, epoch: 'epoch' }));
  const before = sessions.map(({ frames }) => frames.length);

  hub.logRestarts(true);
  // The same epoch, and an older past: 4 and 5 will be other events.
  log.begin('epoch', 3, 1);
  log.load(3, WALL, event('a', { message: 'older' }));
  ready();
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
  const { log, hub, append, connect, ready, turn } = edge();
  log.begin('epoch', 0, 1);
  ready();
  for (let seq = 1; seq <= 3; seq++) append(seq, event('a'));
  turn();
  const { frames } = connect(job('a'));
  log.suspend();
  hub.logRestarts(false);
  log.begin('epoch', 3, 1);
  log.load(3, WALL, event('a'));
  ready();
  while (turn());
  append(4, event('a'));
  turn();
  expect(types(frames)).not.toContain('reset');
  expect(frames.at(-1)).toMatchObject({ type: 'progress_update', seq: 4 });
});
