import type { ProgressUpdate } from './types.js';
import type { Position } from './wire.js';

/** So many updates wait for a loop that does not ask for them. The rest is asked of the edge again, later. */
export const limits = { queued: 1_000 };

/** What a loop takes from, and tells what it has taken. */
export interface LoopHandle {
  /** What the loop took last. */
  looped: Position | null;
  /** Where the loop is told. */
  loop: LoopCalls | null;
  /** The loop has all that there is. */
  letGo(): void;
  readonly owner: {
    /** `looped` has moved. */
    moved?(): void;
    /** The loop wants everything behind `looped` again. */
    rewind?(): void;
    /** Until it is known whether there is another one. */
    readonly loading?: Promise<unknown>;
    readonly loop?: Loop;
  };
}

/** What a loop is told, and asked. */
export interface Loop {
  next(): Promise<IteratorResult<ProgressUpdate>>;
  give(update: ProgressUpdate, position: Position): void;
  /** Everything up to here was given. */
  advance(position: Position): void;
  /** What was given is void. */
  forget(): void;
  /** Nothing comes any more. Behind the end its handle may tell it of an error yet. */
  finish(error: Error | null): void;
}

/** What a loop is told, by the method's name. */
export type LoopCall = {
  [K in Exclude<keyof Loop, 'next'>]: readonly [K, ...Parameters<Loop[K]>];
}[Exclude<keyof Loop, 'next'>];

/** Those that wait for the loop; and behind them the loop itself. */
export interface LoopCalls {
  push(call: LoopCall): unknown;
}

/** How its handle was when it began. */
export interface LoopStart {
  /** Where the page wanted to begin; null: at the last state. */
  readonly start: Position | null;
  /** What is shown, up to `taken`. */
  readonly newest: ProgressUpdate | null;
  readonly taken: Position | null;
  readonly isOver: boolean;
  readonly error: Error | null;
}

interface Entry {
  readonly update: ProgressUpdate;
  position: Position;
}

interface Waiter {
  readonly resolve: (result: IteratorResult<ProgressUpdate>) => void;
  readonly reject: (error: Error) => void;
}

/** What the page does not want any more is not taken, and no mistake. */
const isByThePage = (error: Error | null): boolean => error?.name === 'ClosedError';

/**
 * A page that does not loop does not load it.
 * @param calls what it was told since
 */
export async function openLoop(
  handle: LoopHandle,
  start: LoopStart,
  calls: readonly LoopCall[],
): Promise<Loop> {
  await handle.owner.loading;
  const loop: Loop = handle.owner.loop ?? new QueueLoop(handle, start);
  const tell = ([method, ...given]: LoopCall): void =>
    (loop[method] as (...all: readonly unknown[]) => void).apply(loop, given);
  handle.loop = { push: tell };
  calls.forEach(tell);
  return loop;
}

/** Takes an update when the page asks for one. */
class QueueLoop implements Loop {
  #queue: Entry[] = [];
  /** The newest that was queued. */
  #queued: Position | null;
  /** The queue was full: what came then is asked for again once it is empty. */
  #isCutShort = false;
  readonly #waiters: Waiter[] = [];
  /** Nothing comes any more. One that was cut short is fed on behind the end of the job. */
  #isOver: boolean;
  #error: Error | null;

  /** One that begins late starts at what is shown; or at the cursor that was given, where it is not there any more. */
  constructor(
    private readonly handle: LoopHandle,
    { start, newest, taken, isOver, error }: LoopStart,
  ) {
    this.#isOver = isOver;
    this.#error = isByThePage(error) ? null : error;
    this.#queued = start ?? taken;
    if (start === null) {
      // One that is begun by a handler of the newest is given it like the others.
      if (newest !== null && taken !== null && newest.seq <= taken.seq)
        this.#queue.push({ update: newest, position: taken });
    } else if (newest !== null && error === null) {
      // Behind the end the job is followed once more, for the loop.
      this.#isCutShort = true;
      this.#isOver = false;
    }
  }

  next(): Promise<IteratorResult<ProgressUpdate>> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#serve();
    });
  }

  give(update: ProgressUpdate, position: Position): void {
    if (this.#isOver || this.#isCutShort || position.seq <= (this.#queued?.seq ?? -1)) return;
    // Not in the midst of updates that came together: from there nothing goes on without some of them twice.
    this.#isCutShort = this.#queue.length >= limits.queued && this.#queued?.resume === undefined;
    if (!this.#isCutShort) {
      this.#queued = position;
      this.#queue.push({ update, position });
    }
    this.#serve();
  }

  advance(position: Position): void {
    if (this.#isCutShort) return;
    const last = this.#queue.at(-1);
    this.#queued = position;
    if (last === undefined) this.handle.looped = position;
    else last.position = position;
  }

  forget(): void {
    this.handle.looped = this.#queued = null;
    this.#isCutShort = false;
    this.#queue = [];
  }

  finish(error: Error | null): void {
    if (isByThePage(error)) this.#queue = [];
    else if (!this.#isOver) this.#error = error;
    if (error !== null) this.#isCutShort = false;
    if (!this.#isOver && !this.#isCutShort) {
      this.#isOver = true;
      if (error === null) this.handle.letGo();
    }
    this.#serve();
  }

  #serve(): void {
    while (this.#waiters.length > 0) {
      const entry = this.#queue.shift();
      const { looped } = this.handle;
      if (entry === undefined && this.#isCutShort && looped !== null) {
        this.#isCutShort = false;
        this.#queued = looped;
        this.handle.owner.rewind?.();
        return;
      }
      if (entry === undefined && !this.#isOver) return;
      const waiter = this.#waiters.shift();
      if (entry !== undefined) {
        this.handle.looped = entry.position;
        waiter?.resolve({ done: false, value: entry.update });
        this.handle.owner.moved?.();
      } else if (this.#error !== null) {
        waiter?.reject(this.#error);
        this.#error = null;
      } else waiter?.resolve({ done: true, value: undefined });
    }
  }
}
