// Written by `npm run schemas`, from frames.ts and close-codes.ts.

/** First on every connection. */
export interface Hello {
  type: "hello";
  protocol: "progress.v1";
  /** The name of one incarnation of the stream; a cursor is valid only in its epoch. */
  epoch: string;
  /** This connection, for logs and support. */
  session: string;
  /** The longest silence of a healthy edge, in ms. */
  heartbeat_ms: number;
  /** The name of what a connection follows; a cursor is valid only in its scope. */
  scope: string;
  /** Conflation: the most updates a second for each job. */
  max_rate?: number;
}

/** An event as a client gets it. */
export interface ProgressUpdate {
  /** The job: 1 to 128 of A-Z a-z 0-9 _ -, so that it is always one subject token. */
  processing_id: string;
  status: "processing" | "completed" | "error";
  /** Percent. */
  progress: number;
  /** RFC 3339; when the worker made the event. */
  timestamp: string;
  /** For people. */
  message?: string;
  /** The kind of job: 1 to 64 of A-Z a-z 0-9 _ . - */
  job_type?: string;
  /** Rises with every retry. */
  attempt?: number;
  /** Which step of how many the job is in. */
  step?: {
    /** What the job is doing now. */
    name?: string;
    index?: number;
    total?: number;
  };
  /** true: `progress` says nothing. */
  indeterminate?: boolean;
  /** Seconds left, estimated. */
  eta_seconds?: number;
  /** Silence for so many seconds is a stall. */
  stall_after_seconds?: number;
  /** Silence for so many seconds is a failure. */
  timeout_seconds?: number;
  /** Any JSON. Only with status "completed". */
  result?: unknown;
  /** Why the job failed. Only with status "error". */
  error?: {
    /** For programs. */
    code?: string;
    /** For people. */
    message?: string;
    /** true: another attempt may follow, so the job is not finished. */
    retryable?: boolean;
    details?: unknown;
  };
  type: "progress_update";
  seq: number;
  /** The seq of the same job's previous event; 0: this is its first; null: not known. */
  prev_seq: number | null;
  /** Conflation: so many events of the job stand behind this one, itself included; prev_seq is before the first. */
  folded?: number;
  /** Conflation of all jobs: the cursor behind this update, instead of its seq. */
  resume_seq?: number;
}

/** Sent before anything is left out; the last state follows. */
export interface Reset {
  type: "reset";
  reason: "epoch" | "retention" | "ahead" | "limit" | "scope";
  /** The name of one incarnation of the stream; a cursor is valid only in its epoch. */
  epoch: string;
  first_seq: number;
  last_seq: number;
  /** Selected jobs: it concerns this one alone. */
  processing_id?: string;
}

/** All jobs: events between these two were left out; the newest state of each job that changed follows. */
export interface Skipped {
  type: "skipped";
  reason: "retention" | "limit";
  after: number;
  before: number;
}

/** Once, when the replay has reached the head. */
export interface CaughtUp {
  type: "caught_up";
  cursor: number;
}

/** Selected jobs: this job is followed, and everything up to the cursor was sent. */
export interface Following {
  type: "following";
  /** The job: 1 to 128 of A-Z a-z 0-9 _ -, so that it is always one subject token. */
  processing_id: string;
  cursor: number;
  /** The name of what a connection follows; a cursor is valid only in its scope. */
  scope: string;
}

/** Selected jobs: the answer to a follow that asks for one, ahead of all that it brings. */
export interface FollowOk {
  type: "follow_ok";
}

/** Every heartbeat_ms without other traffic. */
export interface Heartbeat {
  type: "heartbeat";
  cursor: number;
  /** away: this edge has lost NATS for the moment; nothing is lost, updates will come late. */
  feed: "ok" | "away";
}

/** The job gave no sign of life for its stall_after_seconds. Not stored. */
export interface Stalled {
  type: "stalled";
  /** The job: 1 to 128 of A-Z a-z 0-9 _ -, so that it is always one subject token. */
  processing_id: string;
  silent_ms: number;
}

/** All jobs: the stream holds nothing of this job any more. */
export interface Gone {
  type: "gone";
  /** The job: 1 to 128 of A-Z a-z 0-9 _ -, so that it is always one subject token. */
  processing_id: string;
}

/** The client answers with an auth frame. */
export interface TokenExpiring {
  type: "token_expiring";
  expires_at: string;
}

/** The answer to auth: the connection goes on with the new token. */
export interface AuthOk {
  type: "auth_ok";
  expires_at: string;
  /** The name of what a connection follows; a cursor is valid only in its scope. */
  scope: string;
}

/** This edge is going away; close 1012 follows. */
export interface Draining {
  type: "draining";
  reconnect_within_ms: number;
}

/** The job is finished and its last update was sent; close 1000 follows. */
export interface End {
  type: "end";
  /** Selected jobs: it concerns this one alone. */
  processing_id?: string;
}

/** What was wrong, where, and what was expected; the matching close follows. */
export interface ErrorFrame {
  type: "error";
  code: "invalid_processing_id" | "invalid_job_type" | "invalid_last_seq" | "invalid_epoch" | "invalid_query" | "invalid_frame" | "too_many_jobs" | "unknown_frame" | "unauthorized" | "token_expired" | "forbidden" | "too_many_connections" | "too_many_frames" | "overloaded" | "internal";
  message: string;
  /** Selected jobs: as the client named it. It is not followed, and no close follows. */
  processing_id?: string;
}

/** The answer to ping. */
export interface Pong {
  type: "pong";
}

/** A new token for this connection. */
export interface Auth {
  type: "auth";
  token: string;
}

/** Answered by pong. */
export interface Ping {
  type: "ping";
}

/** Selected jobs: follow these too, each from its cursor, or from its last state. */
export interface Follow {
  type: "follow";
  jobs: Array<{
    processing_id: string;
    last_seq?: number;
    /** The name of what a connection follows; a cursor is valid only in its scope. */
    scope?: string;
  }>;
  /** The name of one incarnation of the stream; a cursor is valid only in its epoch. */
  epoch?: string;
  /** Answered by follow_ok, ahead of the first frame of these jobs. */
  ack?: boolean;
}

/** Selected jobs: follow these no longer. */
export interface Unfollow {
  type: "unfollow";
  jobs: Array<string>;
}

/** Every frame an edge sends, told apart by its `type`. Others may come: a client ignores them. */
export type ServerFrame =
  | Hello
  | ProgressUpdate
  | Reset
  | Skipped
  | CaughtUp
  | Following
  | FollowOk
  | Heartbeat
  | Stalled
  | Gone
  | TokenExpiring
  | AuthOk
  | Draining
  | End
  | ErrorFrame
  | Pong;

/** Every frame an edge takes. */
export type ClientFrame =
  | Auth
  | Ping
  | Follow
  | Unfollow;

/** Why a cursor could not be served. */
export type ResetReason =
  | 'epoch'
  | 'retention'
  | 'ahead'
  | 'limit'
  | 'scope';

/** Why events of all jobs were left out. */
export type SkipReason =
  | 'retention'
  | 'limit';

/** The `code` of an `error` frame. */
export type ErrorCode =
  | 'invalid_processing_id'
  | 'invalid_job_type'
  | 'invalid_last_seq'
  | 'invalid_epoch'
  | 'invalid_query'
  | 'invalid_frame'
  | 'too_many_jobs'
  | 'unknown_frame'
  | 'unauthorized'
  | 'token_expired'
  | 'forbidden'
  | 'too_many_connections'
  | 'too_many_frames'
  | 'overloaded'
  | 'internal';
