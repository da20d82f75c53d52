import { EVENT_MAX_BYTES, type Event } from '../../schemas/event.js';

/** The `error.code` of the event that an edge writes for a job that fell silent. */
export const TIMEOUT_CODE = 'timeout';

/**
 * The event that says that a job timed out, as JSON. It holds the job's whole state, as each event does: where the job
 * stood, its type, attempt and step, and the worker's own fields. What was true only while it ran is left out:
 * `message`, `eta_seconds`, `indeterminate`. Where all that does not fit into an event, only what names the job stays.
 *
 * It is written from parsed JSON: in a worker's own field a number beyond the precision of a 64-bit float is rounded.
 *
 * **`retryable` is true**, so the job is not finished. An edge cannot tell a worker that died from one that is cut off
 * from NATS and still at work. The first may be tried again by whatever started it; the second comes back, and an end
 * would keep its result out of the log for good (PROTOCOL.md, "Events": nothing is written after an end but a higher
 * attempt), and send those who wait away with a failure that is none. Those see the error now, and stay connected for
 * what follows. Whoever knows that nobody will try again writes the end.
 *
 * @param last the job's last event, of a job that runs; with or without the fields of an update
 * @param timestamp RFC 3339
 */
export function timeoutEvent(last: Event, silentMs: number, timestamp: string): string {
  const seconds = Math.round(silentMs / 100) / 10;
  return failureEvent(last, {
    timestamp,
    error: {
      code: TIMEOUT_CODE,
      message: `The job gave no sign of life for ${seconds} s`,
      retryable: true,
      details: { silent_ms: Math.floor(silentMs) },
    },
  });
}

/** What an event says that somebody else than the worker writes when the worker is dead. */
export interface Failure {
  /** RFC 3339. */
  readonly timestamp: string;
  /** Left out: the attempt of the event before. */
  readonly attempt?: number;
  readonly error: NonNullable<Event['error']>;
}

/**
 * The event that says that a job failed, as JSON: the job's whole state as `timeoutEvent` keeps it, with this failure.
 *
 * @param last the job's last event; with or without the fields of an update
 */
export function failureEvent(last: Event, failure: Failure): string {
  const fields = { status: 'error', ...failure } as const;
  return whole(last, fields) ?? JSON.stringify({ ...named(last), ...fields });
}

function whole(last: Event, failure: object): string | null {
  const {
    message: _message,
    eta_seconds: _eta,
    indeterminate: _indeterminate,
    result: _result,
    seq: _seq,
    prev_seq: _previous,
    ...kept
  } = last as Event & { seq?: unknown; prev_seq?: unknown };
  try {
    const text = JSON.stringify({ ...kept, ...failure });
    return Buffer.byteLength(text) <= EVENT_MAX_BYTES ? text : null;
  } catch {
    // Nested deeper than it can be written.
    return null;
  }
}

function named({ processing_id, job_type, attempt, progress }: Event): object {
  return { processing_id, job_type, attempt, progress };
}
