import type { JobSnapshot } from './types.js';

/**
 * What a bar says of a job.
 * - `waiting`: there is no state yet.
 * - `stalled`: the job is silent beyond what its worker promised.
 * - `reconnecting`: what is shown may not be the newest.
 * - `retrying`: it failed, and may be tried again.
 * - `refused`: it is followed no longer, though it has not ended.
 */
export type Condition =
  | 'waiting'
  | 'processing'
  | 'stalled'
  | 'reconnecting'
  | 'retrying'
  | 'completed'
  | 'failed'
  | 'refused';

export interface ProgressView {
  readonly condition: Condition;
  /** 0 to 100; null: not known. */
  readonly percent: number | null;
  /** Whether newer news are still to come before what is shown is right. */
  readonly isBusy: boolean;
}

function conditionOf({ state, connection, stalled, isEnded, error }: JobSnapshot): Condition {
  if (state?.status === 'completed') return 'completed';
  if (state?.status === 'error' && (isEnded || state.error?.retryable !== true)) return 'failed';
  if (error !== null) return 'refused';
  // A first attempt is not called a second one.
  if (connection === 'waiting' || (connection === 'connecting' && state !== null)) return 'reconnecting';
  if (state === null) return 'waiting';
  if (stalled !== null) return 'stalled';
  return state.status === 'error' ? 'retrying' : 'processing';
}

/** What a progress bar shows of a job. */
export function viewOf(snapshot: JobSnapshot): ProgressView {
  const { state, isCurrent } = snapshot;
  const condition = conditionOf(snapshot);
  const isFinal = condition === 'completed' || condition === 'failed' || condition === 'refused';
  // How far it was is known of a job that ended, whatever it said before.
  const isKnown = state !== null && (isFinal || state.indeterminate !== true);
  return { condition, percent: isKnown ? state.progress : null, isBusy: !isCurrent && !isFinal };
}

/** The same in English words, for people: `42 %, Page 3 of 7`. */
export function describeJob(snapshot: JobSnapshot): string {
  const { state, stalled, error } = snapshot;
  const { condition, percent } = viewOf(snapshot);
  // 99.9 is not 100 yet.
  const howFar = percent === null ? '' : `${Math.floor(percent)} %`;
  const message = state?.message;
  const failure = state?.error?.message ?? message;
  const say = (...parts: (string | undefined)[]): string => parts.filter(Boolean).join(', ');
  switch (condition) {
    case 'waiting':
      return 'Waiting for the first update';
    case 'processing':
      return say(howFar || 'Running', message);
    case 'stalled':
      return say(howFar, `No news for over ${Math.floor((stalled?.silent_ms ?? 0) / 1_000)} s`, message);
    case 'reconnecting':
      return say(howFar, 'Reconnecting', message);
    case 'retrying':
      return say(howFar, 'Failed, may be tried again', failure);
    case 'completed':
      return say('Completed', message);
    case 'failed':
      return say('Failed', failure);
    case 'refused':
      return say(howFar, 'No longer updated', error?.message);
  }
}
