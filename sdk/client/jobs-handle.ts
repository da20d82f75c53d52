import { Handle } from './handle.js';
import type { Loop } from './loop.js';
import type { Jobs, JobsEvents, JobsOptions, JobsSnapshot } from './types.js';
import type { Platform, Position } from './wire.js';

/** What feeds a handle of several jobs. */
export interface JobsEngine {
  snapshot(): JobsSnapshot;
  /** Where it has a loop of its own. */
  readonly loop?: Loop;
  rewind(to: Position): void;
  leave(): void;
}

/** Several jobs: what `client.jobs()` gives at once. Its engine is loaded when there is one. */
export class JobsHandle extends Handle<JobsSnapshot, JobsEvents> implements Jobs {
  readonly #all: Set<JobsHandle>;
  #engine: JobsEngine | undefined;
  #snapshot: JobsSnapshot | null = null;
  readonly #loaded: Promise<void>;

  /** @param all those that are not over */
  constructor(
    platform: Platform,
    readonly options: JobsOptions,
    all: Set<JobsHandle>,
    load: (handle: JobsHandle) => Promise<JobsEngine>,
  ) {
    super(platform, options);
    this.#all = all.add(this);
    this.#loaded = load(this).then(
      (engine) => {
        this.#engine = engine;
        if (this.isOver) engine.leave();
      },
      (error: Error) => this.fail(error),
    );
  }

  getSnapshot(): JobsSnapshot {
    this.#snapshot ??= this.#engine?.snapshot() ?? {
      jobs: new Map(),
      connection: 'idle',
      isCurrent: false,
      hasForgotten: false,
      continuity: { kind: 'unknown' },
      error: this.error,
    };
    return this.#snapshot;
  }

  override changed(): void {
    this.#snapshot = null;
    super.changed();
  }

  async ownLoop(): Promise<Loop | undefined> {
    await this.#loaded;
    return this.#engine?.loop;
  }

  rewind(to: Position): void {
    this.#engine?.rewind(to);
  }

  /** A loop that begins late gets what comes: what is shown is in the snapshot. */
  protected newest(): null {
    return null;
  }

  protected leave(): void {
    this.#engine?.leave();
    this.#all.delete(this);
  }
}
