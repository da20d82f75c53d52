import { constants } from 'node:os';
import { InvalidOptionError } from './errors.js';

/** Signals that ask a process to end. */
export const STOP_SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT'];

/** The reason that a job's signal is aborted with, and what it fails with, when its process is asked to end. */
export class WorkerStoppedError extends Error {
  readonly code = 'cancelled';
  readonly retryable = true;
  override readonly name = 'WorkerStoppedError';

  constructor(why: string) {
    super(`The worker was stopped (${why}).`);
  }
}

/**
 * Calls `stop` at the first of the signals, and then gives the signal back to the process, which ends by it unless
 * somebody else listens. What it returns calls it off.
 * @throws InvalidOptionError for what is no signal that a process can hear
 */
export function stopOnSignals(
  signals: readonly NodeJS.Signals[],
  stop: (signal: NodeJS.Signals) => Promise<void>,
): () => void {
  for (const signal of signals) {
    // The system gives these to nobody, and Node would wait for a name that is none for ever.
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
      // Without a listener the system ends the process, with the exit code that tells the signal.
      if (isAlone) process.kill(process.pid, signal);
    });
  };
  for (const signal of signals) process.on(signal, onSignal);
  return removeHandler;
}
