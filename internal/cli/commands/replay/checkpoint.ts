import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import {
  AckPolicy,
  type Consumer,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  type JsMsg,
  nanos,
} from 'nats';
import { SUBJECT_FILTER, subjectOf } from '../../../../schemas/ids.js';
import { within } from '../../../async.js';
import { HeadwayError, NatsAuthError } from '../../../errors.js';
import { watchPermissionErrors } from '../../../jetstream/connection-monitor.js';
import { requestFailure } from '../../../jetstream/nats-errors.js';
import { UsageError } from '../../runtime/cli-context.js';
import type { StreamAccess } from '../../runtime/nats.js';
import { AckTracker } from './ack-tracker.js';
import { type Chosen, checkSame } from './range.js';

/** The consumers of replays; those of edges begin with `edge-`. */
const PREFIX = 'replay-';
const NAME = /^[A-Za-z0-9_-]{1,64}$/;
/** The server forgets a checkpoint that nobody has moved for so long. */
const FORGOTTEN_AFTER_MS = 30 * 24 * 3_600_000;
/** The most receipts that may be out at a time. */
const MAX_RECEIPTS = 1_000;
/** No more than so many messages are shown beyond the checkpoint: what a crash shows twice. */
export const MAX_UNPLACED = 2_000;
/** A receipt that a dead replay held comes again after this. */
const ACK_WAIT_MS = 2_000;
const FETCH_MS = 1_000;
const ROUND_MS = 50;
const RETRY_MS = 500;
/** How often it is looked whether the checkpoint is still ours. */
const LOOK_MS = 1_000;
const CLOSE_MS = 1_500;

/** Somebody else goes on from this checkpoint now, or it was removed. */
export class CheckpointTakenError extends HeadwayError {
  readonly code = 'place_lost';
}

const Key = { spelled: 'headway.range', chosen: 'headway.chosen', holder: 'headway.holder' } as const;

/** For `--durable`. */
export const isCheckpointName = (text: string): boolean => NAME.test(text);

/** Removes a checkpoint. @returns whether there was one */
export async function resetCheckpoint({ jsm, stream }: StreamAccess, name: string): Promise<boolean> {
  try {
    return await jsm.consumers.delete(stream, PREFIX + name);
  } catch (error) {
    if (requestFailure(error) === 'consumer_not_found') return false;
    throw error;
  }
}

/**
 * Where a replay stands, kept by a durable consumer of the stream that is read, so that whoever goes on, on whichever
 * machine, goes on there. docs/decisions/0018-replay-checkpoints.md
 *
 * The events themselves are read by another consumer, in order and checked. This one only hands out receipts (it
 * delivers headers, no bodies), and they are given back behind what was shown. So the checkpoint never stands before
 * something that was not shown; after a crash at most `MAX_UNPLACED` messages are shown again, in order.
 */
export class Checkpoint {
  readonly name: string;
  readonly chosen: Chosen;
  /** Everything up to this seq was shown before; null: this is the beginning. */
  readonly after: number | null;
  readonly #access: StreamAccess;
  readonly #consumer: Consumer;
  readonly #holder: string;
  readonly #ledger: AckTracker<JsMsg>;
  readonly #running: Promise<void>;
  #lost: Error | null = null;
  #isClosing = false;
  #lookedAt = performance.now();
  #wake: () => void = () => undefined;
  #eased: () => void = () => undefined;

