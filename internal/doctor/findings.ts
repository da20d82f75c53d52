import type { Observed } from './facts.js';

/** The name of each finding, for scripts and for docs/RUNBOOK.md. A name never gets another meaning. */
export const FINDING_IDS = [
  'server-too-old',
  'server-data-loss-bug',
  'server-incomplete-snapshot',
  'server-replica-write-bug',
  'jetstream-disabled',
  'stream-missing',
  'stream-subjects-taken',
  'stream-not-visible',
  'stream-drift',
  'stream-settings-differ',
  'stream-sealed',
  'stream-in-memory',
  'stream-refuses-large-events',
  'stream-duplicate-window-short',
  'storage-full',
  'storage-not-writable',
  'events-refused',
  'stream-nearly-full',
  'stream-consumers-near-limit',
  'account-near-limit',
  'jobs-near-max-age',
  'jobs-at-event-limit',
  'stream-without-leader',
  'replica-offline',
  'replica-lagging',
  'replica-count-even',
  'single-replica-in-cluster',
  'edge-consumer-paused',
  'edge-consumer-edited',
  'edge-stalled',
  'edge-pulls-refused',
  'edge-consumer-idle',
  'edge-behind',
  'no-edge',
  'replay-consumer-stale',
  'invalid-events',
  'subjects-without-job',
  'jobs-stalled',
  'worker-clock-skew',
  'local-clock-skew',
  'writes-not-synced',
  'sync-interval-unknown',
  'permission-missing',
  'credentials-limited',
] as const;
export type FindingId = (typeof FINDING_IDS)[number];

/** The names that findings had before, for scripts that still use them. */
export const RENAMED_FINDINGS: Readonly<Record<string, FindingId>> = {
  'server-loses-streams': 'server-data-loss-bug',
  'server-leaves-out-jobs': 'server-incomplete-snapshot',
  'server-wedges-copies': 'server-replica-write-bug',
  'copy-offline': 'replica-offline',
  'copy-behind': 'replica-lagging',
  'copies-even': 'replica-count-even',
  'single-copy-in-cluster': 'single-replica-in-cluster',
  'replay-consumer-forgotten': 'replay-consumer-stale',
  'jobs-silent': 'jobs-stalled',
  'worker-clock-off': 'worker-clock-skew',
  'this-clock-off': 'local-clock-skew',
};

/** Rising. An info is nothing to act on by itself. */
export type Severity = 'info' | 'warning' | 'error';

export interface Finding {
  readonly kind: 'finding';
  readonly id: FindingId;
  readonly severity: Severity;
  /** What was found, in a sentence with its numbers. */
  readonly what: string;
  readonly why: string;
  readonly remedy: string;
  /** One line for each field, job or server that it is about, the most important first. Workers' text may be in it. */
  readonly details: readonly string[];
  /** How many more there are than `details` has. */
  readonly omitted: number;
}

/** Something that was looked at and is as it should be. */
export interface Pass {
  readonly kind: 'pass';
  readonly check: Check;
  readonly note: string;
}

export interface Skipped {
  readonly kind: 'skipped';
  readonly check: Check;
  readonly why: string;
}

export type Outcome = Finding | Pass | Skipped;

/** What is looked at, by name. */
export type Check =
  | 'server'
  | 'other-servers'
  | 'account'
  | 'stream'
  | 'storage'
  | 'disk'
  | 'stream-limits'
  | 'event-limit'
  | 'copies'
  | 'consumers'
  | 'events'
  | 'subjects'
  | 'jobs'
  | 'heartbeats'
  | 'worker-clocks'
  | 'this-clock'
  | 'durability'
  | 'permissions';

export interface Report {
  /** The most severe first. */
  readonly findings: readonly Finding[];
  readonly fine: readonly Pass[];
  readonly notChecked: readonly Skipped[];
}

/** The most that is listed of one finding. */
const LISTED = 20;

export function finding(
  severity: Severity,
  id: FindingId,
  text: {
    readonly what: string;
    readonly why: string;
    readonly remedy: string;
    readonly details?: readonly string[];
    /** How many there are in all, when `details` holds fewer. */
    readonly inAll?: number;
  },
): Finding {
  const { what, why, remedy, details = [], inAll = details.length } = text;
  const listed = details.slice(0, LISTED);
  return {
    kind: 'finding',
    id,
    severity,
    what,
    why,
    remedy,
    details: listed,
    omitted: Math.max(0, inAll - listed.length),
  };
}

export const pass = (check: Check, note: string): Pass => ({ kind: 'pass', check, note });

export const skip = (check: Check, why: string): Skipped => ({ kind: 'skipped', check, why });

/** Judges what is known; what is not is told as not checked. */
export function* whenKnown<T>(
  check: Check,
  observed: Observed<T>,
  judge: (value: T) => Iterable<Outcome>,
): Generator<Outcome> {
  if (observed.kind === 'known') yield* judge(observed.value);
  else yield skip(check, whySkipped(observed));
}

/** Why there are no facts, in half a sentence. */
export function whySkipped(observed: Exclude<Observed<unknown>, { kind: 'known' }>): string {
  switch (observed.kind) {
    case 'not_permitted':
      return `NATS does not permit these credentials ${observed.subject}`;
    case 'failed':
    case 'skipped':
      return observed.reason;
  }
}
