import type { ResetReason, SkipReason } from '../../schemas/frames.js';

/** What a client says of where it was: the last seq it saw and, if it knows, in which epoch and scope. */
export interface Resume {
  readonly lastSeq: number;
  readonly epoch: string | null;
  /** Left out: the client does not say, and is taken to have followed the same. */
  readonly scope?: string | null;
}

/** How a session begins, or goes on after the log started over. PROTOCOL.md, "The life of a connection". */
export type ResumeDecision =
  /** The last state first. */
  | { readonly kind: 'fresh' }
  /** What the client saw last is of no use: it is told why, and gets the last state. */
  | { readonly kind: 'reset'; readonly reason: ResetReason }
  /** Everything after the cursor. */
  | { readonly kind: 'replay'; readonly cursor: number }
  /** All jobs: the newest state of each job that changed after the cursor, instead of all that it did. */
  | { readonly kind: 'skip'; readonly reason: SkipReason; readonly cursor: number }
  /** The cursor is ahead of this edge's log; whether also of the stream, only the stream knows. */
  | { readonly kind: 'ahead'; readonly cursor: number };

export interface ResumeInput {
  /** null: a fresh client. */
  readonly resume: Resume | null;
  /** The epoch that the client takes its cursor to be of. */
  readonly clientEpoch: string;
  /** A reset that the client is owed, whatever its cursor is. */
  readonly pendingReset: ResetReason | null;
  /** The log's epoch, and its newest seq. */
  readonly epoch: string;
  readonly head: number;
  /** What the connection follows. */
  readonly scope: string;
  /** How many events memory holds after the cursor, in this epoch; null: it does not reach back. */
  readonly countAfter: (cursor: number) => number | null;
  /** A cursor with more events after it is not replayed. What memory does not hold is counted when it is read. */
  readonly maxReplay: number;
  /** Whether newest states can take the place of the events after the cursor: on all jobs, where memory knows them. */
  readonly canSkip: (cursor: number) => boolean;
}

export function decideResume(facts: ResumeInput): ResumeDecision {
  const { resume, clientEpoch, pendingReset, epoch, head, scope, countAfter, maxReplay, canSkip } = facts;
  if (clientEpoch !== epoch) return { kind: 'reset', reason: 'epoch' };
  if (pendingReset !== null) return { kind: 'reset', reason: pendingReset };
  if (resume === null) return { kind: 'fresh' };
  if (resume.epoch !== null && resume.epoch !== epoch) return { kind: 'reset', reason: 'epoch' };
  if ((resume.scope ?? scope) !== scope) return { kind: 'reset', reason: 'scope' };
  const cursor = resume.lastSeq;
  if (cursor > head) return { kind: 'ahead', cursor };
  if ((countAfter(cursor) ?? 0) <= maxReplay) return { kind: 'replay', cursor };
  return canSkip(cursor) ? { kind: 'skip', reason: 'limit', cursor } : { kind: 'reset', reason: 'limit' };
}
