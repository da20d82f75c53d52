/** Time as it is passed in. */
export interface Timer {
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** Calls once, after about so many milliseconds and not before. @returns what takes that back */
  readonly later: (call: () => void, ms: number) => () => void;
}

/** Whoever is due within the same step is woken together: ten thousand that wait cost no ten thousand timers. */
const STEP_MS = 10;

const NOTHING = () => {};

/** Items that are to be woken at a time each. One timer serves them all, and none runs while there are none. */
export class DueQueue<T> {
  readonly #timer: Timer;
  readonly #wake: (item: T) => void;
  readonly #steps = new Map<number, Set<T>>();
  readonly #stepOf = new Map<T, number>();
  /** The step that the timer runs for; infinite: it does not run. */
  #armedFor = Number.POSITIVE_INFINITY;
  #disarm = NOTHING;

  constructor(timer: Timer, wake: (item: T) => void) {
    this.#timer = timer;
    this.#wake = wake;
  }

  /** How many items wait. */
  get size(): number {
    return this.#stepOf.size;
  }

  /** Wakes the item at `at` (milliseconds that never go back), or a few milliseconds later. One that waits already: then instead. */
  add(item: T, at: number): void {
    const step = Math.ceil(at / STEP_MS);
    this.#take(item);
    this.#stepOf.set(item, step);
    const items = this.#steps.get(step);
    if (items === undefined) this.#steps.set(step, new Set([item]));
    else items.add(item);
    this.#arm(step);
  }

  /** It is not to be woken any more. */
  delete(item: T): void {
    this.#take(item);
    if (this.size > 0) return;
    this.#disarm();
    this.#disarm = NOTHING;
    this.#armedFor = Number.POSITIVE_INFINITY;
  }

  #take(item: T): void {
    const step = this.#stepOf.get(item);
    if (step === undefined) return;
    this.#stepOf.delete(item);
    const items = this.#steps.get(step);
    if (items?.delete(item) && items.size === 0) this.#steps.delete(step);
  }

  #arm(step: number): void {
    if (step >= this.#armedFor) return;
    this.#disarm();
    this.#armedFor = step;
    this.#disarm = this.#timer.later(() => this.#fire(), Math.max(0, step * STEP_MS - this.#timer.now()));
  }

  #fire(): void {
    this.#armedFor = Number.POSITIVE_INFINITY;
    this.#disarm = NOTHING;
    const reached = Math.floor(this.#timer.now() / STEP_MS);
    let next = Number.POSITIVE_INFINITY;
    for (const [step, items] of this.#steps) {
      if (step > reached) {
        next = Math.min(next, step);
        continue;
      }
      this.#steps.delete(step);
      for (const item of items) {
        this.#stepOf.delete(item);
        this.#wake(item);
      }
    }
    // One that was woken may have been added again.
    if (next !== Number.POSITIVE_INFINITY) this.#arm(next);
  }
}
