import { parseCursor, toCursor } from './cursor.js';
import { ClosedError } from './errors.js';
import type { Cursor, JobOptions, ProgressUpdate, TypedEventTarget } from './types.js';
import type { Platform, Position } from './wire.js';

/** So many updates wait for a loop that does not ask for them. The rest is asked of the edge again, later. */
export const limits = { queued: 1_000 };

const TypedTarget = EventTarget as new <Events>() => TypedEventTarget<Events>;

interface Entry {
  readonly update: ProgressUpdate;
  position: Position;
}

interface Waiter {
  readonly resolve: (result: IteratorResult<ProgressUpdate>) => void;
  readonly reject: (error: Error) => void;
}

const isBehind = (position: Position, taken: Position | null): boolean =>
  taken === null || position.seq > taken.seq;

/**
 * What a page holds of a job, or of all jobs: an event target, a store and a loop over the same updates. It knows what the
 * page has taken. Handlers take at once, a loop takes when it asks; each gets every update once.
 */
export abstract class Handle<Snapshot, Events> extends TypedTarget<Events> {
  /** Up to here the handlers ran. */
  taken: Position | null;
  isOver = false;
  /** It did not come to its end: there is nothing more to ask for. */
  #isClosed = false;
  /** Nothing is held any more. A loop that was cut short is fed on behind the end of the job. */
  #hasLeft = false;
  readonly #platform: Platform;
  /** Where the page wanted to begin; null: at the last state. */
  #start: Position | null;
  #snapshot: Snapshot | null = null;
  readonly #subscribers = new Set<() => void>();
  #isTelling = false;
  /** null: nobody loops. */
  #queue: Entry[] | null = null;
  /** What the loop took last, and the newest that was queued for it. */
  #looped: Position | null = null;
  #queued: Position | null = null;
  /** The queue was full: what came then is asked for again once it is empty. */
  #isCutShort = false;
  readonly #waiters: Waiter[] = [];
  #error: Error | null = null;
  readonly #abort = (): void => this.close();
  readonly #signal: AbortSignal | undefined;

