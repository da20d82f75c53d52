import fc from 'fast-check';
import { expect, test } from 'vitest';
import { inScope, type LogRecord, makeRecord, type Scope } from '../../internal/eventlog/record.js';
import type { ConnectionCredentials, Page, Renewal, Resume } from '../../internal/session/ports.js';
import { all, event, job, pureEdge, settled, types, updates } from './edge-fixture.js';

const EXPIRES = 10_000;

/** A question to JetStream that the test answers when it likes. */
function open<T>() {
  let answer: (value: T) => void = () => {};
  const promise = new Promise<T>((resolve) => {
    answer = resolve;
  });
  return { promise, answer };
}

/** An edge that is ready, with JetStream and the checks of tokens in the test's hands. */
function edge(given: { lastStateBytes?: number; tailBytes?: number; complete?: boolean } = {}) {
  const clock = { now: 0 };
  const asked = { lastState: open<LogRecord | null>(), page: open<Page>() };
  const rooms = pureEdge({
    tailBytes: given.tailBytes,
    lastStateBytes: given.lastStateBytes,
    history: {
      lastState: () => asked.lastState.promise,
      page: () => asked.page.promise,
      reached: () => Promise.resolve({ kind: 'ok' }),
    },
    wallClock: () => clock.now,
  });
  const { log, hub } = rooms;
  log.begin('epoch');
  log.ready({ head: 0, firstSeq: 1, complete: given.complete ?? true, neverTrimmed: true });
  let seq = 0;
  return {
    log,
    hub,
    clock,
    asked,
    /** The next event of a job, of a type or of none. */
    append(id: string, type?: string, fields: object = {}) {
      const of = event(id, { ...(type !== undefined && { job_type: type }), ...fields });
      log.append(++seq, clock.now, of);
      return seq;
    },
    turn() {
      while (rooms.turn());
    },
    connect(
      scope: Scope,
      {
        resume = null,
        warnMs = 0,
        fullAfter = Number.POSITIVE_INFINITY,
      }: { resume?: Resume | null; warnMs?: number; fullAfter?: number } = {},
    ) {
      const checks: ((renewal: Renewal) => void)[] = [];
      const credentials: ConnectionCredentials = {
        expiry: expiry(EXPIRES),
        warnMs,
        renew: () => new Promise((resolve) => checks.push(resolve)),
      };
      const { connection, session, frames, socket } = rooms.connect(scope, resume, {
        credentials,
        fullAfter,
      });
      return {
        connection,
        session,
        frames,
        socket,
        /** The client sends a token; what becomes of it is for `answer`. */
        auth: () => connection.receive(JSON.stringify({ type: 'auth', token: 'a-token' })),
        async answer(renewal: Renewal, index = 0) {
          checks[index]?.(renewal);
          await settled();
        },
        checks,
        /** The seq of each update so far. */
        seen: () => updates(frames).map(({ seq }) => seq),
        error: () => frames.find((frame) => frame.type === 'error')?.code ?? null,
      };
    },
  };
}

const expiry = (at: number) => ({ at, text: new Date(at).toISOString() });
const renewed = (at: number, narrow: (scope: Scope) => Scope | null = (scope) => scope): Renewal => ({
  kind: 'renewed',
  expiry: expiry(at),
  narrow: (asked) => {
    const scope = narrow(asked);
    return scope === null ? { ok: false, message: 'the token does not open it' } : { ok: true, scope };
  },
});
/** What a token of these types leaves of a scope. */
const only =
  (...types: string[]) =>
  (scope: Scope): Scope | null => {
    const jobTypes = new Set(types.filter((type) => scope.jobTypes?.has(type) ?? true));
    return jobTypes.size === 0 ? null : { ...scope, jobTypes };
  };

// Expiry

test('G7 nobody unauthorised: a token that expired while it was checked opens nothing, not even hello', () => {
  const { append, clock, connect, hub, log } = edge();
  append('a');
  clock.now = EXPIRES;
  const { frames, socket, connection } = connect(job('a'));
  expect(frames).toMatchObject([{ type: 'error', code: 'token_expired' }]);
  expect(socket.closed).toBe(4401);
  expect(connection.session.state).toBe('ended');
  hub.remove(connection);
  expect(hub.size).toBe(0);
  // Nobody watches the job any more, so it may be let go.
  expect(() => log.unwatch('a')).not.toThrow();
});

