import type { Event } from '../../../../schemas/event.js';

/** What is waited for: that every job completes, or that every job ends, in whichever way. */
export const GOALS = ['status=completed', 'end'] as const;
export type Goal = (typeof GOALS)[number];

export type End = 'completed' | 'error';

/** How a job ended; null: it has not. An error that another attempt may follow is no end. PROTOCOL.md, "Words". */
export function endOf({ status, error }: Event): End | null {
  switch (status) {
    case 'completed':
      return 'completed';
    case 'error':
      return error?.retryable === true ? null : 'error';
    case 'processing':
      return null;
  }
}

/**
 * Whether the wait is over.
 * @param ends how each of the jobs ended; null: it has not
 * @returns null: not yet
 */
export function outcomeOf(goal: Goal, ends: readonly (End | null)[]): End | null {
  const hasFailed = ends.includes('error');
  // Of jobs that all have to complete, one that failed decides.
  if (hasFailed && goal === 'status=completed') return 'error';
  if (ends.includes(null)) return null;
  return hasFailed ? 'error' : 'completed';
}
