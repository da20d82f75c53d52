/** How many sockets in a row, over how many milliseconds, without one request that could be read. */
const SOCKETS = 10;
const LONG_ENOUGH_MS = 5_000;
/** Addresses that are watched at once; it bounds memory. */
const MAX_ADDRESSES = 1_000;

interface Unread {
  sockets: number;
  readonly since: number;
}

/**
 * Notices an address that connects again and again, and never sends a request that the library can read: a proxy that
 * speaks HTTP/1.0 or TLS to an edge that speaks neither. The library answers these with 505 by itself, and tells
 * nobody. A balancer that only tries whether the port is open looks the same.
 */
export class UnreadPeers {
  readonly #unread = new Map<string, Unread>();

  /**
   * A socket is there.
   * @param key the address, as it is counted
   * @param now milliseconds of a monotonic clock
   * @returns whether nothing that comes from there can be read
   */
  came(key: string, now: number): boolean {
    const known = this.#unread.get(key);
    if (known === undefined) {
      this.#makeRoom();
      this.#unread.set(key, { sockets: 1, since: now });
      return false;
    }
    known.sockets++;
    return known.sockets > SOCKETS && now - known.since >= LONG_ENOUGH_MS;
  }

  /** A request of this address was read. */
  asked(key: string): void {
    this.#unread.delete(key);
  }

  /** How many addresses are watched. */
  get size(): number {
    return this.#unread.size;
  }

  #makeRoom(): void {
    if (this.#unread.size < MAX_ADDRESSES) return;
    const [oldest] = this.#unread.keys();
    if (oldest !== undefined) this.#unread.delete(oldest);
  }
}