test('G7 nobody unauthorised: a busy job sends no update from the very millisecond on at which the token expires', () => {
  const { append, clock, connect, turn } = edge();
  const { frames, socket, seen } = connect(job('a'));
  clock.now = EXPIRES - 1;
  append('a');
  turn();
  expect(seen()).toEqual([1]);
  append('a');
  clock.now = EXPIRES;
  append('a');
  turn();
  expect(seen()).toEqual([1]);
  expect(frames.at(-1)).toMatchObject({ type: 'error', code: 'token_expired' });
  expect(socket.closed).toBe(4401);
});

test('G7 nobody unauthorised: a quiet connection, and one that waits for the log, end at the expiry as well', () => {
  const { clock, connect, hub, log } = edge();
  const quiet = connect(job('a'));
  log.begin('epoch');
  const waiting = connect(all());
  expect(waiting.session.state).toBe('loading');
  clock.now = EXPIRES;
  hub.tick(clock.now, 'away');
  for (const { frames, socket } of [quiet, waiting]) {
    expect(frames.at(-1)).toMatchObject({ type: 'error', code: 'token_expired' });
    expect(socket.closed).toBe(4401);
  }
});

test('G7 nobody unauthorised: last states stop in the middle when the token expires', () => {
  const { append, clock, connect, turn } = edge();
  for (let i = 0; i < 10; i++) append(`job-${i}`);
  turn();
  const { session, socket, seen, error } = connect(all(), { fullAfter: 4 });
  expect(session.state).toBe('snapshot');
  expect(seen()).toHaveLength(3);
  clock.now = EXPIRES;
  socket.fullAfter = Number.POSITIVE_INFINITY;
  session.pump();
  expect(seen()).toHaveLength(3);
  expect(error()).toBe('token_expired');
});

test('G7 nobody unauthorised: an answer of JetStream that comes after the expiry is not sent', async () => {
  const { asked, clock, connect, turn } = edge({ complete: false });
  const { session, frames } = connect(job('a'));
  expect(session.state).toBe('fetching');
  clock.now = EXPIRES;
  asked.lastState.answer(makeRecord(event('a'), 1, null, 0));
  await settled();
  turn();
  expect(types(frames)).toEqual(['hello', 'error']);
});

// Warning and renewal

test('token_expiring comes once for each token, ahead of its expiry', async () => {
  const { clock, connect, hub } = edge();
  const { frames, auth, answer } = connect(job('a'), { warnMs: 1_000 });
  const tick = (now: number) => {
    clock.now = now;
    hub.tick(now, 'ok');
  };
  const warnings = () => frames.filter(({ type }) => type === 'token_expiring');
  tick(8_999);
  expect(warnings()).toEqual([]);
  for (const now of [9_000, 9_001, 9_500]) tick(now);
  expect(warnings()).toEqual([{ type: 'token_expiring', expires_at: '1970-01-01T00:00:10.000Z' }]);
  auth();
  await answer(renewed(20_000));
  for (const now of [10_000, 18_999]) tick(now);
  expect(warnings()).toHaveLength(1);
  for (const now of [19_000, 19_001]) tick(now);
  expect(warnings()).toHaveLength(2);
});

test('a renewed connection is told so, goes on and ends at the new expiry', async () => {
  const { append, clock, connect, turn } = edge();
  const { frames, auth, answer, seen, error } = connect(job('a'));
  auth();
  await answer(renewed(20_000));
  expect(types(frames)).toEqual(['hello', 'caught_up', 'auth_ok']);
  expect(frames.at(-1)).toMatchObject({ scope: (frames[0] as { scope: string }).scope });
  clock.now = 19_999;
  append('a');
  turn();
  expect(seen()).toEqual([1]);
  clock.now = 20_000;
  append('a');
  turn();
  expect(seen()).toEqual([1]);
  expect(error()).toBe('token_expired');
});

