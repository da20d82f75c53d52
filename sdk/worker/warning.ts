import type { NotAuthorizedError, NotPermittedError } from './errors.js';

/**
 * What a worker's author may want to know, and need not act on: nothing of this reaches the job.
 */
export interface Trouble {
  readonly kind: TroubleKind;
  /** For people. Holds no credentials. */
  readonly message: string;
  /** The job it is about, if it is about one. */
  readonly processingId?: string;
  /** For programs: what NATS refuses, where that is the trouble. */
  readonly error?: NotPermittedError | NotAuthorizedError;
}

export type TroubleKind =
  /** NATS cannot be reached; states are kept and sent later. */
  | 'away'
  /** NATS is there again. */
  | 'back'
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
  | 'late_update'
  /** This worker has lost its job. */
  | 'superseded'
  /** What a job failed with could not be sent as it is. */
  | 'not_sendable'
  /** The reporter was closed, or a wait given up, before the end of a job was acknowledged. */
  | 'not_acknowledged';

/** How often the same kind of trouble is told: once in so many milliseconds. */
const EVERY_MS = 1_000;
/** How often it is told again that NATS is still away, or still refuses the credentials. */
const STILL_EVERY_MS = 60_000;

/** The kinds of which each one counts. */
const ALWAYS: ReadonlySet<TroubleKind> = new Set(['back', 'bad_value', 'superseded', 'not_acknowledged']);
/** States that last: told when they begin, and then rarely, until NATS is back. */
const LASTING: ReadonlySet<TroubleKind> = new Set(['away', 'not_authorized']);

/**
 * What the parts call: passes on to the author's callback, the frequent kinds at most once a second each, what lasts
 * once a minute. A callback that throws changes nothing.
 */
export function teller(told: (trouble: Trouble) => void, now: () => number): (trouble: Trouble) => void {
  const last = new Map<TroubleKind, number>();
  return (trouble) => {
    const at = now();
    const distance = LASTING.has(trouble.kind) ? STILL_EVERY_MS : EVERY_MS;
    if (!ALWAYS.has(trouble.kind) && at - (last.get(trouble.kind) ?? Number.NEGATIVE_INFINITY) < distance)
      return;
    if (trouble.kind === 'back') for (const kind of LASTING) last.delete(kind);
    last.set(trouble.kind, at);
    try {
      const outcome: unknown = told(trouble);
      if (outcome instanceof Promise) outcome.catch(() => {});
    } catch {
      // It must not reach the job.
    }
  };
}

/** For authors who give no callback: Node's own warnings, on stderr. */
export function warn({ kind, message }: Trouble): void {
  process.emitWarning(message, { type: 'HeadwayWarning', code: kind });
}
