import { randomBytes } from 'node:crypto';
import type { MsgHdrs, MsgHdrsImpl } from 'nats';
import { InvalidEventError, type SupersededError } from './errors.js';
import type { JobOptions } from './job-options.js';
import { secondsLeft } from './progress.js';
import type { JobState } from './state.js';

/** One event, ready to be sent. */
export interface OutgoingEvent {
  readonly kind: 'update' | 'terminal';
  readonly status: Status;
  /** RFC 3339. */
  readonly timestamp: string;
  readonly body: Uint8Array;
}

/** The job whose events an `EventDelivery` delivers. */
export interface DeliveryOwner {
  readonly attempt: number;
  /** The percent of the job: no event of this attempt has a higher one. */
  readonly percent: number;
  /** Builds the first event of the run again, under another attempt. */
  rebuild(attempt: number): OutgoingEvent;
  /** Builds the event in flight again with less in it, because NATS rejects it as too large; null: nothing is in flight. */
  reduceSize(bytes: number): OutgoingEvent | null;
  /** The event in flight is stored. */
  onStored(): void;
  /** The event in flight was evicted, because memory is full. */
  onEvicted(): void;
  /** `dueAt` of the delivery has changed. */
  reschedule(): void;
  /** Another worker has the job: nothing may be sent any more. */
  onSuperseded(error: SupersededError): void;
}

/** The phases of an event in flight. */
export type DeliveryPhase =
  /** It waits for the connection, or for a slot of the limiter. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'sent'; readonly until: number }
  | { readonly kind: 'backing_off'; readonly until: number }
  /** Its condition failed, and the job's last event is being read. */
  | { readonly kind: 'looking_up' };

/** One event in flight, through all of its tries. */
export interface InFlightEvent {
  readonly event: OutgoingEvent;
  readonly msgId: string;
  /** The token of its replies. */
  readonly token: number;
  phase: DeliveryPhase;
  tries: number;
  /** When the first try was made, in milliseconds of a monotonic clock; NaN: not yet. */
  triedAt: number;
  /** How many reads in a row of the job's last event had no responder. */
  unansweredReads: number;
  /**
   * The sequence of the job's last event, where this one is sent after it although it may be stored already. If it is,
   * the acknowledgement has a lower sequence.
   */
  assumed: number | null;
  /** Optional parts are left out, because NATS rejected the full event as too large. */
  isReduced: boolean;
}

/** How a job ends: `result` and `error` are JSON already. */
export type Ending =
  | { readonly status: 'completed'; readonly result: string | null }
  | { readonly status: 'error'; readonly error: string };

export type Status = 'processing' | Ending['status'];

/** The JSON members that all events of a job share, without braces. */
export function sharedMembers(options: JobOptions): string {
  const { jobType, stallAfterSeconds, timeoutSeconds } = options;
  let text = `"processing_id":"${options.processingId}"`;
  if (jobType !== undefined) text += `,"job_type":"${jobType}"`;
  if (stallAfterSeconds !== undefined) text += `,"stall_after_seconds":${stallAfterSeconds}`;
  if (timeoutSeconds !== undefined) text += `,"timeout_seconds":${timeoutSeconds}`;
  return text;
}

/**
 * An event: a job's whole current state as JSON. EncodedHeaders by hand for speed: most of it needs no escapes.
 * @param now milliseconds of the same monotonic clock as in the state
 * @param timestamp RFC 3339
 */
export function encodeEvent(
  shared: string,
  state: JobState,
  ending: Ending | null,
  now: number,
  timestamp: string,
): string {
  const percent = ending?.status === 'completed' ? 100 : state.percent;
  let text =
    `{${shared},"status":"${ending?.status ?? 'processing'}","progress":${percent},` +
    `"timestamp":"${timestamp}","attempt":${state.attempt}`;
  if (state.message !== null) text += `,"message":${JSON.stringify(state.message)}`;
  if (state.step !== null) text += `,"step":${JSON.stringify(state.step)}`;
  if (state.current !== null) text += `,"current":${state.current}`;
  if (state.total !== null) text += `,"total":${state.total}`;
  if (ending === null) text += running(state, now);
  for (const [name, json] of state.own) text += `,${JSON.stringify(name)}:${json}`;
  if (ending?.status === 'completed' && ending.result !== null) text += `,"result":${ending.result}`;
  if (ending?.status === 'error') text += `,"error":${ending.error}`;
  return `${text}}`;
}

