import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addSample,
  firstState,
  fractionOf,
  type JobUpdate,
  NO_RATE,
  nextPercent,
  type RateEstimate,
  secondsLeft,
  updated,
} from '../../sdk/worker/state.js';

describe('the percent', () => {
  test.each<[Parameters<typeof fractionOf>[0], number | null]>([
    [{ current: 1, total: 4 }, 0.25],
    [{ current: 9, total: 4 }, 1],
    [{ current: -1, total: 4 }, 0],
    [{ current: 1, total: 0 }, null],
    [{ current: 1 }, null],
    [{ total: 4 }, null],
    [{ progress: 50, current: 1, total: 4 }, 0.5],
    [{ progress: 150 }, 1],
    [{ progress: -3 }, 0],
    [{}, null],
  ])('of %o is %s of the whole', (amount, fraction) => {
    expect(fractionOf(amount)).toBe(fraction);
  });

  test.each([
    [0, 0.29, 29],
    [0, 1 / 3, 33.3],
    [0, 0.99999, 99.9],
    [0, 1, 99.9],
    [40, 0.3, 40],
    [40, null, 40],
  ])('after %s and with %s done is %s', (before, fraction, percent) => {
    expect(nextPercent(before, fraction)).toBe(percent);
  });

  test('never falls and never reaches 100, whatever is reported', () => {
    const amount = fc.oneof(
      fc.double({ noNaN: true, min: -10, max: 300 }),
      fc.integer({ min: -10, max: 300 }),
    );
    const update: fc.Arbitrary<JobUpdate> = fc.record(
      {
        current: fc.option(amount),
        total: fc.option(amount),
        progress: fc.option(amount),
        message: fc.string(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.array(update, { maxLength: 30, size: 'max' }), (updates) => {
        let state = firstState(1, 10, undefined);
        for (const [index, one] of updates.entries()) {
          const next = updated(state, one, index * 100);
          expect(next.percent).toBeGreaterThanOrEqual(state.percent);
          expect(next.percent).toBeLessThan(100);
          state = next;
        }
      }),
    );
  });

  test('a message alone does not move it, and does not bring an older amount back', () => {
    let state = updated(firstState(1, 10, undefined), { current: 2 }, 0);
    state = updated(state, { progress: 50 }, 1);
    state = updated(state, { message: 'half' }, 2);
    expect([state.percent, state.done, state.current]).toEqual([50, 0.5, 2]);
  });
});

describe('the seconds left', () => {
  /** A job that does `rate(second)` of the whole in each second, observed every `everyMs`. */
  function worked(
    seconds: number,
    rate: (second: number) => number,
    everyMs = 100,
  ): { rateEstimate: RateEstimate; at: number; done: number } {
    let rateEstimate = NO_RATE;
    let done = 0;
    let at = 0;
    for (; at <= seconds * 1_000; at += everyMs) {
      rateEstimate = addSample(rateEstimate, at, done);
      done += (rate(at / 1_000) * everyMs) / 1_000;
    }
    return { rateEstimate, at, done };
  }

  test('are told of a steady rate, at any length', () => {
    for (const seconds of [5, 10, 60, 3_600]) {
      const rate = 1 / (4 * seconds);
      const { rateEstimate, at, done } = worked(seconds, () => rate);
      expect(Number(secondsLeft(rateEstimate, at, done)) / ((1 - done) / rate)).toBeCloseTo(1, 1);
    }
  });

  test('are not told early, of a job that stands still, or of one that jumps', () => {
    expect(secondsLeft(NO_RATE, 0, 0)).toBeNull();
    const early = worked(1.5, () => 0.01);
    expect(secondsLeft(early.rateEstimate, early.at, early.done)).toBeNull();
    const still = worked(60, () => 0);
    expect(secondsLeft(still.rateEstimate, still.at, still.done)).toBeNull();
    const jumping = worked(60, (second) => (Math.floor(second / 10) % 2 === 0 ? 0.02 : 0));
    expect(secondsLeft(jumping.rateEstimate, jumping.at, jumping.done)).toBeNull();
  });

  test('are not told any more when a steady job stops, and are again when it goes on', () => {
    const { rateEstimate, at, done } = worked(20, () => 0.01);
    expect(secondsLeft(rateEstimate, at, done)).toBe(80);
    expect(secondsLeft(rateEstimate, at + 30_000, done)).toBeNull();
  });

  test('follow a rate that has changed for good', () => {
    const { rateEstimate, at, done } = worked(200, (second) => (second < 20 ? 0.01 : 0.002));
    expect(secondsLeft(rateEstimate, at, done)).toBeCloseTo((1 - done) / 0.002, -1);
  });

  test('begin anew when the amounts are corrected downwards', () => {
    const { rateEstimate, at } = worked(20, () => 0.01);
    const corrected = addSample(rateEstimate, at, 0.05);
    expect(corrected.samples).toEqual([{ at, done: 0.05 }]);
    expect(secondsLeft(rateEstimate, at, 0.05)).toBeNull();
  });

  test('need little memory, and are a number from 0, whatever is observed', () => {
    const seen = fc.array(
      fc.tuple(fc.double({ min: 0, max: 5_000, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
      { maxLength: 60, size: 'max' },
    );
    fc.assert(
      fc.property(seen, (observations) => {
        let rateEstimate = NO_RATE;
        let at = 0;
        for (const [ms, done] of observations) {
          at += ms;
          rateEstimate = addSample(rateEstimate, at, done);
          expect(rateEstimate.samples.length).toBeLessThan(16);
          const seconds = secondsLeft(rateEstimate, at, done);
          if (seconds !== null) expect(seconds).toBeGreaterThanOrEqual(0);
          if (seconds !== null) expect(Number.isFinite(seconds)).toBe(true);
        }
      }),
    );
  });
});
