import type { ErrorCode } from '../../schemas/close-codes.js';
import type { ResetReason, SkipReason } from '../../schemas/frames.js';
import type { Gap } from '../eventlog/gaps.js';
import type { LogRead } from '../eventlog/log-read.js';
import { inScope, type LogRecord, type Scope } from '../eventlog/record.js';
import type { SnapshotStep } from '../eventlog/snapshot.js';
import type { EdgeContext, IsWanted, SessionContext } from './ports.js';

/** What is followed, and how far the client has it. Its session moves the cursor; its sources read it. */
export class Followed {
  /** Which job, or all, stays as it is; which types can become fewer with a new token. */
  scope: Scope;
  /** Everything in scope up to here was sent. null: there is no place to go on from, only a last state to begin with. */
  cursor: number | null;
  /** Events that were read and not sent yet begin behind this cursor and event, see `FoldBuffer`; null: there are none. */
  unsent: { readonly after: number; readonly previous: number | null } | null = null;
  /** One job: nothing was sent after the client's own cursor yet, so that may still be too far behind. */
  isOpening = false;
  /** One job: it is known to be unfinished at this seq, whatever this edge has read. */
  unfinishedAt = 0;

  constructor(scope: Scope, cursor: number | null) {
    this.scope = scope;
    this.cursor = cursor;
  }

  /** The cursor never falls by this. */
  advanceTo(seq: number): void {
    if (this.cursor === null || seq > this.cursor) this.cursor = seq;
  }

  /** A token that lists types opens a job of one of them, once its type is known: by its newest event. */
  isForbidden(last: LogRecord | null | undefined): boolean {
    const { scope } = this;
    if (scope.kind === 'all' || scope.jobTypes === null) return false;
    return last?.jobType !== undefined && !inScope(scope, last);
  }
}

/** Where the records of one scope come from, in the order in which they are sent. */
export interface CatchUpSource {
  /**
   * What comes after the cursor. Whatever needs no more than who asks is one object for all sessions.
   * @param budget about how many bytes it may be, from 1
   */
  next(budget: number, deps: SourceDeps, followed: Followed): Step;
}

/** What a source has next for its session. */
export type Step =
  /** A last state, or so many jobs looked at without one. The source has more. */
  | Extract<SnapshotStep, { kind: 'state' | 'scanned' }>
  /** Records, and the cursor after them. The source has more. */
  | Extract<LogRead, { kind: 'records' }>
  /** The last that this source has: the tail goes on after `cursor`. */
  | {
      readonly kind: 'last';
      readonly records: readonly LogRecord[];
      readonly cursor: number;
      readonly gap: Gap | null;
      /** One job: the event that the next update follows; null: nobody knows which; undefined: the one that was sent. */
      readonly previous: number | null | undefined;
    }
  /** The end of the tail. */
  | Extract<LogRead, { kind: 'head' }>
  /** There is more, but not here. */
  | { readonly kind: 'continue'; readonly from: 'tail' | 'history' }
  /** JetStream has to be asked; the answer is a step. */
  | { readonly kind: 'fetch'; readonly read: (isWanted: IsWanted) => Promise<() => Step> }
  /** The client begins with last states. */
  | { readonly kind: 'fresh' }
  /** All jobs: there they are. */
  | { readonly kind: 'snapshot'; readonly source: CatchUpSource }
  /** The client's own cursor is good. The tail goes on after it. */
  | { readonly kind: 'resume'; readonly cursor: number }
  /**
   * All jobs: newest states take the place of the events after the cursor. Each is the whole state of its job, so
   * whoever takes even one of them is nearer to the head; and there are never more of them than jobs.
   */
  | { readonly kind: 'skip'; readonly reason: SkipReason; readonly cursor: number }
  /** The cursor cannot be served. */
  | {
      readonly kind: 'reset';
      readonly reason: ResetReason;
      readonly firstSeq: number;
      readonly lastSeq: number;
    }
  | { readonly kind: 'fail'; readonly code: ErrorCode; readonly message: string };

/** What sources read from. */
export type SourceDeps = Pick<SessionContext, 'edge' | 'history'>;

export const FROM_TAIL: Step = { kind: 'continue', from: 'tail' };
export const FROM_HISTORY: Step = { kind: 'continue', from: 'history' };
export const FORBIDDEN = {
  kind: 'fail',
  code: 'forbidden',
  message: 'the token does not open this job',
} as const satisfies Step;

export const OVERLOADED: Step = {
  kind: 'fail',
  code: 'overloaded',
  message: 'there are more jobs than this edge has memory for; follow single jobs, or resume',
};

/** Asks JetStream. `then` makes a step of the answer, in the session's own turn: thousands can wait for the same one. */
export function fetchStep<T>(read: (isWanted: IsWanted) => Promise<T>, then: (answer: T) => Step): Step {
  return {
    kind: 'fetch',
    read: async (isWanted) => {
      const answer = await read(isWanted);
      return () => then(answer);
    },
  };
}

/** A reset to what the log holds now. */
export function resetStep(reason: ResetReason, { firstSeq, head }: EdgeContext['log']): Step {
  return { kind: 'reset', reason, firstSeq, lastSeq: head };
}

/**
 * The step that follows from a job's newest event (null: it has none). A job that memory does not know is read first:
 * only that event tells what the job is, and whether it has ended.
 */
export function newestStep(deps: SourceDeps, id: string, then: (newest: LogRecord | null) => Step): Step {
  const { log } = deps.edge;
  const known = log.last(id) ?? null;
  if (known !== null || log.knowsAllJobs) return then(known);
  const since = log.goneCount;
  return fetchStep(
    (isWanted) => deps.history.lastState(id, isWanted),
    (read) => {
      // The answer may have waited for long: it is older than what was known of the job, and has left, meanwhile.
      if (log.last(id) === undefined && log.hasLeftSince(id, since)) return newestStep(deps, id, then);
      if (read !== null) log.restore(read);
      const newest = log.last(id) ?? null;
      // The answer may be ahead of this edge's log, or behind it.
      return then(newest !== null && (read === null || newest.seq >= read.seq) ? newest : read);
    },
  );
}
