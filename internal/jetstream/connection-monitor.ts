import { Events, type NatsConnection } from 'nats';

/** The connection to NATS was lost before the answer came. */
export class LinkLostError extends Error {
  constructor() {
    super('the connection to NATS was lost');
  }
}

/**
 * Whether the connection to NATS stands. The package `nats` reconnects by itself, but drops in silence what is
 * published while it does, and leaves requests that a lost server owed to run into their time-outs. So requests are
 * made only while the link is up, and are given up the moment it is lost.
 */
export class Link {
  #state: 'up' | 'down' = 'up';
  readonly #onLost = new Set<() => void>();
  readonly #onUp = new Set<() => void>();

  constructor(connection: NatsConnection) {
    void this.#watch(connection);
  }

  get isUp(): boolean {
    return this.#state === 'up';
  }

  /** Calls `listener` at the next loss. @returns a function that takes the listener back */
  onLost(listener: () => void): () => void {
    this.#onLost.add(listener);
    return () => this.#onLost.delete(listener);
  }

  /** Resolves when the link is up; at once when it is. Rejects with the signal's reason when that is aborted first. */
  up(signal: AbortSignal): Promise<void> {
    if (this.isUp) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void) => () => {
        this.#onUp.delete(onUp);
        signal.removeEventListener('abort', onAbort);
        finish();
      };
      const onUp = settle(resolve);
      const onAbort = settle(() => reject(signal.reason));
      this.#onUp.add(onUp);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /**
   * What `request` answers, or LinkLostError as soon as the link is lost.
   * @param signal stops waiting for the link
   */
  async during<T>(signal: AbortSignal, request: () => Promise<T>): Promise<T> {
    await this.up(signal);
    let forget: () => void = () => undefined;
    const lost = new Promise<never>((_resolve, reject) => {
      forget = this.onLost(() => reject(new LinkLostError()));
    });
    try {
      return await Promise.race([request(), lost]);
    } finally {
      forget();
    }
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) {
      if (type === Events.Disconnect) {
        this.#state = 'down';
        for (const listener of [...this.#onLost]) listener();
      } else if (type === Events.Reconnect) {
        this.#state = 'up';
        for (const listener of [...this.#onUp]) listener();
      }
    }
  }
}
