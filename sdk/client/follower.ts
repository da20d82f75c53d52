import { isOtherLog } from './cursor.js';
import { EdgeError } from './errors.js';
import { Handle } from './handle.js';
import type {
  ConnectionState,
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
  #shown: JobSnapshot;
  /** What is taken is what the page says, and no edge has said so. */
  #isGiven = true;

  constructor(
    readonly id: string,
    owner: FollowerOwner,
    options: JobOptions,
  ) {
    super(owner.platform, options);
    this.#owner = owner;
    this.#shown = {
      id,
      state: null,
      connection: 'idle',
      isCurrent: false,
      continuity: { kind: 'unknown' },
      stalled: null,
      isEnded: false,
      error: null,
    };
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Who does not ask for it has not failed to handle it.
    this.done.catch(() => {});
  }

  /** The page has been given no state, and asked for no cursor. */
  get isEmpty(): boolean {
    return this.taken === null && this.state === null;
  }

  get state(): ProgressUpdate | null {
    return this.#shown.state;
  }

  getSnapshot(): JobSnapshot {
    return this.#shown;
  }

  /** Shown before it is given: to a page that draws at once. */
  preview(state: ProgressUpdate | null): void {
    this.#show({ state });
  }

  /** @param isLinked it names its predecessor, and everything up to that had come */
  update(update: ProgressUpdate, position: Position, isLinked: boolean): void {
    this.#checkLog(position);
    this.#isGiven = false;
    this.give(update, position, () => {
      const { state, continuity } = this.#shown;
      const isProven = this.taken === null || (isLinked && (continuity.kind === 'proven' || state === null));
      this.#show({
        state: update,
        stalled: null,
        continuity: continuity.kind === 'reset' ? continuity : { kind: isProven ? 'proven' : 'unknown' },
      });
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
    if (!isVoid && this.state === null) return;
    // Behind the end it concerns a loop alone, which has not got there yet.
    if (!this.isOver) this.#show({ state: null, stalled: null, isCurrent: false });
    this.#show({ continuity: { kind: 'reset', reason } });
    this.emit('reset', { reason });
  }

  stall(stalled: NonNullable<JobSnapshot['stalled']>): void {
    this.#show({ stalled });
    this.emit('stalled', stalled);
  }

  /** How its connection is, and whether all that there is has been given. */
  connected(connection: ConnectionState, isCurrent: boolean): void {
    const before = this.#shown;
    const isNew = connection !== before.connection;
    // Behind the end it is a loop alone that goes on.
    if (this.isOver || !(isNew || isCurrent !== before.isCurrent)) return;
    this.#show({ connection, isCurrent });
    if (isNew) this.emit('connection', connection);
  }

  /** @param state the job's last */
  end(state: ProgressUpdate | null): void {
    if (!this.isOver) this.#show({ state: this.state ?? state });
    if (!this.finish(null)) return;
    const last = this.state;
    if (last === null) this.#reject(new EdgeError('no_event', 'the last state is gone'));
    else this.#resolve(last);
    this.emit('end', last);
  }

  override finish(error: Error | null): boolean {
    if (!this.isOver) {
      const isEnded = error === null;
      this.#show({ error, isEnded, isCurrent: isEnded, connection: 'closed' });
      if (!isEnded) this.#reject(error);
    }
    return super.finish(error);
  }

  rewind(to: Position): void {
    this.#owner.rewind(this, to);
  }

  override moved(): void {
    this.#owner.moved(this);
  }

  protected newest(): ProgressUpdate | null {
    return this.taken && this.state;
  }

  protected leave(): void {
    this.#owner.leave(this);
  }

  #show(changes: Partial<JobSnapshot>): void {
    this.#shown = { ...this.#shown, ...changes };
    this.changed();
  }

  /** What the page has taken is of another stream, or was taken under another scope. */
  #checkLog(position: Position): boolean {
    const { taken } = this;
    if (taken === null || !isOtherLog(taken, position)) return false;
    this.reset(taken.epoch === position.epoch ? 'scope' : 'epoch');
    return true;
  }
}
