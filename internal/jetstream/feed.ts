import { setTimeout as delay } from 'node:timers/promises';
import type { ConsumerConfig, StreamInfo } from 'nats';
import type { ResetReason } from '../../schemas/frames.js';
import { type StreamDifference, StreamMismatchError } from '../errors.js';
import { decodeEvent } from '../eventlog/decode.js';
import type { Gap } from '../eventlog/gaps.js';
import { ConsumerFailure, ConsumerLostError, type FailureReason } from './consumer-failure.js';
import { EdgeConsumer } from './edge-consumer.js';
import type { FeedDeps } from './feed-handlers.js';
import { redactUrl } from './nats-url.js';
import type { PullLimits, StoredMessage } from './pull-reader.js';
import { AdaptiveTimeout } from './request-timeout.js';
import { LastStateLoader } from './state-loader.js';
import { ALL_SUBJECTS, ensureStream, epochOf, nextSeq, storedTime, streamExists } from './stream.js';
import { type AuditedFeed, StreamAudit } from './stream-audit.js';
import { type StartPlace, StreamReader } from './stream-reader.js';

/** Pulls are limited by bytes; this is for what would be very many very small messages. */
const PULL_MESSAGES = 20_000;
/** What fell or failed is built again after so long, and a little more by chance. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 500;
/** A feed that stood for less fell at once; after so many of these in a row the next one waits, ever longer. */
const SHORT_LIFE_MS = 1_000;
const FREE_RETRIES = 3;
const MAX_PAUSE_MS = 2_000;
/** A stream that vanished is made again after this time. */
const REMAKE_AFTER_MS = 1_000;
/** The least time between two questions whether what is missing is gone. */
const GAP_PAUSE_MS = 100;
/** Before the feed follows it looks so often whether it does. */
const LOOK_MS = 50;

/** Why a feed does not follow, as far as it is more than that NATS is away or that states are being loaded. */
export type FeedProblem =
  | { readonly kind: 'stalled' }
  | { readonly kind: 'stream_changed'; readonly fields: readonly string[] };

/**
 * Follows the stream into the log by the edge's own consumer: first the last state of every job, then everything. On any
 * failure the consumer is made anew from where the last one was, so that nothing is lost and nothing comes twice. Whether
 * it follows is not the consumer's word: the stream itself is looked at all the time.
 * docs/decisions/0002-one-durable-consumer-per-edge.md
 */
export class Feed {
  readonly #deps: FeedDeps;
  readonly #consumer: EdgeConsumer;
  readonly #audit: StreamAudit;
  #stopped = new AbortController();
  #isFollowing = false;
  #problem: FeedProblem | null = null;
  /** What came since it was last known to be whole may not be. */
  #isTainted = false;
  #gapAskedAt = Number.NEGATIVE_INFINITY;
  #running: Promise<unknown> | null = null;
  #lostAt: number;
  #reader: StreamReader | null = null;
  #loader: LastStateLoader | null = null;
  /** Questions wait as long as the last ones show to be needed, also over several tries. */
  readonly #timeout: AdaptiveTimeout;

  constructor(deps: FeedDeps) {
    this.#deps = deps;
    this.#lostAt = deps.now();
    this.#timeout = new AdaptiveTimeout(deps.now);
    this.#consumer = new EdgeConsumer({ ...deps, stream: deps.stream.name });
    this.#audit = new StreamAudit(deps, this.#audited());
  }

  /** Whether the consumer stands, brings what it is asked for, and has reached what the stream held when it was made. */
  get isFollowing(): boolean {
    return this.#isFollowing;
  }

  /** What keeps it from following; null: nothing but time. */
  get problem(): FeedProblem | null {
    return this.#problem;
  }

  /** How far it is behind the stream, by the stream's word: sequences, and seconds since it was at the end. */
  get lag(): { readonly events: number; readonly seconds: number } {
    return this.#audit.lag;
  }

  /**
   * Makes or checks the stream, names the log's epoch, and starts following in the background.
   * @throws HeadwayError when the stream is not as it must be, JetStream is not there, or the edge's id is taken
   */
  async start(): Promise<void> {
    const { jsm, stream, natsUrl, log } = this.#deps;
    const info = await ensureStream(jsm, stream, redactUrl(natsUrl));
    log.setEpoch(epochOf(info));
    await this.#consumer.waitForConsumerName();
    this.#running = Promise.all([this.#run(), this.#audit.run(this.#stopped.signal)]);
  }

