import { isFinished } from '../../../schemas/event.js';
import { type JobEvent, statusWord } from './job-event.js';

/** How long a job may be silent that does not say it, in ms. */
export const DEFAULT_STALL_MS = 5 * 60_000;

/** What commands say of a job: the status of its last event, but for jobs that failed and may be tried again, or fell silent. */
export const DISPLAY_STATUSES = ['processing', 'completed', 'error', 'retrying', 'stalled'] as const;
export type DisplayStatus = (typeof DISPLAY_STATUSES)[number];

/** What is needed of a job's last event to judge it. */
export type Judged = Pick<JobEvent, 'event' | 'storedAt'>;

/**
 * When the job's worker last said something, in ms since 1970. An edge writes the event of a timeout, and says in it for
 * how long the worker had been silent by then: that event is no sign of the worker. PROTOCOL.md, "Silence".
 */
export function lastHeardAt({ event, storedAt }: Judged): number {
  const { code, details } = event.error ?? {};
  if (event.status !== 'error' || code !== 'timeout') return storedAt;
  const silentMs = (details as { readonly silent_ms?: unknown } | null | undefined)?.silent_ms;
  return typeof silentMs === 'number' && silentMs >= 0 ? storedAt - silentMs : storedAt;
}

/** How long the job may be silent, in ms: what it says itself, or `DEFAULT_STALL_MS`. */
export const allowedSilence = ({ event }: Judged): number =>
  event.stall_after_seconds === undefined ? DEFAULT_STALL_MS : event.stall_after_seconds * 1_000;

/**
 * When an unfinished job becomes silent if it says nothing more, in ms since 1970; Infinity: it is finished.
 * @param allowedMs how long it may be silent
 */
export const silentFrom = (job: Judged, allowedMs: number = allowedSilence(job)): number =>
  isFinished(job.event) ? Number.POSITIVE_INFINITY : lastHeardAt(job) + allowedMs;

/**
 * Whether an unfinished job has had no event for longer than it may be silent. Heartbeats are not stored, so they are not
 * counted: whoever wants to be sure listens for them, as `headway stalled` does.
 * @param now ms since 1970, by the server's clock
 * @param allowedMs how long it may be silent
 */
export const isSilent = (job: Judged, now: number, allowedMs: number = allowedSilence(job)): boolean =>
  now > silentFrom(job, allowedMs);

/**
 * The word for a job's status. `stalled` wins over `processing` and `retrying`.
 * @param now ms since 1970, by the server's clock
 */
export const displayStatus = (job: Judged, now: number): DisplayStatus =>
  isSilent(job, now) ? 'stalled' : statusWord(job.event);
