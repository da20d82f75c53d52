import type { MsgHdrs } from 'nats';
import type { LastMessage } from './fencing.js';
import type { Settings } from './settings.js';
import type { AbortListeners } from './signals.js';
import type { ReporterWarning } from './warning.js';

/** Time and randomness, passed in. */
export interface Clock {
  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** The wall clock as RFC 3339. */
  timestamp(): string;
  /** Calls once after `ms` milliseconds, or 24 days where that is less; the result cancels the timer. */
  later(ms: number, call: () => void): () => void;
  /** From 0 to 1, not including 1. */
  chance(): number;
}

/** What JetStream answers to a publish. */
export type Reply =
  /** It is stored at `seq`; `duplicate`: an earlier try was. */
  | { readonly kind: 'stored'; readonly seq: number; readonly duplicate: boolean }
  /** The subject's last event is not the expected one. `last` is its sequence (0: none), if it is known. */
  | { readonly kind: 'conflict'; readonly last: number | null }
  /** Not now: send it again. `mayBeStored`: it may be stored, or be about to be. */
  | {
      readonly kind: 'busy';
      readonly detail: string;
      readonly mayBeStored: boolean;
      readonly obstacle?: Obstacle | undefined;
    }
  /** Rejected, for an unknown time. */
  | { readonly kind: 'refused'; readonly detail: string; readonly obstacle?: Obstacle | undefined }
  | { readonly kind: 'too_large'; readonly detail: string };

/** What keeps JetStream from storing any event. Somebody has to fix it. */
export type Obstacle = 'storage_full' | 'no_stream' | 'no_jetstream';

/** Sends with a slot: `none`, then perhaps `queued`, then `held` until the reply arrives. */
export interface SlotOwner {
  slot: 'none' | 'queued' | 'held';
  /** Sends; false if there is nothing to send any more. */
  onSlot(): boolean;
}

/** An event that is kept until it is acknowledged. */
export interface BufferedEvent {
  /** Whether it can be evicted: it is no terminal event, and it cannot be stored already. */
  readonly evictable: boolean;
  evict(): void;
}

/** Sends one event at a time over the transport, and handles its replies. */
export interface ReplyHandler extends SlotOwner, BufferedEvent {
  onReply(reply: Reply): void;
}

/** The connection to NATS: one inbox for all replies, and limits of what is in flight and what is kept. */
export interface Transport {
  /** Whether NATS can be reached. */
  readonly isConnected: boolean;
  /** Where and why NATS cannot be reached, for people, as far as is known. */
  readonly unreachable: string;
  /** The largest body that this server accepts, in bytes. */
  readonly maxPayload: number;
  /**
   * Keeps one event until `unregisterReply`. Returns its token: `handler` gets the replies to all of its tries.
   * @param bytes its size; above a limit the oldest events are evicted
   */
  registerReply(handler: ReplyHandler, bytes: number): number;
  /** Forgets the event: drops further replies under this token, and releases the slot. */
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
  readonly timers: {
    /** Calls `onTimer` of the entry at a time, instead of the time that was set before; Infinity for never. */
    set(entry: TimerEntry, at: number): void;
  };
  /** Keeps the process alive, from each `hold` to its `release`. */
  readonly keepAlive: { hold(): void; release(): void };
  readonly abortListeners: AbortListeners;
  /** Called when no job has an event that is not acknowledged, while the reporter closes; null before. */
  onIdle: (() => void) | null;
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