  /** Stops following and removes the consumer. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the edge stops'));
    await this.#running;
    // Without NATS there is nobody to ask; the server removes the consumer itself, a while after it was abandoned.
    if (this.#deps.monitor.isConnected) await this.#consumer.remove();
  }

  async #run(): Promise<void> {
    const { sink, now, monitor } = this.#deps;
    const { signal } = this.#stopped;
    let quickFailures = 0;
    while (!signal.aborted) {
      await monitor.up(signal).catch(() => undefined);
      if (signal.aborted) return;
      const startedAt = now();
      const failure = new ConsumerFailure(monitor, signal);
      let hasOpened = false;
      try {
        await this.#follow(failure, () => {
          hasOpened = true;
        });
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof ConsumerLostError)) sink.failed(error as Error);
        if (hasOpened) this.#lost(error as Error);
      } finally {
        if (this.#isFollowing) this.#lostAt = now();
        this.#isFollowing = false;
        this.#reader?.close();
        failure.dispose();
      }
      quickFailures = now() - startedAt < SHORT_LIFE_MS ? quickFailures + 1 : 0;
      await delay(pauseMs(hasOpened, quickFailures), undefined, { signal }).catch(() => undefined);
    }
  }

  #lost(error: Error): void {
    const { sink } = this.#deps;
    if (error instanceof ConsumerLostError) sink.lost(error.reason, error.message);
    // A question that came up meanwhile had no answer.
    else sink.lost('no_responders', error.message);
  }

  // One life of a consumer. It ends with what ends that.
  async #follow(failure: ConsumerFailure, opened: () => void): Promise<never> {
    const { jsm, stream, natsUrl, log } = this.#deps;
    const timeout = this.#timeout;
    timeout.watch(failure);
    if (!(await timeout.answer('finding the stream', streamExists(jsm, stream)))) {
      // The server may still be removing the old one, and would take the new one's files along: seen on 2.15.1, where
      // nothing could be stored in it any more.
      await delay(REMAKE_AFTER_MS);
    }
    const info = await timeout
      .answer('checking the stream', ensureStream(jsm, stream, redactUrl(natsUrl)))
      .catch((error: unknown) => {
        if (error instanceof StreamMismatchError) this.#changed(error.differences);
        throw error;
      });
    const reset = await this.#resetOwed(timeout, info);
    if (reset !== 'none') this.#begin(info, reset);
    const loader = this.#loader;
    const reader = loader?.reader ?? this.#newReader({ kind: 'seq', seq: log.head + 1 });
    this.#reader = reader;
    await reader.open();
    opened();
    const after = await timeout.answer('looking at the stream', jsm.streams.info(stream.name));
    // The consumer that was just made may stand on another incarnation than the one that was looked at before.
    if (epochOf(after) !== epochOf(info)) throw new Error('the stream was made anew meanwhile');
    if (loader !== null) await this.#load(loader, timeout);
    // Reads of history ask the leader for single messages: an edge that may not is of no use to whoever comes back.
    const { last_seq: lastSeq } = after.state;
    const leaderSays = nextSeq(jsm, stream.name, ALL_SUBJECTS, lastSeq + 1);
    await timeout.answer('asking for single messages', leaderSays, Number.POSITIVE_INFINITY);
    return this.#tail(reader, lastSeq);
  }

  /** What everybody who follows is owed before the log goes on; `none`: it goes on as it is. */
  async #resetOwed(timeout: AdaptiveTimeout, info: StreamInfo): Promise<ResetReason | null | 'none'> {
    const { log } = this.#deps;
    if (this.#isTainted) return 'ahead';
    const loader = this.#loader;
    if (loader === null && !log.isReady) return null;
    if (epochOf(info) !== (loader?.epoch ?? log.epoch)) return null;
    const known = loader?.newest ?? { seq: log.head, storedAt: log.headStoredAt };
    if (!(await this.#isRewound(timeout, info, known))) return 'none';
    return loader === null ? 'ahead' : null;
  }

  // The same stream with an older past (restored from a copy, or what a crash lost) may have given the seqs out again.
  async #isRewound(
    timeout: AdaptiveTimeout,
    { state }: StreamInfo,
    { seq, storedAt }: { readonly seq: number; readonly storedAt: number | null },
  ): Promise<boolean> {
    const { jsm, stream } = this.#deps;
    if (state.last_seq < seq) return true;
    if (storedAt === null || seq < state.first_seq) return false;
    const time = await timeout.answer('looking for the head', storedTime(jsm, stream.name, seq));
    return time !== null && Math.abs(time - storedAt) >= 1;
  }

  #begin(info: StreamInfo, reset: ResetReason | null): void {
    this.#deps.log.begin(epochOf(info), reset);
    this.#isTainted = false;
    this.#problem = null;
    this.#loader = new LastStateLoader(this.#deps, info, this.#newReader({ kind: 'last' }));
  }

  async #load(loader: LastStateLoader, timeout: AdaptiveTimeout): Promise<void> {
    const loaded = await loader.load((what, request) =>
      timeout.answer(what, request, Number.POSITIVE_INFINITY),
    );
    if (this.#isTainted) throw new ConsumerLostError('stream_changed', 'the stream was changed meanwhile');
    this.#deps.log.ready(loaded);
    this.#loader = null;
    loader.reader.goOn();
  }

