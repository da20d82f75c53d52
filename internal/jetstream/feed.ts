import { setTimeout as delay } from 'node:timers/promises';
import { AckPolicy, type ConsumerInfo, DeliverPolicy, nanos, type StreamInfo } from 'nats';
import pRetry from 'p-retry';
import { SUBJECT_FILTER } from '../../schemas/ids.js';
import { EdgeIdTakenError } from '../errors/catalogue.js';
import { redactUrl } from './connection.js';
import { Fault } from './consumer-failure.js';
import { Continuation, Loading, type Receiver } from './feed-handlers.js';
import type { FeedParts } from './feed-parts.js';
import { Asking } from './request-timeout.js';
import { ensureStream, epochOf, storedTime, streamExists } from './stream.js';

/** A consumer of an edge that is gone is removed by the server after this time. */
const ABANDONED_MS = 5 * 60_000;
const IDLE_HEARTBEAT_MS = 1_000;
const PULL_EXPIRES_MS = 5_000;
const PULL_MESSAGES = 2_000;
const RETRY_MS = 100;
/** A feed that stood for less fell at once; after so many of these in a row the next one waits, ever longer. */
const SHORT_LIFE_MS = 1_000;
const FREE_RETRIES = 3;
const MAX_PAUSE_MS = 2_000;
/** A consumer whose server is gone is deleted without an answer, so this is all that one is waited for. */
const DELETE_MS = 250;
const AUDIT_MS = 5_000;
/** A little more than a pull of a dead edge can last. */
const NAME_TAKEN_MS = PULL_EXPIRES_MS + 2_000;
const NAME_CHECK_MS = 100;
/**
 * An edge that is busy renews its pull late, and seems to be gone for a moment. Looks are counted, and not time: two of
 * them with a long pause between tell nothing of that pause.
 */
