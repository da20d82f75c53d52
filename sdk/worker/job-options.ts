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
  readonly jobType?: string;
  /** How many units of work there are; with `current` it gives the percent. */
  readonly total?: number;
  /** An integer from 1, higher than the job's last. Without it: the one after the last, or 1. */
  readonly attempt?: number;
  /** For people, with the first event. */
  readonly message?: string;
  /** Silence for so many seconds is a stall. */
  readonly stallAfterSeconds?: number;
  /** Silence for so many seconds is a failure. */
  readonly timeoutSeconds?: number;
  /** Seconds between two signs of life; 0 sends none. The reporter's, unless given here. */
  readonly heartbeatSeconds?: number;
  /** W3C Trace Context; becomes a header of each event. */
  readonly traceparent?: string;
  /** CloudEvents attributes as headers of each event. `source` is a URI; `urn:headway:worker` unless given. */
  readonly cloudEvents?: boolean | { readonly source: string };
  /** Aborts the job's own signal, and bounds the wait for its end to be acknowledged by `closeTimeoutMs`. */
  readonly signal?: AbortSignal;
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
  if (!compiled.Check(options)) {
    const { path, problem } = explain(compiled, options);
    throw new InvalidEventError(path, problem);
  }
  return options;
}

/**
 * The seconds between two signs of life: what was asked for, but at least three in the time after which silence is a
 * stall or a failure. 0 sends none.
 */
export function heartbeatSeconds(options: JobOptions, byDefault: number): number {
  const asked = options.heartbeatSeconds ?? byDefault;
  if (asked === 0) return 0;
  const patience = Math.min(options.stallAfterSeconds ?? Infinity, options.timeoutSeconds ?? Infinity);
  return Math.min(asked, patience / 3);
}
