import type { Ending } from './encode.js';
import { type FailOptions, failureJson } from './failure.js';
import type { Pen } from './job-writer.js';
import { jsonOf } from './json.js';
import type { JobUpdate } from './state.js';
import type { Trouble } from './warning.js';

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
   * The end: it is done. Resolves when that is stored. `result` is any JSON; a number that JSON does not have is null.
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
      result: result === undefined ? null : jsonOf(result, '/result', this.#pen.onUnknown),
    }));
  }

  fail(error: unknown, options: FailOptions = {}): Promise<void> {
    return this.#end(() => ({
      status: 'error',
      error: failureJson(error, options, this.#includeStack, true, this.#pen.onUnknown),
    }));
  }

  /** For `run`: completes, unless the work has ended the job by itself. */
  async finish(result: unknown): Promise<void> {
    try {
      await (this.#pen.ended ?? this.complete(result));
    } catch (error) {
      // The work is done, but nobody can be shown its result; whoever watches the job must not wait for ever.
      if (this.#pen.ended === null) await this.failSafely(error);
      throw error;
    }
  }

  /** For `run`: fails, in whatever form can be sent. Never throws: the job's own error is what matters. */
  async failSafely(error: unknown): Promise<void> {
    try {
      await (this.#pen.ended ?? this.fail(error));
    } catch (reason) {
      // The end was refused by others, or the job is not ours any more: nothing that is left out would help.
      if (!this.#pen.isOpen) return;
      const { processingId } = this;
      const why = reason instanceof Error ? reason.message : String(reason);
      const message = `What the job ${processingId} failed with is published without its details: ${why}`;
      this.#tell({ kind: 'not_sendable', message, processingId });
      const short = (): Ending => ({ status: 'error', error: failureJson(error, {}, false, false) });
      for (const isBare of [false, true])
        if (this.#pen.isOpen) await this.#end(short, isBare).catch(() => {});
    }
  }

  #end(ending: () => Ending, isBare = false): Promise<void> {
    try {
      return this.#pen.end(ending(), isBare);
    } catch (error) {
      const refused = Promise.reject(error);
      // Whoever does not wait for it must not lose the process for it.
      refused.catch(() => {});
      return refused;
    }
  }
}
