import type { BufferedEvent } from './ports.js';

/** Counts the bytes of all events that are not acknowledged, and evicts the oldest ones above a limit. */
export class PendingBuffer {
  readonly #events = new Map<BufferedEvent, number>();
  #bytes = 0;
  #isEvicting = false;

  constructor(private readonly maxBytes: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  get events(): number {
    return this.#events.size;
  }

  /** Adds an event. Above the limit it evicts the oldest evictable events, but never the one that was just added. */
  add(buffered: BufferedEvent, bytes: number): void {
    this.remove(buffered);
    this.#events.set(buffered, bytes);
    this.#bytes += bytes;
    // A terminal event that takes the place of an evicted update must not start another round.
    if (this.#bytes <= this.maxBytes || this.#isEvicting) return;
    this.#isEvicting = true;
    for (const other of [...this.#events.keys()]) {
      if (this.#bytes <= this.maxBytes) break;
      if (other === buffered || !other.evictable) continue;
      this.remove(other);
      other.evict();
    }
    this.#isEvicting = false;
  }

  remove(buffered: BufferedEvent): void {
    const bytes = this.#events.get(buffered);
    if (bytes === undefined) return;
    this.#bytes -= bytes;
    this.#events.delete(buffered);
  }
}
