/** Where the last state of a job stands in the stream that memory does not hold in order: evicted, or read back. */
export interface Place {
  readonly seq: number;
  /** What the state costs in memory. */
  readonly bytes: number;
  readonly jobType: string | undefined;
  /** When the finished job's last event was stored, in milliseconds since 1970; Infinity: it goes on. */
  readonly finishedAt: number;
}

/** The most places that are handed out at once, to be read from JetStream together. */
const PAGE = 64;
/** Of large states fewer, so that a client that is cut off or slow has not much more read for it than it takes. */
const PAGE_BYTES = 64 * 1024;

/** The next places of a walk, and how far it went. */
export interface PlacePage {
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
export class PlaceIndex {
  #places: Place[] = [];
  #isSorted = true;
  readonly #removed = new Set<Place>();

  /** How many places there are. */
  get size(): number {
    return this.#places.length - this.#removed.size;
  }

  add(place: Place): void {
    this.#isSorted &&= place.seq >= (this.#places.at(-1)?.seq ?? 0);
    this.#places.push(place);
  }

  /** Removes a place that was added. */
  remove(place: Place): void {
    this.#removed.add(place);
    // Rarely enough that each removal pays for a constant part of it.
    if (this.#removed.size > 1_024 && this.#removed.size > this.#places.length / 2) this.#compact();
  }

  /**
   * The next places that are wanted, with `after < seq < before`.
   * @param budget looks at so many places at the most
   */
  page(after: number, before: number, budget: number, isWanted: (place: Place) => boolean): PlacePage {
    this.#sort();
    const seqs: number[] = [];
    let passed = after;
    let bytes = 0;
    for (let index = this.#firstAfter(after); ; index++) {
      const place = this.#places[index];
      if (place === undefined || place.seq >= before) return { seqs, passed, isWhole: true };
      if (budget-- <= 0 || seqs.length >= PAGE || bytes >= PAGE_BYTES)
        return { seqs, passed, isWhole: false };
      passed = place.seq;
      if (this.#removed.has(place) || !isWanted(place)) continue;
      seqs.push(place.seq);
      bytes += place.bytes;
    }
  }

  #firstAfter(seq: number): number {
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#places[middle] as Place).seq > seq) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  // Jobs are evicted many at once, and in rising order but for a few runs, which sorting joins quickly.
  #sort(): void {
    if (this.#isSorted) return;
    this.#compact();
    this.#places.sort((one, other) => one.seq - other.seq);
    this.#isSorted = true;
  }

  #compact(): void {
    if (this.#removed.size === 0) return;
    this.#places = this.#places.filter((place) => !this.#removed.has(place));
    this.#removed.clear();
  }
}
