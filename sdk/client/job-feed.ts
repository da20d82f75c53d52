import type { ServerFrame } from '../../schemas/frames.generated.js';
import type { ProgressUpdate, ResetReason } from './types.js';
import type { Position } from './wire.js';

/** What a feed tells each of those who follow its job at once; the rest they see in it. */
export interface FeedFollower {
  /** @param isLinked it names its predecessor, and that had been received */
  update(update: ProgressUpdate, position: Position, isLinked: boolean): void;
  reset(reason: ResetReason): void;
}

/** What has been received of one job, for all who follow it. PROTOCOL.md, "What a client must do". Pure but for them. */
export class JobFeed<F extends FeedFollower = FeedFollower> {
  readonly followers = new Set<F>();
  /** Since when nobody follows it; Infinity: somebody is about to. */
  leftAt = Number.POSITIVE_INFINITY;
  /** Where the edge goes on; null: from the last state. */
  position: Position | null = null;
  /** The newest update; null: none since the last reset. */
  state: ProgressUpdate | null = null;
  /** What was said of its silence since the last update. */
  stalled: Extract<ServerFrame, { type: 'stalled' }> | null = null;
  /** The edge has sent everything of it, and goes on. */
  isFollowing = false;
  /** It was followed from this cursor of somebody, behind which nothing may have come: there may be a state all the same. */
  resumedAt: Position | null = null;
  isEnded = false;
  #epoch: string;
  #scope = '';
  /** Where something was missing before. */
  #gapAt = -1;

  /**
   * @param epoch of the stream, as the edge named it last
   * @param since when somebody wanted it first
   */
  constructor(
    readonly id: string,
    epoch: string,
    readonly since: number,
  ) {
    this.#epoch = epoch;
  }

  /**
   * Somebody wants everything behind this.
   * @returns whether the edge has to be asked again
   */
  rewind(to: Position): boolean {
    const { position } = this;
    if (position && (position.epoch !== to.epoch || to.seq >= position.seq)) return false;
    this.position = this.resumedAt = to;
    this.isFollowing = this.isEnded = false;
    return true;
  }

  /** It is asked for, in this stream: what was received of another one is void. */
  greeted(epoch: string): void {
    this.isFollowing = this.isEnded = false;
    this.#epoch = epoch;
    if (this.position && this.position.epoch !== epoch) this.#reset('epoch');
  }

  /** @returns whether the edge has to be asked for the job again, from `position` */
  take(frame: ServerFrame): boolean {
    switch (frame.type) {
      case 'hello':
        // What has ended stays as it was.
        if (!this.isEnded) this.greeted(frame.epoch);
        break;
      case 'progress_update':
        return this.#update(frame);
      case 'following':
        this.#scope = frame.scope;
        this.isFollowing = true;
        this.#moveTo(frame.cursor);
        break;
      case 'heartbeat':
        if (this.isFollowing) this.#moveTo(frame.cursor);
        break;
      case 'reset':
        this.#epoch = frame.epoch;
        this.#reset(frame.reason);
        break;
      case 'stalled':
        this.stalled = frame;
        break;
      case 'end':
        // The edge follows it no longer: what it says of all jobs is not said of this one.
        this.isFollowing = false;
        this.isEnded = true;
        break;
      default:
    }
    return false;
  }

  #update(update: ProgressUpdate): boolean {
    const { seq, prev_seq } = update;
    /** -1: nothing was received, and nothing is missing. */
    const last = this.position?.seq ?? -1;
    if (seq <= last) return false;
    if ((prev_seq ?? 0) > last && this.#gapAt !== last) {
      this.#gapAt = last;
      this.isFollowing = false;
      return true;
    }
    if (seq >= (this.state?.seq ?? 0)) this.state = update;
    this.stalled = null;
    const position = this.#at(seq);
    this.position = position;
    const isLinked = prev_seq !== null && prev_seq <= last;
    for (const follower of [...this.followers]) follower.update(update, position, isLinked);
    return false;
  }

  #at(seq: number): Position {
    return { seq, epoch: this.#epoch, scope: this.#scope };
  }

  /** An edge that is a little behind another takes nothing back. */
  #moveTo(cursor: number): void {
    this.position = this.#at(Math.max(cursor, this.position?.seq ?? 0));
  }

  #reset(reason: ResetReason): void {
    this.position = this.resumedAt = this.state = this.stalled = null;
    this.#scope = '';
    this.#gapAt = -1;
    this.isFollowing = false;
    for (const follower of [...this.followers]) follower.reset(reason);
  }
}