  constructor(platform: Platform, { after, signal }: JobOptions) {
    super();
    this.#platform = platform;
    this.taken = this.#start = after === undefined ? null : parseCursor(after);
    this.#signal = signal;
    signal?.addEventListener('abort', this.#abort);
    if (signal?.aborted) queueMicrotask(this.#abort);
  }

  get cursor(): Cursor | null {
    const position = this.position;
    return position === null ? null : toCursor(position);
  }

  /** What handlers and loop have both taken. */
  get position(): Position | null {
    return this.#queue === null ? this.taken : this.#looped;
  }

  subscribe(onChange: () => void): () => void {
    // One that is given twice is called twice, and each is taken back by itself.
    const call = () => onChange();
    this.#subscribers.add(call);
    return () => this.#subscribers.delete(call);
  }

  getSnapshot(): Snapshot {
    this.#snapshot ??= this.snapshot();
    return this.#snapshot;
  }

  close(): void {
    this.finish(new ClosedError());
  }

  [Symbol.asyncIterator](): AsyncIterator<ProgressUpdate> {
    this.#queue ??= this.#firstQueue();
    return {
      next: () =>
        new Promise((resolve, reject) => {
          this.#waiters.push({ resolve, reject });
          this.#serve();
        }),
      return: async () => {
        this.close();
        return { done: true, value: undefined };
      },
    };
  }

  /** What is shown now. */
  protected abstract snapshot(): Snapshot;
  /** The newest update, for a loop that begins late. */
  protected abstract newest(): ProgressUpdate | null;
  /** The loop wants everything behind this again. */
  protected abstract rewind(to: Position): void;
  /** Lets go of whatever it holds. */
  protected abstract leave(): void;

  /** `cursor` has moved. */
  protected moved(): void {}

  emit<K extends keyof Events & string>(type: K, detail: Events[K]): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** What is shown has changed. Those who watch are told once for all that comes in one turn. */
  changed(): void {
    this.#snapshot = null;
    if (this.#isTelling) return;
    this.#isTelling = true;
    this.#platform.later(0, () => {
      this.#isTelling = false;
      this.dispatchEvent(new CustomEvent('state', { detail: this.getSnapshot() }));
      for (const call of [...this.#subscribers]) call();
    });
  }

  /**
   * An update came. Handlers and loop get it where they have not.
   * @param show called before the handlers
   */
  give(update: ProgressUpdate, position: Position, show: () => void): void {
    if (!this.isOver && isBehind(position, this.taken)) {
      show();
      this.changed();
      this.dispatchEvent(new CustomEvent('update', { detail: update }));
      // Only now: what a handler did not get to see is not taken.
      this.taken = position;
    }
    if (this.#queue !== null && !this.#hasLeft && !this.#isCutShort && isBehind(position, this.#queued)) {
      // Not in the midst of updates that came together: from there nothing goes on without some of them twice.
      this.#isCutShort = this.#queue.length >= limits.queued && this.#queued?.resume === undefined;
      if (!this.#isCutShort) {
        this.#queued = position;
        this.#queue.push({ update, position });
      }
      this.#serve();
    }
    this.moved();
  }

  /** Everything up to here was given, or is none of this handle's. */
  advance(position: Position): void {
    this.taken = position;
    if (this.#queue !== null && !this.#isCutShort) {
      const last = this.#queue.at(-1);
      this.#queued = position;
      if (last === undefined) this.#looped = position;
      else last.position = position;
    }
    this.moved();
  }

  /** What was given is void. @returns false when there was nothing */
  forget(): boolean {
    const isVoid = this.taken !== null || this.#looped !== null || (this.#queue?.length ?? 0) > 0;
    this.taken = this.#looped = this.#queued = this.#start = null;
    this.#isCutShort = false;
    this.#queue &&= [];
    return isVoid;
  }

  /**
   * Ends it.
   * @param error null: it has come to its end
   * @returns false when it was over before
   */
  finish(error: Error | null): boolean {
    const isFirst = !this.isOver;
    const isOwed = isFirst || this.#isCutShort;
    this.isOver = true;
    if (error !== null) {
      this.#isClosed = true;
      this.#isCutShort = false;
    }
    // What the page does not want any more is not taken either.
    if (error instanceof ClosedError) this.#queue &&= [];
    else if (isOwed) this.#error = error;
    if (!this.#hasLeft && !this.#isCutShort) {
      this.#hasLeft = true;
      this.#signal?.removeEventListener('abort', this.#abort);
      this.leave();
    }
    if (isFirst) this.changed();
    this.#serve();
    return isFirst;
  }

  /** A loop that begins late starts at what is shown; or at the cursor that was given, where it is not there any more. */
  #firstQueue(): Entry[] {
    const { taken } = this;
    const update = this.newest();
    if (this.#start !== null) {
      this.#looped = this.#queued = this.#start;
      this.#isCutShort = update !== null && !this.#isClosed;
      // Behind the end the job is followed once more, for the loop.
      if (this.#isCutShort) this.#hasLeft = false;
      return [];
    }
    this.#queued = taken;
    if (update !== null && taken !== null) return [{ update, position: taken }];
    this.#looped = taken;
    return [];
  }

  #serve(): void {
    const queue = this.#queue ?? [];
    while (this.#waiters.length > 0) {
      const entry = queue.shift();
      if (entry === undefined && this.#isCutShort && this.#looped !== null) {
        this.#isCutShort = false;
        this.#queued = this.#looped;
        this.rewind(this.#looped);
        return;
      }
      if (entry === undefined && !this.#hasLeft) return;
      const waiter = this.#waiters.shift();
      if (entry !== undefined) {
        this.#looped = entry.position;
        waiter?.resolve({ done: false, value: entry.update });
        this.moved();
      } else if (this.#error !== null) {
        waiter?.reject(this.#error);
        this.#error = null;
      } else waiter?.resolve({ done: true, value: undefined });
    }
  }
}
