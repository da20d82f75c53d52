import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  createInbox,
  DeliverPolicy,
  type JetStreamManager,
  type Msg,
  type NatsConnection,
  nanos,
  type Subscription,
} from 'nats';
import { deferred, within } from '../async.js';
import type { ConnectionMonitor, PermissionViolation } from './connection-monitor.js';
import type { ConsumerFailure, FailureReason } from './consumer-failure.js';
import { DeliveryReader } from './delivery.js';

/** What a server says of a pull that ends while the consumer stands. */
const PULL_ENDS = /batch completed|maxbytes/i;
const TOO_BIG = /maxbytes/i;
const PULL_EXPIRES_MS = 5_000;
const HEARTBEAT_MS = 1_000;
const MISSED_MS = 3_500;
/** Whoever reads may pause for so long, a person in a pager say, before the server takes the consumer away. */
const ABANDONED_MS = 5 * 60_000;

/** A message as the stream holds it. */
export interface StoredMessage {
  readonly seq: number;
  readonly subject: string;
  /** When it was stored, in ms since 1970. */
  readonly storedAt: number;
  readonly data: Uint8Array;
}

/** A message of an event may take so much; what is larger comes rarely. */
const LARGE_BYTES = 68 * 1024;
/** The most messages in a pull that is limited by their number: even if all are large, NATS does not cut the reader. */
const MAX_COUNTED = 400;

/** How much is asked for. */
export interface PullLimits {
  /**
   * The most bytes that are on their way or wait here, as NATS counts them (subjects and headers included). A larger
   * message is asked for by itself.
   */
  readonly bytes: number;
  /** The most messages in one pull; two or three may be open. */
  readonly messages: number;
  /**
   * Whether more is asked for while what came is worked on, and while nothing is there. Without it, each `take` asks
   * once, and what the stream holds then, up to the limits, is the answer.
   */
  readonly prefetch: boolean;
}

export interface PullAccess {
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  readonly stream: string;
  readonly monitor: ConnectionMonitor;
  /** Calls `refused` for what NATS does not permit the connection. @returns what ends that */
  readonly onRefused: (refused: (refusal: PermissionViolation) => void) => () => void;
}

/**
 * Makes a short-lived consumer: no acknowledgements, in memory, one copy.
 * @throws NatsError when it cannot be made
 */
export function addConsumer(
  { jsm, stream }: Pick<PullAccess, 'jsm' | 'stream'>,
  config: Partial<ConsumerConfig>,
): Promise<ConsumerInfo> {
  return jsm.consumers.add(stream, { ...EPHEMERAL, ...config });
}

/** Removes a consumer. Nobody waits for the answer; the server would remove it by itself, later. */
export function removeConsumer({ jsm, stream }: Pick<PullAccess, 'jsm' | 'stream'>, name: string): void {
  jsm.consumers.delete(stream, name).catch(() => undefined);
}

/** What all consumers have in common. */
export const EPHEMERAL = {
  ack_policy: AckPolicy.None,
  mem_storage: true,
  num_replicas: 1,
  inactive_threshold: nanos(ABANDONED_MS),
} as const satisfies Partial<ConsumerConfig>;

/**
 * Pulls what one consumer delivers, only as fast as it is taken, and limited by bytes. Delivery sequences are
 * contiguous, or the consumer is lost; so it is when heartbeats fail to come. All that arrives in one turn of the event
 * loop comes as one batch.
 */
export class PullConsumer {
  readonly info: ConsumerInfo;
  readonly failure: ConsumerFailure;
  readonly #access: PullAccess;
  readonly #limits: PullLimits;
  /** Pulls are limited by a number of messages, and not by their bytes. */
  #isCounting: boolean;
  #countsNoMore = false;
  /** What a message takes, of late; large ones count at once. */
  #messageBytes = LARGE_BYTES;
  readonly #nextSubject: string;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #forget: (() => void)[];
  readonly #ticker: NodeJS.Timeout;
  #buffer: StoredMessage[] = [];
  #bufferBytes = 0;
  /** The open pulls: the end of the subject that they are answered to, and the bytes that they asked for. */
  readonly #pulls = new Map<string, number>();
  #pullsMade = 0;
  /** Bytes, or messages, that open pulls may still bring. A pull that brings the last of it may end without a word. */
  #owed = 0;
  #delivered = 0;
  readonly #deliveries = new DeliveryReader();
  #pending: number;
  #hasAnswered = false;
  #wake: () => void = nobody;
  #heardAt = performance.now();
  #tickedAt = performance.now();
  /** The next message is larger than a pull may bring. */
  #isBig = false;

