interface KeyQueue<T> {
  readonly items: Set<T>;
  /** Stands before the item that is next. Kept: a new one would walk over all that were taken before. */
  readonly next: SetIterator<T>;
}

/**
 * A queue that is fair by key: each key has its turn, however many items wait under the others. Within one key the
 * items keep their order. All operations take constant time. A key without items is forgotten.
 */
export class FairQueue<T extends object> {
  readonly #queues = new Map<string, KeyQueue<T>>();
  /**
   * Stands before the key whose turn is next. A key that had its turn goes to the end of the map, so that
   * all keys are ahead of this, and it never sees the end of the map while there is one: it would see nothing after that.
   */
  readonly #turns = this.#queues.entries();
  #size = 0;

  /** How many items wait. One that waits under several keys counts under each. */
  get size(): number {
    return this.#size;
  }

  /** How many keys have items. */
  get keys(): number {
    return this.#queues.size;
  }

  /** How many items wait under this key. */
  count(key: string): number {
    return this.#queues.get(key)?.items.size ?? 0;
  }

  /** Puts the item at the end of its key's items. One that waits under this key already keeps its place. */
  add(key: string, item: T): void {
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      const items = new Set<T>();
      queue = { items, next: items.values() };
      this.#queues.set(key, queue);
    }
    if (queue.items.has(item)) return;
    queue.items.add(item);
    this.#size++;
  }

  /** Takes the item out of its place under this key. false: it does not wait there. */
  delete(key: string, item: T): boolean {
    const queue = this.#queues.get(key);
    if (!queue?.items.delete(item)) return false;
    this.#size--;
    if (queue.items.size === 0) this.#queues.delete(key);
    return true;
  }

  /** Takes the next item of this key, whoever's turn it is. null: none waits. */
  takeOf(key: string): T | null {
    const queue = this.#queues.get(key);
    const next = queue?.next.next();
    if (next === undefined || next.done) return null;
    this.delete(key, next.value);
    return next.value;
  }

  /**
   * Takes the next item of the key whose turn it is. The key then waits until all others had theirs.
   * @param isFavored keys for which this is false are passed over, and lose their turn, while there is one for which it
   * is true. A call takes as many steps as there are such keys in a row
   * @returns null: nothing waits
   */
  take(isFavored: (key: string) => boolean = () => true): { readonly key: string; readonly item: T } | null {
    for (let passed = 0; this.#queues.size > 0; passed++) {
      const turn = this.#turns.next();
      if (turn.done) return null;
      const [key, queue] = turn.value;
      this.#queues.delete(key);
      // Behind a whole round of passed ones stands the first of them again.
      const isPassed = passed <= this.#queues.size && !isFavored(key);
      const next = isPassed ? null : queue.next.next();
      if (next && !next.done) {
        queue.items.delete(next.value);
        this.#size--;
      }
      if (queue.items.size > 0) this.#queues.set(key, queue);
      if (next && !next.done) return { key, item: next.value };
    }
    return null;
  }
}
