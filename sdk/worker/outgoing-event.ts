import type { Status } from './encode.js';
import type { SupersededError } from './errors.js';

/** One event, ready to be sent. */
export interface Letter {
  readonly carries: 'newest' | 'end';
  readonly status: Status;
  /** RFC 3339. */
  readonly timestamp: string;
  readonly body: Uint8Array;
}

/** Whose events are delivered. */
export interface Sender {
  readonly attempt: number;
  /** Where the job is: no event of this attempt has said more. */
  readonly percent: number;
  /** The run's first event, under another attempt. */
  rewrite(attempt: number): Letter;
  /** The same event with less in it, as NATS takes none so large; null: there is nothing to leave out. */
  shorten(bytes: number): Letter | null;
  /** What was sent is stored. */
  stored(): void;
  /** What was sent was let go for want of memory. */
  evicted(): void;
  /** It has to be woken at another time than before. */
  stirred(): void;
  /** The job belongs to somebody else: nothing may be sent any more. */
  superseded(error: SupersededError): void;
}

/** Where it is. */
export type Phase =
  /** For NATS, or for a place in the window. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'sent'; readonly until: number }
  | { readonly kind: 'pausing'; readonly until: number }
  /** What the job's last event is. */
  | { readonly kind: 'asking' };

/** One event on its way, through all of its tries. */
export interface Flight {
  readonly letter: Letter;
  readonly msgId: string;
  /** Under which its answers come. */
  readonly token: number;
  phase: Phase;
  tries: number;
  /** When the first of them was made, by a clock that does not jump; NaN: none was. */
  triedAt: number;
  /** How often in a row nobody heard the question for the job's last event. */
  unheard: number;
  /**
   * The sequence of the job's last event, behind which it is sent though it may be stored already: then the answer has a
   * lower one.
   */
  assumed: number | null;
  /** NATS takes no larger ones, so what can be left out is left out. */
  isShort: boolean;
}
