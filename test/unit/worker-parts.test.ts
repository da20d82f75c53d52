/** The smaller parts of the worker SDK, each by itself. */
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { checkEvent } from '../../schemas/event.js';
import { systemClock, TimerHeap } from '../../sdk/worker/clock.js';
import { backoffMs } from '../../sdk/worker/event-delivery.js';
import { failureJson } from '../../sdk/worker/failure.js';
import { heartbeatSeconds } from '../../sdk/worker/job-options.js';
import { PendingBuffer } from '../../sdk/worker/nats-transport.js';
import { encodeEvent, RunIds, randomText, sharedMembers } from '../../sdk/worker/outgoing-event.js';
import type { BufferedEvent, TimerEntry } from '../../sdk/worker/ports.js';
import { firstState, type JobUpdate, truncate, updated } from '../../sdk/worker/state.js';
import { jsonOf } from '../../sdk/worker/values.js';
import { limitWarnings, type ReporterWarning } from '../../sdk/worker/warning.js';
import { TestClock } from './test-clock.js';

describe('the timer heap', () => {
  test('fires each entry at its time, or a little later, with never more than one timer', () => {
    const plan = fc.array(
      fc.tuple(fc.nat(9), fc.oneof(fc.nat(500), fc.constant(Number.POSITIVE_INFINITY)), fc.nat(60)),
      { maxLength: 100, size: 'max' },
    );
    fc.assert(
      fc.property(plan, (steps) => {
        const clock = new TestClock();
        const timers = new TimerHeap(clock);
        const due = new Map<number, number>();
        const entries = Array.from(
          { length: 10 },
          (_, who): TimerEntry => ({
            heapIndex: -1,
            dueAt: 0,
            onTimer: (now) => {
              expect(now).toBeGreaterThanOrEqual(due.get(who) ?? Number.POSITIVE_INFINITY);
              due.delete(who);
            },
          }),
        );
        for (const [who, inMs, pass] of steps) {
          const at = clock.at + inMs;
          if (Number.isFinite(at)) due.set(who, at);
          else due.delete(who);
          timers.set(entries[who] as TimerEntry, at);
          if (due.size === 0) expect(clock.timers.size).toBe(0);
          clock.pass(pass);
          expect(clock.timers.size).toBeLessThanOrEqual(1);
          for (const late of due.values()) expect(late).toBeGreaterThan(clock.at - 6);
        }
        clock.pass(1_000);
        expect(due.size).toBe(0);
        expect(clock.timers.size).toBe(0);
      }),
    );
  });
});

test('every event that can be reported is one by the schema, as it was reported', () => {
  const text = fc.string({ unit: 'binary', maxLength: 5_000 });
  const update: fc.Arbitrary<JobUpdate> = fc.record(
    {
      current: fc.double(),
      progress: fc.double(),
      total: fc.double(),
      message: text,
      step: fc.record({ name: text, index: fc.nat(), total: fc.nat() }, { requiredKeys: [] }),
      indeterminate: fc.boolean(),
      fields: fc.record({ own: fc.jsonValue().filter((value) => value !== null) }),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(update, { maxLength: 5 }), fc.string(), (updates, result) => {
      const options = { processingId: 'job-1', jobType: 'a.b', stallAfterSeconds: 0.5, timeoutSeconds: 9 };
      let state = firstState(3, 9, 'begin');
      for (const one of updates) state = updated(state, one, 0);
      const endings = [
        null,
        { status: 'completed', result: JSON.stringify(result) } as const,
        { status: 'error', error: failureJson(new Error(result), {}, true) } as const,
      ];
      for (const ending of endings) {
        const json: unknown = JSON.parse(
          encodeEvent(sharedMembers(options), state, ending, 0, '2026-01-31T12:00:00Z'),
        );
        expect(checkEvent(json)).toBeNull();
        const own = updates.findLast((one) => one.fields !== undefined)?.fields?.own;
        expect((json as { own?: unknown }).own).toEqual(
          own === undefined ? undefined : JSON.parse(JSON.stringify(own)),
        );
      }
    }),
  );
});

test('what the job changes after a report is not sent by accident', () => {
  const pages = [1];
  const state = updated(firstState(1, undefined, undefined), { fields: { pages } }, 0);
  pages.push(2);
  expect(encodeEvent('"processing_id":"a"', state, null, 0, 'x')).toContain('"pages":[1]');
});

