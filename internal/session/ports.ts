import type { ErrorCode } from '../../schemas/close-codes.js';
import type { ResetReason } from '../../schemas/frames.js';
import type { Gap } from '../eventlog/gaps.js';
import type { EventLog } from '../eventlog/log.js';
import type { LogRecord, Scope } from '../eventlog/record.js';

/** The sending side of one connection. After `end` nothing else is called. */
export interface Transport {
  /**
   * Sends one text frame; what the socket cannot take now is buffered, in order.
   * @param bytes the same text as UTF-8, where that was made already
   */
  send(text: string, bytes: Uint8Array | null): void;
  /** Runs `write` so that all it sends leaves in one write to the socket. May be nested. */
  cork(write: () => void): void;
  /** Bytes that are buffered because the peer does not read. */
  buffered(): number;
  /** Sends a close frame with this code and reason behind all that was sent. */
  end(code: number, reason: string): void;
}

/**
 * The way of one session to its client: that of the whole connection, or that of one job among others on it. What it
 * says of itself is worded by who else is there.
 */
export interface SessionOutput {
  /** Whether it takes no more for now, since the peer does not read. */
  readonly isFull: boolean;
  /** Bytes sent, and what looking for them cost. */
  readonly cost: number;
  /** Whether anything may be sent. */
  isUsable(): boolean;
  /** So many records were looked at. @returns what that cost */
  scanned(records: number): number;
  /** Runs `write` so that all it sends leaves in one write to the socket. May be nested. */
  corked(write: () => void): void;
  /**
   * @param bytes the same text as UTF-8, where that was made already; left out: it was not
   * @returns whether it was sent
   */
  send(text: string, bytes?: Uint8Array | null): boolean;
  /**
   * Greets the client, where nobody has done so.
   * @returns the epoch that the client was told
   */
  hello(epoch: string, scope: string): string;
  reset(reason: ResetReason, epoch: string, firstSeq: number, lastSeq: number): void;
  /** The head was reached. */
  caughtUp(cursor: number): void;
  /** The job is finished. Nothing follows. */
  end(): void;
  /** Explains what was wrong. Nothing follows. */
  fail(code: ErrorCode, message: string): void;
}

/** What a client says of where it was: the last seq it saw and, if it knows, in which epoch and scope. */
export interface Resume {
  readonly lastSeq: number;
  readonly epoch: string | null;
  /** Left out: the client does not say, and is taken to have followed the same. */
  readonly scope?: string | null;
}

/** Jobs that a client names, at once and later. */
export interface SelectedScope {
  readonly kind: 'selected';
  readonly ids: readonly string[];
  /** Where the client was with single ones of them; with the others it was where the request says of all. */
  readonly after: ReadonlyMap<string, Resume>;
  /** There where the client sends nothing: these jobs, no others later, and nothing is left behind the last of them. */
  readonly fixed?: FixedJobs;
}

/** What a joint cursor says of jobs that it does not cover. Of a job that is not named here it covers everything. */
export interface FixedJobs {
  /** Names these jobs, with what the token opens of each: what the joint cursor belongs to. */
  readonly scopeName: string;
  /** The client had none of these yet, or was told to forget what it had. */
  readonly anew: ReadonlySet<string>;
  /** The client was told that these have ended, or are refused. */
  readonly over: ReadonlySet<string>;
}

/** What a client of several jobs stands at with one of them. */
export type JobMark = 'follows' | 'anew' | 'over';

/** One cursor for several jobs. */
export interface JointPosition {
  readonly epoch: string;
  /** Everything of every job that is marked `follows` was sent up to here. */
  readonly cursor: number;
  /** By job, in the order of their ids. */
  readonly marks: readonly JobMark[];
}
/** What a client asks to follow. */
export type RequestedScope = Scope | SelectedScope;

/** Why a cursor cannot be served, and what the stream holds. */
export interface ResetRequired {
  readonly kind: 'refused';
  readonly reason: ResetReason;
  readonly firstSeq: number;
  readonly lastSeq: number;
}

/** A piece of history: every valid event in the scope with `after < seq <= cursor` that the stream still keeps. */
export interface Page {
  readonly kind: 'page';
  readonly records: readonly LogRecord[];
  readonly cursor: number;
  /** Messages that the stream kept after `after` when the page was read, for this job or for all; its own included. */
  readonly pending: number;
  /** All jobs: around all that is missing on the page; null: nothing is. Of one job nothing ever is. */
  readonly gap: Gap | null;
  /** One job: the seq of its newest valid event up to `cursor`, where the page shows it; all jobs: null. */
  readonly previous: number | null;
}

