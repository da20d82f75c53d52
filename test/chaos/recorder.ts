import { type Frame, WsClient } from '../harness/client.js';

/** What a connection follows: one job, or all jobs, perhaps of some types only. */
export type Scope =
  | { readonly kind: 'job'; readonly id: string }
  | { readonly kind: 'all'; readonly jobType: string | null };

/** What happened to a client, and when by the clock of `performance.now()`. */
export type Happening =
  | { readonly at: number; readonly what: 'frame'; readonly frame: Frame }
  | { readonly at: number; readonly what: 'closed'; readonly code: number };

const PATH = '/ws/upload-progress';

/**
 * A client that keeps cursor and epoch by PROTOCOL.md's rules, remembers everything it was ever sent, and comes back
 * only when it is told to. What it remembers is judged when the truth is known: see verdict.ts.
 */
export class Recorder {
  readonly record: Happening[] = [];
  cursor: number | null = null;
  epoch: string | null = null;
  /** On this connection, and since the last reset. */
  isCaughtUp = false;
  hasEnded = false;
  #client: WsClient | null = null;
  #changed: (() => void)[] = [];

  constructor(
    readonly name: string,
    readonly scope: Scope,
  ) {}

  get isOpen(): boolean {
    return this.#client !== null;
  }

  /** Connects with the cursor it has. @returns whether that worked */
  async connect(base: string): Promise<boolean> {
    if (this.isOpen || this.hasEnded) return false;
    this.isCaughtUp = false;
    try {
      const client = await WsClient.connect(base + this.#path(), {
        keep: false,
        timeoutMs: 3_000,
        onFrame: (frame) => this.#frame(frame),
      });
      this.#client = client;
      void client.closed.then(({ code }) => this.#closed(code));
      return true;
    } catch {
      // Frames may have come before the connection was cut; nothing of the attempt is left now.
      if (this.record.at(-1)?.what === 'frame') this.#closed(1006);
      return false;
    }
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
    const last = this.record.slice(-30).map((one) => {
      if (one.what === 'closed') return `closed ${one.code}`;
      const { type, seq, prev_seq, cursor, epoch, reason, processing_id } = one.frame;
      return [type, processing_id, seq, prev_seq, cursor, reason, epoch]
        .filter((x) => x !== undefined)
        .join(' ');
    });
    const state = `cursor ${this.cursor} in ${this.epoch}, ${this.isOpen ? 'open' : 'closed'}`;
    return `${this.name}: ${state}${this.isCaughtUp ? ', caught up' : ''}; last: ${last.join(' | ')}`;
  }

  #path(): string {
    const { scope } = this;
    const path = scope.kind === 'job' ? `${PATH}/${scope.id}` : PATH;
    const query = new URLSearchParams();
    if (scope.kind === 'all' && scope.jobType !== null) query.set('job_type', scope.jobType);
    if (this.cursor !== null) query.set('last_seq', String(this.cursor));
    if (this.cursor !== null && this.epoch !== null) query.set('epoch', this.epoch);
    return query.size === 0 ? path : `${path}?${query}`;
  }

  #frame(frame: Frame): void {
    // The event's own bytes are of no interest, and would be kept for ever.
    const { note: _note, ...rest } = frame;
    this.record.push({ at: performance.now(), what: 'frame', frame: rest as Frame });
    switch (frame.type) {
      case 'hello':
        if (this.cursor === null) this.epoch = frame.epoch as string;
        break;
      case 'reset':
        this.cursor = null;
        this.epoch = frame.epoch as string;
        this.isCaughtUp = false;
        break;
      case 'progress_update':
        this.cursor = frame.seq as number;
        break;
      case 'caught_up':
        this.cursor = frame.cursor as number;
        this.isCaughtUp = true;
        break;
      case 'heartbeat':
        if (this.isCaughtUp) this.cursor = frame.cursor as number;
        break;
    }
    this.#wake();
  }

  #closed(code: number): void {
    this.record.push({ at: performance.now(), what: 'closed', code });
    this.#client = null;
    this.isCaughtUp = false;
    this.hasEnded ||= code === 1000;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }
}
