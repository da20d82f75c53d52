import type { ResetReason, SkipReason } from '../../schemas/frames.js';
import {
  type CatchUpSource,
  FORBIDDEN,
  type Followed,
  fetchStep,
  newestStep,
  resetStep,
  type SourceDeps,
  type Step,
} from './catch-up.js';
import type { Resume } from './ports.js';

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

/** Where a client's cursor leads when its session starts, and when it starts over with the log. */
export class OpeningSource implements CatchUpSource {
  #resume: Resume | null;
  /** The epoch that the client takes its cursor to be of. */
  #clientEpoch = '';
  #pendingReset: ResetReason | null = null;

  constructor(resume: Resume | null) {
    this.#resume = resume;
  }

  /**
   * The client is told this epoch.
   * @returns whether its cursor is of another one, or of another scope, and so means nothing under these
   */
  greet(epoch: string, scope: string): boolean {
    this.#clientEpoch = epoch;
    return (this.#resume?.epoch ?? epoch) !== epoch || (this.#resume?.scope ?? scope) !== scope;
  }

  /** The client is told that its cursor is of no use: it begins anew in this epoch. */
  reset(epoch: string): void {
    this.#clientEpoch = epoch;
    this.#pendingReset = null;
    this.#resume = null;
  }

  /**
   * It is about to start over.
   * @param cursor null: it was not begun, and what the client asked for stands
   * @param reset what the client is owed whatever its cursor is; null: nothing more than before
   */
  startOver(cursor: number | null, reset: ResetReason | null): void {
    if (cursor !== null) this.#resume = { lastSeq: cursor, epoch: null };
    this.#pendingReset = reset ?? this.#pendingReset;
  }

  next(_budget: number, deps: SourceDeps, followed: Followed): Step {
    const { log, limits, scopeId } = deps.edge;
    const { scope } = followed;
    const decision = decideResume({
      resume: this.#resume,
      clientEpoch: this.#clientEpoch,
      pendingReset: this.#pendingReset,
      epoch: log.epoch,
      head: log.head,
      scope: scopeId(scope),
      countAfter: (cursor) => log.countAfter(scope, cursor),
      maxReplay: scope.kind === 'job' ? limits.maxReplayJob : limits.maxReplayAll,
      canSkip: (cursor) => scope.kind === 'all' && log.hasChangesSince(cursor),
    });
    switch (decision.kind) {
      case 'fresh':
      case 'skip':
        return decision;
      case 'reset':
        return resetStep(decision.reason, log);
      case 'replay':
        return replay(deps, followed, decision.cursor);
      case 'ahead':
        return replayAhead(deps, followed, decision.cursor);
    }
  }
}

function replay(deps: SourceDeps, followed: Followed, cursor: number): Step {
  const { scope } = followed;
  followed.isOpening = true;
  if (scope.kind === 'all') return { kind: 'resume', cursor };
  return newestStep(deps, scope.id, (newest) =>
    followed.isForbidden(newest) ? FORBIDDEN : { kind: 'resume', cursor },
  );
}

// The stream may be further than this edge has read.
function replayAhead(deps: SourceDeps, followed: Followed, cursor: number): Step {
  const { history } = deps;
  const { scope } = followed;
  return fetchStep(
    (isWanted) => history.reached(cursor, isWanted),
    (answer) => {
      if (answer.kind === 'refused') return { ...answer, kind: 'reset' };
      if (scope.kind === 'all') return replay(deps, followed, cursor);
      // The client may have seen the job begin anew after an end that is the newest this edge has read.
      return fetchStep(
        (isWanted) => history.lastState(scope.id, isWanted),
        (last) => {
          followed.unfinishedAt = last === null || last.finished ? 0 : last.seq;
          return replay(deps, followed, cursor);
        },
      );
    },
  );
}