  private constructor(
    access: StreamAccess,
    name: string,
    info: ConsumerInfo,
    chosen: Chosen,
    holder: string,
  ) {
    this.#access = access;
    this.name = name;
    this.chosen = chosen;
    this.#holder = holder;
    // The checkpoint of a consumer that was given nothing back is not told in the same way by all servers.
    this.after = info.ack_floor.consumer_seq === 0 ? null : info.ack_floor.stream_seq;
    this.#consumer = access.js.consumers.getPullConsumerFor(info);
    this.#ledger = new AckTracker(this.after ?? 0);
    watchPermissionErrors(access.connection, ({ subject }) => this.#refused(subject));
    this.#running = this.#run();
  }

  /**
   * The checkpoint of this name; it is made when it is missing. Whoever had it before loses it.
   * @param spelled the range that was asked for, as `spell` writes it
   * @param choose what it comes to, when the checkpoint is new
   * @throws UsageError when it is the checkpoint of another range
   */
  static async open(
    access: StreamAccess,
    name: string,
    spelled: string,
    choose: () => Promise<Chosen>,
  ): Promise<Checkpoint> {
    const { jsm, stream } = access;
    const durable = PREFIX + name;
    const holder = randomBytes(9).toString('base64url');
    const found = await jsm.consumers.info(stream, durable).catch((error: unknown) => {
      if (requestFailure(error) === 'consumer_not_found') return null;
      throw error;
    });
    if (found === null) {
      const chosen = await choose();
      const metadata = {
        [Key.spelled]: spelled,
        [Key.chosen]: JSON.stringify(chosen),
        [Key.holder]: holder,
      };
      const info = await jsm.consumers.add(stream, { ...consumerConfig(durable, chosen), metadata });
      return new Checkpoint(access, name, info, chosen, holder);
    }
    const { metadata = {} } = found.config;
    const chosen = parseChosen(metadata[Key.chosen]);
    if (chosen === null) {
      throw new UsageError(
        `The stream ${stream} has a consumer ${durable} that no replay has made: choose another name.`,
      );
    }
    checkSame(name, metadata[Key.spelled] ?? '', spelled);
    const info = await jsm.consumers.update(stream, durable, {
      metadata: { ...metadata, [Key.holder]: holder },
    } as Partial<ConsumerConfig>);
    return new Checkpoint(access, name, info, chosen, holder);
  }

  /** Everything up to `seq`, `count` messages more than last time, was shown. @throws CheckpointTakenError */
  show(seq: number, count: number): void {
    if (this.#lost !== null) throw this.#lost;
    this.#ledger.show(seq, count);
    this.#wake();
  }

  /** Waits while too much was shown that the checkpoint does not know of. @throws CheckpointTakenError */
  async room(signal: AbortSignal): Promise<void> {
    while (this.#ledger.unplaced >= MAX_UNPLACED) {
      signal.throwIfAborted();
      if (this.#lost !== null) throw this.#lost;
      await new Promise<void>((resolve) => {
        this.#eased = () => {
          signal.removeEventListener('abort', this.#eased);
          resolve();
        };
        signal.addEventListener('abort', this.#eased);
      });
    }
  }

  /** Moves the checkpoint behind all that was shown, if NATS answers soon. @returns false when it did not, and nobody was told */
  async close(): Promise<boolean> {
    this.#isClosing = true;
    this.#wake();
    await within(this.#running, CLOSE_MS, () => undefined);
    return this.#ledger.unplaced === 0 || this.#lost !== null;
  }

  async #run(): Promise<void> {
    while (this.#lost === null) {
      if (this.#ledger.unplaced === 0) {
        if (this.#isClosing) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const isOk = await this.#round().then(
        () => true,
        (error: unknown) => this.#failed(error),
      );
      this.#eased();
      if (this.#isClosing) {
        if (!isOk) return;
      } else if (!isOk || this.#ledger.unplaced < MAX_RECEIPTS) {
        await delay(isOk ? ROUND_MS : RETRY_MS, undefined, { ref: false });
      }
    }
    this.#eased();
  }

  async #round(): Promise<void> {
    const wanted = Math.min(MAX_RECEIPTS, this.#ledger.unplaced);
    const now = performance.now();
    if (now - this.#lookedAt >= LOOK_MS) {
      this.#lookedAt = now;
      await this.#look();
    }
    const messages = await this.#consumer.fetch({ max_messages: wanted, expires: FETCH_MS });
    for await (const message of messages) this.#ledger.take(message.seq, message);
    // The consumer acknowledges all before it, too.
    await this.#ledger.settle()?.receipt.ackAck();
  }

  async #look(): Promise<void> {
    const { jsm, stream } = this.#access;
    const { config } = await jsm.consumers.info(stream, PREFIX + this.name);
    if (config.metadata?.[Key.holder] === this.#holder) return;
    throw new CheckpointTakenError(
      `Another replay goes on from the checkpoint ${this.name} now, so this one ends. Give each its own --durable NAME.`,
    );
  }

  // What is sent without waiting for an answer, as receipts are, would else be refused in silence.
  #refused(subject: string): void {
    const { stream, shownUrl } = this.#access;
    const own = [
      `$JS.ACK.${stream}.${PREFIX}${this.name}.`,
      `$JS.API.CONSUMER.MSG.NEXT.${stream}.${PREFIX}${this.name}`,
    ];
    if (!own.some((one) => `${subject}.`.startsWith(one))) return;
    this.#lost ??= new NatsAuthError(
      shownUrl,
      `it does not permit ${subject}, and so no checkpoint can be kept`,
    );
    this.#eased();
    this.#wake();
  }

  #failed(error: unknown): false {
    if (error instanceof CheckpointTakenError) this.#lost ??= error;
    else if (requestFailure(error) === 'consumer_not_found') {
      this.#lost ??= new CheckpointTakenError(
        `The checkpoint ${this.name} was removed while it was used (the consumer ${PREFIX}${this.name} is gone).`,
      );
    }
    // Everything else passes: it is tried again.
    return false;
  }
}

function consumerConfig(durable: string, { id, from }: Chosen): ConsumerConfig {
  return {
    durable_name: durable,
    description: 'The checkpoint of a headway replay',
    filter_subject: id === null ? SUBJECT_FILTER : subjectOf(id),
    ack_policy: AckPolicy.All,
    ack_wait: nanos(ACK_WAIT_MS),
    max_ack_pending: MAX_RECEIPTS,
    headers_only: true,
    inactive_threshold: nanos(FORGOTTEN_AFTER_MS),
    ...startConfig(from),
  } as ConsumerConfig;
}

function startConfig(from: Chosen['from']): Partial<ConsumerConfig> {
  switch (from.kind) {
    case 'time':
      return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(from.ms).toISOString() };
    case 'seq':
      return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from.seq };
    default:
      return { deliver_policy: DeliverPolicy.All };
  }
}

function parseChosen(text: string | undefined): Chosen | null {
  if (text === undefined) return null;
  try {
    const value = JSON.parse(text) as Partial<Chosen> | null;
    return typeof value?.untilSeq === 'number' && typeof value.from?.kind === 'string'
      ? (value as Chosen)
      : null;
  } catch {
    return null;
  }
}
