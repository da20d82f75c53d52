import { parseCursor, toCursor } from './cursor.js';
import { ClosedError } from './errors.js';
import type { Loop, LoopCall, LoopCalls } from './loop.js';
import type {
  ConnectionState,
  Continuity,
  Cursor,
  JobOptions,
  ProgressUpdate,
  TypedEventTarget,
} from './types.js';
import type { Platform, Position } from './wire.js';

/** What a handle asks of those who feed it. */
export interface HandleOwner<Snapshot> {
  readonly platform: Platform;
  /** Those that hold something. */
  readonly handles: Set<{ close(): void }>;
  /** What is shown, where it is made when somebody asks for it. */
  snapshot?(): Snapshot;
  /** Its loop wants everything behind `looped` again. */
  rewind?(): void;
  /** It is over, by the page or by itself. */
  leave?(): void;
  /** `cursor` has moved. */
  moved?(): void;
  /** Until it is whole. */
  loading?: Promise<unknown>;
  /** Where it has another loop. */
  loop?: Loop;
}

/** What each snapshot has. */
interface Shown {
  readonly connection: ConnectionState;
  readonly isCurrent: boolean;
  readonly continuity: Continuity;
  readonly error: Error | null;
}

/**
 * What a page holds of a job, or of several jobs: an event target, a store and a loop over the same updates. It knows what
 * the page has taken. Handlers take at once, a loop takes when it asks; each gets every update once.
 */
export class Handle<Snapshot extends Shown, Events> extends (EventTarget as new <
  Events,
>() => TypedEventTarget<Events>)<Events> {
  /** Up to here the handlers ran. */
  taken: Position | null;
  /** What the loop took last. */
  looped: Position | null = null;
  isOver = false;
  /** Why it is over; null: it has come to its end. */
  error: Error | null = null;
  readonly owner: HandleOwner<Snapshot>;
  #shown: Snapshot | null;
  /** Where the page wanted to begin; null: at the last state. */
  #start: Position | null;
  #isTelling = false;
  #opened: Promise<Loop> | null = null;
  /** Where its loop is told; null: nobody loops. */
  loop: LoopCalls | null = null;
  readonly #forgetSignal: () => void;

  /** @param shown what is shown at first, besides what all show */
  constructor(
    owner: HandleOwner<Snapshot>,
    { after, signal }: JobOptions,
    shown: Omit<Snapshot, keyof Shown>,
  ) {
    super();
    this.owner = owner;
    this.#shown = {
      ...{ connection: 'idle', isCurrent: false, continuity: { kind: 'unknown' }, error: null },
      ...shown,
    } as unknown as Snapshot;
    this.taken = this.#start = after === undefined ? null : parseCursor(after);
    owner.handles.add(this);
    const abort = (): void => this.close();
    signal?.addEventListener('abort', abort);
    if (signal?.aborted) queueMicrotask(abort);
    this.#forgetSignal = () => signal?.removeEventListener('abort', abort);
  }

  get cursor(): Cursor | null {
    const { position } = this;
    return position && toCursor(position);
  }

  /** What handlers and loop have both taken. */
  get position(): Position | null {
    return this.loop ? this.looped : this.taken;
  }

  subscribe(onChange: () => void): () => void {
    // One that is given twice is called twice, and each is taken back by itself.
    const call = () => onChange();
    this.addEventListener('state', call);
    return () => this.removeEventListener('state', call);
  }

  /** What is shown now: the same object until it changes. */
  getSnapshot(): Snapshot {
    this.#shown ??= (this.owner.snapshot as () => Snapshot)();
    return this.#shown;
  }

  close(): void {
    this.finish(new ClosedError());
  }

  [Symbol.asyncIterator](): AsyncIterator<ProgressUpdate> {
    this.#opened ??= this.#openLoop();
    const loop = this.#opened;
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

  emit<K extends keyof Events & string>(type: K, detail: Events[K]): void;
  emit(type: 'update' | 'state' | 'error', detail: unknown): void;
  emit(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /**
   * What is shown has changed. Those who watch are told once for all that comes in one turn.
   * @param changes null: `owner` makes another snapshot
   */
  show(changes: Partial<Snapshot> | null): void {
    this.#shown = changes && { ...this.getSnapshot(), ...changes };
    if (this.#isTelling) return;
    this.#isTelling = true;
    this.owner.platform.later(0, () => {
      this.#isTelling = false;
      this.emit('state', this.getSnapshot());
    });
  }

  /**
   * An update came. Handlers and loop get it where they have not.
   * @param show called before the handlers
   */
  give(update: ProgressUpdate, position: Position, show: () => void): void {
    if (!this.isOver && position.seq > (this.taken?.seq ?? -1)) {
      show();
      this.emit('update', update);
      // Only now: what a handler did not get to see is not taken.
      this.taken = position;
    }
    this.loop?.push(['give', update, position]);
    this.owner.moved?.();
  }

  /** Everything up to here was given, or is none of this handle's. */
  advance(position: Position): void {
    this.taken = position;
    this.loop?.push(['advance', position]);
    this.owner.moved?.();
  }

  /** What was given is void. @returns up to where; null when there was nothing */
  forget(): Position | null {
    const given = this.position ?? this.taken;
    this.taken = this.looped = this.#start = null;
    this.loop?.push(['forget']);
    return given;
  }

  /**
   * Ends it.
   * @param error null: it has come to its end
   * @returns false when it was over before
   */
  finish(error: Error | null): boolean {
    const isFirst = !this.isOver;
    this.isOver = true;
    if (isFirst) {
      this.error = error;
      const end: Partial<Shown> = { connection: 'closed', isCurrent: !error, error };
      this.show(end as Partial<Snapshot>);
    }
    // A loop may have more to get up to the end.
    if (error || !this.loop) this.letGo();
    this.loop?.push(['finish', error]);
    return isFirst;
  }

  fail(error: Error): void {
    if (this.finish(error)) this.emit('error', error);
  }

  /** Nothing is held any more. */
  letGo(): void {
    this.#forgetSignal();
    this.owner.handles.delete(this);
    this.owner.leave?.();
  }

  /** What it has to be told meanwhile waits until it is loaded. */
  async #openLoop(): Promise<Loop> {
    const calls: LoopCall[] = [];
    this.loop = calls;
    const { taken, isOver, error } = this;
    // Of several jobs it gets what comes: what is shown is in the snapshot.
    const { state = null } = this.getSnapshot() as { readonly state?: ProgressUpdate | null };
    const newest = taken && state;
    const start = this.#start;
    this.looped = start ?? (newest ? null : taken);
    try {
      const { openLoop } = await import('./loop.js');
      return await openLoop(this, { start, newest, taken, isOver, error }, calls);
    } catch (cause) {
      // Whoever loops again tries again.
      this.#opened = this.loop = null;
      if (this.isOver) this.letGo();
      throw cause;
    }
  }
}
