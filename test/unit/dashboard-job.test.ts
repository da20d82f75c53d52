/** What the dashboard shows of one job's history, and how it plays it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ProgressUpdate } from '../../sdk/client/types.js';
import {
  type ConnectionLog,
  changed,
  leftOut,
  newLog,
  received,
  upToDate,
} from '../../web/model/connection-log.js';
import {
  formatDuration,
  formatPercent,
  formatRate,
  formatShortly,
  shortText,
  visibleText,
} from '../../web/model/format.js';
import { advance, fittingSpeed, play, seek, withSpeed } from '../../web/model/replay-clock.js';
import { attemptAt, indexAt, timelineOf, wholenessOf } from '../../web/model/timeline.js';
import { cleanToken, readClaims } from '../../web/model/token.js';

const BEGIN = Date.parse('2026-01-01T00:00:00Z');

/** Events of one job, each so many milliseconds after the begin. */
function story(...all: (Partial<ProgressUpdate> & { readonly atMs: number })[]): ProgressUpdate[] {
  return all.map(({ atMs, ...fields }, index) => ({
    type: 'progress_update',
    processing_id: 'a',
    status: 'processing',
    progress: index,
    timestamp: new Date(BEGIN + atMs).toISOString(),
    seq: index + 1,
    prev_seq: index,
    ...fields,
  }));
}
const at = (ms: number): number => BEGIN + ms;

describe('a timeline', () => {
  test('steps, attempts, and a gap in the line where an attempt ends', () => {
    const timeline = timelineOf(
      story(
        { atMs: 0, step: { name: 'read' } },
        { atMs: 10, step: { name: 'read' } },
        { atMs: 20, step: { name: 'write' } },
        { atMs: 30, status: 'error', error: { retryable: true }, progress: 2 },
        { atMs: 40, attempt: 2, step: { name: 'read' }, progress: 0 },
        { atMs: 50, attempt: 2, indeterminate: true, progress: 0 },
        { atMs: 60, attempt: 2, status: 'completed', progress: 100 },
      ),
      at(1_000),
    );
    expect(timeline.steps).toEqual([
      { name: 'read', fromMs: at(0), toMs: at(20) },
      { name: 'write', fromMs: at(20), toMs: at(30) },
      { name: 'read', fromMs: at(40), toMs: at(50) },
    ]);
    expect(timeline.attempts).toEqual([
      { attempt: 1, fromMs: at(0), toMs: at(40) },
      { attempt: 2, fromMs: at(40), toMs: at(60) },
    ]);
    expect(timeline.points.map(([, percent]) => percent)).toEqual([0, 1, 2, 2, null, 0, null, 100]);
    expect(timeline.span).toEqual({ fromMs: at(0), toMs: at(60) });
    expect(timeline.timeoutMs).toBeNull();
  });

  test('an event that names no attempt belongs to the one before it', () => {
    const { attempts } = timelineOf(story({ atMs: 0, attempt: 2 }, { atMs: 5 }), at(10));
    expect(attempts).toEqual([{ attempt: 2, fromMs: at(0), toMs: at(10) }]);
  });

  test('the attempt that is shown is that of the event which is looked at, and not of what came later', () => {
    const events = story(
      { atMs: 0 },
      { atMs: 1, attempt: 2 },
      { atMs: 2 },
      { atMs: 3, attempt: 1 },
      { atMs: 4 },
    );
    expect(events.map((_, index) => attemptAt(events, index))).toEqual([1, 2, 2, 1, 2]);
  });

  test('the line of a job that runs goes on to now', () => {
    const { points } = timelineOf(story({ atMs: 0 }, { atMs: 5, progress: 7 }), at(10));
    expect(points).toEqual([
      [at(0), 0],
      [at(5), 7],
      [at(10), 7],
    ]);
  });

  test('silence beyond what was promised is a stall, also the one that goes on', () => {
    const promised = { stall_after_seconds: 1 };
    const events = story({ atMs: 0, ...promised }, { atMs: 500, ...promised }, { atMs: 4_000, ...promised });
    expect(timelineOf(events, at(4_500)).stalls).toEqual([{ fromMs: at(1_500), toMs: at(4_000) }]);
    // Its worker sends heartbeats, or the edge would say that it has stalled.
    expect(timelineOf(events, at(6_000)).stalls).toHaveLength(1);
    expect(timelineOf(events, at(6_000), at(5_200)).stalls).toEqual([
      { fromMs: at(1_500), toMs: at(4_000) },
      { fromMs: at(5_000), toMs: at(6_000) },
    ]);
    const ended = [...events, ...story({ atMs: 4_100, status: 'completed' })];
    expect(timelineOf(ended, at(9_000)).stalls).toHaveLength(1);
    // The edge says so by its own settings.
    const silent = story({ atMs: 0 });
    expect(timelineOf(silent, at(9_000)).stalls).toEqual([]);
    expect(timelineOf(silent, at(9_000), at(7_000)).stalls).toEqual([{ fromMs: at(7_000), toMs: at(9_000) }]);
  });

  test('the time-out: when it comes, and when it came', () => {
    const running = story({ atMs: 0, timeout_seconds: 60 });
    expect(timelineOf(running, at(1_000))).toMatchObject({ timeoutMs: at(60_000), isTimedOut: false });
    // It runs all the same: heartbeats have put it off.
    expect(timelineOf(running, at(61_000)).timeoutMs).toBeNull();
    const over = story(
      { atMs: 0, timeout_seconds: 60 },
      { atMs: 60_000, status: 'error', error: { code: 'timeout', retryable: true } },
    );
    expect(timelineOf(over, at(99_000))).toMatchObject({ timeoutMs: at(60_000), isTimedOut: true });
    const done = story(
      { atMs: 0, timeout_seconds: 60 },
      { atMs: 5, status: 'completed', timeout_seconds: 60 },
    );
    expect(timelineOf(done, at(10)).timeoutMs).toBeNull();
  });

  test('whatever the clocks of workers say, time does not run back', () => {
    const event = fc.record({
      atMs: fc.integer({ min: -1e6, max: 1e6 }),
      status: fc.constantFrom('processing' as const, 'completed' as const, 'error' as const),
      attempt: fc.option(fc.integer({ min: 1, max: 3 }), { nil: 1 }),
      stall_after_seconds: fc.constantFrom(0.1, 10),
    });
    fc.assert(
      fc.property(fc.array(event, { minLength: 1 }), fc.integer({ min: -1e6, max: 2e6 }), (all, nowMs) => {
        const { timesMs, points, stalls, steps, attempts, span } = timelineOf(story(...all), at(nowMs));
        for (const list of [timesMs, points.map(([ms]) => ms)])
          expect(list).toEqual([...list].sort((a, b) => a - b));
        for (const { fromMs, toMs } of [...stalls, ...steps, ...attempts, span])
          expect(toMs).toBeGreaterThanOrEqual(fromMs);
      }),
    );
    expect(timelineOf([], at(5))).toMatchObject({ points: [], span: { fromMs: at(5), toMs: at(5) } });
  });

  test('the last event by a time', () => {
    const times = [1, 3, 3, 7];
    expect([0, 1, 2, 3, 6, 7, 9].map((ms) => indexAt(times, ms))).toEqual([-1, 0, 0, 2, 2, 3, 3]);
    expect(indexAt([], 5)).toBe(-1);
  });
});

