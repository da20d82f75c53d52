/** What is drawn with the page's next frame, where there are no frames: once, however often it is asked for. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { onNextFrame } from '../../sdk/client/frame.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

test('asked for again and again, it runs once, and leaves no timer', () => {
  const run = vi.fn();
  for (let n = 0; n < 5; n++) onNextFrame(run);
  expect(vi.getTimerCount()).toBe(1);
  vi.runAllTimers();
  expect(run).toHaveBeenCalledTimes(1);
});

test('what is asked for while the others run comes with the next one', () => {
  const runs: string[] = [];
  onNextFrame(() => {
    runs.push('a');
    onNextFrame(() => runs.push('b'));
  });
  vi.advanceTimersToNextTimer();
  expect(runs).toEqual(['a']);
  vi.runAllTimers();
  expect(runs).toEqual(['a', 'b']);
});
