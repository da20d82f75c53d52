import type { LogRecord } from './record.js';

/** What a connection follows: one job, or all jobs through a filter (null: every type). */
export type Scope =
  | { readonly kind: 'job'; readonly id: string }
  | { readonly kind: 'all'; readonly jobTypes: ReadonlySet<string> | null };

/** Whether a record is in the scope. A job without a type passes only where nothing is filtered. */
export function inScope(scope: Scope, record: LogRecord): boolean {
  switch (scope.kind) {
    case 'job':
      return record.id === scope.id;
    case 'all':
      return scope.jobTypes === null || (record.jobType !== undefined && scope.jobTypes.has(record.jobType));
  }
}
