import type { MsgHdrs } from 'nats';
import type { LastMessage } from './fencing.js';
import type { SlotOwner } from './in-flight-limiter.js';
import type { Obstacle, Reply } from './reply.js';
import type { Settings } from './settings.js';
import type { ReporterWarning } from './warning.js';

/** Time and chance, from outside. */
export interface Clock {
  /** Milliseconds that never jump. */
  now(): number;
  /** The time of day as RFC 3339, for people. */
  timestamp(): string;
  /** Calls once after `ms`; what it returns calls it off. */
  later(ms: number, call: () => void): () => void;
  /** From 0 to 1, not including 1. */
  chance(): number;
}

/** Who sends one event at a time on the line, and waits for answers. */
export interface ReplyHandler extends SlotOwner {
  onReply(reply: Reply): void;
}

/** The way to NATS: one inbox for all answers, and a window for what is on its way. */
export interface Transport {
  /** Whether NATS is there. */
  readonly isConnected: boolean;
  /** The largest body that this NATS takes, in bytes. */
  readonly maxPayload: number;
  /** A token for one event: its answers come to `handler`, whichever try they are to. */
  registerReply(handler: ReplyHandler): number;
  /** No answers under this token any more; frees the place in the window. */
  unregisterReply(handler: ReplyHandler, token: number): void;
  /** Calls `onSlot` as soon as the window has a place: at once, or later. */
  acquireSlot(handler: ReplyHandler): void;
  /** This try is not waited for any more: its place is free. */
  releaseSlot(handler: ReplyHandler): void;
  /** Publishes; false when that was not possible. */
  publish(subject: string, body: Uint8Array, token: number, headers: MsgHdrs): boolean;
  /** Publishes something that nobody acknowledges; not kept when NATS is away. */
  publishUnacked(subject: string, body: Uint8Array): void;
}

/** What the stream says of a job's last event. */
export type LastRead =
  | { readonly kind: 'read'; readonly last: LastMessage | null }
  /** This connection may not read. */
  | Forbidden
  /** Try again. `obstacle`: it does not help until somebody has looked after it. */
  | { readonly kind: 'failed'; readonly detail: string; readonly obstacle?: Obstacle | undefined };

/** What the stream holds of a job between two sequences. */
export type RangeRead =
  | { readonly kind: 'read'; readonly messages: readonly LastMessage[] }
  | Forbidden
  | Extract<LastRead, { kind: 'failed' }>;

export interface Forbidden {
  readonly kind: 'forbidden';
  readonly detail: string;
  /** The subjects of which one would have to be permitted. */
  readonly subjects: readonly string[];
  /** NATS said so. Otherwise nobody was there to hear the question, which may also pass. */
  readonly isCertain: boolean;
  /** The inboxes that have to be permitted, where NATS refuses those for answers. */
  readonly inboxes?: string | undefined;
  /** Nobody has the API that the leader of a stream answers at: there is no JetStream for this account. */
  readonly hasNoApi?: boolean | undefined;
}

export interface History {
  /**
   * The newest message of a job.
   * @param atLeast a sequence that is known to be stored on the subject: an answer that is older is no answer
   */
  last(processingId: string, atLeast: number): Promise<LastRead>;
  /**
   * The messages of a job from the sequence `from` on, below `before`, from the oldest to the newest.
   * @param most how many are read; those after them are left out
   */
  range(processingId: string, from: number, before: number, limit: number): Promise<RangeRead>;
}

/** Counts of one reporter. */
export interface Counts {
  /** Events that JetStream acknowledged. */
  acknowledged: number;
  /** Tries beyond the first. */
  retried: number;
  /** Reports that were melted into a newer one. */
  coalesced: number;
  /** Updates that were let go because memory was full. */
  dropped: number;
  /** Jobs with something that is not acknowledged. */
  pendingJobs: number;
}

/** What a job's pen needs of the reporter around it. */
export interface ReporterContext {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly transport: Transport;
  readonly history: History;
  readonly counts: Counts;
  readonly warn: (warning: ReporterWarning) => void;
  /** Random bytes as text. */
  readonly random: (bytes: number) => string;
  /** Asks to be woken at a time, instead of when it asked for before; Infinity for never. */
  setTimer(jobWriter: TimerEntry, at: number): void;
  /** Takes note of bytes that are kept for an event that is not acknowledged; may let others go. */
  addPending(buffered: BufferedEvent, bytes: number): void;
  releasePending(buffered: BufferedEvent): void;
  /** Calls when the signal aborts; what it returns calls it off. */
  onAbort(signal: AbortSignal, call: () => void): () => void;
  /** `counts.pendingJobs` has changed. */
  pendingChanged(): void;
  /** Nobody waits any more for what this job still sends. */
  unawaited(jobWriter: TimerEntry): void;
  /** This job needs nothing any more. */
  removeWriter(jobWriter: TimerEntry): void;
}

/** Something that is woken at times. */
export interface TimerEntry {
  /** Its place in the agenda; the agenda's own. */
  heapIndex: number;
  dueAt: number;
  onTimer(now: number): void;
}

/** Somebody who keeps an event until it is acknowledged. */
export interface BufferedEvent {
  /** Whether it can be let go: it is no end, and the job goes on. */
  readonly evictable: boolean;
  evict(): void;
}
