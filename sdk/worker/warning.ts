import type { NotAuthorizedError, NotPermittedError } from './errors.js';

/**
 * What a worker's author may want to know, and need not act on: nothing of this reaches the job.
 */
export interface ReporterWarning {
  readonly kind: WarningKind;
  /** For people. Holds no credentials. */
  readonly message: string;
  /** The job it is about, if it is about one. */
  readonly processingId?: string;
  /** For programs: what NATS refuses, where that is the trouble. */
  readonly error?: NotPermittedError | NotAuthorizedError;
}

export type WarningKind =
  /** NATS cannot be reached; states are kept and sent later. */
  | 'disconnected'
  /** NATS is there again. */
  | 'reconnected'
  /** The connection was closed for good by its owner. */
  | 'connection_closed'
  /** An event was not taken, and is sent again. */
  | 'retrying'
  /** NATS refuses the credentials. It is tried again, but somebody has to mend it. */
  | 'not_authorized'
  /** NATS does not permit something that the reporter needs. */
  | 'not_permitted'
  /**
   * The job has events that this worker may not read. Without an `attempt` nothing is written until it may; with one,
   * this is that attempt, whatever was before.
   */
  | 'attempt_unknown'
  /** Memory for what is waiting is full; an update that waited was let go, a newer one follows. */
  | 'dropped'
  /** A number is none (NaN, Infinity, a total below 0): it is taken as unknown, and the job goes on. */
  | 'bad_value'
  /** An update came after the job's end, and was left out. */
  | 'update_after_end'
  /** This worker has lost its job. */
  | 'superseded'
  /** What a job failed with could not be sent as it is. */
  | 'event_truncated'
  /** The reporter was closed, or a wait given up, before the end of a job was acknowledged. */
  | 'not_acknowledged';

/** How often the same kind of trouble is told: once in so many milliseconds. */
const INTERVAL_MS = 1_000;
/** How often it is told again that NATS is still away, or still refuses the credentials. */
const PERSISTENT_INTERVAL_MS = 60_000;

/** The kinds of which each one counts. */
const UNLIMITED: ReadonlySet<WarningKind> = new Set([
  'reconnected',
  'bad_value',
  'superseded',
  'not_acknowledged',
]);
/** States that last: told when they begin, and then rarely, until NATS is back. */
const PERSISTENT: ReadonlySet<WarningKind> = new Set(['disconnected', 'not_authorized']);

/**
 * What the parts call: passes on to the author's callback, the frequent kinds at most once a second each, what lasts
 * once a minute. A callback that throws changes nothing.
 */
export function limitWarnings(
  onWarning: (warning: ReporterWarning) => void,
  now: () => number,
): (warning: ReporterWarning) => void {
  const last = new Map<WarningKind, number>();
  return (warning) => {
    const at = now();
    const distance = PERSISTENT.has(warning.kind) ? PERSISTENT_INTERVAL_MS : INTERVAL_MS;
    if (!UNLIMITED.has(warning.kind) && at - (last.get(warning.kind) ?? Number.NEGATIVE_INFINITY) < distance)
      return;
    if (warning.kind === 'reconnected') for (const kind of PERSISTENT) last.delete(kind);
    last.set(warning.kind, at);
    try {
      const outcome: unknown = onWarning(warning);
      if (outcome instanceof Promise) outcome.catch(() => {});
    } catch {
      // It must not reach the job.
    }
  };
}

/** For authors who give no callback: Node's own warnings, on stderr. */
export function emitWarning({ kind, message }: ReporterWarning): void {
  process.emitWarning(message, { type: 'HeadwayWarning', code: kind });
}
