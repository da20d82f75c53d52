/** React's side of the client. README.md beside this file. */

export { type Condition, describeJob, type ProgressView, viewOf } from '../client/progress-view.js';
export type { JobSnapshot, JobsFilter, JobsSnapshot, ProgressClient } from '../client/types.js';
export { type UseJobOptions, type UseJobsOptions, useJob, useJobs, useProgressClient } from './hooks.js';
export { ProgressBar, type ProgressBarProps } from './progress-bar.js';
export { HeadwayProvider, type HeadwayProviderProps } from './provider.js';
