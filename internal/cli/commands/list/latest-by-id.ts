/** The newest so many of what has a name and a sequence, each name once. */
export class LatestById<T extends { readonly id: string; readonly seq: number }> {
  readonly #limit: number;
  readonly #items = new Map<string, T>();
  #hasPruned = false;

  /** @param limit from 1; Infinity keeps all */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return Math.min(this.#limit, this.#items.size);
  }

  put(item: T): void {
    const known = this.#items.get(item.id);
    if (known !== undefined && known.seq >= item.seq) return;
    this.#items.set(item.id, item);
    // Now and then, so that it costs little for each.
    if (this.#items.size >= 2 * this.#limit + 64) this.#prune();
  }

  /** Forgets a name, unless what is known of it is newer than `seq`. */
  drop(id: string, seq: number): void {
    if ((this.#items.get(id)?.seq ?? Number.POSITIVE_INFINITY) <= seq) this.#items.delete(id);
  }

  /** Forgets all that is older than `seq`. @returns whether there was any */
  dropBelow(seq: number): boolean {
    const before = this.#items.size;
    for (const item of this.#items.values()) if (item.seq < seq) this.#items.delete(item.id);
    return this.#items.size < before;
  }

  clear(): void {
    this.#items.clear();
    this.#hasPruned = false;
  }

  /**
   * Whether names were dropped in whose place older ones would stand that are not kept any more: then only a new read
   * says which.
   * @param wanted how many are wanted
   */
  isShortOf(wanted: number): boolean {
    return this.#hasPruned && this.#items.size < Math.min(wanted, this.#limit);
  }

  /** The newest first. */
  sorted(): T[] {
    return [...this.#items.values()].sort((one, other) => other.seq - one.seq).slice(0, this.#limit);
  }

  #prune(): void {
    const kept = this.sorted();
    this.#hasPruned = true;
    this.#items.clear();
    for (const item of kept) this.#items.set(item.id, item);
  }
}
