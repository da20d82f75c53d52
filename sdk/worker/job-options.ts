import { EVENT_SCHEMA } from '../../schemas/event.generated.js';
import { mistakeIn } from '../../schemas/explain.js';
import type { Schema } from '../../schemas/schema.js';
import { InvalidEventError } from './errors.js';

/** What a job is, when it starts. */
export interface JobOptions {
  /** 1 to 128 of `A-Z a-z 0-9 _ -`. */
  readonly processingId: string;
  /** 1 to 64 of `A-Z a-z 0-9 _ . -`. */
  readonly jobType?: string | undefined;
  /** How many units of work there are; with `current` it gives the percent. */
  readonly total?: number | undefined;
  /** An integer from 1, higher than the job's last. Without it: the one after the last, or 1. */
  readonly attempt?: number | undefined;
  /** For people, with the first event. */
  readonly message?: string | undefined;
  /** Silence for so many seconds is a stall. */
  readonly stallAfterSeconds?: number | undefined;
  /** Silence for so many seconds is a failure. */
  readonly timeoutSeconds?: number | undefined;
  /** Seconds between two heartbeats; 0 sends none. The reporter's, unless given here. */
  readonly heartbeatSeconds?: number | undefined;
  /** W3C Trace Context; becomes a header of each event. */
  readonly traceparent?: string | undefined;
  /** CloudEvents attributes as headers of each event. `source` is a URI; `urn:headway:worker` unless given. */
  readonly cloudEvents?: boolean | { readonly source: string } | undefined;
  /** Aborts the job's own signal, and bounds the wait for its end to be acknowledged by `closeTimeoutMs`. */
  readonly signal?: AbortSignal | undefined;
}

// The limits of the protocol, from where they are written down.
const { processing_id, job_type, attempt, stall_after_seconds, timeout_seconds } = EVENT_SCHEMA.properties;
const OPTIONS: Schema = {
  type: 'object',
  required: ['processingId'],
  properties: {
    processingId: processing_id,
    jobType: job_type,
    total: { type: 'number', minimum: 0 },
    attempt,
    message: { type: 'string' },
    stallAfterSeconds: stall_after_seconds,
    timeoutSeconds: timeout_seconds,
    heartbeatSeconds: { type: 'number', minimum: 0 },
    traceparent: { type: 'string' },
    cloudEvents: {
      anyOf: [
        { type: 'boolean' },
        { type: 'object', required: ['source'], properties: { source: { type: 'string' } } },
      ],
    },
  },
};

/** @throws InvalidEventError that names the field */
export function checkJobOptions(options: JobOptions): void {
  const signal: Partial<AbortSignal> | undefined = options.signal;
  if (signal !== undefined && typeof signal?.addEventListener !== 'function')
    throw new InvalidEventError('/signal', 'is no AbortSignal');
  const wrong = mistakeIn(OPTIONS, options);
  if (wrong !== null) throw new InvalidEventError(wrong.path, wrong.problem);
}

/** More often they would take all the time there is, and an edge does not look as often. */
const MIN_HEARTBEAT_SECONDS = 0.05;

/**
 * The seconds between two heartbeats: what was asked for, but at least three in the time after which silence is a
 * stall or a failure. 0 sends none.
 */
export function heartbeatSeconds(options: JobOptions, byDefault: number): number {
  const asked = options.heartbeatSeconds ?? byDefault;
  if (asked === 0) return 0;
  const patience = Math.min(options.stallAfterSeconds ?? Infinity, options.timeoutSeconds ?? Infinity);
  return Math.min(asked, Math.max(patience / 3, MIN_HEARTBEAT_SECONDS));
}
