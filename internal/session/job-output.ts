import type { ErrorCode } from '../../schemas/close-codes.js';
import type { ResetReason } from '../../schemas/frames.js';
import type { Scope } from '../eventlog/record.js';
import type { Followed } from './catch-up.js';
import type { FrameWriter } from './frame-writer.js';
import { frames } from './frames.js';
import type { SessionOutput } from './ports.js';

/** Whose jobs they are: one object for all of a connection. */
export interface JobOwner {
  /** Names what a job is followed with, which a cursor of it belongs to. */
  readonly scopeName: (scope: Scope) => string;
  /** The client was told another epoch. */
  readonly onReset: (epoch: string) => void;
  /** The client was told that it has everything of a job. */
  readonly onFollowing: () => void;
  /**
   * Called once for each job, when it is followed no longer.
   * @param why the client was told that it has ended, or why it is refused; null: it was told nothing
   */
  readonly onOver: (output: JobOutput, why: 'end' | ErrorCode | null) => void;
}

/** One job among others on a connection: what concerns it alone names it, and ends it alone. */
export class JobOutput implements SessionOutput {
  readonly #writer: FrameWriter;
  readonly id: string;
  readonly #followed: Followed;
  readonly #owner: JobOwner;
  #isOver = false;
  /** The epoch of the job's cursor, as the client was told it. */
  epoch: string;
  /** Whether `following` was sent, so that a heartbeat's cursor counts for this job too. */
  isFollowing = false;

  /** @param epoch the one that the client was told */
  constructor(writer: FrameWriter, id: string, epoch: string, followed: Followed, owner: JobOwner) {
    this.#writer = writer;
    this.id = id;
    this.epoch = epoch;
    this.#followed = followed;
    this.#owner = owner;
  }

  get isFull(): boolean {
    return this.#writer.isFull;
  }

  get cost(): number {
    return this.#writer.cost;
  }

  isUsable(): boolean {
    return !this.#isOver && this.#writer.isUsable();
  }

  scanned(records: number): number {
    return this.#writer.scanned(records);
  }

  corked(write: () => void): void {
    if (!this.#isOver) this.#writer.corked(write);
  }

  send(text: string, bytes: Uint8Array | null = null): boolean {
    return !this.#isOver && this.#writer.send(text, bytes);
  }

  hello(): string {
    return this.epoch;
  }

  reset(reason: ResetReason, epoch: string, firstSeq: number, lastSeq: number): void {
    this.isFollowing = false;
    if (!this.send(frames.reset(reason, epoch, firstSeq, lastSeq, this.id))) return;
    this.epoch = epoch;
    this.#owner.onReset(epoch);
  }

  caughtUp(cursor: number): void {
    this.isFollowing = this.send(
      frames.following(this.id, cursor, this.#owner.scopeName(this.#followed.scope)),
    );
    if (this.isFollowing) this.#owner.onFollowing();
  }

  end(): void {
    this.send(frames.end(this.id));
    this.#over('end');
  }

  fail(code: ErrorCode, message: string): void {
    this.send(frames.error(code, message, this.id));
    this.#over(code);
  }

  /** The job is followed no longer. */
  over(): void {
    this.#over(null);
  }

  #over(why: 'end' | ErrorCode | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#owner.onOver(this, why);
  }
}
