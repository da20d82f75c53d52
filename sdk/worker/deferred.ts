import type { WorkerError } from './errors.js';

export interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: WorkerError) => void;
}

/** A promise that others settle. */
export function deferred(): Deferred {
  let resolve: () => void = () => {};
  let reject: (error: WorkerError) => void = () => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // Whoever does not wait for it is told by `onTrouble`; the process must not end for it.
  promise.catch(() => {});
  return { promise, resolve, reject };
}
