import { ConsumerEvents, type ConsumerMessages } from 'nats';
import { AbortError } from 'p-retry';
import type { Link } from './link.js';

export type FaultReason =
  | 'disconnected'
  | 'heartbeats_missed'
  | 'consumer_deleted'
  | 'stream_deleted'
  | 'delivery_hole'
  | 'no_responders'
  | 'failed'
  | 'closed';

/** The first thing that goes wrong with one consumer, from whichever side it is noticed. */
export class Fault {
  readonly happened: Promise<FaultReason>;
  #resolve: (reason: FaultReason) => void = () => undefined;
  #reason: FaultReason | null = null;
  #messages: ConsumerMessages | null = null;
  readonly #stop: AbortSignal;
  readonly #onStop = () => this.happen('closed');
  readonly #forgetLink: () => void;

  constructor(link: Link, stop: AbortSignal) {
    this.#stop = stop;
    this.happened = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    stop.addEventListener('abort', this.#onStop, { once: true });
    this.#forgetLink = link.onLost(() => this.happen('disconnected'));
    if (!link.isUp) this.happen('disconnected');
  }

  get reason(): FaultReason | null {
    return this.#reason;
  }

  happen(reason: FaultReason): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#resolve(reason);
  }

  /** `promise`, or a failure as soon as the fault happens: NATS does not fail what a lost server owes. */
  orFail<T>(promise: Promise<T>): Promise<T> {
    const failed = this.happened.then((reason): never => {
      throw new AbortError(new Error(`the feed was lost: ${reason}`));
    });
    failed.catch(() => undefined);
    return Promise.race([promise, failed]);
  }

  watch(messages: ConsumerMessages): void {
    this.#messages = messages;
    void this.#watchMessages(messages);
  }

  dispose(): void {
    this.happen('closed');
    this.#stop.removeEventListener('abort', this.#onStop);
    this.#messages?.close().catch(() => undefined);
    this.#forgetLink();
  }

  async #watchMessages(messages: ConsumerMessages): Promise<void> {
    for await (const { type } of await messages.status()) {
      const reason = FAULT_OF[type as string];
      if (reason !== undefined) this.happen(reason);
    }
  }
}

const FAULT_OF: Readonly<Record<string, FaultReason>> = {
  [ConsumerEvents.HeartbeatsMissed]: 'heartbeats_missed',
  [ConsumerEvents.ConsumerNotFound]: 'consumer_deleted',
  [ConsumerEvents.ConsumerDeleted]: 'consumer_deleted',
  [ConsumerEvents.StreamNotFound]: 'stream_deleted',
  [ConsumerEvents.NoResponders]: 'no_responders',
};