  async #tail(reader: StreamReader, lastSeq: number): Promise<never> {
    for (;;) {
      const batch = await reader.next(this.#isFollowing ? Number.POSITIVE_INFINITY : LOOK_MS);
      const gap = this.#gapIn(batch);
      if (gap !== null) await this.#proveGap(gap);
      this.#receive(batch);
      if (this.#isFollowing || reader.consumer?.hasAnswered !== true) continue;
      if (await reader.isAtEnd(lastSeq)) this.#nowFollowing();
    }
  }

  /** Where the stream's numbers jump for the first time; null: nowhere. */
  #gapIn(batch: readonly StoredMessage[]): Gap | null {
    let after = this.#deps.log.head;
    for (const { seq } of batch) {
      if (seq > after + 1) return { after, before: seq };
      after = Math.max(after, seq);
    }
    return null;
  }

  // Nearly always the messages are gone. But a consumer on a server that was cut off from the others goes on with the newest
  // before it has caught up (nats-server 2.15.1), and what it leaves out would be missed by everybody. A burst that pushes itself
  // out of the stream makes a gap in each batch: it is asked about a few of them, and the audit compares the rest.
  async #proveGap(gap: Gap): Promise<void> {
    const { jsm, stream, now } = this.#deps;
    if (now() - this.#gapAskedAt < GAP_PAUSE_MS) return;
    this.#gapAskedAt = now();
    const next = await this.#timeout.answer(
      'looking into a gap',
      nextSeq(jsm, stream.name, ALL_SUBJECTS, gap.after + 1),
      Number.POSITIVE_INFINITY,
    );
    if (next === 0 || next >= gap.before) return;
    throw new ConsumerLostError('sequence_gap', `sequence ${next} is stored and was not delivered`);
  }

  #receive(batch: readonly StoredMessage[]): void {
    const { log, sink } = this.#deps;
    try {
      for (const { seq, subject, storedAt, data } of batch) {
        const decoded = decodeEvent(subject, data);
        if (!decoded.ok) sink.invalid(seq, subject, decoded.reason, decoded.detail);
        log.append(seq, storedAt, decoded.ok ? decoded.event : null);
      }
    } catch (error) {
      sink.failed(error as Error);
      throw new ConsumerLostError('failed', (error as Error).message);
    }
  }

  #nowFollowing(): void {
    if (this.#isTainted) return;
    this.#isFollowing = true;
    this.#problem = null;
    this.#timeout.forget();
    this.#deps.sink.following(this.#deps.now() - this.#lostAt);
  }

  #newReader(from: StartPlace): StreamReader {
    const { jsm, monitor, now, readBufferBytes } = this.#deps;
    const pull: PullLimits = { bytes: readBufferBytes, messages: PULL_MESSAGES, prefetch: true };
    const create = (config: Partial<ConsumerConfig>) => this.#consumer.create(this.#timeout, config);
    const { signal } = this.#stopped;
    const ask = <T>(request: () => Promise<T>): Promise<T> => monitor.runWhileConnected(signal, request);
    const access = { ...this.#deps, jsm, stream: this.#deps.stream.name, now };
    return new StreamReader(
      access,
      { subject: null, from, pull, ask, create, isNamed: true, stop: signal },
      from.kind === 'last' ? 'last' : null,
    );
  }

  #changed(differences: readonly StreamDifference[]): void {
    this.#problem = { kind: 'stream_changed', fields: differences.map(({ field }) => field) };
    this.#isTainted = true;
  }

  #audited(): AuditedFeed {
    const read = () => this.#loader?.reader.read ?? this.#deps.log.head;
    const consumer = () => this.#reader?.consumer ?? null;
    return {
      get read() {
        return read();
      },
      get consumer() {
        return consumer();
      },
      lose: (reason: FailureReason, detail: string, isTrusted: boolean) => {
        if (!isTrusted) this.#isTainted = true;
        if (reason === 'stalled') this.#problem = { kind: 'stalled' };
        this.#reader?.fail(reason, detail);
      },
      changed: (differences) => {
        this.#changed(differences);
        const fields = differences.map(({ field }) => field).join(', ');
        this.#reader?.fail('stream_changed', `the stream was changed: ${fields}`);
      },
    };
  }
}

// What falls again and again as soon as it stands (a permission is missing) is not built in a hot loop.
function pauseMs(hasOpened: boolean, quickFailures: number): number {
  if (!hasOpened) return RETRY_MS + Math.random() * (MAX_RETRY_MS - RETRY_MS);
  const extra = quickFailures - FREE_RETRIES;
  return extra <= 0 ? 0 : Math.min(MAX_PAUSE_MS, RETRY_MS * 2 ** extra);
}
