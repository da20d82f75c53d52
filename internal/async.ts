// Waiting that ends: with a deadline, with an abort, with a failure elsewhere. Whatever comes first, no timer and no
// listener is left behind, and a promise that loses may fail later without anybody having to hear of it.

/** setTimeout takes no more, and rings at once for what is longer. */
const LONGEST_MS = 2 ** 31 - 1;

/** A promise, and how it is settled from outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** What `Promise.withResolvers` is, which Node 20 does not have. */
export function deferred<T = void>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/**
 * What `promise` gives, or what `late` gives when that takes too long.
 * @param ms from 0; Infinity: it is waited for as long as it takes
 * @param late called once, when the time is over; what it throws is thrown
 * @param signal ends the waiting with its reason
 */
export async function within<T, L>(
  promise: Promise<T>,
  ms: number,
  late: () => L,
  signal?: AbortSignal,
): Promise<T | L> {
  const over = deferred<L>();
  const ring = (): void => {
    try {
      over.resolve(late());
    } catch (error) {
      over.reject(error);
    }
  };
  const timer = ms === Number.POSITIVE_INFINITY ? undefined : setTimeout(ring, Math.min(ms, LONGEST_MS));
  try {
    const first = Promise.race([promise, over.promise]);
    return await (signal === undefined ? first : untilAborted(first, signal));
  } finally {
    clearTimeout(timer);
  }
}

/**
 * What `promise` gives, or a failure that is noticed elsewhere, as soon as there is one.
 * @param watch gets what is to be called with the failure, and returns what ends the watch. It may call at once
 */
export async function unlessFailed<T>(
  promise: Promise<T>,
  watch: (fail: (reason: unknown) => void) => () => void,
): Promise<T> {
  const { promise: failed, reject } = deferred<never>();
  const forget = watch(reject);
  try {
    return await Promise.race([failed, promise]);
  } finally {
    forget();
  }
}

/**
 * What `promise` gives, or the signal's reason as soon as it is aborted; also when it was aborted before.
 * @param graceMs it may still come so long after the abort
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal, graceMs = 0): Promise<T> {
  return unlessFailed(promise, (fail) => {
    let timer: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      if (graceMs === 0) fail(signal.reason);
      else timer = setTimeout(() => fail(signal.reason), graceMs);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    return () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
  });
}

/**
 * A pause that an abort ends early, with the signal's own reason.
 * @param ms from 0
 */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await within(deferred().promise, ms, () => undefined, signal);
}
