import type { ProgressUpdate } from '../../sdk/client/index.js';
import { timeOf } from './job-row.js';

/** A piece of time, in milliseconds since 1970. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What is drawn of a job's history. */
export interface Timeline {
  /** Of each event, in order: when it was made, never before the one in front of it. */
  readonly timesMs: readonly number[];
  /** Percent; null where the job did not know, and where an attempt ends. */
  readonly points: readonly (readonly [ms: number, percent: number | null])[];
  readonly steps: readonly (Span & { readonly name: string })[];
  readonly attempts: readonly (Span & { readonly attempt: number })[];
  /** The job was silent for longer than it had promised. */
  readonly stalls: readonly Span[];
  /**
   * When the job counts as failed if nothing is heard until then, or was; null: it has no such time, or something was heard
   * that is no event.
   */
  readonly timeoutMs: number | null;
  readonly isTimedOut: boolean;
  readonly span: Span;
}

const isEnd = ({ status, error }: ProgressUpdate): boolean =>
  status === 'completed' || (status === 'error' && error?.retryable !== true);

/**
 * @param events of one job, in the order of their `seq`
 * @param stalledSinceMs when the edge said that the job has stalled, which it may do by its own settings; null: it has not.
 *   It alone knows: heartbeats count as life, and are no events
 */
export function timelineOf(
  events: readonly ProgressUpdate[],
  nowMs: number,
  stalledSinceMs: number | null = null,
): Timeline {
  // A worker's clock may be set back; a line that runs back says nothing.
  let latest = Number.NEGATIVE_INFINITY;
  const timesMs = events.map((event) => {
    latest = Math.max(latest, timeOf(event));
    return latest;
  });
  const points: [number, number | null][] = [];
  const steps: (Span & { name: string })[] = [];
  const attempts: (Span & { attempt: number })[] = [];
  const stalls: Span[] = [];
  for (const [index, event] of events.entries()) {
    const ms = timesMs[index] ?? 0;
    const before = events[index - 1];
    const beforeMs = timesMs[index - 1] ?? ms;
    const attempt = event.attempt ?? attempts.at(-1)?.attempt ?? 1;
    const isNewAttempt = attempt !== attempts.at(-1)?.attempt;
    if (isNewAttempt && before !== undefined) points.push([ms, null]);
    points.push([ms, event.indeterminate === true && event.status === 'processing' ? null : event.progress]);
    extend(attempts, isNewAttempt, ms, { attempt });
    const name = event.step?.name ?? '';
    const isNewStep = isNewAttempt || name !== (before?.step?.name ?? '') || index === 0;
    extend(steps, isNewStep, ms, { name });
    if (before?.status === 'processing' && before.stall_after_seconds !== undefined) {
      const fromMs = beforeMs + before.stall_after_seconds * 1_000;
      if (ms > fromMs) stalls.push({ fromMs, toMs: ms });
    }
  }
  const last = events.at(-1);
  const lastMs = timesMs.at(-1) ?? nowMs;
  const isOver = last === undefined || isEnd(last);
  if (last?.status === 'processing' && stalledSinceMs !== null) {
    const promised = last.stall_after_seconds;
    const fromMs = promised === undefined ? stalledSinceMs : lastMs + promised * 1_000;
    if (nowMs > fromMs) stalls.push({ fromMs, toMs: nowMs });
  }
  const isTimedOut = last?.error?.code === 'timeout';
  const timeout = last?.status === 'processing' ? last.timeout_seconds : undefined;
  const dueMs = timeout === undefined ? Number.NEGATIVE_INFINITY : lastMs + timeout * 1_000;
  // One that has passed, and the job runs: it was put off by heartbeats.
  const timeoutMs = isTimedOut ? lastMs : dueMs > nowMs ? dueMs : null;
  const toMs = isOver ? lastMs : Math.max(lastMs, nowMs);
  if (!isOver) {
    // It stands there until something else is heard.
    const [, percent] = points.at(-1) ?? [toMs, null];
    points.push([toMs, percent]);
    stretch(attempts, toMs);
    stretch(steps, toMs);
  }
  return {
    timesMs,
    points,
    steps: steps.filter(({ name }) => name !== ''),
    attempts,
    stalls,
    timeoutMs,
    isTimedOut,
    span: { fromMs: timesMs[0] ?? toMs, toMs },
  };
}

/** Ends the last piece here, and begins the next where there is one. */
function extend<T extends object>(pieces: (Span & T)[], isNew: boolean, ms: number, piece: T): void {
  stretch(pieces, ms);
  if (isNew) pieces.push({ ...piece, fromMs: ms, toMs: ms });
}

function stretch<T>(pieces: (Span & T)[], toMs: number): void {
  const last = pieces.pop();
  if (last !== undefined) pieces.push({ ...last, toMs });
}

/**
 * The attempt of an event of this index: what it says, else the highest before it. PROTOCOL.md, "Attempts".
 * @param events of one job, in the order of their `seq`
 */
export function attemptAt(events: readonly Pick<ProgressUpdate, 'attempt'>[], index: number): number {
  const own = events[index]?.attempt;
  return own ?? events.slice(0, index).reduce((most, { attempt = 1 }) => Math.max(most, attempt), 1);
}

/** The index of the last event that was made by then; -1: none was. */
export function indexAt(timesMs: readonly number[], ms: number): number {
  let low = 0;
  let high = timesMs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((timesMs[middle] ?? 0) <= ms) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Whether a history holds everything that the job's worker has said. */
export type Wholeness =
  | { readonly kind: 'empty' }
  | { readonly kind: 'whole' }
  /** The stream has let go of what came before. */
  | { readonly kind: 'truncated' }
  | { readonly kind: 'gap'; readonly afterSeq: number }
  /** The token does not open every event, so that nothing can be proven. */
  | { readonly kind: 'unknown' };

/** @param events of one job, in the order of their `seq` */
export function wholenessOf(events: readonly ProgressUpdate[]): Wholeness {
  const first = events[0];
  if (first === undefined) return { kind: 'empty' };
  for (const [index, { prev_seq }] of events.entries()) {
    const before = events[index - 1];
    if (before === undefined) continue;
    if (prev_seq === null) return { kind: 'unknown' };
    if (prev_seq > before.seq) return { kind: 'gap', afterSeq: before.seq };
  }
  if (first.prev_seq === null) return { kind: 'unknown' };
  return first.prev_seq === 0 ? { kind: 'whole' } : { kind: 'truncated' };
}
