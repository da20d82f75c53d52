import { setTimeout as delay } from 'node:timers/promises';
import type { NatsConnection } from 'nats';
import { HeartbeatSubscription } from '../../jetstream/heartbeat-subscription.js';

const LOOK_MS = 100;
/** Ids that nobody asked for are of no interest; anybody may send any number of them. */
const MAX_HEARD = 1_000_000;

/** Which attempt of a job would have to be heard. */
export interface HeartbeatTarget {
  readonly id: string;
  /** undefined: its newest event names none, and any heartbeat is its. */
  readonly attempt?: number | undefined;
}

interface Heard {
  readonly attempt: number;
  /** By the clock of `performance`. */
  readonly at: number;
}

/** Hears from which jobs heartbeats come, from when it is made until it is closed. */
export class HeartbeatListener {
  readonly #subscription: HeartbeatSubscription;
  /** The highest attempt that was heard of a job; Infinity: of one that was not named. */
  readonly #heard = new Map<string, Heard>();
  readonly #startedAt = performance.now();
  #refusal: Error | null = null;

  constructor(connection: NatsConnection) {
    this.#subscription = new HeartbeatSubscription(connection, {
      heard: (id, attempt) => {
        const before = this.#heard.get(id);
        if (before === undefined && this.#heard.size >= MAX_HEARD) return;
        const by = attempt ?? Number.POSITIVE_INFINITY;
        // A worker that lost its job keeps no newer attempt alive.
        if (before === undefined || by >= before.attempt) {
          this.#heard.set(id, { attempt: by, at: performance.now() });
        }
      },
      changed: (state, error) => {
        if (state === 'denied') this.#refusal = error;
      },
    });
  }

  /** Why nothing can be heard; null where it can. */
  get refusal(): Error | null {
    return this.#refusal;
  }

  get listenedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** Whether the job gave a sign of life. A worker of an older attempt lives on when it does not know that it lost its job. */
  has({ id, attempt = 0 }: HeartbeatTarget): boolean {
    return (this.#heard.get(id)?.attempt ?? -1) >= attempt;
  }

  /** How long ago the job gave its last sign of life, in ms; Infinity: none was heard. */
  silenceMs(awaited: HeartbeatTarget): number {
    const heard = this.#heard.get(awaited.id);
    return heard !== undefined && this.has(awaited) ? performance.now() - heard.at : Number.POSITIVE_INFINITY;
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
