import type { ServerFrame } from '../../schemas/frames.js';
import { EdgeError, ForbiddenError } from './errors.js';
import type { ProgressUpdate, ResetReason } from './types.js';
import type { Position } from './wire.js';

/** What a frame means for those who follow the job. */
export type FeedEvent =
  | {
      readonly kind: 'update';
      readonly update: ProgressUpdate;
      readonly position: Position;
      /** It names its predecessor, and that had been received. */
      readonly isLinked: boolean;
    }
  /** Everything up to here was received. */
  | { readonly kind: 'moved'; readonly position: Position }
  | { readonly kind: 'reset'; readonly reason: ResetReason }
  | { readonly kind: 'stalled'; readonly frame: Extract<ServerFrame, { type: 'stalled' }> }
  /** Follow the job again, from `position`. */
  | { readonly kind: 'ask' }
  | { readonly kind: 'end' }
  | { readonly kind: 'failed'; readonly error: Error }
  | { readonly kind: 'nothing' };

const NOTHING = { kind: 'nothing' } as const;
const ASK = { kind: 'ask' } as const;

/** What has been received of one job, whoever has taken it. PROTOCOL.md, "What a client must do". Pure. */
export class JobFeed {
  /** The newest update; null: none since the last reset. */
  state: ProgressUpdate | null = null;
  /** The edge has sent everything of it, and goes on. */
  isFollowing = false;
  isEnded = false;
  #received: Position | null = null;
  /** The end came without the last state, which is asked for. */
  #isAsking = false;
  #epoch = '';
  #scope = '';
  /** Where something was missing before. */
  #gapAt = -1;

  /** @param isChecked whether each update must follow on the one before it; not so with a rate limit */
  constructor(private readonly isChecked = true) {}

  /** Where the edge goes on; null: from the last state. */
  get position(): Position | null {
    return this.#isAsking ? null : this.#received;
  }

  /** Begins with what an earlier page had. */
  restore(position: Position, state: ProgressUpdate | null): void {
    this.#received = position;
    this.state = state;
  }

  /**
   * Somebody wants everything behind this.
   * @returns whether the edge has to be asked again
   */
  rewind(to: Position): boolean {
    const received = this.#received;
    if (received === null ? this.state !== null : received.epoch !== to.epoch || to.seq >= received.seq)
      return false;
    this.#received = to;
    this.isFollowing = this.isEnded = this.#isAsking = false;
    return true;
  }

  /**
   * A connection says hello.
   * @returns whether what was received is void: it is of another stream
   */
  greeted(epoch: string): boolean {
    const isVoid = this.#received !== null && this.#received.epoch !== epoch;
    this.lost();
    if (isVoid) this.#forget();
    this.#epoch = epoch;
    return isVoid;
  }

  /** The connection is gone. */
  lost(): void {
    this.isFollowing = false;
  }

  take(frame: ServerFrame): FeedEvent {
    switch (frame.type) {
      case 'progress_update':
        return this.#update(frame);
      case 'following':
        this.#scope = frame.scope;
        // Asked for the last state of an ended job, and it goes on: with whatever came since.
        if (this.#isAsking) return this.#askedInVain();
        this.isFollowing = true;
        return this.#moved(Math.max(frame.cursor, this.#received?.seq ?? 0));
      case 'heartbeat':
        if (!this.isFollowing || frame.cursor <= (this.#received?.seq ?? 0)) return NOTHING;
        return this.#moved(frame.cursor);
      case 'reset':
        this.#forget();
        this.#epoch = frame.epoch;
        return { kind: 'reset', reason: frame.reason };
      case 'stalled':
        return { kind: 'stalled', frame };
      case 'end':
        if (this.state === null && !this.#isAsking) {
          this.#isAsking = true;
          return ASK;
        }
        this.#isAsking = false;
        this.isEnded = true;
        return { kind: 'end' };
      case 'error': {
        const kind = frame.code === 'forbidden' ? ForbiddenError : EdgeError;
        return { kind: 'failed', error: new kind(frame.code, frame.message) };
      }
      default:
        return NOTHING;
    }
  }

  #update(update: ProgressUpdate): FeedEvent {
    const { seq, prev_seq } = update;
    const received = this.#received;
    if (this.#isAsking) {
      if (received !== null && seq > received.seq) return this.#askedInVain();
      this.state = update;
      return NOTHING;
    }
    if (received !== null && seq <= received.seq) return NOTHING;
    const isProof = received !== null && prev_seq !== null;
    if (isProof && prev_seq > received.seq && this.isChecked && this.#gapAt !== received.seq) {
      this.#gapAt = received.seq;
      this.isFollowing = false;
      return ASK;
    }
    if (seq >= (this.state?.seq ?? 0)) this.state = update;
    this.#received = { seq, epoch: this.#epoch, scope: this.#scope };
    return {
      kind: 'update',
      update,
      position: this.#received,
      isLinked: isProof && prev_seq <= received.seq,
    };
  }

  #moved(seq: number): FeedEvent {
    this.#received = { seq, epoch: this.#epoch, scope: this.#scope };
    return { kind: 'moved', position: this.#received };
  }

  #askedInVain(): FeedEvent {
    this.#isAsking = false;
    this.state = null;
    return ASK;
  }

  #forget(): void {
    this.#received = this.state = null;
    this.#scope = '';
    this.#gapAt = -1;
    this.isFollowing = this.#isAsking = false;
  }
}
