import type { NotAuthorizedError, NotPermittedError } from './errors.js';

/** Something that you may want to know, and need not act on: it does not affect the job. */
export interface ReporterWarning {
  readonly kind: WarningKind;
  /** For people. Holds no credentials. */
  readonly message: string;
  /** The job, if it is about one. */
  readonly processingId?: string;
  /** For programs: what NATS denies, where the warning is about that. */
  readonly error?: NotPermittedError | NotAuthorizedError;
}

export type WarningKind =
  /** NATS cannot be reached; states are kept and sent later. */
  | 'disconnected'
  /** NATS can be reached again. */
  | 'reconnected'
  /** The connection was closed for good by its owner. */
  | 'connection_closed'
  /** An event was not stored, and is sent again. */
  | 'retrying'
  /** NATS refuses the credentials. The reporter tries again, but somebody has to fix them. */
  | 'not_authorized'
  /** NATS does not permit something that the reporter needs. */
  | 'not_permitted'
  /**
   * The job has events that this worker may not read. Without an `attempt` nothing is written until it may. With one,
   * this is that attempt, whatever was before.
   */
  | 'attempt_unknown'
  /** The memory for pending events is full. An update was evicted; a newer one follows. */
  | 'dropped'
  /** A number is NaN, infinite, or a total below 0. It counts as unknown, and the job goes on. */
  | 'bad_value'
  /** An update came after the job's end, and was left out. */
  | 'update_after_end'
  /** This worker has lost its job. */
  | 'superseded'
  /** An event, or the error of a job, could not be sent as it is. Less of it is sent. */
  | 'event_truncated'
  /** The reporter was closed, or a wait timed out, before the end of a job was acknowledged. */
  | 'not_acknowledged';

/** Each rate-limited kind passes once in so many milliseconds. */
const INTERVAL_MS = 1_000;
/** The same for kinds that persist. */
const PERSISTENT_INTERVAL_MS = 60_000;

/** Kinds that are never suppressed. */
const UNLIMITED: ReadonlySet<WarningKind> = new Set([
  'reconnected',
  'bad_value',
  'superseded',
  'not_acknowledged',
]);
/** States that persist: they pass when they begin, and then rarely, until NATS can be reached again. */
const PERSISTENT: ReadonlySet<WarningKind> = new Set(['disconnected', 'not_authorized']);

/**
 * Wraps the callback: frequent kinds pass at most once a second each, persistent ones once a minute. What the callback
 * throws is ignored.
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

/** Passes the first call on, and no other. */
export function once<T>(call: (value: T) => void): (value: T) => void {
  let isCalled = false;
  return (value) => {
    if (isCalled) return;
    isCalled = true;
    call(value);
  };
}

/** The default callback: a warning of Node, on stderr. */
export function emitWarning({ kind, message }: ReporterWarning): void {
  process.emitWarning(message, { type: 'HeadwayWarning', code: kind });
}
