import type { Clock, TimerEntry } from './ports.js';

/** The longest delay of setTimeout, which calls at once after a longer one. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** The timer fires at most this often, so that entries that are due at nearly the same time share one turn. */
const RESOLUTION_MS = 5;

let stampedAt = 0;
let stamp = '';

/** The clock of the process. Its timers do not keep the process alive; `KeepAlive` does. */
export const systemClock: Clock = {
  now: () => performance.now(),
  timestamp: () => {
    const now = Date.now();
    if (now !== stampedAt) {
      stampedAt = now;
      stamp = new Date(now).toISOString();
    }
    return stamp;
  },
  later: (ms, call) => {
    const timer = setTimeout(call, Math.min(ms, MAX_TIMER_MS)).unref();
    return () => clearTimeout(timer);
  },
  chance: Math.random,
};

/** One timer for many entries: a binary heap in which each entry knows its index. */
export class TimerHeap {
  readonly #heap: TimerEntry[] = [];
  #cancel: (() => void) | null = null;
  #timerAt = Number.POSITIVE_INFINITY;
  #firedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly clock: Clock) {}

  /** Calls `onTimer` of the entry at `at`, instead of the time that was set before; Infinity removes it. */
  set(entry: TimerEntry, at: number): void {
    if (entry.heapIndex < 0) {
      if (at === Number.POSITIVE_INFINITY) return;
      entry.dueAt = at;
      this.#put(entry, this.#heap.length);
      this.#up(entry);
    } else if (at === Number.POSITIVE_INFINITY) {
      this.#remove(entry);
    } else {
      const isEarlier = at < entry.dueAt;
      entry.dueAt = at;
      if (isEarlier) this.#up(entry);
      else this.#down(entry);
    }
    this.#arm();
  }

  #fire(): void {
    this.#cancel = null;
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = this.clock.now();
    this.#firedAt = now;
    for (let first = this.#heap[0]; first !== undefined && first.dueAt <= now; first = this.#heap[0]) {
      this.#remove(first);
      first.onTimer(now);
    }
    this.#arm();
  }

  // A timer that fires too early costs little; it is not moved each time that the first entry changes. But with an empty
  // heap it would keep alive a process that is done.
  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined) {
      this.#disarm();
      return;
    }
    const at = Math.max(first.dueAt, this.#firedAt + RESOLUTION_MS);
    if (this.#timerAt <= at) return;
    this.#cancel?.();
    this.#timerAt = at;
    const ms = Math.max(0, Math.ceil(at - this.clock.now()));
    this.#cancel = this.clock.later(ms, () => this.#fire());
  }

  #disarm(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  /** Removes all entries and the timer. */
  stop(): void {
    this.#disarm();
    for (const entry of this.#heap) entry.heapIndex = -1;
    this.#heap.length = 0;
  }

  #put(entry: TimerEntry, heapIndex: number): void {
    this.#heap[heapIndex] = entry;
    entry.heapIndex = heapIndex;
  }

  #remove(entry: TimerEntry): void {
    const last = this.#heap.pop();
    const { heapIndex } = entry;
    entry.heapIndex = -1;
    if (last === undefined || last === entry) return;
    this.#put(last, heapIndex);
    this.#up(last);
    this.#down(last);
  }

  #up(entry: TimerEntry): void {
    while (entry.heapIndex > 0) {
      const at = (entry.heapIndex - 1) >> 1;
      const parent = this.#heap[at];
      if (parent === undefined || parent.dueAt <= entry.dueAt) return;
      this.#put(parent, entry.heapIndex);
      this.#put(entry, at);
    }
  }

  #down(entry: TimerEntry): void {
    for (;;) {
      const left = this.#heap[2 * entry.heapIndex + 1];
      const right = this.#heap[2 * entry.heapIndex + 2];
      const child = right !== undefined && left !== undefined && right.dueAt < left.dueAt ? right : left;
      if (child === undefined || child.dueAt >= entry.dueAt) return;
      const at = child.heapIndex;
      this.#put(child, entry.heapIndex);
      this.#put(entry, at);
    }
  }
}

/** Keeps the process alive while anything holds it. A process whose work is done ends by itself. */
export class KeepAlive {
  #holds = 0;
  #timer: NodeJS.Timeout | null = null;

  hold(): void {
    this.#holds += 1;
    this.#timer ??= setInterval(() => {}, MAX_TIMER_MS);
  }

  /** Takes back one `hold`. */
  release(): void {
    this.#holds -= 1;
    if (this.#holds > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Holds until the call is settled. */
  async during<T>(call: () => Promise<T>): Promise<T> {
    this.hold();
    try {
      return await call();
    } finally {
      this.release();
    }
  }
}
