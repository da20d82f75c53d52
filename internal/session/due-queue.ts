/** Time as it is passed in. */
export interface Timer {
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** Calls once, after about so many milliseconds and not before. */
  readonly later: (call: () => void, ms: number) => void;
}

/** Whoever is due within the same step is woken together: ten thousand that wait cost no ten thousand timers. */
const STEP_MS = 10;

/** Items that are to be woken at a time each. One timer serves them all, and none runs while there are none. */
export class DueQueue<T> {
  readonly #timer: Timer;
  readonly #wake: (item: T) => void;
  readonly #steps = new Map<number, T[]>();
  /** The earliest step that a timer runs for. */
  #armedFor = Number.POSITIVE_INFINITY;

  constructor(timer: Timer, wake: (item: T) => void) {
    this.#timer = timer;
    this.#wake = wake;
  }

  /** How many items wait. */
  get size(): number {
    let size = 0;
    for (const items of this.#steps.values()) size += items.length;
    return size;
  }

  /** Wakes the item at `at` (milliseconds that never go back), or a few milliseconds later. */
  add(item: T, at: number): void {
    const step = Math.ceil(at / STEP_MS);
    const items = this.#steps.get(step);
    if (items === undefined) this.#steps.set(step, [item]);
    else items.push(item);
    this.#arm(step);
  }

  // A timer that was set for a later step fires all the same, and finds nothing to do.
  #arm(step: number): void {
    if (step >= this.#armedFor) return;
    this.#armedFor = step;
    this.#timer.later(() => this.#fire(step), Math.max(0, step * STEP_MS - this.#timer.now()));
  }

  #fire(armedFor: number): void {
    if (this.#armedFor === armedFor) this.#armedFor = Number.POSITIVE_INFINITY;
    const reached = Math.floor(this.#timer.now() / STEP_MS);
    let next = Number.POSITIVE_INFINITY;
    for (const [step, items] of this.#steps) {
      if (step > reached) {
        next = Math.min(next, step);
        continue;
      }
      this.#steps.delete(step);
      for (const item of items) this.#wake(item);
    }
    // One that was woken may have been added again.
    if (next !== Number.POSITIVE_INFINITY) this.#arm(next);
  }
}
