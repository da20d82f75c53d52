import type { LogRecord } from './record.js';

/** What a connection follows: one job, or all jobs; of either only the events of these types (null: of every type). */
export type Scope =
  | { readonly kind: 'job'; readonly id: string; readonly jobTypes: ReadonlySet<string> | null }
  | { readonly kind: 'all'; readonly jobTypes: ReadonlySet<string> | null };

/** Whether a record is in the scope. One without a type passes only where nothing is filtered. */
export function inScope(scope: Scope, record: LogRecord): boolean {
  if (scope.kind === 'job' && record.id !== scope.id) return false;
  return hasTypeIn(scope, record.jobType);
}

/** Whether a job of this type (undefined: not known) passes the scope's filter. */
export function hasTypeIn({ jobTypes }: Scope, jobType: string | undefined): boolean {
  return jobTypes === null || (jobType !== undefined && jobTypes.has(jobType));
}

/** Whether a job is in a scope that may be its: by its newest event, or, where nobody knows that one, without a filter. */
export function mayBeInScope(scope: Scope, last: LogRecord | undefined): boolean {
  return last === undefined ? scope.jobTypes === null : inScope(scope, last);
}
