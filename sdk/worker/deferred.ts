import type { WorkerError } from './errors.js';

export interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: WorkerError) => void;
}

/** A promise that others settle, once; whatever comes later is nothing. */
export function deferred(): Deferred {
  let settle: { yes: () => void; no: (error: WorkerError) => void } | null = null;
  const promise = new Promise<void>((yes, no) => {
    settle = { yes, no };
  });
  // Whoever does not wait for it is told by `onTrouble`; the process must not end for it.
  promise.catch(() => {});
  // Node looks into it each time that a promise is settled again, which takes longer than the rest of an event.
  const once = (): typeof settle => {
    const first = settle;
    settle = null;
    return first;
  };
  return { promise, resolve: () => once()?.yes(), reject: (error) => once()?.no(error) };
}
