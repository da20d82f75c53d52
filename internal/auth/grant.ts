import type { Claims } from '../../schemas/claims.js';
import type { Scope } from '../eventlog/record.js';

/** What a valid token opens, and until when. */
export interface Grant {
  /** The token's `sub`; null when it names nobody. */
  readonly subject: string | null;
  readonly jobs: 'all' | ReadonlySet<string>;
  readonly jobTypes: 'all' | ReadonlySet<string>;
  /** When the token expires: its `exp` in ms since 1970. The clock tolerance is not in it. */
  readonly expiresAt: number;
}

/** The part of a scope that a grant opens, or why it opens nothing of it. */
export type Narrowed =
  | { readonly ok: true; readonly scope: Scope }
  | { readonly ok: false; readonly message: string };

/** The grant that checked claims give. */
export function grantOf(claims: Claims): Grant {
  return {
    subject: claims.sub || null,
    jobs: listed(claims.jobs),
    jobTypes: listed(claims.job_types),
    expiresAt: Math.floor(claims.exp * 1000),
  };
}

/**
 * What of a scope the grant opens: a job whose id or whose type is listed. Where only the type can open a job, the
 * scope that comes back shows only events of those types, since a job's type is known only from its events.
 */
export function narrow(grant: Grant, scope: Scope): Narrowed {
  switch (scope.kind) {
    case 'job':
      return narrowJob(grant, scope);
    case 'all':
      return narrowAll(grant, scope);
  }
}

function narrowJob(grant: Grant, scope: Extract<Scope, { kind: 'job' }>): Narrowed {
  if (grant.jobs === 'all' || grant.jobs.has(scope.id) || grant.jobTypes === 'all')
    return { ok: true, scope };
  const jobTypes = common(scope.jobTypes, grant.jobTypes);
  if (jobTypes.size > 0) return { ok: true, scope: { kind: 'job', id: scope.id, jobTypes } };
  return refuse(
    grant.jobTypes.size === 0
      ? 'the token does not open this job: its jobs do not list it, and it has no job_types'
      : 'the token does not open this job: neither its jobs nor its job_types do',
  );
}

function narrowAll(grant: Grant, scope: Extract<Scope, { kind: 'all' }>): Narrowed {
  if (grant.jobs === 'all' || grant.jobTypes === 'all') return { ok: true, scope };
  if (grant.jobTypes.size === 0) {
    return refuse('the token opens single jobs only; all jobs need jobs ["*"], or job_types');
  }
  const jobTypes = common(scope.jobTypes, grant.jobTypes);
  if (jobTypes.size > 0) return { ok: true, scope: { kind: 'all', jobTypes } };
  return refuse('the token opens none of the job types that were asked for');
}

/** What is both asked for (null: everything) and granted. */
function common(asked: ReadonlySet<string> | null, granted: ReadonlySet<string>): ReadonlySet<string> {
  return asked === null ? granted : new Set([...asked].filter((type) => granted.has(type)));
}

function listed(claim: readonly string[] | undefined): 'all' | ReadonlySet<string> {
  return claim?.[0] === '*' ? 'all' : new Set(claim);
}

function refuse(message: string): Narrowed {
  return { ok: false, message };
}
