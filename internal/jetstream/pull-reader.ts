import {
  AckPolicy,
  type ConsumerConfig,
  createInbox,
  type JetStreamManager,
  type Msg,
  type NatsConnection,
  nanos,
  type Subscription,
} from 'nats';
import type { NatsRefusal } from './connection.js';
import type { Link } from './link.js';

/** What a server says of a pull that ends while the consumer stands. */
const PULL_ENDS = /batch completed|maxbytes/i;
const TOO_BIG = /maxbytes/i;

/** A message as the stream holds it. */
export interface StoredMessage {
  readonly seq: number;
  readonly subject: string;
  /** When it was stored, in ms since 1970. */
  readonly storedAt: number;
  readonly data: Uint8Array;
}

/** The most messages that one pull asks for; two pulls are open at most. */
const PULL_MESSAGES = 2_000;
/** And the most bytes, so that messages of 64 KiB do not make memory grow. */
const PULL_BYTES = 4 * 1024 * 1024;
const PULL_EXPIRES_MS = 5_000;
const HEARTBEAT_MS = 1_000;
const MISSED_MS = 3_500;
/** Whoever reads may pause for so long, a person in a pager say, before the server takes the consumer away. */
const ABANDONED_MS = 5 * 60_000;

/** The consumer, or the way to it, is lost. What was given out before is contiguous; reading may go on after it. */
export class LaneLost extends Error {
  /** @param isFinal whether it would be lost again: NATS does not permit it */
  constructor(
    readonly reason: string,
    readonly isFinal = false,
  ) {
    super(`the consumer was lost: ${reason}`);
  }
}

export interface LaneAccess {
  readonly connection: NatsConnection;
  /** Patient: to find the last message of a million subjects takes a server seconds. */
  readonly jsm: JetStreamManager;
  readonly stream: string;
  readonly link: Link;
  /** Calls `refused` for what NATS does not permit the connection. @returns what ends that */
  readonly onRefused: (refused: (refusal: NatsRefusal) => void) => () => void;
}

/**
 * One short-lived consumer and what it delivers, pulled only as fast as it is taken. Delivery sequences are
 * contiguous, or the lane is lost; so are heartbeats that fail to come.
 */
export class Lane {
  readonly #access: LaneAccess;
  readonly #name: string;
  readonly #subscription: Subscription;
  readonly #inbox: string;
  readonly #forget: () => void;
  readonly #ticker: NodeJS.Timeout;
  #buffer: StoredMessage[] = [];
  #bufferBytes = 0;
  /** Messages that open pulls may still bring. */
  #owed = 0;
  #delivered = 0;
  #pending: number;
  #lost: LaneLost | null = null;
  #wake: () => void = () => undefined;
  #heardAt = performance.now();
  #tickedAt = performance.now();
  #isBig = false;
  #broughtByPull = 0;

  /** @throws NatsError when the consumer cannot be made */
  static async open(access: LaneAccess, config: Partial<ConsumerConfig>): Promise<Lane> {
    const info = await access.jsm.consumers.add(access.stream, {
      ack_policy: AckPolicy.None,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(ABANDONED_MS),
      ...config,
    });
    return new Lane(access, info.name, info.num_pending, info.delivered.stream_seq);
  }

