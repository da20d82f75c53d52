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

/** Whose events are delivered. */
export interface DeliveryOwner {
  readonly attempt: number;
  /** Where the job is: no event of this attempt has said more. */
  readonly percent: number;
  /** The run's first event, under another attempt. */
  rebuild(attempt: number): OutgoingEvent;
  /** The same event with less in it, as NATS takes none so large; null: there is nothing to leave out. */
  reduceSize(bytes: number): OutgoingEvent | null;
  /** What was sent is stored. */
  onStored(): void;
  /** What was sent was let go for want of memory. */
  onEvicted(): void;
  /** It has to be woken at another time than before. */
  reschedule(): void;
  /** The job belongs to somebody else: nothing may be sent any more. */
  onSuperseded(error: SupersededError): void;
}

/** Where it is. */
export type DeliveryPhase =
  /** For NATS, or for a place in the window. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'sent'; readonly until: number }
  | { readonly kind: 'backing_off'; readonly until: number }
  /** What the job's last event is. */
  | { readonly kind: 'looking_up' };

/** One event on its way, through all of its tries. */
export interface InFlightEvent {
  readonly event: OutgoingEvent;
  readonly msgId: string;
  /** Under which its answers come. */
  readonly token: number;
  phase: DeliveryPhase;
  tries: number;
  /** When the first of them was made, by a clock that does not jump; NaN: none was. */
  triedAt: number;
  /** How often in a row nobody heard the question for the job's last event. */
  unansweredReads: number;
  /**
   * The sequence of the job's last event, behind which it is sent though it may be stored already: then the answer has a
   * lower one.
   */
  assumed: number | null;
  /** NATS takes no larger ones, so what can be left out is left out. */
  isReduced: boolean;
}
