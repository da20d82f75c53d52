import { setTimeout as delay } from 'node:timers/promises';
import type { ConsumerInfo, StreamInfo } from 'nats';
import type { StreamDifference } from '../errors.js';
import type { FailureReason } from './consumer-failure.js';
import type { FeedDeps } from './feed-handlers.js';
import { GoneJobsFinder } from './gone-jobs.js';
import { requestFailure } from './nats-errors.js';
import { ALL_SUBJECTS, epochOf, nextSeq, streamDifferences } from './stream.js';

const LOOK_MS = 2_000;
/** A feed that stands behind the stream's end for so many looks in a row, and takes nothing, does not follow. */
const STALLED_LOOKS = 2;
/** The most gaps that one look compares with the stream: the newest. */
const GAPS_AT_ONCE = 64;

/** What is compared with the stream. */
export interface AuditedFeed {
  /** The last sequence that was read. */
  readonly read: number;
  /** What the open consumer is, and how many messages it has brought; null: none is open. */
  readonly consumer: { readonly info: ConsumerInfo; readonly delivered: number } | null;
  /** The open consumer is of no use. @param isTrusted whether all that came by it can be relied on */
  lose(reason: FailureReason, detail: string, isTrusted: boolean): void;
  /** The stream is not as it must be, so nothing that comes can be relied on. */
  changed(differences: readonly StreamDifference[]): void;
}

type Parts = Pick<FeedDeps, 'jsm' | 'monitor' | 'log' | 'now' | 'sink' | 'slowJsm' | 'stream'>;

/**
 * Compares the feed with the stream itself, every two seconds: a consumer that answers may be paused, edited, or another
 * one's by now. It also finds out what the stream has let go.
 */
export class StreamAudit {
  readonly #deps: Parts;
  readonly #feed: AuditedFeed;
  readonly #gone: GoneJobsFinder;
  #lagEvents = 0;
  #behindSince: number | null = null;
  #stuckLooks = 0;
  #last: { readonly info: ConsumerInfo; readonly delivered: number } | null = null;
  /** Up to there the stream keeps nothing behind what was read. */
  #emptyTo = 0;
  /** The newest gap as of a moment when the consumer's filter was right. */
  #trustedGapSeq = 0;
  /** Up to there the gaps were compared with what the stream still keeps. */
  #checkedGapSeq = 0;

  constructor(deps: Parts, feed: AuditedFeed) {
    this.#deps = deps;
    this.#feed = feed;
    this.#gone = new GoneJobsFinder(deps);
  }

