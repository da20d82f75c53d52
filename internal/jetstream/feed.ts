import { setTimeout as delay } from 'node:timers/promises';
import {
  AckPolicy,
  ConsumerEvents,
  type ConsumerInfo,
  type ConsumerMessages,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  type NatsConnection,
  nanos,
  type StreamInfo,
} from 'nats';
import pRetry, { AbortError } from 'p-retry';
import { SUBJECT_FILTER } from '../../schemas/ids.js';
import { decodeEvent, type InvalidReason } from '../eventlog/decode.js';
import type { EventLog } from '../eventlog/log.js';
import type { LogRecord } from '../eventlog/record.js';
import { isAtLeast, redactUrl } from './connection.js';
import type { Link } from './link.js';
import { ensureStream, epochOf, newestSeq, type StreamSpec } from './stream.js';

/** What the feed tells the rest of the edge. Called in the order of the stream. */
export interface FeedSink {
  /** The log is about to be emptied and loaded anew. */
  restarts(): void;
  /** The log is loaded. */
  ready(): void;
  /** The log's head moved; null: by a message that is not an event. */
  appended(record: LogRecord | null): void;
  /** A stored message is not an event. */
  invalid(seq: number, subject: string, reason: InvalidReason, detail: string): void;
  /** The feed was lost for this reason and is being rebuilt. */
  lost(reason: FaultReason): void;
  /** A try to rebuild it failed; the next one follows. */
  failed(error: Error): void;
  /** The feed follows the stream (again), so many milliseconds after it was lost or started. */
  following(ms: number): void;
}

export type FaultReason =
  | 'disconnected'
  | 'heartbeats_missed'
  | 'consumer_deleted'
  | 'stream_deleted'
  | 'delivery_hole'
  | 'no_responders'
  | 'closed';

export interface FeedParts {
  readonly connection: NatsConnection;
  readonly link: Link;
  readonly jsm: JetStreamManager;
  /** The same with a longer time-out: finding the last message of a million subjects takes the server seconds. */
  readonly slowJsm: JetStreamManager;
  readonly js: JetStreamClient;
  readonly stream: StreamSpec;
  readonly natsUrl: string;
  /** Names the durable consumer; one edge only. */
  readonly edgeId: string;
  readonly log: EventLog;
  readonly sink: FeedSink;
  /** The newest valid event of a job whose newest message is not one. */
  readonly lastState: (id: string) => Promise<LogRecord | null>;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
}

/** A consumer of an edge that is gone is removed by the server after this time. */
const ABANDONED_MS = 5 * 60_000;
const IDLE_HEARTBEAT_MS = 1_000;
const PULL_EXPIRES_MS = 5_000;
const PULL_MESSAGES = 2_000;
const RETRY_MS = 100;
const END_CHECK_MS = 50;
/** Servers before this one can leave subjects out of last_per_subject after interior deletes. */
const SNAPSHOT_COMPLETE_SINCE = [2, 11, 5] as const;

/**
 * Follows the stream into the log by the edge's own durable consumer: first the last state of every job, then
 * everything. It watches itself: delivery sequences are contiguous, heartbeats come, the connection holds. On any
 * fault the consumer is made anew from the head on, so that nothing is lost and nothing comes twice.
 * docs/decisions/0002-one-durable-consumer-per-edge.md
 */
