import type { ConnectionMonitor } from './connection-monitor.js';

/** Why a consumer was lost; a label of metrics, so a short list. metrics.md, "Metrics". */
export type FailureReason =
  | 'disconnected'
  | 'heartbeats_missed'
  | 'consumer_deleted'
  | 'sequence_gap'
  | 'no_responders'
  | 'pull_refused'
  | 'not_permitted'
  | 'consumer_changed'
  | 'stalled'
  | 'stream_changed'
  | 'failed'
  | 'closed';

/** The consumer, or the way to it, is lost. What was given out before is contiguous; reading may go on after it. */
export class ConsumerLostError extends Error {
  constructor(
    readonly reason: FailureReason,
    detail: string,
  ) {
    super(detail);
  }

  /** Whether it would be lost again at once. */
  get isFinal(): boolean {
    return this.reason === 'not_permitted';
  }
}

/** The first thing that goes wrong with one consumer, from whichever side it is noticed. */
export class ConsumerFailure {
  #error: ConsumerLostError | null = null;
  readonly #listeners = new Set<(error: ConsumerLostError) => void>();
  readonly #forgetLink: () => void;
  readonly #stop: AbortSignal | undefined;
  readonly #onStop = () => this.fail('closed');

  /** @param stop counts as a failure when it is aborted */
  constructor(monitor: ConnectionMonitor, stop?: AbortSignal) {
    this.#stop = stop;
    stop?.addEventListener('abort', this.#onStop, { once: true });
    this.#forgetLink = monitor.onLost(() => this.fail('disconnected'));
    if (!monitor.isConnected) this.fail('disconnected');
    if (stop?.aborted) this.fail('closed');
  }

  /** null: nothing went wrong yet. */
  get error(): ConsumerLostError | null {
    return this.#error;
  }

  /** Only the first call counts. @param detail for people */
  fail(reason: FailureReason, detail: string = DETAILS[reason]): void {
    if (this.#error !== null) return;
    this.#error = new ConsumerLostError(reason, detail);
    for (const listener of [...this.#listeners]) listener(this.#error);
    this.#listeners.clear();
  }

  /** Calls `listener` once, when it fails; at once when it has. @returns a function that takes the listener back */
  onFailed(listener: (error: ConsumerLostError) => void): () => void {
    if (this.#error !== null) listener(this.#error);
    else this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * What `promise` gives, or the failure as soon as there is one: NATS does not fail what a lost server owes.
   * @throws ConsumerLostError
   */
  orFail<T>(promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined);
    return new Promise((resolve, reject) => {
      const forget = this.onFailed(reject);
      promise.then(resolve, reject).finally(forget);
    });
  }

  /** Ends the watch. What waits fails. */
  dispose(): void {
    this.fail('closed');
    this.#stop?.removeEventListener('abort', this.#onStop);
    this.#forgetLink();
  }
}

const DETAILS: Readonly<Record<FailureReason, string>> = {
  disconnected: 'the connection to NATS was lost',
  heartbeats_missed: 'no heartbeat came',
  consumer_deleted: 'the consumer was deleted',
  sequence_gap: 'a message was lost on its way',
  no_responders: 'the consumer is gone',
  pull_refused: 'a pull was refused',
  not_permitted: 'NATS does not permit it',
  consumer_changed: 'the consumer was changed',
  stalled: 'nothing comes, although the stream holds more',
  stream_changed: 'the stream was changed',
  failed: 'it could not be worked on',
  closed: 'it was closed',
};
