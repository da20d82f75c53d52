import type { NatsConnection } from 'nats';
import { ALIVE_PREFIX, attemptOfAlive } from '../../schemas/ids.js';

const ALIVE_FILTER = `${ALIVE_PREFIX}*`;
/** When a subscription that failed is tried again. */
const RETRY_MS = 10_000;

export type HeartbeatState =
  /** The server has not answered yet. */
  | 'connecting'
  | 'subscribed'
  /** The server does not permit it, or the connection was lost before it answered. It is tried again. */
  | 'denied'
  | 'closed';

export interface HeartbeatObserver {
  /**
   * A heartbeat of this job. Anybody may have sent it: the job may not exist.
   * @param attempt null: it names none
   */
  heard(id: string, attempt: number | null): void;
  /** The state is another one. Where heartbeats are not heard, a job that is busy looks dead. */
  changed(state: HeartbeatState, error: Error | null): void;
}

/**
 * Hears the heartbeats of all jobs. One costs about 2 µs and no memory: nothing is queued or kept, and no more decoded
 * than which attempt of which job it is of. The package `nats` subscribes anew by itself after a lost connection. Never throws.
 */
export class HeartbeatSubscription {
  readonly #connection: Pick<NatsConnection, 'subscribe' | 'flush'>;
  readonly #observer: HeartbeatObserver;
  readonly #retryMs: number;
  #state: HeartbeatState = 'connecting';
  #unsubscribe: () => void = () => undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(
    connection: Pick<NatsConnection, 'subscribe' | 'flush'>,
    observer: HeartbeatObserver,
    retryMs = RETRY_MS,
  ) {
    this.#connection = connection;
    this.#observer = observer;
    this.#retryMs = retryMs;
    this.#subscribe();
  }

  get state(): HeartbeatState {
    return this.#state;
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#unsubscribe();
    this.#become('closed', null);
  }

  #subscribe(): void {
    let unsubscribe = (): void => undefined;
    let isRefused = false;
    const refuse = (error: Error): void => {
      if (isRefused || this.#state === 'closed') return;
      isRefused = true;
      unsubscribe();
      this.#retry = setTimeout(() => this.#subscribe(), this.#retryMs);
      this.#become('denied', error);
    };
    try {
      const subscription = this.#connection.subscribe(ALIVE_FILTER, {
        callback: (error, message) => {
          if (error === null) {
            const id = message.subject.slice(ALIVE_PREFIX.length);
            this.#observer.heard(id, attemptOfAlive(message.data));
          } else refuse(error);
        },
      });
      unsubscribe = () => subscription.unsubscribe();
      this.#unsubscribe = unsubscribe;
      // A refusal comes before the answer to this.
      this.#connection.flush().then(() => {
        if (!isRefused && this.#state !== 'closed') this.#become('subscribed', null);
      }, refuse);
    } catch (error) {
      refuse(error as Error);
    }
  }

  #become(state: HeartbeatState, error: Error | null): void {
    this.#state = state;
    this.#observer.changed(state, error);
  }
}
