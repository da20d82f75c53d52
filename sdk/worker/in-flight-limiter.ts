/** With so many on their way already, the next ones may wait for each other: they leave in one write. */
const LINGER_FROM = 32;
/** How long they wait. */
const LINGER_MS = 1;
/** So many need not wait any longer. About what the `nats` package writes at once. */
const BATCH_SIZE = 64;

/** Somebody who sends: first outside, then perhaps waiting, then inside until the answer is there. */
export interface SlotOwner {
  slot: 'none' | 'queued' | 'held';
  /** Sends; false when there is nothing to send any more. */
  onSlot(): boolean;
}

/**
 * How many may be on their way at once; the others wait in the order in which they came. Answers come in small pieces,
 * and a write for each of them would cost more than all the rest, so on a busy line sends are gathered: until they make
 * a write, or for a millisecond. Were they gathered for longer, the server would have nothing to do meanwhile.
 */
export class InFlightLimiter {
  readonly #size: number;
  readonly #later: (ms: number, call: () => void) => void;
  /** In the order in which they came, from `#first` on; who does not wait any more is passed over. */
  #queue: SlotOwner[] = [];
  #first = 0;
  #held = 0;
  #isLingering = false;
  #isFlushing = false;

  /** @param later calls once after so many milliseconds */
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

  /** Nobody is on the way any more, and nobody waits. */
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

  // Who is let in may have nothing to send and leave at once, which makes room for the next.
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
    // Moving up those behind for each one that has gone would take as long as the queue is.
    if (this.#first > this.#queue.length / 2) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
  }

  #grant(owner: SlotOwner): void {
    owner.slot = 'held';
    this.#held += 1;
    if (owner.onSlot()) return;
    // Whoever could not be sent may have left by himself.
    this.release(owner);
  }
}
