import { type Frame, WsClient } from './client.js';
import type { StoredEvent } from './publish.js';

export interface SeenUpdate {
  readonly id: string;
  readonly seq: number;
  readonly prevSeq: number | null;
}

/**
 * A client as PROTOCOL.md asks for: it keeps cursor and epoch, comes back after every loss with both, and stops at
 * the end. It remembers every update it was ever given, so that a test can hold them against what JetStream stored.
 */
export class Follower implements AsyncDisposable {
  readonly updates: SeenUpdate[] = [];
  readonly resets: Frame[] = [];
  cursor: number | null = null;
  epoch: string | null = null;
  connects = 0;
  caughtUp = 0;
  refusals = 0;
  hasEnded = false;
  heartbeats: Frame[] = [];

  #client: WsClient | null = null;
  #isStopped = false;
  #running: Promise<void> = Promise.resolve();
  #waits: { met: () => boolean; resolve: () => void }[] = [];

  private constructor(
    private readonly base: () => string,
    private readonly path: string,
  ) {}

  /**
   * @param base where an edge is at the moment, such as `ws://127.0.0.1:8080`; asked before each attempt
   * @param path the endpoint with its filter, if any
   * @param cursor where the follower claims to have been; null: it is new
   */
  static start(base: string | (() => string), path: string, cursor: number | null = null): Follower {
    const follower = new Follower(typeof base === 'string' ? () => base : base, path);
    follower.cursor = cursor;
    follower.#running = follower.#run();
    return follower;
  }

  /** Resolves when `met` holds; it is asked after every frame. */
  until(met: (follower: this) => boolean, what: string, timeoutMs = 30_000): Promise<void> {
    if (met(this)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${this.path}: not within ${timeoutMs} ms: ${what}; ${this.describe()}`)),
        timeoutMs,
      );
      this.#waits.push({
        met: () => met(this),
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      });
    });
  }

  describe(): string {
    return `cursor ${this.cursor}, ${this.updates.length} updates, ${this.resets.length} resets, ${this.connects} connects, ${this.refusals} refusals`;
  }

  /** Cuts the connection without a close frame; the follower comes back by itself. */
  drop(): void {
    this.#client?.drop();
  }

  pauseReading(): void {
    this.#client?.pauseReading();
  }

  resumeReading(): void {
    this.#client?.resumeReading();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#client?.drop();
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped && !this.hasEnded) {
      try {
        this.#client = await WsClient.connect(this.#url(), {
          keep: false,
          onFrame: (frame) => this.#frame(frame),
        });
        this.connects++;
        this.#wake();
        if (this.#isStopped) this.#client.drop();
        const { code } = await this.#client.closed;
        if (code === 1000) this.hasEnded = true;
        this.#wake();
      } catch {
        this.refusals++;
        await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 30));
      }
    }
  }

  #url(): string {
    if (this.cursor === null) return this.base() + this.path;
    const epoch = this.epoch === null ? '' : `&epoch=${this.epoch}`;
    return `${this.base()}${this.path}${this.path.includes('?') ? '&' : '?'}last_seq=${this.cursor}${epoch}`;
  }

  #frame(frame: Frame): void {
    switch (frame.type) {
      case 'hello':
        if (this.epoch !== null && this.epoch !== frame.epoch) this.cursor = null;
        this.epoch = frame.epoch as string;
        break;
      case 'reset':
        this.resets.push(frame);
        this.epoch = frame.epoch as string;
        this.cursor = null;
        break;
      case 'progress_update':
        this.updates.push({
          id: frame.processing_id as string,
          seq: frame.seq as number,
          prevSeq: frame.prev_seq as number | null,
        });
        this.cursor = frame.seq as number;
        break;
      case 'heartbeat':
        this.heartbeats.push(frame);
        this.cursor = frame.cursor as number;
        break;
      case 'caught_up':
        this.caughtUp++;
        this.cursor = frame.cursor as number;
        break;
    }
    this.#wake();
  }

  #wake(): void {
    if (this.#waits.length === 0) return;
    const met = this.#waits.filter((wait) => wait.met());
    this.#waits = this.#waits.filter((wait) => !met.includes(wait));
    for (const wait of met) wait.resolve();
  }
}

/**
 * What is wrong with what a follower saw, or null: it must be every stored event of its jobs from its first one on,
 * once each, in the order of the stream, with every known `prev_seq` right.
 */
export function discrepancy(
  follower: Follower,
  stored: readonly StoredEvent[],
  ids?: ReadonlySet<string>,
): string | null {
  const idOf = (event: StoredEvent) => event.subject.slice('progress.'.length);
  const first = follower.updates[0]?.seq ?? Number.POSITIVE_INFINITY;
  const owed = stored.filter((event) => event.seq >= first && (ids === undefined || ids.has(idOf(event))));
  const seen = follower.updates;
  for (let i = 0; i < Math.max(owed.length, seen.length); i++) {
    if (owed[i]?.seq !== seen[i]?.seq) {
      return `update ${i}: stored ${owed[i]?.seq ?? 'nothing'}, got ${seen[i]?.seq ?? 'nothing'} (${owed.length} stored, ${seen.length} got)`;
    }
  }
  const previous = new Map<string, number>();
  for (const event of stored) {
    const update = seen.find(({ seq }) => seq === event.seq);
    const before = previous.get(idOf(event)) ?? 0;
    if (update && update.prevSeq !== null && update.prevSeq !== before) {
      return `prev_seq of ${event.seq} is ${update.prevSeq}, the job's previous event is ${before}`;
    }
    previous.set(idOf(event), event.seq);
  }
  return null;
}
