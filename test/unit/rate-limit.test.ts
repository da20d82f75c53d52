import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LogRateLimiter } from '../../internal/telemetry/logger.js';

/** A limit and the clock it looks at. */
function limited(limit: number, windowMs: number) {
  const clock = { now: 0 };
  const rate = new LogRateLimiter(limit, windowMs, () => clock.now);
  const take = (times: number) => Array.from({ length: times }, () => rate.acquire()?.suppressed ?? null);
  return { clock, take };
}

test('lets the first ones of a window through, and no more', () => {
  const { clock, take } = limited(3, 1_000);
  expect(take(5)).toEqual([0, 0, 0, null, null]);
  clock.now = 999;
  expect(take(1)).toEqual([null]);
});

test('tells with the next one how many it held back, once', () => {
  const { clock, take } = limited(2, 1_000);
  take(7);
  clock.now = 1_000;
  expect(take(3)).toEqual([5, 0, null]);
  clock.now = 2_000;
  expect(take(1)).toEqual([1]);
});

test('a window begins with the first one after the last window, not on a grid', () => {
  const { clock, take } = limited(1, 1_000);
  clock.now = 1_700;
  expect(take(1)).toEqual([0]);
  clock.now = 2_600;
  expect(take(1)).toEqual([null]);
  clock.now = 2_700;
  expect(take(1)).toEqual([1]);
});

test('a clock that starts below zero or far ahead is as good', () => {
  for (const start of [-5_000, Number.MAX_SAFE_INTEGER - 5_000]) {
    const { clock, take } = limited(1, 1_000);
    clock.now = start;
    expect(take(2)).toEqual([0, null]);
    clock.now = start + 1_000;
    expect(take(1)).toEqual([1]);
  }
});

test('a limit of none says nothing', () => {
  expect(limited(0, 10).take(3)).toEqual([null, null, null]);
});

test('G8 bad input: whatever comes, the lines of a window are bounded and none is left uncounted', () => {
  const steps = fc.array(fc.nat({ max: 300 }), { maxLength: 200 });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 1_000 }),
      steps,
      (limit, windowMs, gaps) => {
        const { clock, take } = limited(limit, windowMs);
        const said: number[] = [];
        let counted = 0;
        let sinceLast = 0;
        for (const gap of gaps) {
          clock.now += gap;
          const suppressed = take(1)[0] ?? null;
          if (suppressed === null) {
            sinceLast++;
            continue;
          }
          expect(suppressed).toBe(sinceLast);
          counted += suppressed + 1;
          sinceLast = 0;
          said.push(clock.now);
        }
        expect(counted + sinceLast).toBe(gaps.length);
        // In windows that begin anywhere two adjoining ones can be full.
        for (const [index, at] of said.entries()) {
          expect(said.slice(index).filter((other) => other - at < windowMs).length).toBeLessThanOrEqual(
            2 * limit,
          );
        }
      },
    ),
  );
});
