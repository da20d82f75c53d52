/** Waiting for something to become true, with an error that says what was waited for. */
import { inspect } from 'node:util';
import { within } from '../../internal/async.js';

export interface WaitOptions {
  /** What is waited for, for the error message: "the second edge to be ready". */
  what: string;
  timeoutMs?: number;
  /** Pause between two looks. */
  everyMs?: number;
  /** Ends the wait early: returns why it can never come true, or undefined to go on. */
  giveUp?: () => string | undefined;
}

/** What remains of T when it is known to be truthy. */
export type Truthy<T> = Exclude<T, undefined | null | false | '' | 0>;

/**
 * Asks `predicate` again and again until it gives something truthy, and returns that. A predicate that throws counts
 * as "not yet"; its last error is part of the timeout's message. One call that hangs ends with the timeout too.
 */
export async function waitFor<T>(predicate: () => T | Promise<T>, options: WaitOptions): Promise<Truthy<T>> {
  const { what, timeoutMs = 10_000, everyMs = 25, giveUp } = options;
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  let lastError: unknown;
  for (;;) {
    const left = Math.max(1, deadline - performance.now());
    try {
      last = await withTimeout(Promise.resolve(predicate()), left, 'one look');
      lastError = undefined;
      if (last) return last as Truthy<T>;
    } catch (error) {
      lastError = error;
    }
    const hopeless = giveUp?.();
    if (hopeless !== undefined) throw new Error(`gave up waiting for ${what}: ${hopeless}`);
    if (performance.now() >= deadline) {
      const seen = lastError === undefined ? `last seen: ${show(last)}` : `last error: ${show(lastError)}`;
      throw new Error(`waited ${timeoutMs} ms for ${what}; ${seen}`, { cause: lastError });
    }
    await pause(everyMs);
  }
}

/** The promise's own outcome, or an error that names `what` after `ms`. Never leaves a timer behind. */
export async function withTimeout<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  return await within(promise, ms, (): never => {
    throw new Error(`${what} took longer than ${Math.round(ms)} ms`);
  });
}

/** The gap between two looks of a poll; not exported, so that no test settles things by sleeping. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function show(value: unknown): string {
  return value instanceof Error ? value.message : inspect(value, { breakLength: Number.POSITIVE_INFINITY });
}
