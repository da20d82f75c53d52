import type { ServerFrame } from '../../schemas/frames.generated.js';
import { edgeError } from './errors.js';
import type { ProgressUpdate, ResetReason } from './types.js';
import type { Position } from './wire.js';

/** What a feed tells each of those who follow its job. */
export interface FeedFollower {
  /** It has been given no state, and asked for no cursor. */
  readonly isEmpty: boolean;
  /** @param isLinked it names its predecessor, and that had been received */
  update(update: ProgressUpdate, position: Position, isLinked: boolean): void;
  /** Everything up to here was received. */
  advanceTo(position: Position): void;
  reset(reason: ResetReason): void;
  stall(frame: Extract<ServerFrame, { type: 'stalled' }>): void;
  end(state: ProgressUpdate | null): void;
  fail(error: Error): void;
}

/**
 * What is to be done after a frame: ask the edge for the job again, from `position`, at once or after a wait; or nothing
 * more comes of it.
 */
export type FeedWish = 'ask' | 'ask_later' | 'over' | undefined;

/** What has been received of one job, for all who follow it. PROTOCOL.md, "What a client must do". Pure but for them. */
export class JobFeed<F extends FeedFollower = FeedFollower> {
  readonly followers = new Set<F>();
  /** Since when somebody wants it. */
  since = 0;
  /** Since when nobody follows it. */
  leftAt = 0;
  /** The newest update; null: none since the last reset. */
  state: ProgressUpdate | null = null;
  /** What was said of its silence since the last update, which is not said again to who comes late. */
  stalled: Extract<ServerFrame, { type: 'stalled' }> | null = null;
  /** The edge has sent everything of it, and goes on. */
  isFollowing = false;
  isEnded = false;
  #received: Position | null = null;
  /** It was followed from a cursor of somebody, behind which nothing may have come. */
  #isResumed = false;
  /** The end came without the last state, which is asked for. */
  #isAsking = false;
  #epoch = '';
  #scope = '';
  /** Where something was missing before. */
  #gapAt = -1;

  constructor(readonly id: string) {}

  /** Where the edge goes on; null: from the last state. */
  get position(): Position | null {
    return this.#isAsking ? null : this.#received;
  }

  /** There may be a state, and the edge has no reason to send it. */
  get isStateUnknown(): boolean {
    return this.#isResumed && this.state === null;
  }

  /** Begins with what an earlier page had. */
  restore(position: Position, state: ProgressUpdate | null): void {
    this.#received = position;
    this.#isResumed = true;
    this.state = state;
  }

  /**
   * Somebody wants everything behind this.
   * @returns whether the edge has to be asked again
   */
  rewind(to: Position): boolean {
    const received = this.#received;
    if (received !== null && (received.epoch !== to.epoch || to.seq >= received.seq)) return false;
    this.#received = to;
    this.#isResumed = true;
    this.isFollowing = this.isEnded = this.#isAsking = false;
    return true;
  }

  /** Goes on behind its end, on a connection of this epoch. */
  reopen(epoch: string): void {
    this.isEnded = false;
    this.greeted(epoch);
  }

  /** A connection says hello. What was received of another stream is void. */
  greeted(epoch: string): void {
    this.isFollowing = false;
    // What has ended stays as it was.
    if (this.isEnded) return;
    this.#epoch = epoch;
    if (this.#received === null || this.#received.epoch === epoch) return;
    this.#forget();
    this.#each((follower) => follower.reset('epoch'));
  }

  take(frame: ServerFrame): FeedWish {
    switch (frame.type) {
      case 'progress_update':
        return this.#update(frame);
      case 'following':
        this.#scope = frame.scope;
        // Asked for the last state of an ended job, and it goes on: with whatever came since.
        if (this.#isAsking)
          return this.state !== null && isFinished(this.state) ? undefined : this.#askedInVain();
        this.isFollowing = true;
        this.#moveTo(Math.max(frame.cursor, this.#received?.seq ?? 0));
        return;
      case 'heartbeat':
        if (this.isFollowing && frame.cursor > (this.#received?.seq ?? 0)) this.#moveTo(frame.cursor);
        return;
      case 'reset':
        this.#forget();
        this.#epoch = frame.epoch;
        this.#each((follower) => follower.reset(frame.reason));
        return;
      case 'stalled':
        this.stalled = frame;
        this.#each((follower) => follower.stall(frame));
        return;
      case 'end':
        // The edge follows it no longer: what it says of all jobs is not said of this one.
        this.isFollowing = false;
        if (this.state === null && !this.#isAsking) {
          this.#isAsking = true;
          return 'ask';
        }
        this.#isAsking = false;
        this.isEnded = true;
        this.#each((follower) => follower.end(this.state));
        return 'over';
      case 'error':
        this.isFollowing = false;
        // It passes: the edge has no room for the job now, or cannot read its history.
        if (frame.code === 'overloaded' || frame.code === 'internal') return 'ask_later';
        this.isEnded = true;
        this.#each((follower) => follower.fail(edgeError(0, frame.code, frame.message)));
        return 'over';
      default:
        return;
    }
  }

  #update(update: ProgressUpdate): FeedWish {
    const { seq, prev_seq } = update;
    const received = this.#received;
    if (this.#isAsking) {
      if (received !== null && seq > received.seq) return this.#askedInVain();
      this.state = update;
      return;
    }
    if (received !== null && seq <= received.seq) return;
    const isProof = received !== null && prev_seq !== null;
    if (isProof && prev_seq > received.seq && this.#gapAt !== received.seq) {
      this.#gapAt = received.seq;
      this.isFollowing = false;
      return 'ask';
    }
    if (seq >= (this.state?.seq ?? 0)) this.state = update;
    this.stalled = null;
    const position = { seq, epoch: this.#epoch, scope: this.#scope };
    this.#received = position;
    this.#each((follower) => follower.update(update, position, isProof && prev_seq <= received.seq));
    return;
  }

  #moveTo(seq: number): void {
    const position = { seq, epoch: this.#epoch, scope: this.#scope };
    this.#received = position;
    this.#each((follower) => {
      if (!this.isStateUnknown || !follower.isEmpty) follower.advanceTo(position);
    });
  }

  #askedInVain(): FeedWish {
    this.#isAsking = false;
    this.state = null;
    return 'ask';
  }

  #forget(): void {
    this.#received = this.state = this.stalled = null;
    this.#scope = '';
    this.#gapAt = -1;
    this.isFollowing = this.#isAsking = this.#isResumed = false;
  }

  /** One may leave meanwhile, or another come. */
  #each(tell: (follower: F) => void): void {
    for (const follower of [...this.followers]) tell(follower);
  }
}

/** Whether it is a job's last, unless somebody begins another attempt. */
export const isFinished = ({ status, error }: ProgressUpdate): boolean =>
  status === 'completed' ||
  (status === 'error' && (error as { retryable?: boolean } | undefined)?.retryable !== true);
