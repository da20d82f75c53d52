import { FairQueue } from '../session/fair-queue.js';

/** A read and everybody it stands for. More may join while it waits. */
export interface TurnHolder {
  /** By the subject or address that asks; at least one. */
  readonly requesters: ReadonlySet<string>;
}

interface Waiting {
  readonly holder: TurnHolder;
  /** Milliseconds of the clock that never goes back. */
  readonly since: number;
  readonly start: (requester: string) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Lets so many reads run at once, and gives turns to those that wait by who asks, so that one who asks for much does not
 * hold up the others. While several wait, one gets at most half of the places.
 */
export class ReadTurns {
  readonly #concurrency: number;
  readonly #share: number;
  readonly #now: () => number;
  readonly #queue = new FairQueue<Waiting>();
  /** In the order in which they came. */
  readonly #waiting = new Map<TurnHolder, Waiting>();
  /** How many reads run in the turn of each requester. */
  readonly #running = new Map<string, number>();
  #active = 0;

  /**
   * @param concurrency an integer from 1
   * @param now milliseconds of a clock that never goes back
   */
  constructor(concurrency: number, now: () => number) {
    this.#concurrency = concurrency;
    this.#share = Math.max(1, Math.floor(concurrency / 2));
    this.#now = now;
  }

  /** How many reads wait, how many requesters they are of, and for how many milliseconds the oldest has waited. */
  get waiting(): { readonly reads: number; readonly requesters: number; readonly longestMs: number } {
    const [oldest] = this.#waiting.values();
    return {
      reads: this.#waiting.size,
      requesters: this.#queue.keys,
      longestMs: oldest === undefined ? 0 : this.#now() - oldest.since,
    };
  }

  /**
   * Runs `read` in the next turn of one of the holder's requesters.
   * @throws what `read` rejects with, and what `clear` is called with
   */
  async run<T>(holder: TurnHolder, read: () => Promise<T>): Promise<T> {
    const requester = await new Promise<string>((start, reject) => {
      const waiting = { holder, since: this.#now(), start, reject };
      this.#waiting.set(holder, waiting);
      for (const one of holder.requesters) this.#queue.add(one, waiting);
      this.#next();
    });
    try {
      return await read();
    } finally {
      this.#active--;
      const running = this.#running.get(requester) ?? 0;
      if (running > 1) this.#running.set(requester, running - 1);
      else this.#running.delete(requester);
      this.#next();
    }
  }

  /** The holder has one more requester. If it waits, it waits for that one's turn as well. */
  joined(holder: TurnHolder, requester: string): void {
    const waiting = this.#waiting.get(holder);
    if (waiting !== undefined) this.#queue.add(requester, waiting);
  }

  /** Rejects what waits; what runs goes on. */
  clear(error: Error): void {
    const waiting = [...this.#waiting.values()];
    for (const one of waiting) {
      this.#leave(one);
      one.reject(error);
    }
  }

  #next(): void {
    while (this.#active < this.#concurrency) {
      const taken = this.#queue.take((requester) => (this.#running.get(requester) ?? 0) < this.#share);
      if (taken === null) return;
      const { key: requester, item: waiting } = taken;
      this.#leave(waiting);
      this.#active++;
      this.#running.set(requester, (this.#running.get(requester) ?? 0) + 1);
      waiting.start(requester);
    }
  }

  #leave(waiting: Waiting): void {
    this.#waiting.delete(waiting.holder);
    for (const requester of waiting.holder.requesters) this.#queue.delete(requester, waiting);
  }
}