export class Feed {
  readonly #parts: FeedParts;
  #stopped = new AbortController();
  #isFollowing = false;
  #running: Promise<void> | null = null;
  #lostAt: number;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#lostAt = parts.now();
  }

  /** Whether the consumer stands and has reached what the stream held when it was made. */
  get isFollowing(): boolean {
    return this.#isFollowing;
  }

  get consumerName(): string {
    return `edge-${this.#parts.edgeId}`;
  }

  /**
   * Makes or checks the stream, names the log's epoch, and starts following in the background.
   * @throws HeadwayError when the stream is not as it must be, or JetStream is not there
   */
  async start(): Promise<void> {
    const { jsm, stream, natsUrl, log } = this.#parts;
    const info = await ensureStream(jsm, stream, redactUrl(natsUrl));
    log.setEpoch(epochOf(info));
    this.#running = this.#run();
  }

  /** Stops following and removes the consumer. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the edge stops'));
    await this.#running;
    const { link, jsm, stream } = this.#parts;
    // Without NATS there is nobody to ask; the server removes the consumer itself, a while after it was abandoned.
    if (link.isUp) await jsm.consumers.delete(stream.name, this.consumerName).catch(() => undefined);
  }

  async #run(): Promise<void> {
    const { sink, now, link } = this.#parts;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await link.up(signal).catch(() => undefined);
      const fault = new Fault(link, signal);
      try {
        await pRetry(() => this.#follow(fault), {
          retries: Number.POSITIVE_INFINITY,
          minTimeout: 100,
          maxTimeout: 2_000,
          randomize: true,
          signal,
          onFailedAttempt: ({ error }) => sink.failed(error),
        });
        const reason = await fault.happened;
        if (!signal.aborted) sink.lost(reason);
      } catch (error) {
        if (signal.aborted) return;
        sink.failed(error as Error);
        await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
      } finally {
        if (this.#isFollowing) this.#lostAt = now();
        this.#isFollowing = false;
        fault.dispose();
      }
    }
  }

  // One try: consumer made, messages flowing. It returns when that stands; the fault tells when it falls.
  async #follow(fault: Fault): Promise<void> {
    if (fault.reason !== null) return;
    const { jsm, stream, natsUrl, log, sink } = this.#parts;
    const info = await fault.orFail(ensureStream(jsm, stream, redactUrl(natsUrl)));
    const epoch = epochOf(info);
    if (log.isReady && epoch === log.epoch && this.#canContinue(info)) {
      const consumer = await this.#createConsumer(fault, log.head + 1);
      const reached = () => this.#nowFollowing(fault);
      await this.#consume(fault, consumer, new Continuation(this.#parts, consumer.num_pending, reached));
      return;
    }
    log.suspend();
    sink.restarts();
    const consumer = await this.#createConsumer(fault, null);
    // Everything after this moment's last message is delivered; what the consumer took for "last" lies at or below.
    const { state } = await fault.orFail(jsm.streams.info(stream.name));
    log.begin(epoch, state.last_seq, state.first_seq);
    const pristine = state.first_seq <= 1 && (state.num_deleted ?? 0) === 0;
    const loaded = (complete: boolean) => {
      if (fault.reason !== null) return;
      log.ready(complete, pristine);
      sink.ready();
      this.#nowFollowing(fault);
    };
    await this.#consume(fault, consumer, new Loading(this.#parts, state.last_seq, loaded, fault));
  }

  // Only where the log ends and the stream goes on without a piece missing between them.
  #canContinue({ state }: StreamInfo): boolean {
    const { head } = this.#parts.log;
    return state.last_seq >= head && state.first_seq <= head + 1;
  }

  #nowFollowing(fault: Fault): void {
    if (fault.reason !== null) return;
    this.#isFollowing = true;
    this.#parts.sink.following(this.#parts.now() - this.#lostAt);
  }

  async #createConsumer(fault: Fault, startSeq: number | null): Promise<ConsumerInfo> {
    const { jsm, slowJsm, stream } = this.#parts;
    await fault.orFail(jsm.consumers.delete(stream.name, this.consumerName).catch(() => false));
    const from =
      startSeq === null
        ? { deliver_policy: DeliverPolicy.LastPerSubject }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: startSeq };
    return fault.orFail(
      (startSeq === null ? slowJsm : jsm).consumers.add(stream.name, {
        durable_name: this.consumerName,
        filter_subject: SUBJECT_FILTER,
        ack_policy: AckPolicy.None,
        inactive_threshold: nanos(ABANDONED_MS),
        mem_storage: true,
        num_replicas: 1,
        ...from,
      }),
    );
  }

  async #consume(fault: Fault, info: ConsumerInfo, receiver: Receiver): Promise<void> {
    let delivered = 0;
    const messages = await this.#parts.js.consumers.getPullConsumerFor(info).consume({
      bind: true,
      max_messages: PULL_MESSAGES,
      expires: PULL_EXPIRES_MS,
      idle_heartbeat: IDLE_HEARTBEAT_MS,
      callback: (message) => {
        if (fault.reason !== null) return;
        if (message.info.deliverySequence !== delivered + 1) {
          fault.happen('delivery_hole');
          return;
        }
        delivered++;
        receiver.receive(message);
      },
    });
    fault.watch(messages);
    receiver.begin();
  }
}

interface Receiver {
  /** The consumer stands; messages may have come already. */
  begin(): void;
  receive(message: JsMsg): void;
}

