/** What one client is to be sent of its job, and how what it gets departs from that. Counts from 0. */
export interface Departures {
  /** Updates that were stored, and did not come. */
  missed: number;
  /** Updates that came again, or behind a later one. */
  repeated: number;
  /** Updates that nobody stored, or whose `prev_seq` names another one than the one before. */
  wrong: number;
}

/**
 * Holds the updates that a client gets against those that JetStream acknowledged: each once, in their order, each with the
 * `seq` of the one before as its `prev_seq`.
 */
export class ReceivedUpdates {
  readonly departures: Departures = { missed: 0, repeated: 0, wrong: 0 };
  readonly #stored: readonly number[];
  /** The client has, or has missed, what stands before this in `#stored`. */
  #next: number;
  #last: number;

  /**
   * @param stored the `seq` of every event of the job, rising
   * @param cursor where the client stands: what is behind it is still to come
   */
  constructor(stored: readonly number[], cursor: number) {
    this.#stored = stored;
    const first = stored.findIndex((seq) => seq > cursor);
    this.#next = first < 0 ? stored.length : first;
    this.#last = stored[this.#next - 1] ?? 0;
  }

  /** How many updates are still to come. */
  get outstanding(): number {
    return this.#stored.length - this.#next;
  }

  /** Nothing more is to come. */
  get isComplete(): boolean {
    return this.#next >= this.#stored.length;
  }

  /** An update came. @param prevSeq null: the edge makes no claim about the one before */
  take(seq: number, prevSeq: number | null): void {
    const before = this.#next;
    const at = this.#stored.indexOf(seq, before);
    if (at < 0) {
      if (this.#stored.includes(seq)) this.departures.repeated++;
      else this.departures.wrong++;
      return;
    }
    this.departures.missed += at - before;
    // Where some were left out, prev_seq says so, and is right.
    const expected = at === before ? this.#last : (this.#stored[at - 1] ?? 0);
    if (prevSeq !== null && prevSeq !== expected) this.departures.wrong++;
    this.#next = at + 1;
    this.#last = seq;
  }

  /** The edge says that everything up to here was sent. */
  covered(cursor: number): void {
    while (!this.isComplete && (this.#stored[this.#next] ?? 0) <= cursor) {
      this.#last = this.#stored[this.#next] ?? 0;
      this.#next++;
      this.departures.missed++;
    }
  }
}
