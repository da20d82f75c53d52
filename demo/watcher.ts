import { WebSocket } from 'ws';
import { deferred, pause } from '../internal/async.js';
import type { ProgressUpdate, ServerFrame } from '../schemas/frames.js';
import { PROTOCOL } from '../schemas/ids.js';

/** What came of a resume: everything after `from`, and what was wrong with it. */
export interface Resumed {
  /** The last_seq that was asked for. */
  readonly from: number;
  readonly updates: readonly ProgressUpdate[];
  /** Nothing, when all came, in order and each once. */
  readonly problems: readonly string[];
  /** The server said that it has to leave something out, how, and why: `reset (epoch)`. */
  readonly leftOut: string | undefined;
}

/** Told what happens, as it happens. */
export interface WatcherEvents {
  /** @param isReplayed it was missed, and came after the return */
  update(update: ProgressUpdate, isReplayed: boolean): void;
  /** @param planned false: the connection broke by itself */
  cut(cursor: number, planned: boolean): void;
  back(cursor: number, epoch: string): void;
  resumed(report: Resumed): void;
}

/** Whom to follow and where, and when to break off. */
export interface WatcherOptions {
  readonly url: string;
  /** The jobs to follow; others on the same endpoint are not counted. */
  readonly jobs: ReadonlySet<string>;
  /** After so many updates, or after the last one, the client cuts its own connection, once. */
  readonly cutAfter: number;
  /** For so long it then stays away. */
  readonly awayMs: number;
  readonly events: WatcherEvents;
  readonly signal: AbortSignal;
}

const HANDSHAKE_MS = 5_000;
const COME_BACK_AFTER_MS = 250;

