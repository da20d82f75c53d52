import type { ProgressUpdate, ResetReason, ServerFrame } from '../../schemas/frames.generated.js';

// What a page sees of the client. PROTOCOL.md, "What a client must do".

export type { ProgressUpdate, ResetReason };

/**
 * - `idle`: nobody follows anything, and there is no connection.
 * - `connecting`: an attempt is under way.
 * - `open`: frames come.
 * - `waiting`: the last connection was lost, and the next attempt comes after a wait.
 * - `closed`: for good; `error` says why where it was not by `close()`.
 */
export type ConnectionState = 'idle' | 'connecting' | 'open' | 'waiting' | 'closed';

/**
 * Whether a page has seen every event of a job since the first state that it was shown, or since the cursor that it gave.
 * - `unknown`: nothing has come yet, or it came without a proof.
 * - `proven`: every update followed on the one before it.
 * - `reset`: the edge could not serve the cursor; events may be missing before what is shown now.
 */
export type Continuity =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'proven' }
  | { readonly kind: 'reset'; readonly reason: ResetReason };

/** A place in the log: what a job was shown up to, as text to keep and to give again. The same as the `id` of SSE. */
export type Cursor = string;

/** What a page shows of a job. Never changed: each change makes another one, and until then it is the same object. */
export interface JobSnapshot {
  readonly id: string;
  /** The newest update that the page has taken; null: none yet. */
  readonly state: ProgressUpdate | null;
  readonly connection: ConnectionState;
  /** Whether `state` is the newest that there is, as far as the edge knows. */
  readonly isCurrent: boolean;
  readonly continuity: Continuity;
  /** How long the job was silent when it had broken what its worker promised; until its next update, also where it lives by heartbeats. */
  readonly stalled: Extract<ServerFrame, { type: 'stalled' }> | null;
  /** The job is finished, and `state` is its last. */
  readonly isEnded: boolean;
  /** Why the job is followed no longer; null while it is, and after its end. */
  readonly error: Error | null;
}

/** What is told of a job, by the name of the event; the value is `detail` of the `CustomEvent`. */
export interface JobEvents {
  /** Each stored event, once, in order; with `maxRate` one may stand for several, and says so in `folded`. */
  update: ProgressUpdate;
  /** What is shown has changed, once for each batch of frames. */
  state: JobSnapshot;
  /** What was shown is void: the newest state follows. */
  reset: { readonly reason: ResetReason };
  stalled: Extract<ServerFrame, { type: 'stalled' }>;
  connection: ConnectionState;
  /** The job is finished; the value is its last update. */
  end: ProgressUpdate | null;
  /** The job is followed no longer. */
  error: Error;
}

/** The platform's `EventTarget`, with the types of its events. */
export interface TypedEventTarget<Events> extends EventTarget {
  addEventListener<K extends keyof Events & string>(
    type: K,
    listener: (event: CustomEvent<Events[K]>) => void,
    options?: AddEventListenerOptions | boolean,
  ): void;
  addEventListener(...all: Parameters<EventTarget['addEventListener']>): void;
  removeEventListener<K extends keyof Events & string>(
    type: K,
    listener: (event: CustomEvent<Events[K]>) => void,
    options?: EventListenerOptions | boolean,
  ): void;
  removeEventListener(...all: Parameters<EventTarget['removeEventListener']>): void;
}

export interface JobOptions {
  /** Go on behind this cursor; without it the last state comes first. */
  readonly after?: Cursor;
  /** Closes the job when it is aborted. */
  readonly signal?: AbortSignal;
}

export interface JobsOptions extends JobOptions {
  /** Of all jobs, or all of a type: the most updates a second for each, as in `ProgressClientOptions`. Changes wait as well. */
  readonly maxRate?: number;
  /**
   * Of all jobs, or all of a type: so many finished jobs stay in the snapshot, those that finished last; without it all do until
   * the stream holds nothing of them (`gone`). One that was forgotten is there again with its next event, which is taken as its
   * first. What is no whole number from 0 ends the following in a TypeError, by the event `error`.
   */
  readonly maxFinished?: number;
}

/** One follower of a job. Any number of them share what is asked of the edge. */
export interface Job extends TypedEventTarget<JobEvents>, AsyncIterable<ProgressUpdate> {
  readonly id: string;
  /** What was taken by the handlers or the loop up to now; null: nothing. */
  readonly cursor: Cursor | null;
  /** The last update, once the job is finished (`status` says how). Rejected by what ends the following before. */
  readonly done: Promise<ProgressUpdate>;
  /** @returns how to stop */
  subscribe(onChange: () => void): () => void;
  getSnapshot(): JobSnapshot;
  /** Follows no longer. What is not taken yet is dropped; `cursor` is where to go on. */
  close(): void;
}

