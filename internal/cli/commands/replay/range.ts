import type { ReadFrom } from '../../../jetstream/read-stored.js';
import type { FilterFlags, SinceFlags, StartSequenceFlag, UntilFlag } from '../../flags/filters.js';

import { resolveStart, type StatusFilter, untilOf } from '../../flags/filters.js';
import { UsageError } from '../../runtime/cli-context.js';

/** What of the command line says which events are replayed. */
export interface RangeFlags extends FilterFlags, SinceFlags, StartSequenceFlag, UntilFlag {
  /** null: all jobs. */
  readonly id: string | null;
}

/** Which events a replay shows, from where to where, once and for all: "since 10m" does not move on with the clock. */
export interface Chosen {
  readonly id: string | null;
  readonly from: ReadFrom;
  /** The last sequence. */
  readonly untilSeq: number;
  /** Nothing that was stored later, in ms since 1970; null: no such end. */
  readonly untilMs: number | null;
  readonly jobType: readonly string[] | null;
  readonly status: readonly StatusFilter[] | null;
}

/** @param head the newest sequence now @param now ms since 1970 */
export function choose(flags: RangeFlags, head: number, now: number): Chosen {
  return {
    id: flags.id,
    from: resolveStart(flags, now) ?? { kind: 'first' },
    untilSeq: head,
    untilMs: untilOf(flags, now),
    jobType: flags.jobType ?? null,
    status: flags.status ?? null,
  };
}

/** The command line's range as it was written, in one spelling, so that two can be compared; '' when nothing was said. */
export function canonical(flags: RangeFlags): string {
  const { id, since, sinceTime, startSequence, until } = flags;
  const parts = [
    id === null ? '' : id,
    since === undefined ? '' : `--since ${since}ms`,
    sinceTime === undefined ? '' : `--since-time ${new Date(sinceTime).toISOString()}`,
    startSequence === undefined ? '' : `--start-sequence ${startSequence}`,
    until === undefined
      ? ''
      : `--until ${until.kind === 'ago' ? `${until.ms}ms` : new Date(until.ms).toISOString()}`,
    ...[...new Set(flags.jobType ?? [])].sort().map((type) => `--job-type ${type}`),
    ...[...new Set(flags.status ?? [])].sort().map((status) => `--status ${status}`),
  ];
  return parts.filter((part) => part !== '').join(' ');
}

/** @throws UsageError when `spelled` is another range than the one that `kept` was written down for */
export function checkSame(name: string, kept: string, spelled: string): void {
  // To go on, the name is enough.
  if (spelled === '' || spelled === kept) return;
  throw new UsageError(
    `The checkpoint ${name} was kept for another range (${kept === '' ? 'everything' : kept}; this is ${spelled}). ` +
      `Leave the range out, or give the same one, to go on; use --reset to begin anew, or another name.`,
  );
}