/** A client of an edge, as the protocol wants one: it remembers its cursor and comes back with it. */
export class Watcher implements Disposable {
  /** Every update of the jobs, in the order in which they came. */
  readonly updates: ProgressUpdate[] = [];
  /** How and why the server had to leave something out: `reset (epoch)`, `skipped (retention)`. */
  readonly leftOut: string[] = [];
  /** Resolves when the last state was there for the first time. */
  get caughtUp(): Promise<void> {
    return this.#caughtUp.promise;
  }
  /** Resolves when every job has ended, the connection was cut, and the client was back and had caught up. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  readonly #options: WatcherOptions;
  #socket: WebSocket | undefined;
  /** Everything up to here was seen; undefined before the first frame that says so. */
  #cursor: number | undefined;
  #epoch = '';
  #scope = '';
  /** The last seq of each job; what its next `prev_seq` has to be. */
  readonly #lastOf = new Map<string, number>();
  readonly #open: Set<string>;
  #replay:
    | { from: number; updates: ProgressUpdate[]; problems: string[]; leftOut: string | undefined }
    | undefined;
  #wasCut = false;
  #isGreeted = false;
  /** On this connection, and not before a reset. */
  #isCaughtUp = false;
  /** It does not know any more which update of a job was the last. */
  #hasForgotten = false;
  readonly #caughtUp = deferred();
  readonly #finished = deferred();

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#open = new Set(options.jobs);
    this.#connect();
  }

  [Symbol.dispose](): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.terminate();
  }

  #connect(): void {
    const url = new URL(this.#options.url);
    const cursor = this.#cursor;
    if (cursor !== undefined) {
      url.searchParams.set('last_seq', String(cursor));
      url.searchParams.set('epoch', this.#epoch);
      url.searchParams.set('scope', this.#scope);
      this.#replay = { from: cursor, updates: [], problems: [], leftOut: undefined };
    }
    const socket = new WebSocket(url, PROTOCOL, { handshakeTimeout: HANDSHAKE_MS });
    this.#socket = socket;
    this.#isCaughtUp = false;
    socket.on('message', (data) => {
      // After a cut the rest of what the kernel had already delivered is lost with the connection, as in real life.
      if (socket === this.#socket) this.#take(JSON.parse(data.toString()) as ServerFrame);
    });
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      if (socket === this.#socket) this.#leave(false, COME_BACK_AFTER_MS);
    });
  }

  /** Destroys the connection without a goodbye, if it still stands, and comes back later. */
  #leave(planned: boolean, awayMs: number): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.terminate();
    // Not for every try that fails.
    if (this.#isGreeted && this.#cursor !== undefined) this.#options.events.cut(this.#cursor, planned);
    this.#isGreeted = false;
    pause(awayMs, this.#options.signal).then(
      () => this.#connect(),
      () => {}, // the demo is ending
    );
  }

  #take(frame: ServerFrame): void {
    switch (frame.type) {
      case 'hello':
        this.#isGreeted = true;
        // They are changed as one: a connection that breaks before the reset must not come back with a part of each.
        if (frame.epoch !== this.#epoch || frame.scope !== this.#scope) this.#forget(frame.epoch);
        this.#scope = frame.scope;
        if (this.#replay !== undefined) this.#options.events.back(this.#replay.from, frame.epoch);
        return;
      case 'reset':
        this.#forget(frame.epoch);
        this.#isLeftOut(`reset (${frame.reason})`);
        return;
      case 'skipped':
        // What was shown stays, and so does the cursor; only which update came before the next one is not known.
        this.#lastOf.clear();
        this.#isLeftOut(`skipped (${frame.reason})`);
        return;
      case 'gone':
        // Nothing more will come of it.
        this.#lastOf.delete(frame.processing_id);
        this.#open.delete(frame.processing_id);
        this.#checkFinished();
        return;
      case 'progress_update':
        this.#update(frame);
        return;
      case 'caught_up':
        this.#advance(frame.cursor);
        this.#isCaughtUp = true;
        this.#caughtUp.resolve();
        this.#endReplay();
        return;
      case 'heartbeat':
        if (this.#isCaughtUp) this.#advance(frame.cursor);
        return;
      default: // Of the others none is for a client of all jobs that knows no token.
        return;
    }
  }

  #update(update: ProgressUpdate): void {
    this.#advance(update.seq);
    if (!this.#options.jobs.has(update.processing_id)) return;
    const problem = this.#problemWith(update);
    if (problem !== undefined) this.#replay?.problems.push(problem);
    this.#lastOf.set(update.processing_id, update.seq);
    this.updates.push(update);
    this.#replay?.updates.push(update);
    this.#options.events.update(update, this.#replay !== undefined);

    if (update.status === 'completed' || update.status === 'error') this.#open.delete(update.processing_id);
    const { cutAfter, awayMs } = this.#options;
    if (!this.#wasCut && (this.updates.length >= cutAfter || this.#open.size === 0)) {
      this.#wasCut = true;
      this.#leave(true, awayMs);
    } else {
      this.#checkFinished();
    }
  }

  /** What `prev_seq` gives away: a client needs to know nothing else to see that something is missing. */
  #problemWith({ seq, prev_seq, processing_id }: ProgressUpdate): string | undefined {
    const last = this.#lastOf.get(processing_id);
    if (last !== undefined && seq <= last) return `seq ${seq} came after seq ${last}`;
    const isKnown = last !== undefined || !this.#hasForgotten;
    if (prev_seq !== null && isKnown && prev_seq !== (last ?? 0)) {
      return `seq ${seq} follows seq ${prev_seq}, which never came`;
    }
    return undefined;
  }

  #isLeftOut(how: string): void {
    this.#hasForgotten = true;
    this.leftOut.push(how);
    if (this.#replay !== undefined) this.#replay.leftOut = how;
  }

  #forget(epoch: string): void {
    this.#hasForgotten ||= this.#cursor !== undefined;
    this.#isCaughtUp = false;
    this.#epoch = epoch;
    this.#cursor = undefined;
    this.#lastOf.clear();
  }

  #advance(cursor: number): void {
    this.#cursor = Math.max(cursor, this.#cursor ?? 0);
  }

  #endReplay(): void {
    const replay = this.#replay;
    if (replay === undefined) return;
    this.#replay = undefined;
    this.#options.events.resumed(replay);
    this.#checkFinished();
  }

  #checkFinished(): void {
    if (this.#open.size === 0 && this.#wasCut && this.#replay === undefined) this.#finished.resolve();
  }
}