  constructor(access: PullAccess, info: ConsumerInfo, limits: PullLimits, failure: ConsumerFailure) {
    this.info = info;
    this.failure = failure;
    this.#access = access;
    this.#limits = limits;
    this.#pending = info.num_pending;
    // Servers lose the message that a pull has no bytes left for, when the consumer has a list of last messages to bring
    // (seen on 2.10.27 and 2.15.1).
    this.#isCounting = info.config.deliver_policy === DeliverPolicy.LastPerSubject;
    this.#nextSubject = `$JS.API.CONSUMER.MSG.NEXT.${access.stream}.${info.name}`;
    this.#inbox = createInbox();
    this.#subscription = access.connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#receive(message);
        else failure.fail('not_permitted', error.message);
      },
    });
    this.#forget = [
      failure.onFailed(() => this.#wake()),
      access.onRefused(({ subject }) => {
        if (subject === this.#nextSubject) failure.fail('not_permitted', `it does not permit ${subject}`);
      }),
    ];
    this.#ticker = setInterval(() => this.#tick(), HEARTBEAT_MS);
    this.#ticker.unref();
  }

  /** How many messages the consumer has still to deliver, as of the last one that came. */
  get pending(): number {
    return this.#pending;
  }

  /** How many messages have come. */
  get delivered(): number {
    return this.#delivered;
  }

  /** Whether NATS has answered any pull: it may say yes to everything else and refuse these. */
  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  /**
   * What has come, at once when anything has; else what comes within `ms`, or nothing; nothing also when NATS has answered
   * for the first time and holds nothing. Without prefetch it ends as soon as the pull has: what the stream held, or
   * nothing.
   * @param ms Infinity: for ever
   * @throws ConsumerLostError when nothing is left that came before the loss
   */
  async take(ms: number): Promise<readonly StoredMessage[]> {
    const { prefetch } = this.#limits;
    if (this.#buffer.length === 0 && this.failure.error === null) {
      this.#pull();
      await this.#woken(ms);
    }
    if (!prefetch) while (this.#pulls.size > 0 && this.failure.error === null) await this.#woken(ms);
    const batch = this.#buffer;
    if (batch.length === 0 && this.failure.error !== null) throw this.failure.error;
    this.#buffer = [];
    this.#bufferBytes = 0;
    // Asked for while what came is worked on.
    if (prefetch) this.#pull();
    return batch;
  }

  /** The consumer has brought all its last messages: bytes are the limit as soon as the open pulls are over. */
  limitByBytes(): void {
    this.#countsNoMore = true;
  }

  /** Ends the deliveries. The consumer stays. */
  close(): void {
    this.failure.dispose();
    clearInterval(this.#ticker);
    for (const forget of this.#forget) forget();
    if (!this.#access.connection.isClosed()) this.#subscription.unsubscribe();
  }

  /** Ends the deliveries, and removes the consumer if NATS is there to be asked. */
  async remove(): Promise<void> {
    this.close();
    const { connection, monitor } = this.#access;
    if (connection.isClosed() || !monitor.isConnected) return;
    removeConsumer(this.#access, this.info.name);
    await connection.flush().catch(() => undefined);
  }

  async #woken(ms: number): Promise<void> {
    const { promise, resolve } = deferred();
    this.#wake = () => {
      // Nobody waits any more for the messages that follow in the same turn.
      this.#wake = nobody;
      resolve();
    };
    await within(promise, ms, () => undefined);
    this.#wake = nobody;
  }

  #pull(): void {
    if (this.failure.error !== null) return;
    if (this.#countsNoMore && this.#isCounting) {
      // Nobody could tell which of the pulls a message comes by.
      if (this.#pulls.size > 0) return;
      this.#isCounting = false;
    }
    const { bytes, messages, prefetch } = this.#limits;
    const half = prefetch ? Math.ceil(bytes / 2) : bytes;
    const counted = Math.min(MAX_COUNTED, messages, Math.max(1, Math.floor(half / this.#messageBytes)));
    const owedBytes = this.#isCounting ? this.#owed * this.#messageBytes : this.#owed;
    const isFirst = this.#pullsMade === 0;
    // The first one asks for what is there, and so tells at once whether pulls are answered at all.
    const noWait = isFirst || !prefetch;
    const isOneAtOnce = noWait || this.#isBig;
    if (isOneAtOnce ? this.#pulls.size > 0 : owedBytes + this.#bufferBytes > bytes / 2) return;
    if (this.#pulls.size === 0) this.#heardAt = performance.now();
    const id = String(++this.#pullsMade);
    const request = {
      ...this.#sizeOfPull(counted, half),
      ...(noWait
        ? { no_wait: true }
        : { expires: nanos(PULL_EXPIRES_MS), idle_heartbeat: nanos(HEARTBEAT_MS) }),
    };
    const asked = this.#isCounting ? counted : half;
    this.#pulls.set(id, asked);
    this.#owed += asked;
    try {
      this.#access.connection.publish(this.#nextSubject, JSON.stringify(request), {
        reply: `${this.#inbox}.${id}`,
      });
    } catch (error) {
      this.failure.fail('disconnected', (error as Error).message);
    }
  }

  #sizeOfPull(counted: number, bytes: number): { batch: number; max_bytes?: number } {
    if (this.#isBig) return { batch: 1 };
    return this.#isCounting ? { batch: counted } : { batch: this.#limits.messages, max_bytes: bytes };
  }

  #receive(message: Msg): void {
    if (this.failure.error !== null) return;
    this.#heardAt = performance.now();
    const delivery = this.#deliveries.read(message.reply);
    if (delivery === null) {
      this.#heed(message);
      return;
    }
    if (delivery.deliverySequence !== this.#delivered + 1) {
      this.failure.fail('sequence_gap');
      return;
    }
    this.#hasAnswered = true;
    this.#delivered++;
    this.#pending = delivery.pending;
    const size = sizeOf(message);
    this.#bufferBytes += size;
    this.#buffer.push({
      seq: delivery.seq,
      subject: message.subject,
      storedAt: delivery.storedAt,
      data: message.data,
    });
    this.#messageBytes = Math.max(size, 0.98 * this.#messageBytes + 0.02 * size);
    if (this.#isBig) this.#owed = 0;
    else this.#owed -= this.#isCounting ? 1 : size;
    this.#isBig = false;
    if (this.#owed <= 0) this.#allEnded();
    if (this.#limits.prefetch || this.#pulls.size === 0) this.#wake();
  }

  // What is no message of the stream says something about a pull.
  #heed({ headers, subject }: Msg): void {
    const code = headers?.code ?? 0;
    const description = headers?.description ?? '';
    if (code === 100) {
      this.#answered();
      return;
    }
    if (code === 404 || code === 408 || (code === 409 && PULL_ENDS.test(description))) {
      this.#answered();
      const id = subject.slice(subject.lastIndexOf('.') + 1);
      const asked = this.#pulls.get(id);
      if (asked === undefined) return;
      this.#pulls.delete(id);
      const left = Number(headers?.get(`Nats-Pending-${this.#isCounting ? 'Messages' : 'Bytes'}`) || asked);
      if (TOO_BIG.test(description) && left >= asked) this.#isBig = true;
      this.#owed = Math.max(0, this.#owed - left);
      if (this.#pulls.size === 0 || this.#owed === 0) this.#allEnded();
      if (this.#limits.prefetch || (this.#isBig && this.#buffer.length === 0)) this.#pull();
      if (this.#pulls.size === 0) this.#wake();
      return;
    }
    this.failure.fail(reasonOf(code, description), detailOf(code, description));
  }

  // Whoever waits learns of the first answer at once, also of one that brings nothing.
  #answered(): void {
    if (this.#hasAnswered) return;
    this.#hasAnswered = true;
    this.#wake();
  }

  #allEnded(): void {
    this.#owed = 0;
    this.#pulls.clear();
  }

  #tick(): void {
    const now = performance.now();
    const isLate = now - this.#tickedAt > 2 * HEARTBEAT_MS;
    this.#tickedAt = now;
    // Whoever was held up itself, by a pipe that nobody read, may have heartbeats waiting.
    if (isLate) this.#heardAt = now;
    else if (this.#pulls.size > 0 && now - this.#heardAt > MISSED_MS) this.failure.fail('heartbeats_missed');
  }
}

const nobody = (): void => undefined;

// As NATS counts it against what a pull may bring. The package knows it of each message; its types do not say so.
function sizeOf(message: Msg): number {
  const { size } = message as Msg & { size?: () => number };
  return size === undefined ? message.data.byteLength : size.call(message);
}

function reasonOf(code: number, description: string): FailureReason {
  if (code === 503) return 'no_responders';
  return /consumer deleted|stream deleted/i.test(description) ? 'consumer_deleted' : 'pull_refused';
}

function detailOf(code: number, description: string): string {
  return code === 503 ? 'the consumer is gone' : (description || `status ${code}`).toLowerCase();
}