test('G7 nobody unauthorised: the old expiry holds while a new token is being checked, and what comes of it later is for nobody', async () => {
  const { append, clock, connect, turn } = edge();
  const { frames, auth, answer, error, seen } = connect(job('a'));
  auth();
  clock.now = EXPIRES;
  append('a');
  turn();
  expect(error()).toBe('token_expired');
  await answer(renewed(99_000));
  append('a');
  turn();
  expect(seen()).toEqual([]);
  expect(frames.at(-1)?.type).toBe('error');
});

test.each([
  ['unauthorized', 4401],
  ['forbidden', 4403],
] as const)(
  'G7 nobody unauthorised: a new token that is %s ends the connection with %i',
  async (code, closed) => {
    const { append, connect, turn } = edge();
    const { frames, auth, answer, socket, seen } = connect(job('a'));
    auth();
    await answer({ kind: 'refused', code, message: 'it is no good' });
    append('a');
    turn();
    expect(frames.at(-1)).toEqual({ type: 'error', code, message: 'it is no good' });
    expect(socket.closed).toBe(closed);
    expect(seen()).toEqual([]);
  },
);

test('a new token that cannot be checked now changes nothing; the old one holds until it expires', async () => {
  const { append, clock, connect, turn } = edge();
  const { auth, answer, seen, error } = connect(job('a'));
  auth();
  await answer({ kind: 'unknown' });
  append('a');
  turn();
  expect(seen()).toEqual([1]);
  clock.now = EXPIRES;
  append('a');
  turn();
  expect(seen()).toEqual([1]);
  expect(error()).toBe('token_expired');
});

test('G8 bad input: of many auth frames at once only the newest counts', async () => {
  const { append, clock, connect, turn } = edge();
  const { auth, answer, checks, seen, error } = connect(job('a'));
  for (let i = 0; i < 50; i++) auth();
  for (let i = 0; i < 49; i++) {
    await answer({ kind: 'refused', code: 'unauthorized', message: 'bad' }, i);
  }
  expect(checks).toHaveLength(50);
  await answer(renewed(20_000), 49);
  clock.now = EXPIRES;
  append('a');
  turn();
  expect(error()).toBeNull();
  expect(seen()).toEqual([1]);
});

test('G9 memory: who renews again and again and does not read the answers is cut', async () => {
  const { connect } = edge();
  const { auth, answer, frames, error } = connect(job('a'), { fullAfter: 2 });
  for (let i = 0; i < 1_000; i++) {
    auth();
    await answer(renewed(20_000), i);
  }
  expect(error()).toBe('too_many_frames');
  expect(frames.length).toBeLessThan(300);
});

test('who reads the answers may renew as often as it likes', async () => {
  const { connect } = edge();
  const { auth, answer, frames, error } = connect(job('a'));
  for (let i = 0; i < 1_000; i++) {
    auth();
    await answer(renewed(20_000), i);
  }
  expect(error()).toBeNull();
  expect(types(frames).filter((type) => type === 'auth_ok')).toHaveLength(1_000);
});

test('the result of a check that comes after the connection is gone is for nobody', async () => {
  const { connect } = edge();
  for (const renewal of [
    renewed(20_000, only('x')),
    { kind: 'refused', code: 'forbidden', message: 'no' } as const,
  ]) {
    const { connection, frames, auth, answer } = connect(job('a'));
    auth();
    connection.closed();
    await answer(renewal);
    expect(types(frames)).toEqual(['hello', 'caught_up']);
  }
});

test('G7 nobody unauthorised: a narrower token narrows at once, and a wider one never widens', async () => {
  const { append, connect, turn } = edge();
  const { auth, answer, seen, error } = connect(all());
  const publish = () => {
    append('one', 'a');
    append('two', 'b');
    append('three');
    turn();
  };
  publish();
  expect(seen()).toEqual([1, 2, 3]);
  auth();
  await answer(renewed(20_000, only('a')));
  publish();
  expect(seen()).toEqual([1, 2, 3, 4]);
  auth();
  await answer(renewed(20_000), 1);
  publish();
  expect(seen()).toEqual([1, 2, 3, 4, 7]);
  auth();
  await answer(renewed(20_000, only('b')), 2);
  expect(error()).toBe('forbidden');
});

