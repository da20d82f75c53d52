import type { MsgHdrs } from 'nats';
import type { LastMessage } from './fencing.js';
import type { SlotOwner } from './in-flight-limiter.js';
import type { Obstacle, Reply } from './reply.js';
import type { Settings } from './settings.js';
import type { ReporterWarning } from './warning.js';

/** Time and randomness, passed in. */
export interface Clock {
  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** The wall clock as RFC 3339. */
  timestamp(): string;
  /** Calls once after `ms` milliseconds; the result cancels the timer. */
  later(ms: number, call: () => void): () => void;
  /** From 0 to 1, not including 1. */
  chance(): number;
}

/** Sends one event at a time over the transport, and handles its replies. */
export interface ReplyHandler extends SlotOwner {
  onReply(reply: Reply): void;
}

/** The connection to NATS: one inbox for all replies, and a limit of events in flight. */
export interface Transport {
  /** Whether NATS can be reached. */
  readonly isConnected: boolean;
  /** The largest body that this server accepts, in bytes. */
  readonly maxPayload: number;
  /** Returns a token for one event: `handler` gets the replies to all of its tries. */
  registerReply(handler: ReplyHandler): number;
  /** Drops further replies under this token, and releases the slot. */
  unregisterReply(handler: ReplyHandler, token: number): void;
  /** Calls `onSlot` as soon as a slot is free: at once, or later. */
  acquireSlot(handler: ReplyHandler): void;
  /** Nobody waits for this try any more: its slot is free. */
  releaseSlot(handler: ReplyHandler): void;
  /** Publishes; false if that was not possible. */
  publish(subject: string, body: Uint8Array, token: number, headers: MsgHdrs): boolean;
  /** Publishes without acknowledgement; dropped while NATS cannot be reached. */
  publishUnacked(subject: string, body: Uint8Array): void;
}

/** The result of reading a job's last event. */
export type LastRead =
  | { readonly kind: 'read'; readonly last: LastMessage | null }
  /** These credentials may not read. */
  | Forbidden
  /** Try again. With an `obstacle` that does not help until somebody has removed it. */
  | { readonly kind: 'failed'; readonly detail: string; readonly obstacle?: Obstacle | undefined };

/** The result of reading a job's messages between two sequences. */
export type RangeRead =
  | { readonly kind: 'read'; readonly messages: readonly LastMessage[] }
  | Forbidden
  | Extract<LastRead, { kind: 'failed' }>;

export interface Forbidden {
  readonly kind: 'forbidden';
  readonly detail: string;
  /** One of these subjects must be permitted. */
  readonly subjects: readonly string[];
  /** NATS denied it. Otherwise there was no responder, which may be temporary. */
  readonly isCertain: boolean;
  /** The inbox subjects that must be permitted, where NATS denies the subscription for replies. */
  readonly inboxes?: string | undefined;
  /** The API of the stream leader has no responder: this account has no JetStream. */
  readonly hasNoApi?: boolean | undefined;
}

export interface History {
  /**
   * The newest message of a job.
   * @param atLeast a sequence that is known to be stored on the subject; an older answer counts as failed
   */
  last(processingId: string, atLeast: number): Promise<LastRead>;
  /**
   * The messages of a job from the sequence `from` on, below `before`, from the oldest to the newest.
   * @param limit how many are read; later ones are left out
   */
  range(processingId: string, from: number, before: number, limit: number): Promise<RangeRead>;
}

/** Counts of one reporter. */
export interface Counts {
  /** Events that JetStream acknowledged. */
  acknowledged: number;
  /** Tries beyond the first. */
  retried: number;
  /** Reports that were coalesced into a newer one. */
  coalesced: number;
  /** Updates that were evicted because memory was full. */
  dropped: number;
  /** Jobs with an event that is not acknowledged. */
  pendingJobs: number;
}

/** What a `JobWriter` needs from its reporter. */
export interface ReporterContext {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly transport: Transport;
  readonly history: History;
  readonly counts: Counts;
  readonly warn: (warning: ReporterWarning) => void;
  /** Random bytes as text. */
  readonly random: (bytes: number) => string;
  /** Calls `onTimer` of the entry at a time, instead of the time that was set before; Infinity for never. */
  setTimer(entry: TimerEntry, at: number): void;
  /** Counts the bytes of an event that is not acknowledged; may evict others. */
  addPending(buffered: BufferedEvent, bytes: number): void;
  releasePending(buffered: BufferedEvent): void;
  /** Calls when the signal aborts; the result removes the handler. */
  onAbort(signal: AbortSignal, call: () => void): () => void;
  /** `counts.pendingJobs` has changed. */
  pendingChanged(): void;
  /** Nobody waits any more for the events that this job still sends. */
  unawaited(jobWriter: TimerEntry): void;
  /** This job is over. */
  removeWriter(jobWriter: TimerEntry): void;
}

/** An entry of the timer heap. */
export interface TimerEntry {
  /** Its index in the heap, -1 outside of it. Only the heap writes it. */
  heapIndex: number;
  dueAt: number;
  onTimer(now: number): void;
}

/** An event that is kept until it is acknowledged. */
export interface BufferedEvent {
  /** Whether it can be evicted: it is no terminal event, and it cannot be stored already. */
  readonly evictable: boolean;
  evict(): void;
}