function running(state: JobState, now: number): string {
  if (state.indeterminate === true) return ',"indeterminate":true';
  const seconds = state.done === null ? null : secondsLeft(state.rateEstimate, now, state.done);
  const eta = seconds === null ? '' : `,"eta_seconds":${seconds}`;
  return state.indeterminate === false ? `,"indeterminate":false${eta}` : eta;
}

/** The headers that all events of a job share. */
export interface HeaderBase {
  readonly processingId: string;
  readonly traceparent: string | null;
  /** The CloudEvents `source`; null: no CloudEvents attributes. */
  readonly source: string | null;
}

/** The headers of one event. */
export interface HeaderOwn {
  readonly msgId: string;
  /** The sequence that the subject's last message must have; 0: no message. */
  readonly expected: number;
  readonly status: string;
  /** RFC 3339. */
  readonly timestamp: string;
}

// W3C Trace Context, version 00; later versions may have more behind it.
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?$/;
const PRINTABLE = /^[!-~]{1,2048}$/;
const DEFAULT_SOURCE = 'urn:headway:worker';

/** @throws InvalidEventError when a value does not fit into a header */
export function headerBase(
  processingId: string,
  traceparent: string | undefined,
  cloudEvents: boolean | { readonly source: string } | undefined,
): HeaderBase {
  if (traceparent !== undefined && !TRACEPARENT.test(traceparent)) {
    throw new InvalidEventError('/traceparent', 'is not a traceparent as in W3C Trace Context');
  }
  const source = typeof cloudEvents === 'object' ? cloudEvents.source : cloudEvents ? DEFAULT_SOURCE : null;
  if (source !== null && !PRINTABLE.test(source)) {
    throw new InvalidEventError('/cloudEvents/source', 'is not a URI: 1 to 2,048 printable ASCII characters');
  }
  return { processingId, traceparent: traceparent ?? null, source };
}

/**
 * The headers of one event. CloudEvents attributes are in binary mode: the body stays as it is.
 * https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md
 */
export function eventHeaders(base: HeaderBase, own: HeaderOwn): MsgHdrs {
  let text =
    `NATS/1.0\r\nNats-Msg-Id: ${own.msgId}` + `\r\nNats-Expected-Last-Subject-Sequence: ${own.expected}`;
  if (base.traceparent !== null) text += `\r\ntraceparent: ${base.traceparent}`;
  if (base.source !== null) {
    text +=
      `\r\nce-specversion: 1.0\r\nce-id: ${own.msgId}\r\nce-source: ${base.source}` +
      `\r\nce-type: headway.progress.${own.status}\r\nce-subject: ${base.processingId}` +
      `\r\nce-time: ${own.timestamp}\r\nce-datacontenttype: application/json`;
  }
  const written: Pick<MsgHdrsImpl, 'encode'> = new EncodedHeaders(`${text}\r\n\r\n`);
  return written as unknown as MsgHdrs;
}

// All of it is printable ASCII, so it needs no checks. Setting the package's own headers one by one takes several times
// as long; when it publishes, the package calls `encode` only.
class EncodedHeaders {
  constructor(private readonly text: string) {}

  encode(): Uint8Array {
    return Buffer.from(this.text, 'latin1');
  }
}

/** Returns cryptographically random bytes. */
export type RandomBytes = (count: number) => Uint8Array;

const POOL = 4_096;
const RUN_BYTES = 16;
const TAIL_BYTES = 9;

/** Random bytes in base64url. They are drawn in large chunks: one system call for some hundred ids. */
export function randomText(random: RandomBytes = randomBytes): (bytes: number) => string {
  let pool = Buffer.alloc(0);
  let used = 0;
  return (bytes) => {
    if (used + bytes > pool.length) {
      pool = Buffer.from(random(POOL));
      used = 0;
    }
    used += bytes;
    return pool.toString('base64url', used - bytes, used);
  };
}

/**
 * The message ids of one run: 128 random bits that name the run, a counter for people, and 72 random bits for each
 * event. JetStream detects duplicates by these ids. So an id that could be guessed from earlier ones could be used by
 * somebody else first.
 */
export class RunIds {
  /** The prefix of all ids. */
  readonly runId: string;
  #count = 0;

  constructor(private readonly text: (bytes: number) => string) {
    this.runId = `${text(RUN_BYTES)}.`;
  }

  next(): string {
    this.#count += 1;
    return `${this.runId}${this.#count}.${this.text(TAIL_BYTES)}`;
  }
}