test('G7 nobody unauthorised: a narrower token narrows last states that are being sent', async () => {
  const { append, connect, turn } = edge();
  for (let i = 0; i < 200; i++) append(`job-${i}`, i % 2 === 0 ? 'a' : 'b', { message: 'x'.repeat(2_000) });
  turn();
  const { frames, auth, answer, seen } = connect(all());
  const before = seen().length;
  expect(before).toBeLessThan(200);
  auth();
  await answer(renewed(20_000, only('a')));
  turn();
  const after = updates(frames).slice(before);
  expect(after.length).toBeGreaterThan(10);
  expect(new Set(after.map(({ job_type }) => job_type))).toEqual(new Set(['a']));
  expect(types(frames).at(-1)).toBe('caught_up');
});

test('G7 nobody unauthorised: a narrower token narrows a page of history that is being read', async () => {
  const { append, asked, connect, turn } = edge({ tailBytes: 1 });
  for (let i = 0; i < 3; i++) append('job', i % 2 === 0 ? 'a' : 'b');
  turn();
  const { session, auth, answer, seen } = connect(all(), { resume: { lastSeq: 0, epoch: null } });
  expect(session.state).toBe('fetching');
  auth();
  await answer(renewed(20_000, only('a')));
  const records = ['a', 'b'].map((type, index) =>
    makeRecord(event('job', { job_type: type }), index + 1, null, 0),
  );
  asked.page.answer({ kind: 'page', records, cursor: 2, previous: null, pending: 2, gap: null });
  await settled();
  turn();
  expect(seen()).toEqual([1, 3]);
});

test('G7 nobody unauthorised: a new token that opens the job by a type that the job is not of ends the connection at once', async () => {
  const { append, connect, turn } = edge();
  append('a', 'x');
  turn();
  const { auth, answer, socket, error } = connect(job('a'));
  auth();
  await answer(renewed(20_000, only('y')));
  expect(error()).toBe('forbidden');
  expect(socket.closed).toBe(4403);
});

// One job that only its type opens

test('G7 nobody unauthorised: a job of another type is refused, fresh and on a resume, and nothing of it is sent', () => {
  const { append, connect, turn } = edge();
  append('a', 'x');
  append('a', 'y');
  turn();
  for (const resume of [null, { lastSeq: 0, epoch: null }]) {
    const { frames, socket } = connect(job('a', 'x'), { resume });
    expect(types(frames)).toEqual(['hello', 'error']);
    expect(frames.at(-1)).toMatchObject({ code: 'forbidden' });
    expect(socket.closed).toBe(4403);
  }
});

test('G7 nobody unauthorised: a job of another type that memory does not know is refused once it was read, also ahead of this edge', async () => {
  const { asked, connect, turn, append } = edge({ complete: false });
  append('other');
  turn();
  const { frames, socket } = connect(job('a', 'x'));
  asked.lastState.answer(makeRecord(event('a', { job_type: 'y' }), 9, null, 0));
  await settled();
  turn();
  expect(types(frames)).toEqual(['hello', 'error']);
  expect(socket.closed).toBe(4403);
});

test('G7 nobody unauthorised: a job whose type is not known yet is silent until an event names one that is opened', () => {
  const { append, connect, turn } = edge();
  append('a');
  turn();
  const { frames, seen } = connect(job('a', 'x'));
  append('a');
  turn();
  expect(types(frames)).toEqual(['hello', 'caught_up']);
  append('a', 'x');
  turn();
  expect(seen()).toEqual([3]);
  expect(updates(frames)[0]).toMatchObject({ prev_seq: null });
});

test('G7 nobody unauthorised: a job whose type is not known yet is refused when an event names another', () => {
  const { append, connect, turn } = edge();
  const { frames, socket } = connect(job('a', 'x'));
  append('a', 'y');
  turn();
  expect(types(frames)).toEqual(['hello', 'caught_up', 'error']);
  expect(socket.closed).toBe(4403);
});

