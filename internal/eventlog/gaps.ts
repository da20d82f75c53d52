/** Messages of the stream that were deleted before they could be read: all those strictly between the two. */
export interface Gap {
  readonly after: number;
  readonly before: number;
}

/** The most gaps that are kept apart; above it the oldest two become one, with what lies between them. */
const MAX_GAPS = 1_024;

/** The gaps in the tail, in the order of the stream. */
export class GapList {
  #gaps: Gap[] = [];
  #newestSeq = 0;

  /** The newest sequence that was deleted unread; 0: none was. It stays when the gap itself is forgotten. */
  get newestSeq(): number {
    return this.#newestSeq;
  }

  /** Takes in a gap behind all others. */
  push(gap: Gap): void {
    this.#newestSeq = gap.before - 1;
    this.#gaps.push(gap);
    if (this.#gaps.length <= MAX_GAPS) return;
    const [first, second] = this.#gaps as [Gap, Gap];
    this.#gaps.splice(0, 2, { after: first.after, before: second.before });
  }

  /** Forgets the gaps that end at or below `seq`. */
  dropUpTo(seq: number): void {
    const kept = this.#gaps.findIndex(({ before }) => before - 1 > seq);
    if (kept !== 0) this.#gaps = kept < 0 ? [] : this.#gaps.slice(kept);
  }

  /** The gaps that end behind `seq`. */
  after(seq: number): readonly Gap[] {
    return this.#gaps.filter(({ before }) => before - 1 > seq);
  }

  /** From the first to the last gap of which something lies in `after < seq <= upTo`; null: none does. */
  between(after: number, upTo: number): Gap | null {
    if (this.#newestSeq <= after) return null;
    const first = this.#gaps.find((gap) => gap.before - 1 > after);
    const last = this.#gaps.findLast((gap) => gap.after < upTo);
    if (first === undefined || last === undefined || first.after >= upTo) return null;
    return { after: Math.max(after, first.after), before: last.before };
  }
}
