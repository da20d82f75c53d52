import { setTimeout as delay } from 'node:timers/promises';
import type { NatsConnection } from 'nats';
import type { HeartbeatFacts, Observed } from '../../../internal/doctor/facts.js';
import { AliveSubscription } from '../../../internal/lifecycle/alive.js';
import { known, refusedSubject } from './observe.js';

const LOOK_MS = 50;
/** More jobs than these are not told apart. */
const MAX_HEARD = 1_000_000;

/** Hears the heartbeats of workers from when it is made. */
export class Heartbeats {
  readonly #heard = new Set<string>();
  readonly #since: number;
  readonly #now: () => number;
  readonly #subscription: AliveSubscription;
  #refused: Error | null = null;

  /** @param now a monotonic clock in ms */
  constructor(connection: NatsConnection, now: () => number) {
    this.#now = now;
    this.#since = now();
    this.#subscription = new AliveSubscription(connection, {
      heard: (id) => {
        if (this.#heard.size < MAX_HEARD) this.#heard.add(id);
      },
      changed: (state, error) => {
        if (state === 'refused') this.#refused = error;
      },
    });
  }

  /** Listens on until each of these jobs was heard, or for so long since the start. */
  async of(
    ids: readonly string[],
    listenMs: number,
    stopped: AbortSignal,
  ): Promise<Observed<HeartbeatFacts>> {
    const isDone = (): boolean => this.#refused !== null || ids.every((id) => this.#heard.has(id));
    while (!isDone() && this.#now() - this.#since < listenMs) {
      await delay(LOOK_MS, undefined, { signal: stopped }).catch(() => stopped.throwIfAborted());
    }
    if (this.#refused === null) {
      return known({ listenedMs: this.#now() - this.#since, heard: this.#heard });
    }
    const subject = refusedSubject(this.#refused);
    if (subject !== null) return { kind: 'not_permitted', subject };
    return { kind: 'failed', reason: this.#refused.message };
  }

  close(): void {
    this.#subscription.close();
  }
}