test('whether a history is whole', () => {
  const events = story({ atMs: 0 }, { atMs: 1 }, { atMs: 2 });
  expect(wholenessOf(events)).toEqual({ kind: 'whole' });
  expect(wholenessOf(events.slice(1))).toEqual({ kind: 'truncated' });
  expect(wholenessOf(events.filter(({ seq }) => seq !== 2))).toEqual({ kind: 'gap', afterSeq: 1 });
  expect(wholenessOf([])).toEqual({ kind: 'empty' });
  expect(wholenessOf(story({ atMs: 0, prev_seq: null }))).toEqual({ kind: 'unknown' });
});

describe('a replay', () => {
  const span = { fromMs: 1_000, toMs: 11_000 };
  const paused = { atMs: 1_000, speed: 10, isPlaying: false };

  test('goes on by its speed, and stops at the end', () => {
    expect(advance(paused, 100, span)).toBe(paused);
    const playing = play(paused, span);
    expect(advance(playing, 100, span)).toEqual({ atMs: 2_000, speed: 10, isPlaying: true });
    expect(advance({ ...playing, atMs: 10_500 }, 100, span)).toEqual({
      atMs: 11_000,
      speed: 10,
      isPlaying: false,
    });
    // At the end it begins anew.
    expect(play({ ...paused, atMs: 11_000 }, span)).toMatchObject({ atMs: 1_000, isPlaying: true });
    // Nobody has seen what a tab played that was away.
    expect(advance(playing, 60_000, span)).toMatchObject({ atMs: 3_500 });
    expect(advance(playing, -5, span)).toMatchObject({ atMs: 1_000 });
  });

  test('takes any place in it, and any speed that is one', () => {
    expect(seek(paused, 5_000, span).atMs).toBe(5_000);
    expect([seek(paused, 0, span).atMs, seek(paused, 1e9, span).atMs]).toEqual([1_000, 11_000]);
    expect([0.001, 3.5, 1e9].map((speed) => withSpeed(paused, speed).speed)).toEqual([0.1, 3.5, 100_000]);
    for (const speed of [Number.NaN, 0, -1, Number.POSITIVE_INFINITY])
      expect(withSpeed(paused, speed)).toBe(paused);
    expect([0, 10_000, 15_000, 200_000, 86_400_000].map((toMs) => fittingSpeed({ fromMs: 0, toMs }))).toEqual(
      [1, 1, 2, 20, 10_000],
    );
  });
});

