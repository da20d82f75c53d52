import type { Clock, Waker } from './ports.js';

/** What setTimeout can hold. */
const LONGEST_MS = 2 ** 31 - 1;
/** It rings at most this often, so that jobs that are due at nearly the same time are served in one go. */
const GRAIN_MS = 5;

/** Who is to be woken when, with one timer for all: a binary heap in which each one knows its place. */
export class Agenda {
  readonly #heap: Waker[] = [];
  #cancel: (() => void) | null = null;
  #timerAt = Number.POSITIVE_INFINITY;
  #rangAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly clock: Clock) {}

  /** Wakes `waker` at `at`, instead of when it was to be woken before; Infinity takes it out. */
  set(waker: Waker, at: number): void {
    if (waker.place < 0) {
      if (at === Number.POSITIVE_INFINITY) return;
      waker.wakeAt = at;
      this.#put(waker, this.#heap.length);
      this.#up(waker);
    } else if (at === Number.POSITIVE_INFINITY) {
      this.#remove(waker);
    } else {
      const isEarlier = at < waker.wakeAt;
      waker.wakeAt = at;
      if (isEarlier) this.#up(waker);
      else this.#down(waker);
    }
    this.#arm();
  }

  #ring(): void {
    this.#cancel = null;
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = this.clock.now();
    this.#rangAt = now;
    for (let first = this.#heap[0]; first !== undefined && first.wakeAt <= now; first = this.#heap[0]) {
      this.#remove(first);
      first.awake(now);
    }
    this.#arm();
  }

  // A timer that is too early only looks; it is not moved each time that its first one is. But with nobody to be woken
  // it would keep a process that is done.
  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined) {
      this.#disarm();
      return;
    }
    const at = Math.max(first.wakeAt, this.#rangAt + GRAIN_MS);
    if (this.#timerAt <= at) return;
    this.#cancel?.();
    this.#timerAt = at;
    const ms = Math.min(LONGEST_MS, Math.max(0, Math.ceil(at - this.clock.now())));
    this.#cancel = this.clock.later(ms, () => this.#ring());
  }

  #disarm(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  /** No timer any more. */
  stop(): void {
    this.#disarm();
    for (const waker of this.#heap) waker.place = -1;
    this.#heap.length = 0;
  }

  #put(waker: Waker, place: number): void {
    this.#heap[place] = waker;
    waker.place = place;
  }

  #remove(waker: Waker): void {
    const last = this.#heap.pop();
    const { place } = waker;
    waker.place = -1;
    if (last === undefined || last === waker) return;
    this.#put(last, place);
    this.#up(last);
    this.#down(last);
  }

  #up(waker: Waker): void {
    while (waker.place > 0) {
      const at = (waker.place - 1) >> 1;
      const parent = this.#heap[at];
      if (parent === undefined || parent.wakeAt <= waker.wakeAt) return;
      this.#put(parent, waker.place);
      this.#put(waker, at);
    }
  }

  #down(waker: Waker): void {
    for (;;) {
      const left = this.#heap[2 * waker.place + 1];
      const right = this.#heap[2 * waker.place + 2];
      const child = right !== undefined && left !== undefined && right.wakeAt < left.wakeAt ? right : left;
      if (child === undefined || child.wakeAt >= waker.wakeAt) return;
      const at = child.place;
      this.#put(child, waker.place);
      this.#put(waker, at);
    }
  }
}
