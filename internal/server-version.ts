import { coerce, gte, lt } from 'semver';

// A release candidate is taken for the release: what a version brought was in it, as far as was tried.

/** Whether a version such as 2.10.27, 2.12.0-RC.1 or v2.11 is at least this one; one that cannot be read is not. */
export function isAtLeast(version: string, wanted: string): boolean {
  const own = coerce(version);
  return own !== null && gte(own, wanted);
}

/** Whether a version is known to be before this one; one that cannot be read is not. */
export function isBefore(version: string, other: string): boolean {
  const own = coerce(version);
  return own !== null && lt(own, other);
}
