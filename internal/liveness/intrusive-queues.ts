/** What `first` says of an empty ring. */
export const NONE = -1;

/**
 * Lists of small integers ("nodes"), of which each node is in at most one. Joining, leaving and finding the first take
 * the same time whatever the lengths, and nothing is allocated but 8 bytes for each node that may ever be.
 */
export class IntrusiveQueues {
  readonly #count: number;
  // Doubly linked and circular. The first `#count` places are the rings' own; node n stands at `#count + n`. A place
  // that is linked to itself is an empty ring, or a node that is in none.
  #next: Int32Array;
  #previous: Int32Array;

  /** @param count how many rings, from 1; they are named 0 to `count - 1` */
  constructor(count: number) {
    this.#count = count;
    this.#next = Int32Array.from({ length: count }, (_, place) => place);
    this.#previous = this.#next.slice();
  }

  /** Makes room for the nodes 0 to `nodes - 1`, if there is less. Those that are there stay where they are. */
  grow(nodes: number): void {
    const before = this.#next.length;
    if (this.#count + nodes <= before) return;
    this.#next = grown(this.#next, this.#count + nodes);
    this.#previous = grown(this.#previous, this.#count + nodes);
    for (let place = before; place < this.#next.length; place++) {
      this.#next[place] = place;
      this.#previous[place] = place;
    }
  }

  /** The node that has been in `ring` for the longest, or NONE. */
  first(ring: number): number {
    const place = this.#next[ring] as number;
    return place === ring ? NONE : place - this.#count;
  }

  /** Moves `node` to the end of `ring`, from wherever it is. */
  enqueue(ring: number, node: number): void {
    this.remove(node);
    this.#insert(this.#previous[ring] as number, ring, node);
  }

  /** Moves `node` to the front of `ring`, from wherever it is. */
  enqueueFirst(ring: number, node: number): void {
    this.remove(node);
    this.#insert(ring, this.#next[ring] as number, node);
  }

  /** Takes `node` out of its ring; nothing happens when it is in none. */
  remove(node: number): void {
    const place = this.#count + node;
    const previous = this.#previous[place] as number;
    const next = this.#next[place] as number;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#next[place] = place;
    this.#previous[place] = place;
  }

  #insert(previous: number, next: number, node: number): void {
    const place = this.#count + node;
    this.#next[previous] = place;
    this.#previous[place] = previous;
    this.#next[place] = next;
    this.#previous[next] = place;
  }
}

function grown(links: Int32Array, length: number): Int32Array {
  const larger = new Int32Array(length);
  larger.set(links);
  return larger;
}
