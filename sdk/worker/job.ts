import { type FailOptions, failureJson } from './failure.js';
import type { JobWriter } from './job-writer.js';
import type { Ending } from './outgoing-event.js';
import type { JobUpdate } from './state.js';
import { jsonOf } from './values.js';
import type { ReporterWarning } from './warning.js';

/** A job that runs. */
export interface Job {
  readonly processingId: string;
  /** From 1. It is final when the first event is stored; until then, while NATS cannot be reached, it is a guess. */
  readonly attempt: number;
  /** Aborts when the job is lost (the reason is a SupersededError), and with the signal that you gave. */
  readonly signal: AbortSignal;
  /**
   * Reports the progress. Returns at once; frequent updates are coalesced.
   * @throws SupersededError when the job is lost; InvalidEventError, EventTooLargeError when no event can hold this
   */
  report(update: JobUpdate): void;
  /**
   * Completes the job. Resolves when that is stored. `result` is any JSON; NaN and Infinity become null.
   * @throws EventTooLargeError, InvalidEventError before anything is sent, and the job is still open; SupersededError,
   * JobEndedError, NotAcknowledgedError, ReporterClosedError
   */
  complete(result?: unknown): Promise<void>;
  /** Fails the job. Resolves when that is stored. Throws as `complete` does. */
  fail(error: unknown, options?: FailOptions): Promise<void>;
}

/** Fails a job with `error`, in whatever form can be sent, and aborts its signal with it. */
export function interruptJob(jobWriter: JobWriter, error: Error): void {
  jobWriter.abort(error);
  if (!jobWriter.isOpen) return;
  const ending: Ending = { status: 'error', error: failureJson(error, {}, false) };
  for (const isMinimal of [false, true]) {
    if (!jobWriter.isOpen) return;
    try {
      // `stop` waits for all ends at once.
      jobWriter.end(ending, isMinimal).catch(() => {});
    } catch {
      // The job's own fields leave no room for the error: try again without them.
    }
  }
}

export class JobHandle implements Job {
  readonly #jobWriter: JobWriter;
  readonly #includeStack: boolean;
  readonly #warn: (warning: ReporterWarning) => void;

  constructor(
    readonly processingId: string,
    jobWriter: JobWriter,
    includeStack: boolean,
    warn: (warning: ReporterWarning) => void,
  ) {
    this.#jobWriter = jobWriter;
    this.#includeStack = includeStack;
    this.#warn = warn;
  }

  get attempt(): number {
    return this.#jobWriter.attempt;
  }

  get signal(): AbortSignal {
    return this.#jobWriter.signal;
  }

  report(update: JobUpdate): void {
    this.#jobWriter.report(update);
  }

  complete(result?: unknown): Promise<void> {
    return this.#end(() => ({
      status: 'completed',
      result: result === undefined ? null : jsonOf(result, '/result', this.#jobWriter.onUnknown),
    }));
  }

  fail(error: unknown, options: FailOptions = {}): Promise<void> {
    return this.#end(() => ({
      status: 'error',
      error: failureJson(error, options, this.#includeStack, true, this.#jobWriter.onUnknown),
    }));
  }

  /** For `run`: completes, unless the work has ended the job itself. */
  async finish(result: unknown): Promise<void> {
    try {
      await (this.#jobWriter.ended ?? this.complete(result));
    } catch (error) {
      // The work is done, but its result cannot be sent. Clients that watch the job must not wait for ever.
      if (this.#jobWriter.ended === null) await this.failSafely(error);
      throw error;
    }
  }

  /** For `run`: fails the job, in whatever form can be sent. Never throws, because the job's own error matters more. */
  async failSafely(error: unknown): Promise<void> {
    try {
      await (this.#jobWriter.ended ?? this.fail(error));
    } catch (reason) {
      // NATS rejected the end, or the job is not ours any more: sending less would not help.
      if (!this.#jobWriter.isOpen) return;
      const { processingId } = this;
      const why = reason instanceof Error ? reason.message : String(reason);
      const message = `The error of the job ${processingId} is published without its details: ${why}`;
      this.#warn({ kind: 'event_truncated', message, processingId });
      const short = (): Ending => ({ status: 'error', error: failureJson(error, {}, false, false) });
      for (const isMinimal of [false, true])
        if (this.#jobWriter.isOpen) await this.#end(short, isMinimal).catch(() => {});
    }
  }

  #end(ending: () => Ending, isMinimal = false): Promise<void> {
    try {
      return this.#jobWriter.end(ending(), isMinimal);
    } catch (error) {
      const refused = Promise.reject(error);
      // A rejection that nobody awaits must not end the process.
      refused.catch(() => {});
      return refused;
    }
  }
}