test('null takes a field out, and what is left out stays', () => {
  let state = updated(
    firstState(1, 4, 'begin'),
    { current: 1, message: 'one', step: { name: 's' }, fields: { own: 1 } },
    0,
  );
  state = updated(state, { message: null, step: null, total: null, fields: { own: null } }, 1);
  const json = JSON.parse(encodeEvent('"processing_id":"a"', state, null, 1, 'x')) as object;
  expect(Object.keys(json)).toEqual([
    'processing_id',
    'status',
    'progress',
    'timestamp',
    'attempt',
    'current',
  ]);
});

test('a text is shortened by characters, and never in the middle of one', () => {
  expect(truncate('abc', 3)).toBe('abc');
  expect(truncate('abcd', 3)).toBe('ab…');
  expect(truncate('👍👍👍', 3)).toBe('👍👍👍');
  expect(truncate('👍👍👍👍', 3)).toBe('👍👍…');
  expect(truncate('a\uD83D', 3)).toBe('a\uFFFD');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 20 }), (text, max) => {
      expect([...truncate(text, max)].length).toBeLessThanOrEqual(max);
    }),
  );
});

describe('what a job fails with', () => {
  test.each<[unknown, Record<string, unknown>]>([
    [new Error('no'), { code: 'error', message: 'no', retryable: false }],
    [new RangeError('no'), { code: 'RangeError', message: 'no', retryable: false }],
    [
      Object.assign(new Error('no'), { code: 'ENOENT', retryable: true, secret: 's' }),
      { code: 'ENOENT', message: 'no', retryable: true },
    ],
    ['a text', { code: 'error', message: 'a text', retryable: false }],
    [undefined, { code: 'error', message: 'The job failed.', retryable: false }],
    [
      { code: 'x', details: [1] },
      { code: 'x', message: 'The job failed.', retryable: false, details: [1] },
    ],
    ['m'.repeat(5_000), { code: 'error', message: `${'m'.repeat(4_095)}…`, retryable: false }],
  ])('case %#', (error, expected) => {
    expect(JSON.parse(failureJson(error, {}, false))).toEqual(expected);
  });

  test('is what the author says, where he says it', () => {
    const error = Object.assign(new Error('no'), { code: 'mine', retryable: true });
    const options = { code: 'his', retryable: false };
    expect(JSON.parse(failureJson(error, options, false))).toMatchObject(options);
  });
});

test('ids do not repeat, do not tell the next one, and begin with their run', () => {
  const text = randomText();
  const runs = [new RunIds(text), new RunIds(text)];
  const ids = runs.flatMap((run) => Array.from({ length: 1_000 }, () => run.next()));
  expect(new Set(ids).size).toBe(2_000);
  expect(new Set(ids.map((id) => id.split('.')[2])).size).toBe(2_000);
  expect(ids.filter((id) => id.startsWith(runs[0]?.runId ?? ''))).toHaveLength(1_000);
  expect(ids.every((id) => /^[\w-]{22}\.\d+\.[\w-]{12}$/.test(id))).toBe(true);
});

test('waits between tries are random, from nothing to a bound that doubles up to 5 s', () => {
  expect([1, 2, 3, 6, 7, 100].map((tries) => backoffMs(tries, 0.999_999))).toEqual(
    [100, 200, 400, 3_200, 5_000, 5_000].map((ms) => expect.closeTo(ms, 1)),
  );
  expect(backoffMs(7, 0)).toBe(0);
});

test('heartbeats come at least three times in the time after which silence means something', () => {
  expect(heartbeatSeconds({ processingId: 'a' }, 5)).toBe(5);
  expect(heartbeatSeconds({ processingId: 'a', stallAfterSeconds: 6 }, 5)).toBe(2);
  expect(heartbeatSeconds({ processingId: 'a', stallAfterSeconds: 60, timeoutSeconds: 3 }, 5)).toBe(1);
  expect(heartbeatSeconds({ processingId: 'a', stallAfterSeconds: 6, heartbeatSeconds: 0 }, 5)).toBe(0);
  // And not so often that they take all the time there is.
  expect(heartbeatSeconds({ processingId: 'a', stallAfterSeconds: 1e-9 }, 5)).toBe(0.05);
});

