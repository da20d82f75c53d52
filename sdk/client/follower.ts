import { isOtherLog } from './cursor.js';
import { EdgeError } from './errors.js';
import { Handle } from './handle.js';
import type {
  ConnectionState,
  Continuity,
  Job,
  JobEvents,
  JobOptions,
  JobSnapshot,
  ProgressUpdate,
  ResetReason,
} from './types.js';
import type { Platform, Position } from './wire.js';

/** What a follower asks of those who feed it. */
export interface FollowerOwner {
  readonly platform: Platform;
  /** It is over, by the page or by itself. */
  leave(follower: Follower): void;
  /** It wants everything behind this again. */
  rewind(follower: Follower, to: Position): void;
  /** It has taken more. */
  moved(follower: Follower): void;
}

/** One follower of one job: what `client.job()` gives. */
export class Follower extends Handle<JobSnapshot, JobEvents> implements Job {
  readonly done: Promise<ProgressUpdate>;
  readonly #owner: FollowerOwner;
  #resolve!: (update: ProgressUpdate) => void;
  #reject!: (error: Error) => void;
  #state: ProgressUpdate | null = null;
  #connection: ConnectionState = 'idle';
  #isCurrent = false;
  #continuity: Continuity = { kind: 'unknown' };
  #stalled: JobSnapshot['stalled'] = null;
  #isEnded = false;
  #error: Error | null = null;
  /** What is taken is what the page says, and no edge has said so. */
  #isGiven = true;

  constructor(
    readonly id: string,
    owner: FollowerOwner,
    options: JobOptions,
  ) {
    super(owner.platform, options);
    this.#owner = owner;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Who does not ask for it has not failed to handle it.
    this.done.catch(() => {});
  }

  /** The page has been given no state, and asked for no cursor. */
  get isEmpty(): boolean {
    return this.taken === null && this.#state === null;
  }

  get state(): ProgressUpdate | null {
    return this.#state;
  }

  /** Shown before it is given: to a page that draws at once. */
  preview(state: ProgressUpdate | null): void {
    this.#state = state;
  }

  /** @param isLinked it names its predecessor, and everything up to that had come */
  update(update: ProgressUpdate, position: Position, isLinked: boolean): void {
    this.#checkLog(position);
    this.#isGiven = false;
    this.give(update, position, () => {
      const isFirst = this.taken === null;
      if (this.#continuity.kind !== 'reset') {
        const isProven =
          isFirst || (isLinked && (this.#continuity.kind === 'proven' || this.#state === null));
        this.#continuity = { kind: isProven ? 'proven' : 'unknown' };
      }
      this.#state = update;
      this.#stalled = null;
    });
  }

  /** Everything up to here has been given. */
  advanceTo(position: Position): void {
    if (this.#checkLog(position)) return;
    const taken = this.taken?.seq ?? 0;
    // The cursor that the page gave is of a future that this stream has not. The state follows.
    if (this.#isGiven && position.seq < taken) this.reset('ahead');
    else if (position.seq >= taken) this.advance(position);
    this.#isGiven = false;
  }

  reset(reason: ResetReason): void {
    const isVoid = this.forget();
    if (!isVoid && this.#state === null) return;
    // Behind the end it concerns a loop alone, which has not got there yet.
    if (!this.isOver) {
      this.#state = this.#stalled = null;
      this.#isCurrent = false;
    }
    this.#continuity = { kind: 'reset', reason };
    this.changed();
    this.emit('reset', { reason });
  }

  stall(frame: NonNullable<JobSnapshot['stalled']>): void {
    this.#stalled = frame;
    this.changed();
    this.emit('stalled', frame);
  }

  /** How its connection is, and whether all that there is has been given. */
  connected(connection: ConnectionState, isCurrent: boolean): void {
    // Behind the end it is a loop alone that goes on.
    if (this.isOver || (connection === this.#connection && isCurrent === this.#isCurrent)) return;
    const isNew = connection !== this.#connection;
    this.#connection = connection;
    this.#isCurrent = isCurrent;
    this.changed();
    if (isNew) this.emit('connection', connection);
  }

  /** @param state the job's last */
  end(state: ProgressUpdate | null): void {
    const isFirst = !this.isOver;
    if (isFirst) {
      this.#state ??= state;
      this.#isEnded = this.#isCurrent = true;
      this.#connection = 'closed';
    }
    super.finish(null);
    if (!isFirst) return;
    const last = this.#state;
    if (last === null)
      this.#reject(new EdgeError('no_event', 'the job has ended, and its last state is gone'));
    else this.#resolve(last);
    this.emit('end', last);
  }

  fail(error: Error): void {
    if (this.finish(error)) this.emit('error', error);
  }

  override finish(error: Error): boolean {
    if (!this.isOver) {
      this.#error = error;
      this.#connection = 'closed';
      this.#isCurrent = false;
      this.#reject(error);
    }
    return super.finish(error);
  }

  protected snapshot(): JobSnapshot {
    return {
      id: this.id,
      state: this.#state,
      connection: this.#connection,
      isCurrent: this.#isCurrent,
      continuity: this.#continuity,
      stalled: this.#stalled,
      isEnded: this.#isEnded,
      error: this.#error,
    };
  }

  protected newest(): ProgressUpdate | null {
    return this.taken === null ? null : this.#state;
  }

  protected rewind(to: Position): void {
    this.#owner.rewind(this, to);
  }

  protected leave(): void {
    this.#owner.leave(this);
  }

  protected override moved(): void {
    this.#owner.moved(this);
  }

  /** What the page has taken is of another stream, or was taken under another scope. */
  #checkLog(position: Position): boolean {
    const { taken } = this;
    if (taken === null || !isOtherLog(taken, position)) return false;
    this.reset(taken.epoch === position.epoch ? 'scope' : 'epoch');
    return true;
  }
}
