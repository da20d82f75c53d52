import { setTimeout as delay } from 'node:timers/promises';
import type { ConsumerConfig, ConsumerInfo, JetStreamManager, NatsConnection } from 'nats';
import { NatsError } from 'nats';
import { EdgeIdConflictError } from '../errors.js';
import { EPHEMERAL } from './pull-reader.js';
import type { AdaptiveTimeout } from './request-timeout.js';

/** A consumer whose server is gone is deleted without an answer, so this is all that one is waited for. */
const DELETE_MS = 250;
/** A little more than a pull of a dead edge can last. */
const NAME_TAKEN_MS = 7_000;
const NAME_CHECK_MS = 100;
/**
 * An edge that is busy renews its pull late, and seems to be gone for a moment. Looks are counted, and not time: two of
 * them with a long pause between tell nothing of that pause.
 */
const NAME_FREE_LOOKS = 15;
/** The consumer's metadata that says which process made it. */
const INSTANCE = 'headway_instance';
/** How long the server may take to find the last messages of a million subjects. */
const CREATE_MS = 60_000;

export interface EdgeConsumerOptions {
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  readonly stream: string;
  readonly edgeId: string;
  /** Names this process among all that ever ran under the edge's id. */
  readonly instance: string;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
}

/** The one consumer of an edge, under the edge's own name. docs/decisions/0002-one-durable-consumer-per-edge.md */
export class EdgeConsumer {
  readonly name: string;
  readonly #options: EdgeConsumerOptions;

  constructor(options: EdgeConsumerOptions) {
    this.#options = options;
    this.name = `edge-${options.edgeId}`;
  }

  /**
   * Waits until nobody pulls from it. Two edges that pull from one consumer would take each other's events. Of an edge
   * that is gone the pulls expire.
   * @throws EdgeIdConflictError
   */
  async waitForConsumerName(): Promise<void> {
    const { jsm, stream, edgeId, now } = this.#options;
    const giveUpAt = now() + NAME_TAKEN_MS;
    for (let quiet = 0; quiet < NAME_FREE_LOOKS; ) {
      const consumer = await jsm.consumers.info(stream, this.name).catch(() => null);
      if (consumer === null) return;
      quiet = consumer.num_waiting > 0 ? 0 : quiet + 1;
      if (quiet === 0 && now() >= giveUpAt) throw new EdgeIdConflictError(edgeId);
      await delay(NAME_CHECK_MS);
    }
  }

  /**
   * Makes it in place of the last one.
   * @throws EdgeIdConflictError while another process pulls from it; NatsError
   */
  async create(timeout: AdaptiveTimeout, config: Partial<ConsumerConfig>): Promise<ConsumerInfo> {
    const { jsm, stream } = this.#options;
    await this.#yieldToOwner(timeout);
    await timeout
      .answer('removing the consumer', jsm.consumers.delete(stream, this.name), DELETE_MS)
      .catch(() => false);
    const isSlow = config.filter_subject !== undefined;
    return timeout.answer('making the consumer', this.#add(config), isSlow ? CREATE_MS : undefined);
  }

  /** Removes it. Never rejects. */
  async remove(): Promise<void> {
    const { jsm, stream } = this.#options;
    await jsm.consumers.delete(stream, this.name).catch(() => undefined);
  }

  // An edge that was frozen for long finds that another has taken its id meanwhile. Each would take the consumer from
  // the other for ever; so the one that comes back waits until the other is gone, and says so.
  async #yieldToOwner(timeout: AdaptiveTimeout): Promise<void> {
    const { jsm, stream, edgeId, instance } = this.#options;
    const info = await timeout
      .answer('looking at the consumer', jsm.consumers.info(stream, this.name), DELETE_MS)
      .catch(() => null);
    if (info === null || info.num_waiting === 0 || info.config.metadata?.[INSTANCE] === instance) return;
    throw new EdgeIdConflictError(edgeId);
  }

  // The package would ask by a subject that holds the name. The older one takes a name, too, and is what an edge was
  // always permitted, whatever the filter is.
  async #add(config: Partial<ConsumerConfig>): Promise<ConsumerInfo> {
    const { connection, stream, instance } = this.#options;
    const request = {
      stream_name: stream,
      config: { ...EPHEMERAL, name: this.name, metadata: { [INSTANCE]: instance }, ...config },
    };
    const answer = await connection.request(`$JS.API.CONSUMER.CREATE.${stream}`, JSON.stringify(request), {
      timeout: CREATE_MS,
    });
    const info = answer.json<
      ConsumerInfo & { error?: { code: number; err_code: number; description: string } }
    >();
    if (info.error === undefined) return info;
    const error = new NatsError(info.error.description, String(info.error.code));
    error.api_error = info.error;
    throw error;
  }
}