test.each([
  [63, 'own'],
  [62, 'details'],
])('G8 bad input: %d arrays fit into an event as %s, and one more is named by its place', (levels, where) => {
  const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth));
  const path = where === 'own' ? '/result' : '/error/details';
  const write = (depth: number): string =>
    where === 'own' ? jsonOf(nested(depth), path) : failureJson({ details: nested(depth) }, {}, false);
  expect(write(levels)).toContain('['.repeat(levels));
  expect(() => write(levels + 1)).toThrow(expect.objectContaining({ code: 'invalid_event', path }));
});

test('frequent warnings pass once a second, and a callback that throws changes nothing', () => {
  const told: string[] = [];
  let now = 0;
  const warn = limitWarnings(
    ({ kind }: ReporterWarning) => {
      told.push(kind);
      throw new Error('from the callback');
    },
    () => now,
  );
  for (now = 0; now < 2_000; now += 100) warn({ kind: 'retrying', message: '' });
  expect(told).toEqual(['retrying', 'retrying']);
});

test('that NATS cannot be reached, or refuses the credentials, is a warning when it begins, then once a minute, and anew after a reconnect', () => {
  const told: string[] = [];
  let now = 0;
  const warn = limitWarnings(
    ({ kind }: ReporterWarning) => void told.push(kind),
    () => now,
  );
  for (; now < 120_000; now += 5_000) warn({ kind: 'disconnected', message: 'at each dial' });
  expect(told).toEqual(['disconnected', 'disconnected']);
  warn({ kind: 'reconnected', message: '' });
  warn({ kind: 'disconnected', message: '' });
  for (; now < 180_000; now += 5_000) warn({ kind: 'not_authorized', message: '' });
  expect(told.slice(2)).toEqual(['reconnected', 'disconnected', 'not_authorized']);
});

test('G9 memory: the oldest update is evicted first, never a terminal event, and never the newest event, even if a terminal event takes its place', () => {
  const pending = new PendingBuffer(100);
  let token = 0;
  const add = (event: BufferedEvent, bytes: number): number => {
    token += 1;
    pending.add(token, event, bytes);
    return token;
  };
  const gone: string[] = [];
  const buffered = (name: string, evictable: boolean, then?: () => void): BufferedEvent => ({
    evictable,
    evict: () => {
      gone.push(name);
      then?.();
    },
  });
  const end = buffered('end', false);
  let endToken = 0;
  add(buffered('first end', false), 40);
  add(
    buffered('old', true, () => {
      endToken = add(end, 30);
    }),
    30,
  );
  add(buffered('newer', true), 20);
  expect([gone, pending.bytes]).toEqual([[], 90]);
  add(buffered('newest', true), 30);
  expect([gone, pending.bytes]).toEqual([['old', 'newer'], 100]);
  expect(pending.get(endToken)).toBe(end);
  pending.remove(endToken);
  expect([pending.get(endToken), pending.bytes]).toEqual([undefined, 70]);
});

test('G9 memory: when it is full, an eviction looks at no more events than it has to', () => {
  const pending = new PendingBuffer<BufferedEvent>(1_000);
  const gone: number[] = [];
  const add = (token: number): void =>
    pending.add(token, { evictable: true, evict: () => void gone.push(token) }, 1);
  for (let token = 1; token <= 1_000; token += 1) add(token);
  const steps = vi.spyOn(Object.getPrototypeOf(new Map().entries()) as Iterator<unknown>, 'next');
  add(1_001);
  const taken = steps.mock.calls.length;
  steps.mockRestore();
  expect([gone, pending.bytes]).toEqual([[1], 1_000]);
  expect(taken).toBeLessThan(5);
});

test.each([2 ** 31, Number.POSITIVE_INFINITY])(
  'the clock of the process waits for %d ms as long as it can, and does not call at once',
  (ms) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const call = vi.fn();
      const cancel = systemClock.later(ms, call);
      vi.advanceTimersByTime(2 ** 31 - 2);
      expect(call).not.toHaveBeenCalled();
      vi.advanceTimersByTime(1);
      expect(call).toHaveBeenCalledOnce();
      cancel();
    } finally {
      vi.useRealTimers();
    }
  },
);
