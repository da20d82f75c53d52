/**
 * How far a replay may move the checkpoint that is kept for it. A durable consumer hands out a receipt for each of its
 * messages; giving one back moves the checkpoint behind that message and all before it. What was shown and what was handed
 * out come independently of each other and at different times; so the one thing that must hold is held here: a receipt
 * goes back only when its message and everything before it was shown.
 */
export class AckTracker<Receipt> {
  /** Handed out and not shown yet, by seq. After a crash they come again, in any order. */
  readonly #held = new Map<number, Receipt>();
  /** What was shown since the checkpoint, in the pieces that it was told in. */
  readonly #pieces: { readonly seq: number; readonly count: number }[] = [];
  #shown: number;
  #placed: number;
  #unplaced = 0;

  /** @param checkpoint everything up to this seq was shown, and the consumer knows it */
  constructor(checkpoint: number) {
    this.#shown = checkpoint;
    this.#placed = checkpoint;
  }

  /** The newest seq that was shown. */
  get shown(): number {
    return this.#shown;
  }

  /** The seq up to which a receipt was given back. */
  get placed(): number {
    return this.#placed;
  }

  /** At most so many messages were shown since the checkpoint: what a crash now shows twice. */
  get unplaced(): number {
    return this.#unplaced;
  }

  /** How many receipts wait for their messages to be shown. */
  get held(): number {
    return this.#held.size;
  }

  /** Everything of the replay up to `seq`, `count` messages more than last time, was shown. */
  show(seq: number, count: number): void {
    if (seq <= this.#shown) return;
    this.#shown = seq;
    this.#unplaced += count;
    this.#pieces.push({ seq, count });
  }

  /** The consumer handed out its message `seq`. */
  take(seq: number, receipt: Receipt): void {
    this.#held.set(seq, receipt);
  }

  /** The newest receipt that may go back now, and counts as given back; null: there is none. */
  settle(): { readonly seq: number; readonly receipt: Receipt } | null {
    let newest: { seq: number; receipt: Receipt } | null = null;
    for (const [seq, receipt] of this.#held) {
      if (seq > this.#shown) continue;
      this.#held.delete(seq);
      if (newest === null || seq > newest.seq) newest = { seq, receipt };
    }
    if (newest === null) return null;
    this.#placed = Math.max(this.#placed, newest.seq);
    const open = this.#pieces.findIndex(({ seq }) => seq > this.#placed);
    const closed = this.#pieces.splice(0, open < 0 ? this.#pieces.length : open);
    for (const { count } of closed) this.#unplaced -= count;
    return newest;
  }
}