/** What a page shows of several jobs. Never changed. Of named ones that are refused only `jobs` speaks, unless all are. */
export interface JobsSnapshot {
  /** By id. In the order in which they were first heard of. Each the same object until it changes. */
  readonly jobs: ReadonlyMap<string, JobSnapshot>;
  readonly connection: ConnectionState;
  readonly isCurrent: boolean;
  /** Older finished jobs are not among them, for `maxFinished`. */
  readonly hasForgotten: boolean;
  readonly continuity: Continuity;
  readonly error: Error | null;
}

export interface JobsEvents {
  update: ProgressUpdate;
  state: JobsSnapshot;
  /** What was shown of all of them is void, or of one where `id` names it. */
  reset: { readonly reason: ResetReason; readonly id?: string };
  /** Events between were left out; the newest states follow. */
  skipped: Omit<Extract<ServerFrame, { type: 'skipped' }>, 'type'>;
  /** The stream holds nothing of this job any more. */
  gone: { readonly id: string };
  stalled: Extract<ServerFrame, { type: 'stalled' }>;
  connection: ConnectionState;
  error: Error;
}

/** Which jobs: those with these ids, or all of these types; neither: all. Not both. */
export interface JobsFilter {
  readonly ids?: readonly string[];
  readonly jobTypes?: readonly string[];
}

/** Several jobs. Those that are named share the page's one connection; all jobs, or all of a type, have one of their own. */
export interface Jobs extends TypedEventTarget<JobsEvents>, AsyncIterable<ProgressUpdate> {
  /** Of all jobs, or all of a type: what was taken up to now. Null: nothing, or the jobs are named by `ids`. */
  readonly cursor: Cursor | null;
  subscribe(onChange: () => void): () => void;
  getSnapshot(): JobsSnapshot;
  close(): void;
}

export type TransportName = 'websocket' | 'sse' | 'polling';

export interface ProgressClientOptions {
  /** The edge, as `http(s)://` or `ws(s)://`. In a browser the page's own origin where it is left out. */
  readonly url?: string | URL;
  /**
   * Called before each attempt, when a token is about to expire, and when it is older than a job that it does not open. null:
   * there is none. Not called again while an answer is awaited, but for one that has not come in 30 s: that one is given up, and the next attempt asks anew.
   */
  readonly getToken?: () => string | null | Promise<string | null>;
  /**
   * `auto`: WebSocket, SSE where that is blocked, polling where both are. With `websocket`, and no such class, whatever is
   * followed ends in an EdgeError with the code `no_websocket`.
   */
  readonly transport?: 'auto' | TransportName;
  /** Keeps cursor and last state of each job over a reload of the page, as `sessionStorage` does. */
  readonly storage?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;
  /** How long the connection stays behind the last follower, in milliseconds; 5,000 without it. */
  readonly lingerMs?: number;
  /**
   * The most updates a second for each job that is followed by its id, 0.1 to 50; without it every event. A job's first, its
   * last, and whatever changes `status`, `step.name` or `attempt` come all the same. Polling asks more seldom by itself.
   */
  readonly maxRate?: number;
  /** The class to connect with, where the platform has none (Node 20: that of `ws`). */
  readonly WebSocket?: WebSocketClass;
}

/** What is used of `WebSocket`. */
export type WebSocketClass = new (
  url: string,
  protocols: string[],
) => Pick<WebSocket, 'send' | 'close' | 'onmessage' | 'onclose' | 'onerror'>;

export interface HistoryOptions {
  readonly after?: Cursor;
  /** The most updates; without it all that the stream keeps. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface ProgressClient {
  /** Of the connection that named jobs share. */
  readonly connection: ConnectionState;
  /** The transport in use; null: none. */
  readonly transport: TransportName | null;
  job(id: string, options?: JobOptions): Job;
  jobs(filter?: JobsFilter, options?: JobsOptions): Jobs;
  /** The last state of a job; null: it has no event. Asks once. */
  get(id: string, options?: { readonly signal?: AbortSignal }): Promise<ProgressUpdate | null>;
  /** The stored events of a job, page by page as they are asked for. */
  history(id: string, options?: HistoryOptions): AsyncIterable<ProgressUpdate>;
  /** Ends everything. */
  close(): void;
}