const storedAt = (message: JsMsg): number => message.info.timestampNanos / 1e6;

/** Appends what follows the log's head, and says when the backlog it began with is read. */
class Continuation implements Receiver {
  constructor(
    private readonly parts: FeedParts,
    private pending: number,
    private readonly reached: () => void,
  ) {}

  begin(): void {
    if (this.pending === 0) this.reached();
  }

  receive(message: JsMsg): void {
    const { log, sink } = this.parts;
    const decoded = decodeEvent(message.subject, message.data);
    if (!decoded.ok) sink.invalid(message.seq, message.subject, decoded.reason, decoded.detail);
    sink.appended(log.append(message.seq, storedAt(message), decoded.ok ? decoded.event : null));
    if (this.pending > 0 && --this.pending === 0) this.reached();
  }
}

/**
 * Loads the last states up to a sequence, then appends. "Nothing pending" alone does not end it: the consumer may
 * stand on a copy of the stream that has yet to catch up, so the leader is asked what the newest message is.
 */
class Loading implements Receiver {
  readonly #next: Continuation;
  readonly #invalid = new Set<string>();
  #phase: 'loading' | 'loaded' = 'loading';
  #read = 0;

  constructor(
    private readonly parts: FeedParts,
    private readonly upTo: number,
    private readonly done: (complete: boolean) => void,
    private readonly fault: Fault,
  ) {
    this.#next = new Continuation(parts, 0, () => undefined);
  }

  begin(): void {
    this.#watchEnd().catch((error: Error) => {
      this.parts.sink.failed(error);
      this.fault.happen('no_responders');
    });
  }

  receive(message: JsMsg): void {
    if (message.seq > this.upTo) {
      this.#loaded();
      this.#next.receive(message);
      return;
    }
    const { log, sink } = this.parts;
    const decoded = decodeEvent(message.subject, message.data);
    if (decoded.ok) log.load(message.seq, storedAt(message), decoded.event);
    else {
      sink.invalid(message.seq, message.subject, decoded.reason, decoded.detail);
      if (decoded.id !== null) this.#invalid.add(decoded.id);
    }
    this.#read = message.seq;
    if (this.#read === this.upTo) this.#loaded();
  }

  // The newest message can be below `upTo` (deleted since, or the stream is empty), so the end is looked for, too.
  async #watchEnd(): Promise<void> {
    const { jsm, stream } = this.parts;
    while (this.#phase === 'loading' && this.fault.reason === null) {
      const newest = await this.fault.orFail(newestSeq(jsm, stream.name, SUBJECT_FILTER));
      if (newest <= this.#read) this.#loaded();
      else await delay(END_CHECK_MS);
    }
  }

  #loaded(): void {
    if (this.#phase === 'loaded') return;
    this.#phase = 'loaded';
    this.#repair().then(
      () => this.done(isAtLeast(this.parts.connection.info?.version ?? '', SNAPSHOT_COMPLETE_SINCE)),
      () => undefined,
    );
  }

  // A job whose newest message is not an event shows its newest state that is one.
  async #repair(): Promise<void> {
    const { log, lastState } = this.parts;
    await Promise.all(
      [...this.#invalid].map(async (id) => {
        const record = await lastState(id);
        if (record !== null) log.restore(record);
      }),
    );
  }
}

/** The first thing that goes wrong with one consumer, from whichever side it is noticed. */
class Fault {
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
