/**
 * A client as pages have it: `@headway/client`, which comes back by itself. What came over its connections is written down
 * beside it, before it sees it, so that a test judges the edge by that and the client by what it gave.
 */
import { WebSocket } from 'ws';
import { createProgressClient } from '../../sdk/client/client.js';
import { realPlatform } from '../../sdk/client/platform.js';
import type {
  Job,
  JobEvents,
  Jobs,
  ProgressClient,
  ProgressUpdate,
  TypedEventTarget,
  WebSocketClass,
} from '../../sdk/client/types.js';
import type { Frame } from './client.js';
import type { Follower, SeenUpdate } from './reconnecting-client.js';
import { Waits } from './waits.js';

/** Chance decides how long a client waits; here for 30 ms, 60, 120, up to a second. */
const CHANCE = 0.03;

export class PageClient implements Follower {
  /** What came over the wire. */
  readonly updates: SeenUpdate[] = [];
  readonly resets: Frame[] = [];
  readonly skips: Frame[] = [];
  readonly gone: string[] = [];
  readonly heartbeats: Frame[] = [];
  caughtUp = 0;
  connects = 0;
  epoch: string | null = null;
  /** What the client gave to its page. */
  readonly given: SeenUpdate[] = [];
  readonly errors: Error[] = [];
  hasEnded = false;

  readonly #client: ProgressClient;
  readonly #followed: Job | Jobs;
  #socket: WebSocket | undefined;
  readonly #waits = new Waits();

  private constructor(base: string | (() => string), id: string | null) {
    const WebSocketClass = this.#recorded(typeof base === 'string' ? () => base : base);
    this.#client = createProgressClient(
      // Where it is an edge decides at each attempt.
      { url: 'ws://127.0.0.1', transport: 'websocket', lingerMs: 0 },
      { platform: { ...realPlatform(WebSocketClass), random: () => CHANCE } },
    );
    this.#followed = id === null ? this.#client.jobs() : this.#client.job(id);
    this.#listen(this.#followed);
  }

  /**
   * Follows all jobs, or the one that is named, as one of the selected jobs of a connection.
   * @param base where an edge is at the moment, such as `ws://127.0.0.1:8080`; asked before each attempt
   */
  static start(base: string | (() => string), id: string | null = null): PageClient {
    return new PageClient(base, id);
  }

  get cursor(): number | null {
    const { cursor } = this.#followed;
    return cursor === null ? null : Number.parseInt(cursor, 10);
  }

  /** Resolves when `met` holds; it is asked after every frame. */
  until(met: (follower: this) => boolean, what: string, timeoutMs = 30_000): Promise<void> {
    return this.#waits.until(
      () => met(this),
      what,
      timeoutMs,
      () => this.describe(),
    );
  }

  describe(): string {
    return `cursor ${this.cursor}, ${this.updates.length} updates, ${this.given.length} given, ${this.resets.length} resets, ${this.connects} connects, ${this.#client.connection}, ${this.errors.join('; ')}`;
  }

  /** Cuts the connection without a close frame; what was delivered and not read is lost with it. */
  drop(): void {
    this.#socket?.removeAllListeners('message');
    this.#socket?.terminate();
  }

  async stop(): Promise<void> {
    this.#client.close();
    this.drop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** The class that the client connects with: an edge hears and says what it would without the record. */
  #recorded(base: () => string): WebSocketClass {
    const opened = (socket: WebSocket): void => {
      this.#socket = socket;
      socket.on('open', () => {
        this.connects += 1;
        this.#wake();
      });
      socket.on('message', (data) => this.#record(JSON.parse(String(data)) as Frame));
    };
    const Recorded = class extends WebSocket {
      constructor(url: string, protocols: string[]) {
        const { pathname, search } = new URL(url);
        super(base() + pathname + search, protocols, { perMessageDeflate: false });
        opened(this);
      }
    };
    return Recorded as unknown as WebSocketClass;
  }

  #record(frame: Frame): void {
    switch (frame.type) {
      case 'hello':
        this.epoch = frame.epoch as string;
        break;
      case 'progress_update':
        this.updates.push(seen(frame as unknown as ProgressUpdate));
        break;
      case 'reset':
        this.resets.push(frame);
        this.epoch = frame.epoch as string;
        break;
      case 'skipped':
        this.skips.push(frame);
        break;
      case 'gone':
        this.gone.push(frame.processing_id as string);
        break;
      case 'heartbeat':
        this.heartbeats.push(frame);
        break;
      case 'caught_up':
      case 'following':
        this.caughtUp += 1;
        break;
    }
    this.#wake();
  }

  #listen(followed: TypedEventTarget<Pick<JobEvents, 'update' | 'error' | 'end'>>): void {
    followed.addEventListener('update', ({ detail }) => {
      this.given.push(seen(detail));
    });
    followed.addEventListener('error', ({ detail }) => {
      this.errors.push(detail);
    });
    // Of all jobs there is none.
    followed.addEventListener('end', () => {
      this.hasEnded = true;
      this.#wake();
    });
  }

  /** Behind whatever else hears of it. */
  #wake(): void {
    queueMicrotask(() => this.#waits.wake());
  }
}

function seen({ processing_id, seq, prev_seq }: ProgressUpdate): SeenUpdate {
  return { id: processing_id, seq, prevSeq: prev_seq };
}
