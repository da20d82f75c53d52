import { isOtherLog } from './cursor.js';
import { EdgeError } from './errors.js';
import { Handle, type HandleOwner } from './handle.js';
import type { JobFeed } from './job-feed.js';
import type {
  ConnectionState,
  Job,
  JobEvents,
  JobOptions,
  JobSnapshot,
  ProgressUpdate,
  ResetReason,
} from './types.js';
import type { Position } from './wire.js';

/** One follower of one job: what `client.job()` gives. */
export class Follower extends Handle<JobSnapshot, JobEvents> implements Job {
  readonly done: Promise<ProgressUpdate>;
  #settle!: (error: Error | null) => void;
  /** What is taken is what the page says, and no edge has said so. */
  #isGiven = true;

  constructor(
    readonly id: string,
    owner: HandleOwner<JobSnapshot>,
    options: JobOptions,
  ) {
    super(owner, options, { id, state: null, stalled: null, isEnded: false });
    this.done = new Promise((resolve, reject) => {
      this.#settle = (error) =>
        !error && this.state
          ? resolve(this.state)
          : reject(error ?? new EdgeError('no_event', 'the last state is gone'));
    });
    // Who does not ask for it has not failed to handle it.
    this.done.catch(() => {});
  }

  get state(): ProgressUpdate | null {
    return this.getSnapshot().state;
  }

  /** What is known of its job, which it may not have been told yet. */
  sync(feed: JobFeed, connection: ConnectionState, isAway: boolean): void {
    // A handler of this or of another one may have closed it.
    if (this.error) return;
    const { position, state, stalled } = feed;
    if (position) {
      if (!this.taken && state) this.update(state, { ...position, seq: state.seq }, false);
      // Who has not been given the state is not behind it.
      const isShort = !this.taken && feed.resumedAt;
      // What is void is shown anew.
      if (feed.isFollowing && !isShort && this.advanceTo(position)) this.sync(feed, connection, isAway);
    }
    if (feed.isEnded) this.end(state);
    // Behind the end it is a loop alone that goes on.
    if (this.isOver) return;
    const shown = this.getSnapshot();
    const isCurrent = feed.isFollowing && !isAway;
    const isNew = connection !== shown.connection;
    const isStalled = stalled !== shown.stalled;
    if (isNew || isStalled || isCurrent !== shown.isCurrent) this.show({ connection, isCurrent, stalled });
    if (isNew) this.emit('connection', connection);
    if (isStalled && stalled) this.emit('stalled', stalled);
  }

  /** @param isLinked it names its predecessor, and everything up to that had come */
  update(update: ProgressUpdate, position: Position, isLinked: boolean): void {
    this.#checkLog(position);
    this.give(update, position, () => {
      // Not by one that is for others, for it is older than the cursor that the page gave.
      this.#isGiven = false;
      const { state, continuity } = this.getSnapshot();
      const isProven = !this.taken || (isLinked && (continuity.kind === 'proven' || !state));
      this.show({
        state: update,
        stalled: null,
        continuity: continuity.kind === 'reset' ? continuity : { kind: isProven ? 'proven' : 'unknown' },
      });
    });
  }

  /**
   * Everything up to here has been given.
   * @returns true where what was taken is void
   */
  advanceTo(position: Position): boolean {
    if (this.#checkLog(position)) return true;
    const taken = this.taken?.seq ?? 0;
    // The cursor that the page gave is of a future that this stream has not.
    const isAhead = this.#isGiven && position.seq < taken;
    this.#isGiven = false;
    if (isAhead) this.reset('ahead');
    else if (position.seq >= taken && position !== this.taken) this.advance(position);
    return isAhead;
  }

  reset(reason: ResetReason): void {
    if (this.error || (!this.forget() && !this.state)) return;
    const continuity = { kind: 'reset', reason } as const;
    // Behind the end it concerns a loop alone, which has not got there yet.
    this.show(this.isOver ? { continuity } : { continuity, state: null, stalled: null, isCurrent: false });
    this.emit('reset', { reason });
  }

  /** @param state the job's last */
  end(state: ProgressUpdate | null): void {
    if (!this.isOver) this.show({ state: this.state ?? state, isEnded: true });
    if (this.finish(null)) this.emit('end', this.state);
  }

  override finish(error: Error | null): boolean {
    if (!this.isOver) this.#settle(error);
    return super.finish(error);
  }

  /** What the page has taken is of another stream, or was taken under another scope. */
  #checkLog(position: Position): boolean {
    const { taken } = this;
    if (!taken || !isOtherLog(taken, position)) return false;
    this.reset(taken.epoch === position.epoch ? 'scope' : 'epoch');
    return true;
  }
}
