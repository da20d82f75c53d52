import { type Frame, WsClient, type WsOptions } from './client.js';
import type { StoredEvent } from './publish.js';
import { ResumePoint } from './resume-point.js';
import { Waits } from './waits.js';

export interface SeenUpdate {
  readonly id: string;
  readonly seq: number;
  readonly prevSeq: number | null;
}

/** Who follows one job or all of them over whatever happens to the connection, and remembers what came. */
export interface Follower extends AsyncDisposable {
  readonly updates: readonly SeenUpdate[];
  readonly resets: readonly Frame[];
  /** What it was told is left out, and which jobs have left the stream: on all jobs. */
  readonly skips: readonly Frame[];
  readonly gone: readonly string[];
  readonly heartbeats: readonly Frame[];
  readonly cursor: number | null;
  readonly epoch: string | null;
  readonly connects: number;
  readonly caughtUp: number;
  readonly hasEnded: boolean;
  /** Resolves when `met` holds; it is asked after every frame. */
  until(met: (follower: this) => boolean, what: string, timeoutMs?: number): Promise<void>;
  /** Cuts the connection without a close frame; the follower comes back by itself. */
  drop(): void;
  stop(): Promise<void>;
}

/**
 * A client of an endpoint, without `@headway/client`: of that for one job, which pages have left, and for tests that read
 * slowly or not at all, claim any cursor, or are many. It keeps its place as PROTOCOL.md asks for, comes back after every
 * loss with it, and stops at the end. It remembers every update it was ever given, so that a test can hold them against what
 * JetStream stored. What pages have is `PageClient`.
 */
export class ReconnectingClient implements Follower {
  readonly updates: SeenUpdate[] = [];
  readonly resets: Frame[] = [];
  readonly skips: Frame[] = [];
  readonly gone: string[] = [];
  readonly #place = new ResumePoint();
  connects = 0;
  caughtUp = 0;
  refusals = 0;
  hasEnded = false;
  heartbeats: Frame[] = [];

  #client: WsClient | null = null;
  #bytesBefore = 0;
  #isStopped = false;
  #running: Promise<void> = Promise.resolve();
  readonly #waits = new Waits();

  private constructor(
    private readonly base: () => string,
    private readonly path: string,
    private readonly options: Pick<WsOptions, 'ca'>,
  ) {}

  /**
   * @param base where an edge is at the moment, such as `ws://127.0.0.1:8080`; asked before each attempt
   * @param path the endpoint with its filter, if any
   * @param cursor where the follower claims to have been; null: it is new
   * @param options how it connects
   */
  static start(
    base: string | (() => string),
    path: string,
    cursor: number | null = null,
    options: Pick<WsOptions, 'ca'> = {},
  ): ReconnectingClient {
    const follower = new ReconnectingClient(typeof base === 'string' ? () => base : base, path, options);
    follower.#place.cursor = cursor;
    follower.#running = follower.#run();
    return follower;
  }

  get cursor(): number | null {
    return this.#place.cursor;
  }

  get epoch(): string | null {
    return this.#place.epoch;
  }

  /** How many bytes of frames came, over all connections. */
  get receivedBytes(): number {
    return this.#bytesBefore + (this.#client?.receivedBytes ?? 0);
  }

  until(met: (follower: this) => boolean, what: string, timeoutMs = 30_000): Promise<void> {
    const describe = (): string => `${this.path}: ${this.describe()}`;
    return this.#waits.until(() => met(this), what, timeoutMs, describe);
  }

  describe(): string {
    return `cursor ${this.cursor}, ${this.updates.length} updates, ${this.resets.length} resets, ${this.skips.length} skips, ${this.connects} connects, ${this.refusals} refusals`;
  }

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
        this.#place.opened();
        this.#bytesBefore = this.receivedBytes;
        this.#client = null;
        this.#client = await WsClient.connect(this.#url(), {
          ...this.options,
          keep: false,
          onFrame: (frame) => this.#frame(frame),
        });
        this.connects++;
        this.#waits.wake();
        if (this.#isStopped) this.#client.drop();
        const { code } = await this.#client.closed;
        if (code === 1000) this.hasEnded = true;
        this.#waits.wake();
      } catch {
        this.refusals++;
        await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 30));
      }
    }
  }

  #url(): string {
    const query = this.#place.query();
    const joint = this.path.includes('?') ? '&' : '?';
    return this.base() + this.path + (query.size === 0 ? '' : `${joint}${query}`);
  }

  #frame(frame: Frame): void {
    this.#place.take(frame);
    switch (frame.type) {
      case 'reset':
        this.resets.push(frame);
        break;
      case 'skipped':
        this.skips.push(frame);
        break;
      case 'gone':
        this.gone.push(frame.processing_id as string);
        break;
      case 'progress_update':
        this.updates.push({
          id: frame.processing_id as string,
          seq: frame.seq as number,
          prevSeq: frame.prev_seq as number | null,
        });
        break;
      case 'heartbeat':
        this.heartbeats.push(frame);
        break;
      case 'caught_up':
        this.caughtUp++;
        break;
    }
    this.#waits.wake();
  }
}

/**
 * What is wrong with what a follower saw, or null: it must be every stored event of its jobs from its first one on,
 * once each, in the order of the stream, with every known `prev_seq` right.
 */
export function discrepancy(
  follower: Pick<Follower, 'updates'>,
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
