import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { deferred, pause, unlessFailed, untilAborted, within } from '../../internal/async.js';

const unhandled: unknown[] = [];
const hear = (reason: unknown): void => {
  unhandled.push(reason);
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  unhandled.length = 0;
  process.on('unhandledRejection', hear);
});

afterEach(async () => {
  // Node tells of a promise that nobody has heard when the turn is over.
  await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', hear);
  expect(unhandled).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('within a time', () => {
  test('what the promise gives, and no timer is left', async () => {
    expect(await within(Promise.resolve(7), 1_000, () => 'late')).toBe(7);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('what the promise fails with, and no timer is left', async () => {
    await expect(within(Promise.reject(new Error('no')), 1_000, () => 'late')).rejects.toThrow('no');
    expect(vi.getTimerCount()).toBe(0);
  });

  test('what is given when it is late, once, whatever becomes of the promise', async () => {
    const { promise, reject } = deferred();
    const late = vi.fn(() => 'late');
    const waiting = within(promise, 1_000, late);
    vi.advanceTimersByTime(999);
    await turn();
    expect(late).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(await waiting).toBe('late');
    reject(new Error('nobody waits any longer'));
    await turn();
    expect(late).toHaveBeenCalledOnce();
  });

  test('what is thrown when it is late', async () => {
    const waiting = within(deferred().promise, 10, () => {
      throw new Error('too late');
    });
    vi.advanceTimersByTime(10);
    await expect(waiting).rejects.toThrow('too late');
  });

  test('the reason of an abort before that, and neither a timer nor a listener is left', async () => {
    const stop = new AbortController();
    const waiting = within(deferred().promise, 1_000, () => 'late', stop.signal);
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
    expect(vi.getTimerCount()).toBe(0);
    expect(listeners(stop.signal)).toBe(0);
  });

  test('when it is late, no listener is left', async () => {
    const { signal } = new AbortController();
    const waiting = within(deferred().promise, 1_000, () => 'late', signal);
    expect(listeners(signal)).toBe(1);
    vi.advanceTimersByTime(1_000);
    expect(await waiting).toBe('late');
    expect(listeners(signal)).toBe(0);
  });

  test('without an end it has no timer, and with a far one it does not ring at once', async () => {
    const endless = deferred();
    const waiting = within(endless.promise, Number.POSITIVE_INFINITY, () => 'late');
    expect(vi.getTimerCount()).toBe(0);
    endless.resolve();
    expect(await waiting).toBeUndefined();

    const far = deferred();
    const late = vi.fn();
    const waitingLong = within(far.promise, 1e12, late);
    vi.advanceTimersByTime(86_400_000);
    far.resolve();
    await waitingLong;
    expect(late).not.toHaveBeenCalled();
  });
});

describe('until an abort', () => {
  test.each([
    ['fulfilled', () => Promise.resolve(7)],
    ['rejected', () => Promise.reject(new Error('no'))],
  ])('what the promise gives when it is %s, and no listener is left', async (_, make) => {
    const { signal } = new AbortController();
    const promise: Promise<number> = make();
    const outcome = await Promise.allSettled([untilAborted(promise, signal)]);
    expect(outcome).toEqual(await Promise.allSettled([promise]));
    expect(listeners(signal)).toBe(0);
  });

  test('the signal’s reason at the abort, whatever becomes of the promise', async () => {
    const { promise, reject } = deferred();
    const stop = new AbortController();
    const waiting = untilAborted(promise, stop.signal);
    expect(listeners(stop.signal)).toBe(1);
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
    expect(listeners(stop.signal)).toBe(0);
    reject(new Error('nobody waits any longer'));
  });

  test('the signal’s reason when it was aborted before, also where the promise has its value', async () => {
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(untilAborted(Promise.resolve(7), signal)).rejects.toThrow('stopped');
    await expect(untilAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('stopped');
    expect(listeners(signal)).toBe(0);
  });
});

describe('until a while after an abort', () => {
  test('what the promise still gives, and no timer is left', async () => {
    const { promise, resolve } = deferred<number>();
    const waiting = untilAborted(promise, AbortSignal.abort(new Error('stopped')), 1_000);
    expect(vi.getTimerCount()).toBe(1);
    resolve(7);
    expect(await waiting).toBe(7);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('the signal’s reason, but not before', async () => {
    const stop = new AbortController();
    const ended = vi.fn();
    const waiting = untilAborted(deferred().promise, stop.signal, 1_000).catch(ended);
    stop.abort(new Error('stopped'));
    vi.advanceTimersByTime(999);
    await turn();
    expect(ended).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    await waiting;
    expect(ended).toHaveBeenCalledWith(stop.signal.reason);
    expect(listeners(stop.signal)).toBe(0);
  });
});

describe('unless something fails', () => {
  test('what the promise gives, and the watch is ended once', async () => {
    const forget = vi.fn();
    expect(await unlessFailed(Promise.resolve(7), () => forget)).toBe(7);
    await expect(unlessFailed(Promise.reject(new Error('no')), () => forget)).rejects.toThrow('no');
    expect(forget).toHaveBeenCalledTimes(2);
  });

  test('the first failure, also one that is there at once', async () => {
    const forget = vi.fn();
    const watch = (fail: (reason: unknown) => void): (() => void) => {
      fail(new Error('first'));
      fail(new Error('second'));
      return forget;
    };
    await expect(unlessFailed(Promise.resolve(7), watch)).rejects.toThrow('first');
    expect(forget).toHaveBeenCalledOnce();
  });
});

describe('a pause', () => {
  test('lasts, and leaves nothing', async () => {
    const { signal } = new AbortController();
    const waiting = pause(1_000, signal);
    vi.advanceTimersByTime(1_000);
    await waiting;
    await turn();
    expect(listeners(signal)).toBe(0);
  });

  test('ends early at an abort, with its reason, and leaves nothing', async () => {
    const stop = new AbortController();
    const waiting = pause(1_000, stop.signal);
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
    expect(listeners(stop.signal)).toBe(0);
    await expect(pause(1_000, stop.signal)).rejects.toThrow('stopped');
  });
});

test('a deferred promise is settled from outside, once', async () => {
  const fulfilled = deferred<number>();
  fulfilled.resolve(7);
  fulfilled.reject(new Error('no'));
  expect(await fulfilled.promise).toBe(7);
  const rejected = deferred<number>();
  rejected.reject(new Error('no'));
  await expect(rejected.promise).rejects.toThrow('no');
});