describe('the connection', () => {
  const run = (...steps: ((log: ConnectionLog) => ConnectionLog)[]): ConnectionLog =>
    steps.reduce((log, step) => step(log), newLog(0));
  const to = (state: ConnectionLog['state'], ms: number) => (log: ConnectionLog) => changed(log, state, ms);
  const came = (events: number) => (log: ConnectionLog) => received(log, events);
  const current = (ms: number) => (log: ConnectionLog) => upToDate(log, ms);
  const open = [to('connecting', 1), to('open', 2), came(5), current(3)];

  test('the first time is no reconnection', () => {
    expect(run(...open)).toMatchObject({
      reconnections: 0,
      last: null,
      lostMs: null,
      currentMs: 3,
      sinceMs: 2,
    });
  });

  test('after a loss it says how long it was away, and what came until it was up to date', () => {
    const away = run(...open, to('waiting', 10), to('connecting', 20));
    expect(away).toMatchObject({ state: 'connecting', lostMs: 10 });
    const back = run(...open, to('waiting', 10), to('connecting', 20), to('open', 30), came(2), came(1));
    expect(back.last).toEqual({ awayMs: 20, missed: 3, isOver: false, leftOut: null });
    const done = came(100)(current(40)(back));
    expect(done.last).toEqual({ awayMs: 20, missed: 3, isOver: true, leftOut: null });
    expect(leftOut(back, 'retention').last).toMatchObject({ leftOut: 'retention' });
    expect(leftOut(done, 'epoch').last).toMatchObject({ leftOut: null });
    expect(to('open', 50)(back)).toBe(back);
  });
});

describe('words', () => {
  test('what turns text round or hides is written out', () => {
    expect(visibleText('a\u202eb\u2066c\u200bd\u0000e')).toBe('a\\u202eb\\u2066c\\u200bd\\u0000e');
    expect(visibleText('a\u{e0001}b')).toBe('a\\u{e0001}b');
    expect(visibleText('a\nb\tc')).toBe('a\\u000ab\\u0009c');
    expect(visibleText('a\nb\tc\r', { lines: true })).toBe('a\nb\tc\\u000d');
    expect(visibleText(`e${'\u0301'.repeat(300)}`)).toBe(`e${'\u0301'.repeat(4)}`);
    expect(visibleText('שלום, مرحبا, 👩‍💻, e\u0301')).toBe('שלום, مرحبا, 👩‍💻, e\u0301');
  });

  test('a short text is one line, and short', () => {
    expect(shortText('a\n\n b')).toBe('a b');
    expect(shortText('x'.repeat(60_000), 10)).toBe(`${'x'.repeat(10)}…`);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => !/[\p{Cc}\u202a-\u202e]/u.test(shortText(text))),
    );
  });

  test('numbers', () => {
    expect([0, 59_499, 60_000, 3_599_000, 3_600_000, 90_061_000, -5].map(formatDuration)).toEqual([
      '0 s',
      '59 s',
      '1 min',
      '59 min 59 s',
      '1 h',
      '1 d 1 h',
      '0 s',
    ]);
    expect(formatShortly(3_599_000)).toBe('59 min');
    expect(formatPercent(99.99)).toBe('99 %');
    expect([0, 0.25, 9.96, 1234.5].map(formatRate)).toEqual(['0', '0.3', '10.0', '1,235']);
  });
});

test('a token: cleaned of what is pasted with it, and read without a check', () => {
  const claims = Buffer.from(JSON.stringify({ exp: 1_000, sub: 'Zoë' })).toString('base64url');
  const token = `e30.${claims}.c2ln`;
  for (const pasted of [
    token,
    ` ${token}\n`,
    `Bearer ${token}`,
    `authorization: bearer ${token}`,
    `"${token}"`,
  ])
    expect(cleanToken(pasted)).toBe(token);
  for (const pasted of ['', 'abc', 'a.b', `${token}.d`, 'a b.c.d', `${'a'.repeat(9_000)}.b.c`])
    expect(cleanToken(pasted)).toBeNull();
  expect(readClaims(token)).toEqual({ expiresMs: 1_000_000, subject: 'Zoë' });
  for (const bad of ['', 'a.b.c', `a.${Buffer.from('null').toString('base64url')}.c`, 'a.e30.c'])
    expect(readClaims(bad)).toEqual({ expiresMs: null, subject: null });
});
