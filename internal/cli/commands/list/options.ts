import type { ColorFlag } from '../../flags/command-line.js';
import type { FilterFlags, SinceFlags, TimestampsFlag } from '../../flags/filters.js';
import { matches, type OutputFlag, resolveStart } from '../../flags/filters.js';
import type { PagerFlag, SortFlags } from '../../output/format.js';
import { type JobEvent, updateJson } from '../../reads/job-event.js';
import { displayStatus } from '../../reads/job-status.js';
import type { NatsFlags } from '../../runtime/nats.js';

/** What `headway list --sort-by` takes. `age` is the default: the newest first. */
export const SORT_FIELDS = ['age', 'job', 'type', 'status', 'progress', 'attempt'] as const;
export type SortField = (typeof SORT_FIELDS)[number];

export interface ListOptions
  extends NatsFlags,
    FilterFlags,
    SinceFlags,
    OutputFlag,
    TimestampsFlag,
    ColorFlag,
    PagerFlag,
    SortFlags<SortField> {
  readonly limit?: number;
  readonly follow?: true;
}

/** Whether a job is among those that the options name. @param now ms since 1970, by the server's clock */
export function selector(options: ListOptions, now: () => number): (job: JobEvent) => boolean {
  const from = resolveStart(options, now());
  const after = from?.kind === 'time' ? from.ms : Number.NEGATIVE_INFINITY;
  return (job) =>
    job.storedAt >= after && matches(options, job.event, displayStatus(job, now()) === 'stalled');
}

/** Nothing that is older is wanted: ms since 1970; -Infinity: whatever its age. @param now ms since 1970, by the server's clock */
export function sinceOf(options: ListOptions, now: number): number {
  const from = resolveStart(options, now);
  return from?.kind === 'time' ? from.ms : Number.NEGATIVE_INFINITY;
}

/** A job as JSON. CSV always says when. */
export const jsonOf =
  ({ timestamps, output }: ListOptions) =>
  (job: JobEvent): string =>
    updateJson(job, null, timestamps === true || output === 'csv');
