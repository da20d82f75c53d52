import type { BufferedEvent } from './ports.js';

/** The bytes of all events that are kept until they are acknowledged, and who is asked to let his go first. */
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

  /** Above the bound the oldest that can be let go are let go, but never the one that has just come. */
  add(buffered: BufferedEvent, bytes: number): void {
    this.remove(buffered);
    this.#events.set(buffered, bytes);
    this.#bytes += bytes;
    // An end that comes in the place of an update is no reason to begin anew.
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
