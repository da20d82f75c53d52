import { describe, expect, test } from 'vitest';
import { MAX_LATE_MS, Pacer } from '../../internal/cli/commands/replay/pacer.js';

const T = 1_769_860_800_000;
const play = (speed = 1, maxGapMs: number | null = null, isPaused = false) =>
  new Pacer({ speed, maxGapMs, isPaused }, 0);

/** Shows the next event of this time as soon as it is due; returns when that was. */
function show(pacer: Pacer, storedAt: number, now: number): number {
  pacer.offer(storedAt);
  const wait = pacer.wait(now);
  if (wait === null) throw new Error('it is never due');
  pacer.shown(now + wait);
  return now + wait;
}

describe('the pace of the past', () => {
  test.each([
    [1, [0, 1_000, 1_500, 11_500]],
    [0.5, [0, 2_000, 3_000, 23_000]],
    [10, [0, 100, 150, 1_150]],
    [Number.POSITIVE_INFINITY, [0, 0, 0, 0]],
  ])('at %d', (speed, expected) => {
    const pacer = play(speed);
    let now = 0;
    const times = [T, T + 1_000, T + 1_500, T + 11_500].map((stored) => {
      now = show(pacer, stored, now);
      return now;
    });
    expect(times).toEqual(expected);
  });

  test('a long silence is cut to the longest that is wanted, whatever the speed', () => {
    const pacer = play(2, 5_000);
    expect(show(pacer, T, 0)).toBe(0);
    expect(show(pacer, T + 3_600_000, 0)).toBe(2_500);
    expect(show(pacer, T + 3_601_000, 2_500)).toBe(3_000);
  });

  test('a stored time that goes back is no silence, and neither is the way back to the newest', () => {
    const pacer = play();
    let now = 0;
    const times = [T, T + 100, T + 40, T + 100, T + 130].map((stored) => {
      now = show(pacer, stored, now);
      return now;
    });
    expect(times).toEqual([0, 100, 100, 100, 130]);
  });
});

describe('keys', () => {
  test('while it is paused only a step shows an event, and the silence behind it begins there', () => {
    const pacer = play();
    expect(show(pacer, T, 0)).toBe(0);
    pacer.pause(400);
    pacer.offer(T + 1_000);
    expect(pacer.wait(1_000_000)).toBe(null);
    pacer.step();
    expect(pacer.wait(1_000_000)).toBe(0);
    pacer.shown(1_000_000);
    pacer.offer(T + 1_250);
    expect(pacer.wait(1_000_000)).toBe(null);
    pacer.resume(1_000_500);
    expect(pacer.wait(1_000_500)).toBe(250);
  });

  test('a pause keeps what was waited already', () => {
    const pacer = play();
    show(pacer, T, 0);
    pacer.offer(T + 1_000);
    pacer.pause(400);
    pacer.resume(9_000);
    expect(pacer.wait(9_000)).toBe(600);
  });

  test('a step while it plays ends the silence', () => {
    const pacer = play();
    show(pacer, T, 0);
    pacer.offer(T + 60_000);
    expect(pacer.wait(10)).toBe(59_990);
    pacer.step();
    expect(pacer.wait(10)).toBe(0);
    pacer.shown(10);
    pacer.offer(T + 60_200);
    expect(pacer.wait(10)).toBe(200);
  });

  test('a new speed is for what is left of a silence', () => {
    const pacer = play();
    show(pacer, T, 0);
    pacer.offer(T + 1_000);
    pacer.setSpeed(10, 500);
    expect(pacer.wait(500)).toBe(50);
    pacer.setSpeed(0.5, 510);
    expect(pacer.wait(510)).toBe(800);
  });

  test('from max it goes on at the pace of the past from the last event on', () => {
    const pacer = play(Number.POSITIVE_INFINITY);
    for (let i = 0; i < 100; i++) expect(show(pacer, T + i * 1_000, 7)).toBe(7);
    pacer.setSpeed(1, 50);
    pacer.offer(T + 99_300);
    expect(pacer.wait(50)).toBe(300);
  });
});

describe('lateness', () => {
  test('of a moment is caught up with', () => {
    const pacer = play();
    show(pacer, T, 0);
    pacer.offer(T + 100);
    pacer.shown(100 + MAX_LATE_MS);
    pacer.offer(T + 200);
    expect(pacer.wait(100 + MAX_LATE_MS)).toBe(0);
  });

  test('of long (a laptop that slept, a blocked output) moves the rest instead of a burst', () => {
    const pacer = play();
    show(pacer, T, 0);
    pacer.offer(T + 100);
    expect(pacer.wait(3_600_000)).toBe(0);
    pacer.shown(3_600_000);
    pacer.offer(T + 200);
    expect(pacer.wait(3_600_000)).toBe(100);
  });
});
