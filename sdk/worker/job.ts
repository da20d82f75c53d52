import type { Ending } from './encode.js';
import { EventTooLargeError, InvalidEventError } from './errors.js';
import { type FailOptions, failureJson } from './failure.js';
import type { Pen } from './pen.js';
import { type JobUpdate, jsonOf } from './state.js';
import type { Trouble } from './trouble.js';

/** A job that runs. */
export interface Job {
  readonly processingId: string;
  /** From 1. It is settled when the first event is stored; while NATS is away at the start it is a guess. */
  readonly attempt: number;
  /** Aborts when the job is lost (the reason is a SupersededError), and with the signal that was given. */
  readonly signal: AbortSignal;
  /**
   * Says where the job is. Returns at once; too many updates become fewer.
   * @throws SupersededError when the job is lost; InvalidEventError, EventTooLargeError when no event can hold this
   */
  report(update: JobUpdate): void;
  /**
   * The end: it is done. Resolves when that is stored. `result` is any JSON.
   * @throws EventTooLargeError, InvalidEventError before anything is sent, and the job is still open; SupersededError,
   * JobEndedError, NotAcknowledgedError, ReporterClosedError
   */
  complete(result?: unknown): Promise<void>;
  /** The end: it failed. Resolves when that is stored. Throws as `complete` does. */
  fail(error: unknown, options?: FailOptions): Promise<void>;
}

export class JobHandle implements Job {
  readonly #pen: Pen;
  readonly #includeStack: boolean;
  readonly #tell: (trouble: Trouble) => void;

  constructor(
    readonly processingId: string,
    pen: Pen,
    includeStack: boolean,
    tell: (trouble: Trouble) => void,
  ) {
    this.#pen = pen;
    this.#includeStack = includeStack;
    this.#tell = tell;
  }

  get attempt(): number {
    return this.#pen.attempt;
  }

  get signal(): AbortSignal {
    return this.#pen.signal;
  }

  report(update: JobUpdate): void {
    this.#pen.report(update);
  }

  complete(result?: unknown): Promise<void> {
    return this.#end(() => ({
      status: 'completed',
      result: result === undefined ? null : jsonOf(result, '/result'),
    }));
  }

  fail(error: unknown, options: FailOptions = {}): Promise<void> {
    return this.#end(() => ({ status: 'error', error: failureJson(error, options, this.#includeStack) }));
  }

  /** For `run`: completes, unless the work has ended the job by itself. */
  async finish(result: unknown): Promise<void> {
    try {
      await (this.#pen.ended ?? this.complete(result));
    } catch (error) {
      // The work is done, but nobody can be shown its result; whoever watches the job must not wait for ever.
      if (error instanceof EventTooLargeError || error instanceof InvalidEventError)
        await this.failSafely(error);
      throw error;
    }
  }

  /** For `run`: fails, in whatever form can be sent. Never throws: the job's own error is what matters. */
  async failSafely(error: unknown): Promise<void> {
    try {
      await (this.#pen.ended ?? this.fail(error));
    } catch (reason) {
      if (!(reason instanceof EventTooLargeError) && !(reason instanceof InvalidEventError)) return;
      const { processingId } = this;
      const message = `What the job ${processingId} failed with is published without its details: ${reason.message}`;
      this.#tell({ kind: 'not_sendable', message, processingId });
      const bare = (): Ending => ({ status: 'error', error: failureJson(error, {}, false, false) });
      await this.#end(bare).catch(() => {});
    }
  }

  #end(ending: () => Ending): Promise<void> {
    try {
      return this.#pen.end(ending());
    } catch (error) {
      const refused = Promise.reject(error);
      // Whoever does not wait for it must not lose the process for it.
      refused.catch(() => {});
      return refused;
    }
  }
}