  private constructor(
    access: LaneAccess,
    name: string,
    pending: number,
    /** The sequence after which the consumer began, as far as its server knew. */
    readonly startsAfter: number,
  ) {
    this.#access = access;
    this.#name = name;
    this.#pending = pending;
    this.#inbox = createInbox();
    this.#subscription = access.connection.subscribe(this.#inbox, {
      callback: (error, message) => {
        if (error === null) this.#take(message);
        else this.#lose(error.message, true);
      },
    });
    const forgetLink = access.link.onLost(() => this.#lose('the connection to NATS was lost'));
    if (!access.link.isUp) this.#lose('the connection to NATS was lost');
    const forgetRefusals = access.onRefused(({ subject }) => {
      if (subject === this.#nextSubject) this.#lose(`it does not permit ${subject}`, true);
    });
    this.#forget = () => {
      forgetLink();
      forgetRefusals();
    };
    this.#ticker = setInterval(() => this.#tick(), HEARTBEAT_MS);
    this.#ticker.unref();
  }

  /** How many messages the consumer has still to deliver, as of the last one that came. */
  get pending(): number {
    return this.#pending;
  }

  /**
   * What has come, at once when anything has; else what comes within `ms`, or nothing.
   * @throws LaneLost when nothing is left that came before the loss
   */
  async take(ms: number): Promise<readonly StoredMessage[]> {
    if (this.#buffer.length === 0 && this.#lost === null) {
      this.#pull();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = () => undefined;
    }
    const batch = this.#buffer;
    if (batch.length === 0 && this.#lost !== null) throw this.#lost;
    this.#buffer = [];
    this.#bufferBytes = 0;
    // Asked for while what came is worked on.
    this.#pull();
    return batch;
  }

  /** Whether the server says that nothing is left to deliver. */
  async isDrained(): Promise<boolean> {
    const info = await this.#access.jsm.consumers.info(this.#access.stream, this.#name);
    return info.num_pending === 0 && info.delivered.consumer_seq === this.#delivered;
  }

  /** Removes the consumer, if NATS is there to be asked. */
  async close(): Promise<void> {
    this.#lose('closed');
    clearInterval(this.#ticker);
    this.#forget();
    const { connection, jsm, link, stream } = this.#access;
    if (connection.isClosed() || !link.isUp) return;
    this.#subscription.unsubscribe();
    // Nobody waits for the answer; the server would remove it by itself, later.
    jsm.consumers.delete(stream, this.#name).catch(() => undefined);
    await connection.flush().catch(() => undefined);
  }

  get #nextSubject(): string {
    return `$JS.API.CONSUMER.MSG.NEXT.${this.#access.stream}.${this.#name}`;
  }

  #pull(): void {
    if (this.#lost !== null || this.#owed > PULL_MESSAGES / 2) return;
    if (this.#buffer.length > PULL_MESSAGES / 2 || this.#bufferBytes > PULL_BYTES / 2) return;
    if (this.#owed === 0) {
      this.#heardAt = performance.now();
      this.#broughtByPull = 0;
    }
    // One message may be larger than all that a pull may bring; then it is asked for by itself.
    const size = this.#isBig ? { batch: 1 } : { batch: PULL_MESSAGES, max_bytes: PULL_BYTES };
    this.#owed += size.batch;
    const request = { ...size, expires: nanos(PULL_EXPIRES_MS), idle_heartbeat: nanos(HEARTBEAT_MS) };
    try {
      this.#access.connection.publish(this.#nextSubject, JSON.stringify(request), { reply: this.#inbox });
    } catch (error) {
      this.#lose((error as Error).message);
    }
  }

  #take(message: Msg): void {
    if (this.#lost !== null) return;
    this.#heardAt = performance.now();
    const delivery = parseDelivery(message.reply);
    if (delivery === null) {
      this.#heed(message);
      return;
    }
    if (delivery.deliverySequence !== this.#delivered + 1) {
      this.#lose('a message was lost on its way');
      return;
    }
    this.#delivered++;
    this.#owed = Math.max(0, this.#owed - 1);
    this.#broughtByPull++;
    this.#isBig = false;
    this.#pending = delivery.pending;
    this.#bufferBytes += message.data.byteLength;
    this.#buffer.push({
      seq: delivery.seq,
      subject: message.subject,
      storedAt: delivery.storedAt,
      data: message.data,
    });
    this.#wake();
  }

  // What is no message of the stream says something about a pull.
  #heed({ headers }: Msg): void {
    const code = headers?.code ?? 0;
    if (code === 100) return;
    const ended = Number(headers?.get('Nats-Pending-Messages') || this.#owed);
    const description = headers?.description ?? '';
    if (code === 404 || code === 408 || (code === 409 && PULL_ENDS.test(description))) {
      this.#owed = Math.max(0, this.#owed - ended);
      if (TOO_BIG.test(description) && this.#broughtByPull === 0) this.#isBig = true;
      if (this.#owed === 0) this.#pull();
      return;
    }
    this.#lose(code === 503 ? 'it is gone' : (description || `status ${code}`).toLowerCase());
  }

  #tick(): void {
    const now = performance.now();
    const isLate = now - this.#tickedAt > 2 * HEARTBEAT_MS;
    this.#tickedAt = now;
    // Whoever was held up itself, by a pipe that nobody read, may have heartbeats waiting.
    if (isLate) this.#heardAt = now;
    else if (this.#owed > 0 && now - this.#heardAt > MISSED_MS) this.#lose('no heartbeat came');
  }

  #lose(reason: string, isFinal = false): void {
    this.#lost ??= new LaneLost(reason, isFinal);
    this.#wake();
  }
}

interface Delivery {
  readonly seq: number;
  readonly deliverySequence: number;
  readonly storedAt: number;
  readonly pending: number;
}

/**
 * What JetStream says of a message in its reply subject: `$JS.ACK.<stream>.<consumer>.<count>.<seq>.<delivery>.<ns>.
 * <pending>`, or with domain and account behind `ACK`. The package reads it too, but only for messages of its own.
 */
export function parseDelivery(reply: string | undefined): Delivery | null {
  if (reply === undefined || !reply.startsWith('$JS.ACK.')) return null;
  const tokens = reply.split('.');
  const at = tokens.length === 9 ? 4 : 6;
  return {
    seq: Number(tokens[at + 1]),
    deliverySequence: Number(tokens[at + 2]),
    storedAt: Math.floor(Number(tokens[at + 3]) / 1e6),
    pending: Number(tokens[at + 4]),
  };
}
