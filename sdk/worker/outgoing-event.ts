import type { Status } from './encode.js';
import type { SupersededError } from './errors.js';

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