  /** How far the feed is behind the stream, as of the last look: sequences, and seconds since it was at the end. */
  get lag(): { readonly events: number; readonly seconds: number } {
    const since = this.#behindSince;
    return {
      events: this.#lagEvents,
      seconds: since === null ? 0 : (this.#deps.now() - since) / 1_000,
    };
  }

  /** Looks again and again until the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(LOOK_MS, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted || !this.#deps.monitor.isConnected) continue;
      // An answer that does not come, or comes late behind what is being read, says nothing. What does not move is seen.
      await this.#look(signal).catch(() => undefined);
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { jsm, monitor, log, stream } = this.#deps;
    const ask = <T>(request: () => Promise<T>): Promise<T> => monitor.runWhileConnected(signal, request);
    const info = await ask(() => jsm.streams.info(stream.name));
    const differences = streamDifferences(info.config, stream);
    if (differences.length > 0) {
      this.#feed.changed(differences);
      return;
    }
    if (epochOf(info) !== log.epoch) return;
    await this.#checkLag(info.state, ask);
    // Without the permission to look at its consumer an edge works, too.
    await this.#checkConsumer(ask).catch(() => undefined);
    if (log.isReady) await this.#checkGaps(ask);
    if (log.isReady) await this.#gone.look(info.state, ask);
  }

  async #checkLag(
    state: StreamInfo['state'],
    ask: <T>(request: () => Promise<T>) => Promise<T>,
  ): Promise<void> {
    const { jsm, now, stream } = this.#deps;
    const { read, consumer } = this.#feed;
    const last = this.#last;
    this.#last = consumer && { info: consumer.info, delivered: consumer.delivered };
    if (state.last_seq <= Math.max(read, this.#emptyTo)) {
      this.#atHead();
      return;
    }
    this.#lagEvents = state.last_seq - read;
    this.#behindSince ??= now();
    const isStuck =
      consumer !== null && last?.info === consumer.info && last.delivered === consumer.delivered;
    this.#stuckLooks = isStuck ? this.#stuckLooks + 1 : 0;
    if (this.#stuckLooks < STALLED_LOOKS) return;
    const next = await ask(() => nextSeq(jsm, stream.name, ALL_SUBJECTS, read + 1));
    if (this.#feed.consumer?.info !== consumer?.info || this.#feed.read !== read) return;
    if (next === 0) {
      // The end was purged or deleted: there is nothing to wait for.
      this.#emptyTo = state.last_seq;
      this.#atHead();
      return;
    }
    this.#stuckLooks = 0;
    const behind = `${this.#lagEvents} ${this.#lagEvents === 1 ? 'sequence' : 'sequences'}`;
    this.#feed.lose('stalled', `nothing comes, although the stream goes on for ${behind}`, true);
  }

  #atHead(): void {
    this.#lagEvents = 0;
    this.#behindSince = null;
    this.#stuckLooks = 0;
  }

  async #checkConsumer(ask: <T>(request: () => Promise<T>) => Promise<T>): Promise<void> {
    const { jsm, log, stream } = this.#deps;
    const own = this.#feed.consumer?.info;
    if (own === undefined) return;
    const { gapSeq } = log;
    const info = await ask(() => jsm.consumers.info(stream.name, own.name)).catch((error: unknown) => {
      if (requestFailure(error) === 'consumer_not_found') return null;
      throw error;
    });
    if (this.#feed.consumer?.info !== own) return;
    if (info === null || info.created !== own.created) {
      this.#feed.lose('consumer_deleted', 'the consumer was deleted', true);
      return;
    }
    const edited = editedFields(own, info);
    if (edited.length === 0) {
      this.#trustedGapSeq = gapSeq;
      return;
    }
    // What a filter leaves out looks like what was deleted; any other edit may change what is delivered.
    const isTrusted = edited.every((field) => FILTERS.includes(field)) && log.gapSeq <= this.#trustedGapSeq;
    this.#feed.lose('consumer_changed', `the consumer was edited: ${edited.join(', ')}`, isTrusted);
  }

  // A consumer may have been edited and put back between two looks. What it left out then is still there.
  async #checkGaps(ask: <T>(request: () => Promise<T>) => Promise<T>): Promise<void> {
    const { jsm, log, stream } = this.#deps;
    if (log.gapSeq < this.#checkedGapSeq) this.#checkedGapSeq = 0;
    const gaps = log.gapsAfter(this.#checkedGapSeq).slice(-GAPS_AT_ONCE);
    const { epoch, gapSeq } = log;
    for (const { after, before } of gaps) {
      const next = await ask(() => nextSeq(jsm, stream.name, ALL_SUBJECTS, after + 1));
      if (log.epoch !== epoch || !log.isReady) return;
      if (next === 0 || next >= before) continue;
      this.#feed.lose('consumer_changed', `sequence ${next} is stored and was not delivered`, false);
      return;
    }
    this.#checkedGapSeq = gapSeq;
  }
}

const FILTERS = ['filter_subject', 'filter_subjects'];
/** What differs between two looks at a consumer that nobody edited. */
const NOT_COMPARED = new Set(['metadata', 'pause_until', 'name', 'durable_name']);

function editedFields(made: ConsumerInfo, now: ConsumerInfo): string[] {
  const [before, after] = [made.config, now.config].map(
    (config) => config as unknown as Record<string, unknown>,
  );
  const fields = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  return [...fields].filter(
    (field) => !NOT_COMPARED.has(field) && JSON.stringify(before?.[field]) !== JSON.stringify(after?.[field]),
  );
}
