/** Whatever a session has to say, from the millisecond on at which its token expires it says only that. */
import { expect, test } from 'vitest';
import { makeRecord, type Scope } from '../../internal/eventlog/record.js';
import type { ClientConnection } from '../../internal/session/client-connection.js';
import type { ServerFrame } from '../../schemas/frames.js';
import { all, event, job, pureEdge, settled, types } from './edge-fixture.js';

const EXPIRES = 1_000;

/** An edge whose clock goes on by `step` with each look at it: time passes while something is sent. */
function edge(step = 0) {
  const clock = { now: 0 };
  const rooms = pureEdge({
    wallClock: () => {
      clock.now += step;
      return clock.now;
    },
    // The other clock is no look at this one.
    now: () => clock.now,
    history: {
      lastState: () => Promise.resolve(makeRecord(event('a'), 1, null, 0)),
      page: () => Promise.resolve({ kind: 'refused', reason: 'retention', firstSeq: 1, lastSeq: 9 }),
      reached: () => Promise.resolve({ kind: 'refused', reason: 'ahead', firstSeq: 1, lastSeq: 9 }),
    },
    limits: { watermarkBytes: 1e9 },
  });
  rooms.log.begin('epoch');
  rooms.log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
  let seq = 0;
  return {
    ...rooms,
    clock,
    append(id: string, fields: object = {}) {
      rooms.log.append(++seq, 0, event(id, fields));
    },
    connect: (scope: Scope, lastSeq: number | null = null) =>
      rooms.connect(scope, lastSeq === null ? null : { lastSeq, epoch: null }, {
        credentials: {
          expiry: { at: EXPIRES, text: new Date(EXPIRES).toISOString() },
          warnMs: 0,
          renew: () => new Promise(() => {}),
        },
      }),
    turns() {
      while (rooms.turn());
    },
  };
}

const error = { type: 'error', code: 'token_expired' };

test.each<[string, (connection: ClientConnection, rooms: ReturnType<typeof edge>) => void]>([
  ['a stall', (connection) => connection.session.stalled('a', '{"type":"stalled"}')],
  ['the answer to a ping', (connection) => connection.receive('{"type":"ping"}')],
  ['what is wrong with a frame', (connection) => connection.receive('{"type":"no such"}')],
  ['that the edge drains', (connection) => connection.announceDrain(1_000)],
  ['a heartbeat', (connection) => connection.tick(1e9, 'ok')],
  ['an update', (_connection, { append, turns }) => [append('a'), turns()]],
  [
    'the end',
    (_connection, { append, turns }) => [append('a', { status: 'completed', progress: 100 }), turns()],
  ],
])('G7 nobody unauthorised: %s is not told after the expiry', (_what, say) => {
  const rooms = edge();
  rooms.append('a');
  const { connection, session, frames, socket } = rooms.connect(job('a'));
  rooms.turns();
  expect(types(frames)).toEqual(['hello', 'progress_update', 'caught_up']);
  rooms.clock.now = EXPIRES;
  say(connection, rooms);
  expect(frames.slice(3)).toMatchObject([error]);
  expect(socket.closed).toBe(4401);
  expect(session.state).toBe('ended');
});

// A step in which each single frame, and each step before the first, is the one before which the token expires.
test.each<[string, (rooms: ReturnType<typeof edge>) => ReturnType<ReturnType<typeof edge>['connect']>]>([
  ['last states', (rooms) => rooms.connect(all())],
  ['the last state of a job', (rooms) => rooms.connect(job('a'))],
  ['a replay', (rooms) => rooms.connect(job('a'), 3)],
  ['a reset', (rooms) => rooms.connect(job('a'), 1e5)],
  ['a replay of all jobs', (rooms) => rooms.connect(all(), 3)],
])(
  'G7 nobody unauthorised: %s: nothing more, at whichever place the token expires',
  async (_what, connect) => {
    const sent = new Set<number>();
    for (let step = 1; step < EXPIRES; step = Math.ceil(step * 1.3)) {
      const rooms = edge(step);
      for (let i = 0; i < 20; i++) rooms.append(i % 2 === 0 ? 'a' : `other-${i}`);
      const leftAt: number[] = [];
      const { connection, session, frames, socket } = connect(rooms);
      const push = frames.push.bind(frames);
      frames.push = (...more: ServerFrame[]) => {
        leftAt.push(rooms.clock.now);
        return push(...more);
      };
      for (let i = 0; i < 5; i++) {
        rooms.turns();
        await settled();
      }
      for (let i = 0; i < 2_000 && session.state !== 'ended'; i++) connection.tick(i, 'ok');
      expect(frames.at(-1)).toMatchObject(error);
      expect(socket.closed).toBe(4401);
      expect(leftAt.slice(0, -1).every((at) => at < EXPIRES)).toBe(true);
      sent.add(frames.length);
    }
    expect(sent.size).toBeGreaterThan(3);
  },
);
