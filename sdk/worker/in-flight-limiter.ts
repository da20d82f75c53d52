/** With so many in flight, later sends linger, so that many leave in one write. */
const LINGER_FROM = 32;
/** How long they linger at most, in milliseconds. */
const LINGER_MS = 1;
/** So many are sent without lingering. About what the `nats` package writes at once. */
const BATCH_SIZE = 64;

/** Sends with a slot: `none`, then perhaps `queued`, then `held` until the reply arrives. */
export interface SlotOwner {
  slot: 'none' | 'queued' | 'held';
  /** Sends; false if there is nothing to send any more. */
  onSlot(): boolean;
}

/**
 * Limits how many events are in flight at once; the others wait in first-in, first-out order. Acknowledgements arrive a
 * few at a time, and a write for each of them would cost more than everything else. So on a busy connection sends
 * linger until they fill a write, or for a millisecond. If they lingered longer, the server would be idle meanwhile.
 */
export class InFlightLimiter {
  readonly #size: number;
  readonly #later: (ms: number, call: () => void) => void;
  /** First in, first out, from `#first` on. Owners that are not `queued` any more are skipped. */
  #queue: SlotOwner[] = [];
  #first = 0;
  #held = 0;
  #isLingering = false;
  #isFlushing = false;

  /**
   * @param size how many may be in flight, from 1
   * @param later calls once after so many milliseconds
   */
  constructor(size: number, later: (ms: number, call: () => void) => void) {
    this.#size = size;
    this.#later = later;
  }

  acquire(owner: SlotOwner): void {
    if (owner.slot !== 'none') return;
    if (this.#held < Math.min(LINGER_FROM, this.#size) && this.#waiting === 0) {
      this.#grant(owner);
      return;
    }
    owner.slot = 'queued';
    this.#queue.push(owner);
    this.#linger();
  }

  release(owner: SlotOwner): void {
    if (owner.slot === 'held') this.#held -= 1;
    owner.slot = 'none';
    this.#linger();
  }

  /** Nothing is in flight any more, and nothing waits. */
  clear(owners: Iterable<SlotOwner>): void {
    for (const owner of owners) owner.slot = 'none';
    this.#queue = [];
    this.#first = 0;
    this.#held = 0;
  }

  get #waiting(): number {
    return this.#queue.length - this.#first;
  }

  #linger(): void {
    const ready = Math.min(this.#waiting, this.#size - this.#held);
    if (ready <= 0) return;
    if (ready >= BATCH_SIZE) this.#flush();
    else if (!this.#isLingering) {
      this.#isLingering = true;
      this.#later(LINGER_MS, () => {
        this.#isLingering = false;
        this.#flush();
      });
    }
  }

  // An owner with nothing to send releases its slot at once, which makes room for the next one.
  #flush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    try {
      for (;;) {
        const owner = this.#held < this.#size ? this.#queue[this.#first] : undefined;
        if (owner === undefined) break;
        this.#first += 1;
        if (owner.slot === 'queued') this.#grant(owner);
      }
    } finally {
      this.#isFlushing = false;
    }
    // Removing each owner from the front would take time in proportion to the length of the queue.
    if (this.#first > this.#queue.length / 2) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
  }

  #grant(owner: SlotOwner): void {
    owner.slot = 'held';
    this.#held += 1;
    if (owner.onSlot()) return;
    // It may have released the slot itself.
    this.release(owner);
  }
}
