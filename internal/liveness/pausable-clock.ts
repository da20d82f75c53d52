/**
 * The most that one tick counts for, in milliseconds. A process that was stopped, a machine that slept, a clock that
 * was set: for all of them the time between two ticks says nothing about the silence of jobs.
 */
export const MAX_STEP_MS = 1_000;

/**
 * How long the edge has listened, in milliseconds from 0: it stands still while the edge cannot hear (before the first
 * `resume`, and after `pause`), never goes back, and moves on by at most MAX_STEP_MS with each tick. So one jump of
 * the clock below it is never taken for a silence, whatever its direction.
 *
 * The clock below may be any, in milliseconds; it is only ever compared with itself.
 */
export class PausableClock {
  #ms = 0;
  /** The clock below at the last tick; null: the edge does not listen. */
  #last: number | null = null;

  /** As of the last tick. */
  get ms(): number {
    return this.#ms;
  }

  get isListening(): boolean {
    return this.#last !== null;
  }

  /** This clock at a moment after the last tick. */
  at(now: number): number {
    if (this.#last === null) return this.#ms;
    return this.#ms + Math.min(Math.max(now - this.#last, 0), MAX_STEP_MS);
  }

  tick(now: number): void {
    if (this.#last === null) return;
    this.#ms = this.at(now);
    this.#last = now;
  }

  resume(now: number): void {
    this.#last = now;
  }

  pause(): void {
    this.#last = null;
  }
}
