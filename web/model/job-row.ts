import type { JobSnapshot, ProgressUpdate } from '../../sdk/client/index.js';

/**
 * What a job is doing, as an operator sorts them.
 * - `retrying`: its last attempt failed, and another may follow.
 * - `stalled`: it is silent for longer than its worker promised.
 */
export type JobCondition = 'failed' | 'stalled' | 'retrying' | 'running' | 'completed';

/** Those that need somebody come first. */
export const CONDITIONS: readonly JobCondition[] = ['failed', 'stalled', 'retrying', 'running', 'completed'];

export const CONDITION_NAMES: Readonly<Record<JobCondition, string>> = {
  failed: 'Failed',
  stalled: 'Stalled',
  retrying: 'Retrying',
  running: 'Running',
  completed: 'Completed',
};

export function conditionOf(state: ProgressUpdate, isStalled: boolean): JobCondition {
  switch (state.status) {
    case 'completed':
      return 'completed';
    case 'error':
      return state.error?.retryable === true ? 'retrying' : 'failed';
    case 'processing':
      return isStalled ? 'stalled' : 'running';
  }
}

/** Where an attempt was when the page first heard of it: the time that is left is told from there. */
interface Pace {
  readonly attempt: number;
  readonly progress: number;
  readonly atMs: number;
}

/** One job of the list. Replaced, never changed. */
export interface JobRow {
  readonly id: string;
  readonly state: ProgressUpdate;
  readonly condition: JobCondition;
  /** `''` where the job names none. */
  readonly jobType: string;
  /** 0 to 100; null: the job does not know. */
  readonly percent: number | null;
  readonly attempt: number;
  /** When its newest event was made, in milliseconds since 1970. */
  readonly updatedMs: number;
  /** When it will be done, in milliseconds since 1970; null: nobody can tell. */
  readonly doneMs: number | null;
  /** In small letters, everything that a search looks at. */
  readonly text: string;
  readonly pace: Pace;
}

/** Less progress than that says nothing of the pace. */
const LEAST_PROGRESS = 0.5;
const LEAST_MS = 1_000;

/** @param before what was shown of it; null: nothing */
export function rowOf({ id, state, stalled }: JobSnapshot, before: JobRow | null): JobRow | null {
  if (state === null) return null;
  const condition = conditionOf(state, stalled !== null);
  const updatedMs = timeOf(state);
  const attempt = state.attempt ?? 1;
  const isKnown = state.indeterminate !== true || condition === 'completed';
  const isSame = before !== null && before.pace.attempt === attempt && before.pace.progress <= state.progress;
  const pace = isSame ? before.pace : { attempt, progress: state.progress, atMs: updatedMs };
  return {
    id,
    state,
    condition,
    jobType: state.job_type ?? '',
    percent: isKnown ? state.progress : null,
    attempt,
    updatedMs,
    doneMs: condition === 'running' ? doneMs(state, updatedMs, pace) : null,
    // Hardly ever is anything searched for: the text is made then, and once.
    get text() {
      const text = searchText(id, state);
      Object.defineProperty(this, 'text', { value: text });
      return text;
    },
    pace,
  };
}

/** When an event was made, in milliseconds since 1970; 0 where its worker wrote no date. */
export function timeOf({ timestamp }: Pick<ProgressUpdate, 'timestamp'>): number {
  const ms = Date.parse(timestamp);
  return Number.isNaN(ms) ? 0 : ms;
}

function doneMs(state: ProgressUpdate, updatedMs: number, pace: Pace): number | null {
  if (state.eta_seconds !== undefined) return updatedMs + state.eta_seconds * 1_000;
  if (state.indeterminate === true) return null;
  const made = state.progress - pace.progress;
  const took = updatedMs - pace.atMs;
  if (made < LEAST_PROGRESS || took < LEAST_MS) return null;
  return updatedMs + (took / made) * (100 - state.progress);
}

const searchText = (id: string, { job_type, message, step, error }: ProgressUpdate): string =>
  [id, job_type, step?.name, message, error?.code, error?.message]
    .filter((part) => part !== undefined)
    .join('\n')
    .slice(0, 8_192)
    .toLowerCase();
