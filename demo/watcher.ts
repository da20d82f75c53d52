import { deferred, pause } from '../internal/async.js';
import type { ProgressUpdate } from '../schemas/frames.js';
import { createProgressClient } from '../sdk/client/client.js';
import type { ConnectionState, Jobs, ProgressClient } from '../sdk/client/types.js';
import { Link } from './link.js';
import { JOB_TYPE } from './options.js';

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
  /** The edge, as `http://`. */
  readonly url: string;
  /** The jobs to follow; others on the same edge are not counted. */
  readonly jobs: ReadonlySet<string>;
  /** After so many updates, or after the last one, the client's connection is cut, once. */
  readonly cutAfter: number;
  /** For so long it then stays away, at least. */
  readonly awayMs: number;
  readonly events: WatcherEvents;
  readonly signal: AbortSignal;
}

/**
 * Watches the jobs through `@headway/client`, and cuts its connection on the way. How to come back is the client's business;
 * what came of it is looked at here.
 */
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
  readonly #link = new Link();
  readonly #client: ProgressClient;
  readonly #jobs: Jobs;
  /** The client is asked for a token before each attempt. There is none, so what it waits for is this. */
  #away: Promise<void> = Promise.resolve();
  /** The last seq of each job; what its next `prev_seq` has to be. */
  readonly #lastOf = new Map<string, number>();
  readonly #open: Set<string>;
  #replay:
    | { from: number; updates: ProgressUpdate[]; problems: string[]; leftOut: string | undefined }
    | undefined;
  /** The cursor with which the client comes back. */
  #left: { readonly seq: number; readonly epoch: string } | undefined;
  #wasCut = false;
  #isConnected = false;
  /** It does not know any more which update of a job was the last. */
  #hasForgotten = false;
  readonly #caughtUp = deferred();
  readonly #finished = deferred();

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#open = new Set(options.jobs);
    this.#client = createProgressClient({
      url: options.url,
      transport: 'websocket',
      WebSocket: this.#link.WebSocket,
      getToken: () => this.#away.then(() => null),
    });
    const jobs = this.#client.jobs({ jobTypes: [JOB_TYPE] });
    this.#jobs = jobs;
    jobs.addEventListener('connection', ({ detail }) => this.#connection(detail));
    jobs.addEventListener('update', ({ detail }) => this.#update(detail));
    jobs.addEventListener('state', () => this.#look());
    jobs.addEventListener('reset', ({ detail }) => {
      this.#lastOf.clear();
      this.#isLeftOut(`reset (${detail.reason})`);
    });
    // What was shown stays; only which update came before the next one is not known.
    jobs.addEventListener('skipped', ({ detail }) => {
      this.#lastOf.clear();
      this.#isLeftOut(`skipped (${detail.reason})`);
    });
    // Nothing more will come of it.
    jobs.addEventListener('gone', ({ detail }) => {
      this.#lastOf.delete(detail.id);
      this.#open.delete(detail.id);
      this.#checkFinished();
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
    this.#link.close();
  }

  #connection(state: ConnectionState): void {
    const isOpen = state === 'open';
    const { events } = this.#options;
    if (isOpen && this.#left !== undefined) events.back(this.#left.seq, this.#left.epoch);
    if (!isOpen && this.#isConnected && this.#jobs.cursor !== null) {
      const [seq = '', epoch = ''] = this.#jobs.cursor.split('.');
      this.#left = { seq: Number(seq), epoch };
      // Lost again before all had come: what is still missing is of the same absence.
      this.#replay ??= { from: this.#left.seq, updates: [], problems: [], leftOut: undefined };
      events.cut(this.#left.seq, this.#link.isCut);
    }
    this.#isConnected = isOpen;
  }

  #update(update: ProgressUpdate): void {
    // The first live one may come in the same turn as the last one that was missed.
    this.#look();
    if (!this.#options.jobs.has(update.processing_id)) return;
    const problem = this.#problemWith(update);
    if (problem !== undefined) this.#replay?.problems.push(problem);
    this.#lastOf.set(update.processing_id, update.seq);
    this.updates.push(update);
    this.#replay?.updates.push(update);
    this.#options.events.update(update, this.#replay !== undefined);

    if (update.status === 'completed' || update.status === 'error') this.#open.delete(update.processing_id);
    const { cutAfter, awayMs, signal } = this.#options;
    if (!this.#wasCut && (this.updates.length >= cutAfter || this.#open.size === 0)) {
      this.#wasCut = true;
      this.#away = pause(awayMs, signal).catch(() => {}); // the demo is ending
      this.#link.cut();
    } else {
      this.#checkFinished();
    }
  }

  /** What `prev_seq` gives away: nothing else is needed to see that something is missing. */
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

  /** Whether everything is there that there was. */
  #look(): void {
    if (!this.#jobs.getSnapshot().isCurrent) return;
    this.#caughtUp.resolve();
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