const NAME_FREE_LOOKS = 15;
/** The consumer's metadata that says which process made it. */
const INSTANCE = 'headway_instance';
/** A stream that vanished is made again after this time. */
const REMAKE_AFTER_MS = 1_000;

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
   * @throws HeadwayError when the stream is not as it must be, JetStream is not there, or the edge's id is taken
   */
  async start(): Promise<void> {
    const { jsm, stream, natsUrl, log } = this.#parts;
    const info = await ensureStream(jsm, stream, redactUrl(natsUrl));
    log.setEpoch(epochOf(info));
    await this.#waitForName();
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

  // Two edges that pull from one consumer would take each other's events. Of an edge that is gone the pulls expire.
  async #waitForName(): Promise<void> {
    const { jsm, stream, edgeId, now } = this.#parts;
    const giveUpAt = now() + NAME_TAKEN_MS;
    for (let quiet = 0; quiet < NAME_FREE_LOOKS; ) {
      const consumer = await jsm.consumers.info(stream.name, this.consumerName).catch(() => null);
      if (consumer === null) return;
      quiet = consumer.num_waiting > 0 ? 0 : quiet + 1;
      if (quiet === 0 && now() >= giveUpAt) throw new EdgeIdTakenError(edgeId);
      await delay(NAME_CHECK_MS);
    }
  }

  async #run(): Promise<void> {
    const { sink, now, link } = this.#parts;
    const { signal } = this.#stopped;
    let shortLives = 0;
    while (!signal.aborted) {
      await link.up(signal).catch(() => undefined);
      const startedAt = now();
      const fault = new Fault(link, signal);
      try {
        const asking = new Asking(fault, now);
        await pRetry(() => this.#follow(asking), {
          retries: Number.POSITIVE_INFINITY,
          minTimeout: 100,
          maxTimeout: 500,
          randomize: true,
          signal,
          onFailedAttempt: ({ error }) => sink.failed(error),
        });
        const reason = await fault.happened;
        if (!signal.aborted) sink.lost(reason);
        // What falls again and again as soon as it stands (a permission is missing) is not built in a hot loop.
        shortLives = now() - startedAt < SHORT_LIFE_MS ? shortLives + 1 : 0;
        if (shortLives > FREE_RETRIES) {
          const pause = Math.min(MAX_PAUSE_MS, RETRY_MS * 2 ** (shortLives - FREE_RETRIES));
          await delay(pause, undefined, { signal }).catch(() => undefined);
        }
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
  async #follow(asking: Asking): Promise<void> {
    const { fault } = asking;
    if (fault.reason !== null) return;
    const { jsm, stream, natsUrl, log, sink } = this.#parts;
    if (!(await asking.answer('finding the stream', streamExists(jsm, stream)))) {
      // The server may still be removing the old one, and would take the new one's files along: seen on 2.15.1, where
      // nothing could be stored in it any more.
      await delay(REMAKE_AFTER_MS);
    }
    const info = await asking.answer('checking the stream', ensureStream(jsm, stream, redactUrl(natsUrl)));
    const epoch = epochOf(info);
    const isRewound = log.isReady && epoch === log.epoch && (await this.#isRewound(asking, info));
    if (log.isReady && epoch === log.epoch && !isRewound && info.state.first_seq <= log.head + 1) {
      const consumer = await this.#createConsumer(asking, log.head + 1);
      await this.#stateOf(asking, epoch);
      const reached = () => this.#nowFollowing(fault);
      await this.#consume(fault, consumer, new Continuation(this.#parts, fault, reached));
      return;
    }
    log.suspend();
    sink.restarts(isRewound ? 'ahead' : null);
    const consumer = await this.#createConsumer(asking, null);
    // A server that has just looked for the last message of a million subjects may be slow with the next answer, too.
    // Everything after this moment's last message is delivered; what the consumer took for "last" lies at or below.
    const state = await this.#stateOf(asking, epoch, Number.POSITIVE_INFINITY);
    log.begin(epoch);
    const loaded = async (complete: boolean) => {
      // What is untouched after the last states were read was untouched while they were read.
      const after = await this.#stateOf(asking, epoch, Number.POSITIVE_INFINITY);
      const pristine = after.first_seq <= 1 && (after.num_deleted ?? 0) === 0;
      if (fault.reason !== null) return;
      log.ready({ head: state.last_seq, firstSeq: after.first_seq, complete, pristine });
      sink.ready();
      this.#nowFollowing(fault);
    };
    await this.#consume(fault, consumer, new Loading(this.#parts, info.state, state, loaded, fault));
  }

  // The consumer that was just made may stand on another incarnation than the one that was looked at before.
  async #stateOf(asking: Asking, epoch: string, ms?: number): Promise<StreamInfo['state']> {
    const info = await asking.answer(
      'looking at the stream',
      this.#parts.jsm.streams.info(this.#parts.stream.name),
      ms,
    );
    if (epochOf(info) !== epoch) throw new Error('the stream was made anew meanwhile');
    return info.state;
  }

  // The same stream with an older past (restored from a copy, or what a crash lost) may have given the seqs out again.
  async #isRewound(asking: Asking, { state }: StreamInfo): Promise<boolean> {
    const { jsm, stream, log } = this.#parts;
    if (state.last_seq < log.head) return true;
    const { headStoredAt, head } = log;
    if (headStoredAt === null || head < state.first_seq) return false;
    const storedAt = await asking.answer('looking for the head', storedTime(jsm, stream.name, head));
    return storedAt !== null && Math.abs(storedAt - headStoredAt) >= 1;
  }

  #nowFollowing(fault: Fault): void {
    if (fault.reason !== null) return;
    this.#isFollowing = true;
    this.#parts.sink.following(this.#parts.now() - this.#lostAt);
  }

  // An edge that was frozen for long finds that another has taken its id meanwhile. Each would take the consumer from
  // the other for ever; so the one that comes back waits until the other is gone, and says so.
  async #leaveToOther(asking: Asking): Promise<void> {
    const { jsm, stream, edgeId, instance } = this.#parts;
    const info = await asking
      .answer('looking at the consumer', jsm.consumers.info(stream.name, this.consumerName), DELETE_MS)
      .catch(() => null);
    if (info === null || info.num_waiting === 0 || info.config.metadata?.[INSTANCE] === instance) return;
    throw new EdgeIdTakenError(edgeId);
  }

  async #createConsumer(asking: Asking, startSeq: number | null): Promise<ConsumerInfo> {
    const { jsm, slowJsm, stream, instance } = this.#parts;
    await this.#leaveToOther(asking);
    await asking
      .answer('removing the consumer', jsm.consumers.delete(stream.name, this.consumerName), DELETE_MS)
      .catch(() => false);
    const from =
      startSeq === null
        ? { deliver_policy: DeliverPolicy.LastPerSubject }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: startSeq };
    return asking.answer(
      'making the consumer',
      (startSeq === null ? slowJsm : jsm).consumers.add(stream.name, {
        durable_name: this.consumerName,
        filter_subject: SUBJECT_FILTER,
        ack_policy: AckPolicy.None,
        inactive_threshold: nanos(ABANDONED_MS),
        mem_storage: true,
        num_replicas: 1,
        metadata: { [INSTANCE]: instance },
        ...from,
      }),
      startSeq === null ? Number.POSITIVE_INFINITY : undefined,
    );
  }

  // A message that is lost on its way shows as a hole when the next one comes. When none comes, the consumer's own
  // count tells: it has delivered more, for a whole interval, than arrived.
  // And a consumer of the same name may be another edge's by now, which pulls do not tell.
  async #audit(fault: Fault, own: ConsumerInfo, delivered: () => number): Promise<void> {
    const { jsm, stream } = this.#parts;
    let owed = 0;
    while (fault.reason === null) {
      await delay(AUDIT_MS, undefined, { ref: false });
      if (delivered() < owed) fault.happen('delivery_hole');
      if (fault.reason !== null) return;
      try {
        const info = await fault.orFail(jsm.consumers.info(stream.name, own.name));
        if (info.created !== own.created) fault.happen('consumer_deleted');
        owed = info.delivered.consumer_seq;
      } catch {
        owed = 0;
      }
    }
  }

  async #consume(fault: Fault, info: ConsumerInfo, receiver: Receiver): Promise<void> {
    const { sink } = this.#parts;
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
        try {
          receiver.receive(message);
        } catch (error) {
          // The package would swallow it, and the feed would stand still in silence.
          sink.failed(error as Error);
          fault.happen('failed');
        }
      },
    });
    fault.watch(messages);
    receiver.begin();
    void this.#audit(fault, info, () => delivered);
  }
}
