import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { Event } from '../../schemas/event.js';
import { explain } from '../../schemas/explain.js';
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
const Options = Type.Object({
  processingId: Event.properties.processing_id,
  jobType: Event.properties.job_type,
  total: Type.Optional(Type.Number({ minimum: 0 })),
  attempt: Event.properties.attempt,
  message: Type.Optional(Type.String()),
  stallAfterSeconds: Event.properties.stall_after_seconds,
  timeoutSeconds: Event.properties.timeout_seconds,
  heartbeatSeconds: Type.Optional(Type.Number({ minimum: 0 })),
  traceparent: Type.Optional(Type.String()),
  cloudEvents: Type.Optional(Type.Union([Type.Boolean(), Type.Object({ source: Type.String() })])),
});
const compiled = TypeCompiler.Compile(Options);

/** @throws InvalidEventError that names the field */
export function checkJobOptions(options: JobOptions): Static<typeof Options> {
  const signal: Partial<AbortSignal> | undefined = options.signal;
  if (signal !== undefined && typeof signal?.addEventListener !== 'function')
    throw new InvalidEventError('/signal', 'is no AbortSignal');
  if (!compiled.Check(options)) {
    const { path, problem } = explain(compiled, options);
    throw new InvalidEventError(path, problem);
  }
  return options;
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
