/** Reports the progress of jobs, in one line: `reporter.run(job, work)`. docs/guides/worker.md. */

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
export type { JobUpdate, Step } from './state.js';
export { WorkerStoppedError } from './stop.js';
export type { ReporterWarning, WarningKind } from './warning.js';
