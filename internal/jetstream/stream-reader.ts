import { type ConsumerConfig, type ConsumerInfo, DeliverPolicy } from 'nats';
import { ConsumerFailure, type FailureReason } from './consumer-failure.js';
import { requestFailure } from './nats-errors.js';
import {
  addConsumer,
  type PullAccess,
  PullConsumer,
  type PullLimits,
  removeConsumer,
  type StoredMessage,
} from './pull-reader.js';
import { ALL_SUBJECTS, nextSeq } from './stream.js';

/** How long what comes is waited for before anybody asks whether there is more. */
const LOOK_MS = 200;
/** After so many looks in vain the leader is asked, although the consumer says that more is on its way. */
const LOOKS_BEFORE_ASKING = 15;
/** A consumer of last states that stands still for so many looks below its end has left something out. */
const LOOKS_BEFORE_ALL = 2;

/** Where a read begins. */
export type StartPlace =
  /** From a stream sequence on, from 1. */
  | { readonly kind: 'seq'; readonly seq: number }
  /** From the first message that was stored then or later: ms since 1970, by the server's clock. */
  | { readonly kind: 'time'; readonly ms: number }
  /** The newest message of each subject, then what follows. */
  | { readonly kind: 'last' };

export interface ReaderOptions {
  /** null: all that the stream holds, also what is no job's. A pattern would leave out what is stored on a pattern. */
  readonly subject: string | null;
  readonly from: StartPlace;
  readonly pull: PullLimits;
  /** Puts a question to NATS, and gives it up when it has to be. */
  readonly ask: <T>(request: () => Promise<T>) => Promise<T>;
  /** Makes the consumer. By default one that has no name. */
  readonly create?: (config: Partial<ConsumerConfig>) => Promise<ConsumerInfo>;
  /** Whether all that `create` makes have one name, so that the next one takes the place of the last. */
  readonly isNamed?: boolean;
  /** Counts as a failure of the consumer when it is aborted. */
  readonly stop?: AbortSignal;
}

/** The last sequence that is wanted; `last`: where the newest messages end as of when they are asked for; null: no end. */
export type ReadEnd = number | 'last' | null;

/**
 * Reads the stream from a place on, in its order, by one consumer after the other. It keeps its place: after a failure
 * `open` goes on behind what was given out, so that nothing is left out and nothing comes twice. Sequences that are
 * missing in what it gives out are not kept by the stream.
 *
 * With `last` a subject comes again when it has a newer message. After an interruption the newest messages are not read
 * from the beginning: what has come stays, and the rest is read by whichever consumer has less to deliver.
 */
export class StreamReader {
  readonly #access: PullAccess;
  readonly #options: ReaderOptions;
  #place: StartPlace;
  #read: number;
  #end: ReadEnd;
  /** Where the newest messages ended that a consumer of them was made for; 0: there was none. */
  #upTo = 0;
  /** What had been read when the last consumer was made; -1: there was none. */
  #readAtOpen = -1;
  #consumer: PullConsumer | null = null;
  #idleLooks = 0;

  constructor(access: PullAccess, options: ReaderOptions, end: ReadEnd = null) {
    this.#access = access;
    this.#options = options;
    this.#place = options.from;
    this.#read = options.from.kind === 'seq' ? options.from.seq - 1 : 0;
    this.#end = end;
  }

  /** The last sequence that was given out, or below which nothing is wanted. */
  get read(): number {
    return this.#read;
  }
  /** The sequence at which it is at its end; null: there is none. With `last` more may come, and is given out, too. */
  get end(): number | null {
    return this.#end === 'last' ? this.#upTo : this.#end;
  }
  /** What the open consumer is; null: none is open. */
  get consumer(): Pick<PullConsumer, 'info' | 'pending' | 'delivered' | 'hasAnswered'> | null {
    return this.#consumer;
  }

  /** All that is stored behind what was read is wanted from now on, without an end. The open consumer goes on. */
  goOn(): void {
    this.#end = null;
    this.#place = { kind: 'seq', seq: this.#read + 1 };
    this.#consumer?.limitByBytes();
  }

