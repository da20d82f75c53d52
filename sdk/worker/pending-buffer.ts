import type { Keeper } from './ports.js';

/** The bytes of all events that are kept until they are acknowledged, and who is asked to let his go first. */
export class Budget {
  readonly #kept = new Map<Keeper, number>();
  #bytes = 0;
  #isEvicting = false;

  constructor(private readonly maxBytes: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  get events(): number {
    return this.#kept.size;
  }

  /** Above the bound the oldest that can be let go are let go, but never the one that has just come. */
  keep(keeper: Keeper, bytes: number): void {
    this.letGo(keeper);
    this.#kept.set(keeper, bytes);
    this.#bytes += bytes;
    // An end that comes in the place of an update is no reason to begin anew.
    if (this.#bytes <= this.maxBytes || this.#isEvicting) return;
    this.#isEvicting = true;
    for (const other of [...this.#kept.keys()]) {
      if (this.#bytes <= this.maxBytes) break;
      if (other === keeper || !other.evictable) continue;
      this.letGo(other);
      other.evict();
    }
    this.#isEvicting = false;
  }

  letGo(keeper: Keeper): void {
    const bytes = this.#kept.get(keeper);
    if (bytes === undefined) return;
    this.#bytes -= bytes;
    this.#kept.delete(keeper);
  }
}
