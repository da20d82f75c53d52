/** Where the last state of a job stands in the stream that memory does not hold in order: evicted, or read back. */
export interface StreamPosition {
  readonly seq: number;
  /** What the state costs in memory. */
  readonly bytes: number;
  readonly jobType: string | undefined;
  /** When the finished job's last event was stored, in milliseconds since 1970; Infinity: it goes on. */
  readonly finishedAt: number;
}

/** The most positions that are handed out at once, to be read from JetStream together. */
const PAGE = 64;
/** Of large states fewer, so that a client that is cut off or slow has not much more read for it than it takes. */
const PAGE_BYTES = 64 * 1024;

/** The next positions of a walk, and how far it went. */
export interface PositionPage {
  readonly seqs: readonly number[];
  /** Everything up to here was looked at. */
  readonly passed: number;
  /** Whether nothing was left to look at. */
  readonly isWhole: boolean;
}

/**
 * Places in rising order of their seq, kept once for everybody who walks over them. A walk holds nothing but its own
 * position, so it may stand still for as long as its client does not read, and others come and go meanwhile.
 */
export class PositionIndex {
  #positions: StreamPosition[] = [];
  #isSorted = true;
  readonly #removed = new Set<StreamPosition>();

  /** How many positions there are. */
  get size(): number {
    return this.#positions.length - this.#removed.size;
  }

  add(position: StreamPosition): void {
    this.#isSorted &&= position.seq >= (this.#positions.at(-1)?.seq ?? 0);
    this.#positions.push(position);
  }

  /** Removes a position that was added. */
  remove(position: StreamPosition): void {
    this.#removed.add(position);
    // Rarely enough that each removal pays for a constant part of it.
    if (this.#removed.size > 1_024 && this.#removed.size > this.#positions.length / 2) this.#compact();
  }

  /**
   * The next positions that are wanted, with `after < seq < before`.
   * @param budget looks at so many positions at the most
   */
  page(
    after: number,
    before: number,
    budget: number,
    isWanted: (position: StreamPosition) => boolean,
  ): PositionPage {
    this.#sort();
    const seqs: number[] = [];
    let passed = after;
    let bytes = 0;
    for (let index = this.#firstAfter(after); ; index++) {
      const position = this.#positions[index];
      if (position === undefined || position.seq >= before) return { seqs, passed, isWhole: true };
      if (budget-- <= 0 || seqs.length >= PAGE || bytes >= PAGE_BYTES)
        return { seqs, passed, isWhole: false };
      passed = position.seq;
      if (this.#removed.has(position) || !isWanted(position)) continue;
      seqs.push(position.seq);
      bytes += position.bytes;
    }
  }

  #firstAfter(seq: number): number {
    let low = 0;
    let high = this.#positions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#positions[middle] as StreamPosition).seq > seq) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  // Jobs are evicted many at once, and in rising order but for a few runs, which sorting joins quickly.
  #sort(): void {
    if (this.#isSorted) return;
    this.#compact();
    this.#positions.sort((one, other) => one.seq - other.seq);
    this.#isSorted = true;
  }

  #compact(): void {
    if (this.#removed.size === 0) return;
    this.#positions = this.#positions.filter((position) => !this.#removed.has(position));
    this.#removed.clear();
  }
}
