import { createHash } from 'node:crypto';
import type { Scope } from '../eventlog/scope.js';

const LENGTH = 16;

/**
 * Names what a connection follows, with what its token opens of it: the same on every edge for the same scope, another
 * for any other. PROTOCOL.md, "Scope".
 */
export function scopeIdOf(scope: Scope): string {
  const jobs = scope.kind === 'job' ? ['job', scope.id] : ['all'];
  const types = scope.jobTypes === null ? '*' : [...scope.jobTypes].sort();
  return createHash('sha256')
    .update(JSON.stringify([jobs, types]))
    .digest('base64url')
    .slice(0, LENGTH);
}
