/** With so many on their way already, the next ones may wait for each other: they leave in one write. */
const BUSY = 32;
/** How long they wait. */
const GATHER_MS = 1;
/** So many need not wait any longer. About what the `nats` package writes at once. */
const A_WRITE = 64;

/** Somebody who sends: first outside, then perhaps waiting, then inside until the answer is there. */
export interface Ticket {
  place: 'outside' | 'waiting' | 'inside';
  /** Sends; false when there is nothing to send any more. */
  launch(): boolean;
}

/**
 * How many may be on their way at once; the others wait in the order in which they came. Answers come in small pieces,
 * and a write for each of them would cost more than all the rest, so on a busy line sends are gathered: until they make
 * a write, or for a millisecond. Were they gathered for longer, the server would have nothing to do meanwhile.
 */
export class Window {
  readonly #size: number;
  readonly #later: (ms: number, call: () => void) => void;
  /** In the order in which they came, from `#first` on; who does not wait any more is passed over. */
  #queue: Ticket[] = [];
  #first = 0;
  #inside = 0;
  #isGathering = false;
  #isLettingIn = false;

  /** @param later calls once after so many milliseconds */
  constructor(size: number, later: (ms: number, call: () => void) => void) {
    this.#size = size;
    this.#later = later;
  }

  enter(ticket: Ticket): void {
    if (ticket.place !== 'outside') return;
    if (this.#inside < Math.min(BUSY, this.#size) && this.#waiting === 0) {
      this.#admit(ticket);
      return;
    }
    ticket.place = 'waiting';
    this.#queue.push(ticket);
    this.#gather();
  }

  leave(ticket: Ticket): void {
    if (ticket.place === 'inside') this.#inside -= 1;
    ticket.place = 'outside';
    this.#gather();
  }

  /** Nobody is on the way any more, and nobody waits. */
  clear(tickets: Iterable<Ticket>): void {
    for (const ticket of tickets) ticket.place = 'outside';
    this.#queue = [];
    this.#first = 0;
    this.#inside = 0;
  }

  get #waiting(): number {
    return this.#queue.length - this.#first;
  }

  #gather(): void {
    const ready = Math.min(this.#waiting, this.#size - this.#inside);
    if (ready <= 0) return;
    if (ready >= A_WRITE) this.#letIn();
    else if (!this.#isGathering) {
      this.#isGathering = true;
      this.#later(GATHER_MS, () => {
        this.#isGathering = false;
        this.#letIn();
      });
    }
  }

  // Who is let in may have nothing to send and leave at once, which makes room for the next.
  #letIn(): void {
    if (this.#isLettingIn) return;
    this.#isLettingIn = true;
    try {
      for (;;) {
        const ticket = this.#inside < this.#size ? this.#queue[this.#first] : undefined;
        if (ticket === undefined) break;
        this.#first += 1;
        if (ticket.place === 'waiting') this.#admit(ticket);
      }
    } finally {
      this.#isLettingIn = false;
    }
    // Moving up those behind for each one that has gone would take as long as the queue is.
    if (this.#first > this.#queue.length / 2) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
  }

  #admit(ticket: Ticket): void {
    ticket.place = 'inside';
    this.#inside += 1;
    if (ticket.launch()) return;
    // Whoever could not be sent may have left by himself.
    this.leave(ticket);
  }
}
