import { parseCursor, toCursor } from './cursor.js';
import { ClosedError } from './errors.js';
import type { Loop, LoopOwner } from './loop.js';
import type { Cursor, JobOptions, ProgressUpdate, TypedEventTarget } from './types.js';
import type { Platform, Position } from './wire.js';

const TypedTarget = EventTarget as new <Events>() => TypedEventTarget<Events>;

type TellLoop = (tell: (loop: Loop) => void) => void;

/**
 * What a page holds of a job, or of all jobs: an event target, a store and a loop over the same updates. It knows what the
 * page has taken. Handlers take at once, a loop takes when it asks; each gets every update once.
 */
export abstract class Handle<Snapshot, Events> extends TypedTarget<Events> implements LoopOwner {
  /** Up to here the handlers ran. */
  taken: Position | null;
  /** What the loop took last. */
  looped: Position | null = null;
  isOver = false;
  /** Why it is over; null: it has come to its end. */
  error: Error | null = null;
  readonly #platform: Platform;
  /** Where the page wanted to begin; null: at the last state. */
  #start: Position | null;
  #isTelling = false;
  #loop: Promise<Loop> | null = null;
  /** null: nobody loops. */
  #tellLoop: TellLoop | null = null;
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
    const { position } = this;
    return position && toCursor(position);
  }

  /** What handlers and loop have both taken. */
  get position(): Position | null {
    return this.#tellLoop === null ? this.taken : this.looped;
  }

  subscribe(onChange: () => void): () => void {
    // One that is given twice is called twice, and each is taken back by itself.
    const call = () => onChange();
    this.addEventListener('state', call);
    return () => this.removeEventListener('state', call);
  }

  close(): void {
    this.finish(new ClosedError());
  }

  [Symbol.asyncIterator](): AsyncIterator<ProgressUpdate> {
    this.#loop ??= this.#openLoop();
    const loop = this.#loop;
    // Who does not ask it is not told that it could not be loaded.
    loop.catch(() => {});
    return {
      next: async () => (await loop).next(),
      return: async () => {
        this.close();
        return { done: true, value: undefined };
      },
    };
  }

  /** What is shown now: the same object until it changes. */
  abstract getSnapshot(): Snapshot;
  /** The newest update, for a loop that begins late. */
  protected abstract newest(): ProgressUpdate | null;
  /** The loop wants everything behind this again. */
  abstract rewind(to: Position): void;
  /** Lets go of whatever it holds. */
  protected abstract leave(): void;

  /** `cursor` has moved. */
  moved(): void {}

  emit<K extends keyof Events & string>(type: K, detail: Events[K]): void {
    this.#dispatch(type, detail);
  }

  /** What is shown has changed. Those who watch are told once for all that comes in one turn. */
  changed(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    this.#platform.later(0, () => {
      this.#isTelling = false;
      this.#dispatch('state', this.getSnapshot());
    });
  }

  /**
   * An update came. Handlers and loop get it where they have not.
   * @param show called before the handlers
   */
  give(update: ProgressUpdate, position: Position, show: () => void): void {
    if (!this.isOver && position.seq > (this.taken?.seq ?? -1)) {
      show();
      this.#dispatch('update', update);
      // Only now: what a handler did not get to see is not taken.
      this.taken = position;
    }
    this.#tellLoop?.((loop) => loop.give(update, position));
    this.moved();
  }

  /** Everything up to here was given, or is none of this handle's. */
  advance(position: Position): void {
    this.taken = position;
    this.#tellLoop?.((loop) => loop.advance(position));
    this.moved();
  }

  /** What was given is void. @returns false when there was nothing */
  forget(): boolean {
    const isVoid = this.position !== null || this.taken !== null;
    this.taken = this.looped = this.#start = null;
    this.#tellLoop?.((loop) => loop.forget());
    return isVoid;
  }

  /**
   * Ends it.
   * @param error null: it has come to its end
   * @returns false when it was over before
   */
  finish(error: Error | null): boolean {
    const isFirst = !this.isOver;
    if (isFirst) {
      this.isOver = true;
      this.error = error;
      this.changed();
    }
    // A loop may have more to get up to the end.
    if (error !== null || this.#tellLoop === null) this.letGo();
    this.#tellLoop?.((loop) => loop.finish(error));
    return isFirst;
  }

  fail(error: Error): void {
    if (this.finish(error)) this.#dispatch('error', error);
  }

  /** Nothing is held any more. */
  letGo(): void {
    this.#signal?.removeEventListener('abort', this.#abort);
    this.leave();
  }

  #dispatch(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** What it has to be told meanwhile waits until it is loaded. */
  async #openLoop(): Promise<Loop> {
    const waiting: Parameters<TellLoop>[0][] = [];
    this.#tellLoop = (tell) => waiting.push(tell);
    const { taken, isOver, error } = this;
    const [start, newest] = [this.#start, this.newest()];
    this.looped = start ?? (newest === null ? taken : null);
    try {
      const { openLoop } = await import('./loop.js');
      const loop = await openLoop(this, { start, newest, taken, isOver, error });
      this.#tellLoop = (tell) => tell(loop);
      for (const tell of waiting) tell(loop);
      return loop;
    } catch (cause) {
      // Whoever loops again tries again.
      this.#loop = this.#tellLoop = null;
      if (this.isOver) this.letGo();
      throw cause;
    }
  }
}
