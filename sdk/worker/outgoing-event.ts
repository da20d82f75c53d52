import { randomBytes } from 'node:crypto';
import type { MsgHdrs, MsgHdrsImpl } from 'nats';
import { EVENT_MAX_BYTES } from '../../schemas/event-check.js';
import { EventTooLargeError, InvalidEventError } from './errors.js';
import type { JobOptions } from './job-options.js';
import type { Clock } from './ports.js';
import { type JobState, secondsLeft } from './state.js';

/** One event, ready to be sent. */
export interface OutgoingEvent {
  readonly kind: 'update' | 'terminal';
  readonly status: Status;
  /** RFC 3339. */
  readonly timestamp: string;
  readonly body: Uint8Array;
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
  return inOnePiece(text);
}

/**
 * The same text. V8 keeps a text that was put together as its pieces, and collects them anew for each event that it
 * becomes a part of.
 */
export const inOnePiece = (text: string): string => Buffer.from(text).toString();

/**
 * An event: a job's whole current state as JSON. Written by hand for speed: most of it needs no escapes.
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
  // Most jobs have no fields of their own, and an iterator costs something even then.
  if (state.own.size > 0) for (const [name, json] of state.own) text += `,${JSON.stringify(name)}:${json}`;
  if (ending?.status === 'completed' && ending.result !== null) text += `,"result":${ending.result}`;
  if (ending?.status === 'error') text += `,"error":${ending.error}`;
  return `${text}}`;
}

/** With at most so many bytes of the job's own fields an event always fits, whatever its message and step. */
const ALWAYS_FITS = 36_000;
/** Bytes for more digits of the attempt, until the first event is stored. */
const ROOM_FOR_ATTEMPT = 16;

/** Writes the events of one job. */
export class EventEncoder {
  readonly #shared: string;
  readonly processingId: string;

  constructor(
    options: JobOptions,
    private readonly clock: Clock,
  ) {
    this.processingId = options.processingId;
    this.#shared = sharedMembers(options);
  }

  /** @param now milliseconds of the clock */
  encode(state: JobState, ending: Ending | null, now = this.clock.now()): OutgoingEvent {
    const timestamp = this.clock.timestamp();
    const body = Buffer.from(encodeEvent(this.#shared, state, ending, now, timestamp));
    const kind = ending === null ? 'update' : 'terminal';
    return { kind, status: ending?.status ?? 'processing', timestamp, body };
  }

  /**
   * @param maxPayload the bytes that NATS takes
   * @param isSettled whether the attempt is; until then it may get more digits
   * @throws EventTooLargeError when an event would be too large for the protocol or for NATS
   */
  checkSize(state: JobState, ending: Ending | null, maxPayload: number, isSettled: boolean): void {
    // Nearly always.
    if (ending === null && state.ownBytes <= ALWAYS_FITS && maxPayload >= EVENT_MAX_BYTES) return;
    const limit = Math.min(EVENT_MAX_BYTES, maxPayload) - (isSettled ? 0 : ROOM_FOR_ATTEMPT);
    const bytes = this.encode(state, ending).body.length;
    if (bytes > limit) throw new EventTooLargeError(this.processingId, bytes, limit);
  }
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

// A multiple of three: base64url of it has no character that holds less than the others.
const POOL = 4_095;
const RUN_BYTES = 16;
const TAIL_BYTES = 9;
/** Longer pieces of a text keep all of it in memory: V8 copies only shorter ones. */
const COPIED = 12;

/**
 * At least so many random bytes in base64url. They are drawn and written in large chunks: one system call for some
 * hundred ids.
 */
export function randomText(random: RandomBytes = randomBytes): (bytes: number) => string {
  let pool = '';
  let used = 0;
  const piece = (length: number): string => {
    if (used + length > pool.length) {
      pool = Buffer.from(random(POOL)).toString('base64url');
      used = 0;
    }
    used += length;
    return pool.slice(used - length, used);
  };
  return (bytes) => {
    let text = '';
    for (let left = Math.ceil((4 * bytes) / 3); left > 0; left -= COPIED) {
      text += piece(Math.min(left, COPIED));
    }
    return text;
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
    this.runId = inOnePiece(`${text(RUN_BYTES)}.`);
  }

  next(): string {
    this.#count += 1;
    return `${this.runId}${this.#count}.${this.text(TAIL_BYTES)}`;
  }
}
