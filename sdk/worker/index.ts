/**
 * Reports the progress of jobs, in one line: `reporter.run(job, work)`. docs/guides/worker.md.
 *
 * The way of one report: `job` (what the author calls), `job-writer` (everything that happens to a job comes here),
 * `state` (what an event says), `send-state` (when it leaves), `outgoing-event` (its bytes), `event-delivery` (how it is
 * stored exactly once), `nats-transport` (the socket, and the replies), `clock` (timers). The Python worker has the
 * same parts under the same names.
 */

export type { CheckOptions, CheckProblem, ReporterCheck } from './check.js';
export { type ConnectOptions, connectReporter, createReporter } from './connect.js';
export {
  ConnectionClosedError,
  type DeniedOperation,
  EventTooLargeError,
  InvalidEventError,
  InvalidOptionError,
  JobEndedError,
  NotAcknowledgedError,
  NotAuthorizedError,
  NotPermittedError,
  ReporterClosedError,
  SupersededError,
  type SupersededReason,
  WorkerError,
} from './errors.js';
export type { FailOptions } from './failure.js';
export type { Job } from './job.js';
export type { JobOptions } from './job-options.js';
export type { Reporter, ReporterStats } from './reporter.js';
export type { ReporterOptions } from './settings.js';
export { WorkerStoppedError } from './signals.js';
export type { JobUpdate, Step } from './state.js';
export type { ReporterWarning, WarningKind } from './warning.js';
