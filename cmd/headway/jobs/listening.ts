import { setTimeout as delay } from 'node:timers/promises';
import type { NatsConnection } from 'nats';
import { AliveSubscription } from '../../../internal/lifecycle/alive.js';

const LOOK_MS = 100;
/** Ids that nobody asked for are of no interest; anybody may send any number of them. */
const MAX_HEARD = 1_000_000;

/** Hears from which jobs heartbeats come, from when it is made until it is closed. */
export class Listening {
  readonly #subscription: AliveSubscription;
  readonly #heard = new Set<string>();
  readonly #startedAt = performance.now();
  #refusal: string | null = null;

  constructor(connection: NatsConnection) {
    this.#subscription = new AliveSubscription(connection, {
      heard: (id) => {
        if (this.#heard.size < MAX_HEARD) this.#heard.add(id);
      },
      changed: (state, error) => {
        if (state === 'refused') this.#refusal = error?.message ?? 'refused';
      },
    });
  }

  /** Why nothing can be heard; null where it can. */
  get refusal(): string | null {
    return this.#refusal;
  }

  get listenedMs(): number {
    return performance.now() - this.#startedAt;
  }

  has(id: string): boolean {
    return this.#heard.has(id);
  }

  /**
   * Waits until it has listened for `ms` from its beginning, or that is enough, or heartbeats cannot be heard.
   * @throws the signal's reason
   */
  async wait(ms: number, isEnough: () => boolean, signal: AbortSignal): Promise<void> {
    while (this.#refusal === null && this.listenedMs < ms && !isEnough()) {
      await delay(LOOK_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  close(): void {
    this.#subscription.close();
  }
}