  /** The stream is another one: what was read of the old one says nothing. @param seq where to begin */
  startOver(seq: number): void {
    this.#read = seq - 1;
    this.#readAtOpen = -1;
    if (this.#place.kind === 'seq') this.#place = { kind: 'seq', seq };
  }

  /**
   * Makes a consumer behind what was read.
   * @throws ConsumerLostError, NatsError when it cannot be made
   */
  async open(): Promise<void> {
    this.close();
    const failure = new ConsumerFailure(this.#access.monitor, this.#options.stop);
    try {
      const info = await this.#make();
      this.#consumer = new PullConsumer(this.#access, info, this.#options.pull, failure);
      if (this.#place.kind === 'time') this.#read = Math.max(this.#read, info.delivered.stream_seq);
      // Asked before anything is pulled, so that the answer waits behind nothing. What the consumer took for the last
      // ones lies at or below what is the newest now.
      if (this.#place.kind === 'last') this.#upTo = (await this.#state()).last_seq;
    } catch (error) {
      if (this.#consumer === null) failure.dispose();
      else this.close();
      throw error;
    }
    this.#readAtOpen = this.#read;
    this.#idleLooks = 0;
  }

  /**
   * The next messages; none when none came for a while.
   * @param ms how long they are waited for; Infinity: until some come
   * @throws ConsumerLostError
   */
  async next(ms: number = LOOK_MS): Promise<readonly StoredMessage[]> {
    const taken = (await this.#consumer?.take(ms)) ?? [];
    const last = taken.at(-1);
    if (last === undefined) {
      this.#idleLooks++;
      return taken;
    }
    this.#idleLooks = 0;
    const { min, max } = {
      min: this.#read,
      max: typeof this.#end === 'number' ? this.#end : Number.MAX_SAFE_INTEGER,
    };
    const place = this.#place;
    this.#read = Math.max(this.#read, last.seq);
    const isWhole =
      (taken[0]?.seq ?? 0) > min &&
      last.seq <= max &&
      !(place.kind === 'time' && (taken[0]?.storedAt ?? 0) < place.ms);
    if (isWhole) return taken;
    return taken.filter(
      ({ seq, storedAt }) =>
        seq > min && seq <= max && (place.kind !== 'time' || storedAt >= Math.floor(place.ms)),
    );
  }

  /**
   * Whether all up to `end` was given out. Nobody is asked while the consumer says that more is on its way: the answer
   * would wait behind it. "Nothing is left" alone does not end a read: the consumer may stand on a copy of the stream
   * that lags, and the message at the end may be gone by now. So the leader is asked then.
   */
  async isAtEnd(end: number | null = this.end): Promise<boolean> {
    if (end === null) return false;
    if (this.#read >= end) return true;
    const consumer = this.#consumer;
    if (consumer === null) return false;
    if (consumer.pending > 0 && this.#idleLooks < LOOKS_BEFORE_ASKING) return false;
    const { delivered } = consumer;
    const next = await this.#nextKept().catch((error: unknown) => {
      // It may have come too late, behind what came meanwhile.
      if (isLate(error) && consumer.delivered > delivered) return null;
      throw error;
    });
    if (next === null) return false;
    if (next === 0 || next > end) return true;
    // Older servers leave subjects out. What follows is read as it is stored.
    const looks = consumer.pending > 0 ? LOOKS_BEFORE_ASKING : LOOKS_BEFORE_ALL;
    if (this.#place.kind === 'last' && this.#idleLooks >= looks) {
      this.#place = { kind: 'seq', seq: this.#read + 1 };
      await this.open();
    }
    return false;
  }

  /** The open consumer is of no use. What came before is still given out. */
  fail(reason: FailureReason, detail?: string): void {
    this.#consumer?.failure.fail(reason, detail);
  }

  /** Ends the deliveries. The consumer stays. */
  close(): void {
    this.#consumer?.close();
    this.#consumer = null;
  }

  /** Ends the deliveries and removes the consumer. */
  async remove(): Promise<void> {
    const consumer = this.#consumer;
    this.#consumer = null;
    await consumer?.remove();
  }

  async #make(): Promise<ConsumerInfo> {
    const place = this.#place;
    switch (place.kind) {
      case 'seq':
        return this.#create(this.#fromNext());
      case 'time':
        if (this.#read > 0) return this.#create(this.#fromNext());
        return this.#create({
          ...this.#filter(),
          deliver_policy: DeliverPolicy.StartTime,
          opt_start_time: new Date(place.ms).toISOString(),
        });
      case 'last':
        return this.#makeLast();
    }
  }

  // Whatever has not come yet lies behind what has: in the newest messages, which begin from the first one again, or in
  // all messages from there on. The shorter way is taken; but after a try that brought nothing always the second, which
  // gets nearer with each message that arrives.
  async #makeLast(): Promise<ConsumerInfo> {
    if (this.#read > 0) {
      const isStuck = this.#read <= this.#readAtOpen;
      const rest = await this.#create(this.#fromNext());
      const subjects = isStuck ? 0 : ((await this.#state()).num_subjects ?? 0);
      if (isStuck || rest.num_pending <= subjects) {
        this.#place = { kind: 'seq', seq: this.#read + 1 };
        return rest;
      }
      if (this.#options.isNamed !== true) removeConsumer(this.#access, rest.name);
    }
    return this.#create({
      filter_subject: this.#options.subject ?? ALL_SUBJECTS,
      deliver_policy: DeliverPolicy.LastPerSubject,
    });
  }

  #create(config: Partial<ConsumerConfig>): Promise<ConsumerInfo> {
    const { create, ask } = this.#options;
    return create === undefined ? ask(() => addConsumer(this.#access, config)) : create(config);
  }

  #fromNext(): Partial<ConsumerConfig> {
    return {
      ...this.#filter(),
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.#read + 1,
    };
  }

  #filter(): Partial<ConsumerConfig> {
    const { subject } = this.#options;
    return subject === null ? {} : { filter_subject: subject };
  }

  #nextKept(): Promise<number> {
    const { jsm, stream } = this.#access;
    const { subject, ask } = this.#options;
    return ask(() => nextSeq(jsm, stream, subject ?? ALL_SUBJECTS, this.#read + 1));
  }

  async #state() {
    const { jsm, stream } = this.#access;
    return (await this.#options.ask(() => jsm.streams.info(stream))).state;
  }
}

/** Whether an answer did not come in time; it may still be on its way. */
export function isLate(error: unknown): boolean {
  return requestFailure(error) === 'timeout';
}
