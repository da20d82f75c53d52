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
