import { type Frame, WsClient } from '../harness/client.js';
import { ResumePoint } from '../harness/resume-point.js';

/** What a connection follows: one job, or all jobs, perhaps of some types only. */
export type Scope =
  | { readonly kind: 'job'; readonly id: string }
  | { readonly kind: 'all'; readonly jobTypes: readonly string[] | null };

/** What happened to a client, and when by the clock of `performance.now()`. */
export type Happening =
  | { readonly at: number; readonly what: 'opened' }
  | { readonly at: number; readonly what: 'frame'; readonly frame: Frame }
  | { readonly at: number; readonly what: 'closed'; readonly code: number }
  /** It has been there, and is owed what came later. */
  | { readonly at: number; readonly what: 'claimed'; readonly cursor: number; readonly epoch: string }
  /** From its next connection on it follows something else. */
  | { readonly at: number; readonly what: 'rescoped'; readonly scope: Scope };

/** One client of one scope, as it is judged. */
export interface Judged {
  readonly record: readonly Happening[];
  /** What it began with, and what it follows now. */
  readonly firstScope: Scope;
  readonly scope: Scope;
  /** The jobs on its page, each with the edge that showed it; null: it has been to another edge since. */
  readonly shown: ReadonlyMap<string, string | null>;
  describe(): string;
}

const PATH = '/ws/upload-progress';

/**
 * A client that keeps its place by PROTOCOL.md's rules, remembers everything it was ever sent, and comes back only when
 * it is told to. What it remembers is judged when the truth is known: see checker.ts.
 */
export class Recorder implements Judged {
  readonly record: Happening[] = [];
  /** What it began with. */
  readonly firstScope: Scope;
  /** The jobs on its page, each with the edge that showed it; null: it has been to another edge since. */
  readonly shown = new Map<string, string | null>();
  /** Over all connections: how many there were, and the bytes of their frames. */
  connections = 0;
  bytes = 0;
  hasEnded = false;
  readonly #place = new ResumePoint();
  #scope: Scope;
  #client: WsClient | null = null;
  #edge = '';
  /** The connection is cut by the client itself when so many more updates have come; null: it is not. */
  #updatesLeft: number | null = null;
  #isCut = false;
  #changed: (() => void)[] = [];

  constructor(
    readonly name: string,
    scope: Scope,
  ) {
    this.firstScope = scope;
    this.#scope = scope;
  }

  get scope(): Scope {
    return this.#scope;
  }

  get cursor(): number | null {
    return this.#place.cursor;
  }

  get epoch(): string | null {
    return this.#place.epoch;
  }

  get isCaughtUp(): boolean {
    return this.#place.isCaughtUp;
  }

  get isOpen(): boolean {
    return this.#client !== null;
  }

  /** Who is judged: itself. */
  get members(): readonly Judged[] {
    return [this];
  }

  /** Says of itself that it has been there. Only before its first connection. */
  claim(cursor: number, epoch: string): void {
    this.#place.cursor = cursor;
    this.#place.epoch = epoch;
    this.record.push({ at: performance.now(), what: 'claimed', cursor, epoch });
  }

  /** Follows this from its next connection on. */
  rescope(scope: Scope): void {
    this.#scope = scope;
    this.record.push({ at: performance.now(), what: 'rescoped', scope });
  }

  /**
   * Connects with the place it has.
   * @param edge names the life of the edge behind `base`
   * @param cutAfter after so many updates the client cuts the connection, whatever has come behind them
   * @returns whether that worked
   */
  async connect(base: string, edge = base, cutAfter: number | null = null): Promise<boolean> {
    if (this.isOpen || this.hasEnded) return false;
    this.#place.opened();
    this.#isCut = false;
    this.#updatesLeft = cutAfter;
    this.#edge = edge;
    for (const [id, shownBy] of this.shown) if (shownBy !== edge) this.shown.set(id, null);
    this.record.push({ at: performance.now(), what: 'opened' });
    try {
      const client = await WsClient.connect(base + this.#path(), {
        keep: false,
        timeoutMs: 3_000,
        onFrame: (frame, from) => this.#frame(frame, from),
      });
      this.#client = client;
      this.connections++;
      void client.closed.then(({ code }) => {
        this.bytes += client.receivedBytes;
        this.#closed(this.#isCut ? 1006 : code);
      });
      return true;
    } catch {
      // Frames may have come before the connection was cut; nothing of the attempt is left now.
      this.#closed(1006);
      return false;
    }
  }

  /** The connection is not cut any more, however many updates come. */
  stay(): void {
    this.#updatesLeft = null;
  }

  /** Cuts the connection without a close frame, and waits until that is done. */
  async drop(): Promise<void> {
    this.#client?.drop();
    await this.#client?.closed;
  }

  pauseReading(): void {
    this.#client?.pauseReading();
  }

  resumeReading(): void {
    this.#client?.resumeReading();
  }

  /** Resolves with the next frame or close, or when the time is over. */
  async change(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#changed.push(resolve);
      timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
  }

  describe(): string {
    const last = this.record.slice(-30).map(worded);
    const state = `cursor ${this.cursor} in ${this.epoch}, ${this.isOpen ? 'open' : 'closed'}`;
    return `${this.name}: ${state}${this.isCaughtUp ? ', caught up' : ''}; last: ${last.join(' | ')}`;
  }

  #path(): string {
    const { scope } = this;
    const path = scope.kind === 'job' ? `${PATH}/${scope.id}` : PATH;
    const query = this.#place.query();
    if (scope.kind === 'all') for (const type of scope.jobTypes ?? []) query.append('job_type', type);
    return query.size === 0 ? path : `${path}?${query}`;
  }

  #frame(frame: Frame, from: WsClient): void {
    // Behind its own cut the client takes nothing more, though the library may still have something.
    if (this.#isCut) return;
    // The event's own bytes are of no interest, and would be kept for ever.
    const { note: _note, ...rest } = frame;
    this.record.push({ at: performance.now(), what: 'frame', frame: rest as Frame });
    if (frame.type === 'reset' || (frame.type === 'hello' && this.#place.voids(frame))) this.shown.clear();
    this.#place.take(frame);
    if (frame.type === 'gone') this.shown.delete(frame.processing_id as string);
    if (frame.type === 'progress_update') {
      this.shown.set(frame.processing_id as string, this.#edge);
      if (this.#updatesLeft !== null && --this.#updatesLeft <= 0) {
        this.#isCut = true;
        from.drop();
      }
    }
    this.#wake();
  }

  #closed(code: number): void {
    this.record.push({ at: performance.now(), what: 'closed', code });
    this.#client = null;
    this.#place.opened();
    this.hasEnded ||= code === 1000;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }
}

/** One happening in a few words. */
export function worded(one: Happening): string {
  switch (one.what) {
    case 'opened':
      return 'opened';
    case 'closed':
      return `closed ${one.code}`;
    case 'claimed':
      return `was at ${one.cursor}`;
    case 'rescoped':
      return `follows ${JSON.stringify(one.scope)}`;
    case 'frame': {
      const { type, seq, prev_seq, cursor, epoch, reason, processing_id, after, before } = one.frame;
      return [type, processing_id, seq, prev_seq, cursor, reason, after, before, epoch]
        .filter((x) => x !== undefined)
        .join(' ');
    }
  }
}
