import type { HeadRead, LogRead } from '../eventlog/log-read.js';
import type { Scope } from '../eventlog/record.js';
import type { Snapshot } from '../eventlog/snapshot.js';
import {
  type CatchUpSource,
  FORBIDDEN,
  type Followed,
  FROM_HISTORY,
  FROM_TAIL,
  fetchStep,
  newestStep,
  OVERLOADED,
  resetStep,
  type SourceDeps,
  type Step,
} from './catch-up.js';
import type { Page, ResetRequired } from './ports.js';

/** All jobs: the last states of all of them, or of those that changed after the cursor. */
export class SnapshotSource implements CatchUpSource {
  readonly #snapshot: Snapshot;

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  next(_budget: number, deps: SourceDeps): Step {
    const snapshot = this.#snapshot;
    const step = snapshot.next();
    switch (step.kind) {
      case 'state':
      case 'scanned':
        return step;
      case 'end':
        return { kind: 'last', records: [], cursor: snapshot.head, gap: null, previous: undefined };
      case 'lost':
        return resetStep('limit', deps.edge.log);
      case 'evicted':
        return fetchStep(
          (isWanted) => deps.history.records(step.seqs, isWanted),
          (read) => {
            const records = read.filter((record) => snapshot.includes(record));
            const cursor = step.seqs.at(-1) ?? 0;
            return { kind: 'records', records, cursor, scanned: 0, gap: null, head: null, encoded: null };
          },
        );
    }
  }
}

/** The newest part of the stream, which is in memory. */
export const TAIL: CatchUpSource = {
  next(budget, deps, followed) {
    const { log, limits } = deps.edge;
    const { scope, cursor } = followed;
    const read = log.read(scope, cursor ?? 0, Math.min(budget, limits.watermarkBytes));
    switch (read.kind) {
      case 'records':
        followed.isOpening = false;
        return read;
      case 'head':
        return headStep(deps, followed, read);
      case 'unverified':
        return verify(deps, scope, read);
      case 'out_of_range':
        return FROM_HISTORY;
    }
  },
};

/** What follows from standing at the head. */
export function headStep({ edge }: SourceDeps, followed: Followed, head: HeadRead): Step {
  const { scope } = followed;
  if (scope.kind === 'all' || scope.jobTypes === null) return head;
  return followed.isForbidden(edge.log.last(scope.id)) ? FORBIDDEN : head;
}

// Nothing of the job was deleted unread if the stream still keeps its event at `anchor`.
function verify(
  { edge, history }: SourceDeps,
  scope: Scope,
  { anchor, gapSeq }: Extract<LogRead, { kind: 'unverified' }>,
): Step {
  return fetchStep(
    (isWanted) => history.isKept(anchor, isWanted),
    (isKept) => {
      if (!isKept) return FROM_HISTORY;
      if (scope.kind === 'job') edge.log.verified(scope.id, anchor, gapSeq);
      return FROM_TAIL;
    },
  );
}

/** What lies behind the tail, page by page from JetStream. */
export const HISTORY_PAGES: CatchUpSource = {
  next(_budget, deps, followed) {
    const { scope, cursor } = followed;
    return fetchStep(
      (isWanted) => deps.history.page(scope, cursor ?? 0, isWanted),
      (answer) => takePage(deps, followed, answer),
    );
  },
};

function takePage({ edge }: SourceDeps, followed: Followed, answer: Page | ResetRequired): Step {
  const { log, limits } = edge;
  const { scope, cursor, isOpening } = followed;
  if (answer.kind === 'refused') return { ...answer, kind: 'reset' };
  if (scope.kind === 'all') {
    const isFar = answer.pending > limits.maxReplayAll;
    if ((isFar || answer.gap !== null) && log.hasChangesSince(cursor ?? 0))
      return { kind: 'skip', reason: isFar ? 'limit' : 'retention', cursor: cursor ?? 0 };
    for (const record of answer.records) log.shown(record);
  } else if (isOpening && answer.pending > limits.maxReplayJob) {
    return resetStep('limit', log);
  }
  followed.isOpening = false;
  const { records, gap } = answer;
  const previous = scope.jobTypes === null ? (answer.previous ?? undefined) : undefined;
  return { kind: 'last', records, cursor: answer.cursor, gap, previous };
}

/** The last states that a fresh client begins with: all of them, or that of one job. */
export function freshStep(deps: SourceDeps, followed: Followed): Step {
  const { log, wallClock } = deps.edge;
  const { scope } = followed;
  if (scope.kind === 'all') {
    if (!log.hasAllStates) return OVERLOADED;
    return { kind: 'snapshot', source: new SnapshotSource(log.snapshot(scope, wallClock())) };
  }
  return newestStep(deps, scope.id, (newest) => {
    if (followed.isForbidden(newest)) return FORBIDDEN;
    // Events between it and a gap of the log may have been deleted unread.
    const isWhole = log.isWhole(scope.id, newest?.seq ?? 0);
    return {
      kind: 'last',
      records: newest === null ? [] : [newest],
      // The state is the newest as of the log's head, wherever in the stream it stands itself.
      cursor: log.head,
      gap: null,
      previous: isWhole ? undefined : null,
    };
  });
}
