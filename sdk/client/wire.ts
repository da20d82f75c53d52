import type { ServerFrame } from '../../schemas/frames.generated.js';
import type { TransportName, WebSocketClass } from './types.js';

// What a transport is to the client: one attempt, which speaks in frames whatever carries them.

/** A cursor as the edge is asked with it. PROTOCOL.md, "Epoch" and "Scope". */
export interface Position {
  readonly seq: number;
  /** The cursor, where what stands before `seq` is still to come: an update's `resume_seq`. */
  readonly resume?: number | undefined;
  readonly epoch: string;
  /** `''` as long as the edge has not named it: then it is not sent. */
  readonly scope: string;
}

/** A job to follow, and behind what; null: from its last state. */
export interface FollowedJob {
  readonly id: string;
  readonly position: Position | null;
}

/** What a connection follows: jobs by name, which come and go, or all jobs of these types (none: all of them). */
export type Target = {
  /** The most updates a second for each job; undefined: every event. */
  readonly maxRate?: number | undefined;
  /** As a query of an address: what to follow, and behind what. */
  query(position: Position | null): string;
} & (
  | { readonly kind: 'selected' }
  | {
      readonly kind: 'all';
      readonly jobTypes: readonly string[];
    }
);

/** Why a wire ended, and what to do. PROTOCOL.md, "Close codes". */
export interface WireClose {
  readonly next: 'retry' | 'stop' | 'new_token';
  /** The close code of a WebSocket, or the status of an HTTP answer; 0: there was none. */
  readonly code: number;
  /** For people. */
  readonly message: string;
  /** Wait at least so long before the next attempt, in milliseconds; 0 without it. */
  readonly retryAfterMs?: number;
}

/** What a wire needs of whoever opened it. */
export interface WireOwner {
  /** What to follow now (`selected`), each with what has been received of it. */
  followed(): readonly FollowedJob[];
  /** Where to go on (`all`); null: from the last states. */
  position(): Position | null;
  /** A frame came. Frames of named jobs carry their `processing_id`. */
  frame(frame: ServerFrame): void;
  /** The bytes of a heartbeat or a comment came: the connection lives. */
  alive(): void;
  /** It is over. Called once, not after `close()`, and nothing follows. */
  closed(close: WireClose): void;
}

export interface WireOptions {
  /** The address of the edge, as `http(s)://`, without a slash at its end. */
  readonly base: string;
  readonly target: Target;
  readonly token: string | null;
}

/** One attempt to connect, and the connection it leads to. It retries nothing by itself. */
export interface Wire {
  readonly transport: TransportName;
  /** `followed()` has these jobs as well now, or has another position of them. */
  follow(jobs: readonly FollowedJob[]): void;
  unfollow(ids: readonly string[]): void;
  /** A new token counts from now on. @returns false: this wire cannot, and has to be opened again with it */
  renew(token: string): boolean;
  /** Makes a living edge answer at once. */
  ping(): void;
  /** Ends it. Nothing is called any more. */
  close(): void;
}

export type OpenWire = (options: WireOptions, owner: WireOwner, platform: Platform) => Wire;

/** So many attempts in a row without a word of the edge, and the next transport gets its turn. */
export const MAX_FAILURES = 2;

/** Over what to connect, for all connections of a client. */
export interface Transports {
  /** How often the next transport had to be taken; 0: WebSocket. */
  turn: number;
  /** How to make the next attempt. What stands in for WebSocket is loaded when its turn comes. */
  open(): Promise<OpenWire>;
  /** How attempts ended that no hello of the edge came before or since: the first of them. */
  failures: Pick<WireClose, 'next' | 'code'>[];
}

/** The world outside, which tests stand in for. Times are in milliseconds. */
export interface Platform {
  readonly WebSocket: WebSocketClass | undefined;
  readonly fetch?: typeof fetch;
  now(): number;
  /** From 0 to below 1. */
  random(): number;
  /** @returns how to take it back */
  later(ms: number, run: () => void): () => void;
  /**
   * @param wake the device is online again, the page is shown again, or comes out of a freeze or the back-forward cache
   * @param hide the page may be about to go away
   * @returns how to take it back
   */
  onPage(wake: () => void, hide: () => void): () => void;
  /** Whether a page is there to be seen; true where there is none. */
  isVisible?(): boolean;
}