/** Whether whoever asked still wants the answer. */
export type IsWanted = () => boolean;

/**
 * Reads behind the tail. They may take long (NATS may be away); they reject only when the edge stops, or when nobody
 * wants the answer any more by the time it is their turn.
 */
export interface HistorySource {
  /** The newest valid event of a job; null when it has none. */
  lastState(id: string, isWanted: IsWanted): Promise<LogRecord | null>;
  /** The valid events that stand at these positions of the stream; those that do not are left out. */
  records(seqs: readonly number[], isWanted: IsWanted): Promise<readonly LogRecord[]>;
  /** Whether the stream still keeps the message at `seq`. */
  isKept(seq: number, isWanted: IsWanted): Promise<boolean>;
  /**
   * The next piece of history after a cursor. Of one job it is whole, or refused with the reason; of all jobs it goes on
   * over what is missing, and says so.
   */
  page(scope: Scope, after: number, isWanted: IsWanted): Promise<Page | ResetRequired>;
  /** The oldest valid events of a job that the stream keeps, and how far it was looked. Others may be missing behind the first. */
  oldest(scope: Scope, isWanted: IsWanted): Promise<Pick<Page, 'records' | 'cursor'>>;
  /** Whether the stream, not only this edge, has reached `cursor`. */
  reached(cursor: number, isWanted: IsWanted): Promise<{ readonly kind: 'ok' } | ResetRequired>;
}

export interface SessionLimits {
  /** The longest silence that the client is promised. */
  readonly heartbeatMs: number;
  /** The silence after which a heartbeat is due; shorter by the time between two looks. */
  readonly heartbeatAfterMs: number;
  /** A socket that buffers this many bytes gets no more until it drains. */
  readonly watermarkBytes: number;
  /** A cursor with more events after it is reset; on all jobs it gets the newest states instead. */
  readonly maxReplayJob: number;
  readonly maxReplayAll: number;
  /** The longest frame that is taken from the client. */
  readonly maxFrameCharacters: number;
}

/** When a token ends. */
export interface Expiry {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** The same as RFC 3339 writes it. */
  readonly text: string;
}

/** What a token opens of a scope, or why it opens nothing of it. */
export type Narrow = (
  scope: Scope,
) => { readonly ok: true; readonly scope: Scope } | { readonly ok: false; readonly message: string };

/** What a new token in an `auth` frame is worth. */
export type Renewal =
  | {
      readonly kind: 'renewed';
      readonly expiry: Expiry;
      readonly narrow: Narrow;
    }
  | { readonly kind: 'refused'; readonly code: 'unauthorized' | 'forbidden'; readonly message: string }
  /** It cannot be checked now. */
  | { readonly kind: 'unknown' };

/** What lets a connection be here, and for how long. PROTOCOL.md, "Tokens". */
export interface ConnectionCredentials {
  readonly expiry: Expiry;
  /** `token_expiring` is sent so many milliseconds before. */
  readonly warnMs: number;
  /** Checks a new token for the same connection. Never rejects. */
  readonly renew: (token: string) => Promise<Renewal>;
}

/**
 * What all sessions of an edge have in common. One object for all of them: each connection would hold its own for as long
 * as it stands, and an object that is put together anew for each has a shape of its own, so that every look into it is a
 * search.
 */
export interface EdgeContext {
  readonly log: EventLog;
  readonly limits: SessionLimits;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  /** Milliseconds that never go back; in one turn of the hub always the same. */
  readonly now: () => number;
  readonly onSent?: (updates: number) => void;
  /** So many events were left to the update that stands for them. */
  readonly onFolded?: (events: number) => void;
  /** For how many milliseconds a job whose stall was told has been silent; null: it is not stalled. */
  readonly stalledFor?: (id: string) => number | null;
  /** Names a scope, the same on every edge. */
  readonly scopeId: (scope: Scope) => string;
}

/** What the parts of a session work with. All sessions of a connection have the same one. */
export interface SessionContext {
  readonly edge: EdgeContext;
  /** Names the connection to its client. */
  readonly id: string;
  /** By whose turn it catches up: the same for all connections of one subject, or of one address. */
  readonly requester: string;
  readonly history: HistorySource;
  /** The most updates a second for each job, from 0.1 to 50; undefined: every event is sent. */
  readonly maxRate: number | undefined;
}
