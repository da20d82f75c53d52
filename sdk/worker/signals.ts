import { constants } from 'node:os';
import { InvalidOptionError } from './errors.js';

/** Signals that ask a process to terminate. */
export const STOP_SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT'];

/** The abort reason of a job's signal, and the error of the job, when its process is asked to terminate. */
export class WorkerStoppedError extends Error {
  readonly code = 'cancelled';
  readonly retryable = true;
  override readonly name = 'WorkerStoppedError';

  constructor(why: string) {
    super(`The worker was stopped (${why}).`);
  }
}

/**
 * Calls `stop` at the first of the signals, and then sends the signal to the process again, which ends by it unless it
 * has another listener. The result removes the handlers.
 * @throws InvalidOptionError for a signal that a process cannot handle
 */
export function stopOnSignals(
  signals: readonly NodeJS.Signals[],
  stop: (signal: NodeJS.Signals) => Promise<void>,
): () => void {
  for (const signal of signals) {
    // A process cannot handle SIGKILL and SIGSTOP, and Node would ignore an unknown name.
    const isCaught = signal in constants.signals && signal !== 'SIGKILL' && signal !== 'SIGSTOP';
    if (!isCaught) throw new InvalidOptionError('signals', `has ${signal}; expected names such as SIGTERM`);
  }
  const removeHandler = (): void => {
    for (const signal of signals) process.off(signal, onSignal);
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    removeHandler();
    const isAlone = process.listenerCount(signal) === 0;
    void stop(signal).finally(() => {
      // Without a listener the system ends the process, with the exit code of the signal.
      if (isAlone) process.kill(process.pid, signal);
    });
  };
  for (const signal of signals) process.on(signal, onSignal);
  return removeHandler;
}

/** Adds one listener to each signal, however many jobs share it: Node warns of a leak above ten listeners. */
export class AbortListeners {
  readonly #heard = new Map<AbortSignal, { readonly hear: () => void; readonly calls: Set<() => void> }>();

  /** Calls when the signal aborts; the result removes the handler. */
  onAbort(signal: AbortSignal, call: () => void): () => void {
    const { hear, calls } = this.#heard.get(signal) ?? this.#listen(signal);
    calls.add(call);
    return () => {
      if (!calls.delete(call) || calls.size > 0) return;
      this.#heard.delete(signal);
      signal.removeEventListener('abort', hear);
    };
  }

  #listen(signal: AbortSignal) {
    const calls = new Set<() => void>();
    const hear = (): void => {
      for (const call of [...calls]) call();
    };
    signal.addEventListener('abort', hear, { once: true });
    const heard = { hear, calls };
    this.#heard.set(signal, heard);
    return heard;
  }
}

/** The signal of one job: aborted by the job itself, or by the signal that its caller gave. */
export class JobSignal {
  readonly #controller = new AbortController();
  #stopListening: () => void = () => {};

  constructor(
    private readonly outer: AbortSignal | undefined,
    private readonly listeners: AbortListeners,
  ) {}

  get own(): AbortSignal {
    return this.#controller.signal;
  }

  get isOuterAborted(): boolean {
    return this.outer?.aborted === true;
  }

  /** Aborts with the caller's signal, now or later, and then calls. */
  follow(call: () => void): void {
    const { outer } = this;
    if (outer === undefined) return;
    const onAbort = (): void => {
      this.abort(outer.reason);
      call();
    };
    if (outer.aborted) onAbort();
    else this.#stopListening = this.listeners.onAbort(outer, onAbort);
  }

  /** Aborts the job's signal. */
  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Follows the caller's signal no longer. */
  stop(): void {
    this.#stopListening();
  }
}
