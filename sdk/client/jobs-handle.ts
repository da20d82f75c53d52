import { Handle } from './handle.js';
import type { JobOptions, Jobs, JobsEvents, JobsSnapshot, ProgressUpdate } from './types.js';
import type { Platform, Position } from './wire.js';

/** What feeds a handle of several jobs. */
export interface JobsEngine {
  snapshot(): JobsSnapshot;
  /** Where it has a loop of its own. */
  loop?(): AsyncIterator<ProgressUpdate>;
  rewind(to: Position): void;
  leave(): void;
}

/** Several jobs: what `client.jobs()` gives at once. Its engine is loaded when there is one. */
export class JobsHandle extends Handle<JobsSnapshot, JobsEvents> implements Jobs {
  error: Error | null = null;
  readonly #all: Set<JobsHandle>;
  #engine: JobsEngine | null = null;
  readonly #loaded: Promise<void>;

  /** @param all those that are not over */
  constructor(
    platform: Platform,
    options: JobOptions,
    all: Set<JobsHandle>,
    private readonly hasOwnLoop: boolean,
    load: () => Promise<JobsEngine>,
  ) {
    super(platform, options);
    this.#all = all.add(this);
    this.#loaded = load().then(
      (engine) => {
        this.#engine = engine;
        if (this.isOver) engine.leave();
      },
      (error: Error) => this.fail(error),
    );
  }

  override [Symbol.asyncIterator](): AsyncIterator<ProgressUpdate> {
    return this.hasOwnLoop ? this.#loop() : super[Symbol.asyncIterator]();
  }

  fail(error: Error): void {
    if (this.isOver) return;
    this.error = error;
    this.finish(error);
    this.emit('error', error);
  }

  protected snapshot(): JobsSnapshot {
    return (
      this.#engine?.snapshot() ?? {
        jobs: new Map(),
        connection: 'idle',
        isCurrent: false,
        continuity: { kind: 'unknown' },
        error: this.error,
      }
    );
  }

  /** A loop that begins late gets what comes: what is shown is in the snapshot. */
  protected newest(): null {
    return null;
  }

  protected rewind(to: Position): void {
    this.#engine?.rewind(to);
  }

  protected leave(): void {
    this.#engine?.leave();
    this.#all.delete(this);
  }

  async *#loop(): AsyncGenerator<ProgressUpdate> {
    try {
      await this.#loaded;
      for (const loop = this.#engine?.loop?.(); loop !== undefined; ) {
        const { done, value } = await loop.next();
        if (done) return;
        yield value;
      }
    } finally {
      this.close();
    }
  }
}
