/** With so many on their way already, the next ones may wait for each other: they leave in one write. */
const BUSY = 32;
/** How long they wait. */
const GATHER_MS = 1;

/** Somebody who sends: first outside, then perhaps waiting, then inside until the answer is there. */
export interface Ticket {
  place: 'outside' | 'waiting' | 'inside';
  /** Sends; false when there is nothing to send any more. */
  launch(): boolean;
}

/**
 * How many may be on their way at once; the others wait in the order in which they came. Answers come in small pieces,
 * and a write for each of them would cost more than all the rest, so on a busy line the sends of a millisecond are
 * gathered.
 */
export class Window {
  readonly #size: number;
  readonly #later: (ms: number, call: () => void) => void;
  /** In the order in which they came; who does not wait any more is passed over. */
  #queue: Ticket[] = [];
  #inside = 0;
  #isGathering = false;

  /** @param later calls once after so many milliseconds */
  constructor(size: number, later: (ms: number, call: () => void) => void) {
    this.#size = size;
    this.#later = later;
  }

  enter(ticket: Ticket): void {
    if (ticket.place !== 'outside') return;
    if (this.#inside < Math.min(BUSY, this.#size) && this.#queue.length === 0) {
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
    if (this.#queue.length > 0) this.#gather();
  }

  /** Nobody is on the way any more, and nobody waits. */
  clear(tickets: Iterable<Ticket>): void {
    for (const ticket of tickets) ticket.place = 'outside';
    this.#queue = [];
    this.#inside = 0;
  }

  #gather(): void {
    if (this.#isGathering || this.#inside >= this.#size) return;
    this.#isGathering = true;
    this.#later(GATHER_MS, () => {
      this.#isGathering = false;
      this.#letIn();
    });
  }

  #letIn(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const [index, ticket] of queue.entries()) {
      if (this.#inside >= this.#size) {
        this.#queue = [...queue.slice(index), ...this.#queue];
        return;
      }
      if (ticket.place === 'waiting') this.#admit(ticket);
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
