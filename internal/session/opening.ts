import type { ResetReason } from '../../schemas/frames.js';

/** What a client says of where it was: the last seq it saw and, if it knows, in which epoch. */
export interface Resume {
  readonly lastSeq: number;
  readonly epoch: string | null;
}

/** How a session begins, or goes on after the log started over. PROTOCOL.md, "The life of a connection". */
export type Opening =
  /** The last state first. */
  | { readonly kind: 'fresh' }
  /** What the client saw last is of no use: it is told why, and gets the last state. */
  | { readonly kind: 'reset'; readonly reason: ResetReason }
  /** Everything after the cursor. */
  | { readonly kind: 'replay'; readonly cursor: number }
  /** The cursor is ahead of this edge's log; whether also of the stream, only the stream knows. */
  | { readonly kind: 'ahead'; readonly cursor: number };

export interface OpeningFacts {
  /** null: a fresh client. */
  readonly resume: Resume | null;
  /** The epoch that the client takes its cursor to be of. */
  readonly toldEpoch: string;
  /** A reset that the client is owed, whatever its cursor is. */
  readonly owesReset: ResetReason | null;
  /** The log's epoch, and its newest seq. */
  readonly epoch: string;
  readonly head: number;
  /** A cursor that is further behind, in stream sequences, is not replayed. */
  readonly maxReplay: number;
}

export function openingOf(facts: OpeningFacts): Opening {
  const { resume, toldEpoch, owesReset, epoch, head, maxReplay } = facts;
  if (toldEpoch !== epoch) return { kind: 'reset', reason: 'epoch' };
  if (owesReset !== null) return { kind: 'reset', reason: owesReset };
  if (resume === null) return { kind: 'fresh' };
  if (resume.epoch !== null && resume.epoch !== epoch) return { kind: 'reset', reason: 'epoch' };
  const cursor = resume.lastSeq;
  if (cursor > head) return { kind: 'ahead', cursor };
  return head - cursor > maxReplay ? { kind: 'reset', reason: 'limit' } : { kind: 'replay', cursor };
}