test('G6 the end: a job that its type opens ends when its last event is opened, and not by one that is kept back', () => {
  const { append, connect, turn } = edge();
  append('shown', 'x');
  append('hidden', 'x');
  turn();
  const shown = connect(job('shown', 'x'));
  const hidden = connect(job('hidden', 'x'));
  append('shown', 'x', { status: 'completed', progress: 100 });
  append('hidden', undefined, { status: 'completed', progress: 100 });
  turn();
  expect(types(shown.frames).slice(-2)).toEqual(['progress_update', 'end']);
  expect(shown.socket.closed).toBe(1000);
  expect(hidden.seen()).toEqual([2]);
  expect(hidden.socket.closed).toBeNull();
  const later = connect(job('hidden', 'x'));
  expect(types(later.frames)).toEqual(['hello', 'caught_up']);
});

test('G7 nobody unauthorised: in any course of types, over any resumes, only what is opened is sent, all of it, and prev_seq names nothing else', () => {
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom('x', 'x', '', 'y').map((type) => ({ do: 'publish', type }) as const),
    },
    { weight: 2, arbitrary: fc.constant({ do: 'turn' } as const) },
    { weight: 1, arbitrary: fc.constant({ do: 'resume' } as const) },
  );
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 40 }),
      fc.constantFrom(all('x'), job('a', 'x')),
      (steps, scope) => {
        const { append, connect, turn } = edge();
        const published: { seq: number; type: string }[] = [];
        const seen: number[] = [];
        let client = connect(scope);
        const collect = () => {
          for (const frame of updates(client.frames)) {
            expect(frame.job_type).toBe('x');
            seen.push(frame.seq);
            if (scope.kind === 'all' || frame.prev_seq === null || frame.prev_seq === 0) continue;
            expect(published.find(({ seq }) => seq === frame.prev_seq)?.type).toBe('x');
          }
          return client.session.cursor;
        };
        for (const one of steps) {
          if (one.do === 'publish') {
            published.push({ seq: append('a', one.type || undefined), type: one.type });
          } else if (one.do === 'turn') turn();
          else if (client.socket.closed === null) {
            turn();
            if (client.socket.closed !== null) break;
            const cursor = collect();
            client.connection.closed();
            client = connect(scope, { resume: { lastSeq: cursor, epoch: 'epoch' } });
          }
          if (client.socket.closed !== null) break;
        }
        turn();
        collect();
        const isAlive = client.socket.closed === null;
        const opened = published.filter(({ type }) => type === 'x').map(({ seq }) => seq);
        // One that was refused in the middle got the beginning of it.
        expect(seen).toEqual(isAlive ? opened : opened.slice(0, seen.length));
        if (scope.kind === 'all' || !published.some(({ type }) => type === 'y')) expect(isAlive).toBe(true);
      },
    ),
    { numRuns: 500 },
  );
});

test('G7 nobody unauthorised: behind a page of history that ends with an event that is kept back, prev_seq does not name it', async () => {
  const { append, asked, connect, turn } = edge({ tailBytes: 1 });
  for (const type of ['x', 'y', 'x']) append('a', type);
  turn();
  const { session, frames } = connect(job('a', 'x'), { resume: { lastSeq: 0, epoch: null } });
  expect(session.state).toBe('fetching');
  const records = ['x', 'y'].map((type, index) =>
    makeRecord(event('a', { job_type: type }), index + 1, index, 0),
  );
  asked.page.answer({ kind: 'page', records, cursor: 2, previous: 2, pending: 2, gap: null });
  await settled();
  turn();
  expect(updates(frames)).toMatchObject([
    { seq: 1, prev_seq: 0 },
    { seq: 3, prev_seq: null },
  ]);
});

test('a scope of types passes only what names one of them', () => {
  const record = (type?: string) => makeRecord(event('a', type ? { job_type: type } : {}), 1, 0, 0);
  expect(inScope(job('a', 'x'), record('x'))).toBe(true);
  expect(inScope(job('a', 'x'), record('y'))).toBe(false);
  expect(inScope(job('a', 'x'), record())).toBe(false);
  expect(inScope(job('b'), record('x'))).toBe(false);
  expect(inScope(all('x'), record())).toBe(false);
});
