import {
  type ColorFlag,
  type FilterFlags,
  type OutputFlag,
  passes,
  type SinceFlags,
  startOf,
  type TimestampsFlag,
} from '../choice/selection.js';
import type { JobEvent } from '../jobs/job-event.js';
import { displayStatus } from '../jobs/job-status.js';
import type { NatsFlags } from '../world/nats.js';

export interface ListOptions
  extends NatsFlags,
    FilterFlags,
    SinceFlags,
    OutputFlag,
    TimestampsFlag,
    ColorFlag {
  readonly limit?: number;
  readonly follow?: true;
}

/** Whether a job is among those that the options name. @param now ms since 1970, by the server's clock */
export function selector(options: ListOptions, now: () => number): (job: JobEvent) => boolean {
  const from = startOf(options, now());
  const after = from?.kind === 'time' ? from.ms : Number.NEGATIVE_INFINITY;
  return (job) =>
    job.storedAt >= after && passes(options, job.event, displayStatus(job, now()) === 'stalled');
}
