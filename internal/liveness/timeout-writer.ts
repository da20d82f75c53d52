import type { JetStreamClient } from 'nats';
import pLimit, { type LimitFunction } from 'p-limit';
import pRetry from 'p-retry';
import type { Event } from '../../schemas/event.js';
import { subjectOf } from '../../schemas/ids.js';
import { decodeEvent } from '../eventlog/decode.js';
import type { LogRecord } from '../eventlog/record.js';
import { requestFailure } from '../jetstream/nats-errors.js';
import { timeoutEvent } from './timeout-event.js';

/** A message as it stands in the stream. */
export interface StoredMessage {
  readonly seq: number;
  readonly subject: string;
  readonly data: Uint8Array;
}

export interface TimeoutWriterDeps {
  readonly js: Pick<JetStreamClient, 'publish'>;
  readonly stream: string;
  /** A job's newest message, valid or not, by the word of the stream's leader; null when it keeps none. */
  readonly newest: (id: string) => Promise<StoredMessage | null>;
  /** A job's newest valid event, for when its newest message is none; null when the stream keeps none. */
  readonly lastState: (id: string) => Promise<LogRecord | null>;
}

/** Integers from 1. */
export interface TimeoutWriterLimits {
  /** Writes at once. */
  readonly concurrency: number;
  /** Writes that run or wait for their turn. */
  readonly maxPending: number;
  /** Writes that begin in one second. */
  readonly perSecond: number;
}

export const TIMEOUT_WRITER_LIMITS: TimeoutWriterLimits = { concurrency: 8, maxPending: 200, perSecond: 200 };

/**
 * What came of one timeout: it is in the log; or the job has moved on (somebody else wrote the timeout, it gave a
 * sign of life); or the stream keeps nothing of the job; or it could not be written: `LivenessMonitor.retryTimeout` tells it once more.
 */
export type TimeoutOutcome = 'written' | 'moved' | 'gone' | 'failed';

export interface TimeoutWriterObserver {
  settled(id: string, lastSeq: number, outcome: TimeoutOutcome): void;
  /** One try failed. Others follow, until it is settled. */
  failed(id: string, error: Error): void;
}

export interface TimeoutWriterClock {
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
}

export interface Backoff {
  /** Further tries after the first. */
  readonly retries: number;
  /** Before the second try, in milliseconds; twice as long before each one after it, and up to twice that by chance. */
  readonly firstMs: number;
}

const BACKOFF: Backoff = { retries: 3, firstMs: 250 };

/** Something was stored for this job between the look at it and the write. */
class SequenceConflict extends Error {}

/**
 * Writes the error event of jobs that timed out, once, however many edges do so: each write holds only if the job's
 * newest message is still the one that it was judged by, and the stream's leader lets only one such write pass. So it
 * never stands behind a sign of life that it did not know of, and needs no `Nats-Msg-Id`: that could be guessed, and
 * whoever publishes under it first would keep the timeout away.
 *
 * A message that is not an event is nothing that the job's watchers can see. Where one is the job's newest, the
 * timeout is written behind it.
 *
 * A write that fails is tried again a few times. Nothing here throws.
 */
export class TimeoutWriter {
  readonly #access: TimeoutWriterDeps;
  readonly #limits: TimeoutWriterLimits;
  readonly #observer: TimeoutWriterObserver;
  readonly #clock: TimeoutWriterClock;
  readonly #backoff: Backoff;
  readonly #limit: LimitFunction;
  readonly #stopped = new AbortController();
  #second = Number.NEGATIVE_INFINITY;
  #begunInSecond = 0;

  constructor(
    access: TimeoutWriterDeps,
    limits: TimeoutWriterLimits,
    observer: TimeoutWriterObserver,
    clock: TimeoutWriterClock,
    backoff: Backoff = BACKOFF,
  ) {
    this.#access = access;
    this.#limits = limits;
    this.#observer = observer;
    this.#clock = clock;
    this.#backoff = backoff;
    this.#limit = pLimit(limits.concurrency);
  }

  /** How many writes run or wait for their turn. */
  get pending(): number {
    return this.#limit.activeCount + this.#limit.pendingCount;
  }

  /**
   * Begins to write the timeout of a job; what comes of it is told to the observer.
   * @param lastSeq the seq of the job's newest event when it was judged
   * @returns false: there is no room now, and nothing was begun
   */
  write(id: string, lastSeq: number, silentMs: number): boolean {
    if (this.#stopped.signal.aborted || this.pending >= this.#limits.maxPending || !this.#takeRate())
      return false;
    void this.#limit(() => this.#persist(id, lastSeq, silentMs));
    return true;
  }

  /** Begins nothing more, and tells nothing more. A write that is under way may still be stored. */
  stop(): void {
    this.#stopped.abort(new Error('the edge stops'));
  }

  #takeRate(): boolean {
    const now = this.#clock.now();
    if (now - this.#second >= 1_000) {
      this.#second = now;
      this.#begunInSecond = 0;
    }
    if (this.#begunInSecond >= this.#limits.perSecond) return false;
    this.#begunInSecond++;
    return true;
  }

  async #persist(id: string, lastSeq: number, silentMs: number): Promise<void> {
    const { signal } = this.#stopped;
    let outcome: TimeoutOutcome;
    try {
      outcome = await pRetry(() => this.#try(id, lastSeq, silentMs), {
        retries: this.#backoff.retries,
        minTimeout: this.#backoff.firstMs,
        randomize: true,
        signal,
        // What NATS does not permit now it does not permit in a second.
        shouldRetry: ({ error }) => !isRefused(error),
        onFailedAttempt: ({ error }) => {
          if (!signal.aborted && !(error instanceof SequenceConflict)) this.#observer.failed(id, error);
        },
      });
    } catch {
      outcome = 'failed';
    }
    if (!signal.aborted) this.#observer.settled(id, lastSeq, outcome);
  }

  async #try(id: string, lastSeq: number, silentMs: number): Promise<TimeoutOutcome> {
    const newest = await this.#access.newest(id);
    if (newest === null) return 'gone';
    const last = await this.#stateAt(newest, id, lastSeq);
    if (last === 'moved' || last === 'gone') return last;
    this.#stopped.signal.throwIfAborted();
    const timestamp = new Date(this.#clock.wallClock()).toISOString();
    await this.#append(id, newest.seq, timeoutEvent(last, silentMs, timestamp));
    return 'written';
  }

  // The last state, if it still is the one that was judged, and of a job that runs: an end is never written over.
  async #stateAt(newest: StoredMessage, id: string, lastSeq: number): Promise<Event | 'moved' | 'gone'> {
    const decoded = decodeEvent(newest.subject, newest.data);
    let event: Event;
    if (decoded.ok) {
      if (newest.seq !== lastSeq) return 'moved';
      event = JSON.parse(new TextDecoder().decode(newest.data)) as Event;
    } else {
      if (newest.seq <= lastSeq) return 'moved';
      const record = await this.#access.lastState(id);
      if (record === null) return 'gone';
      if (record.seq !== lastSeq) return 'moved';
      event = JSON.parse(record.frame) as Event;
    }
    return event.status === 'processing' ? event : 'moved';
  }

  async #append(id: string, behind: number, text: string): Promise<void> {
    try {
      await this.#access.js.publish(subjectOf(id), new TextEncoder().encode(text), {
        expect: { streamName: this.#access.stream, lastSubjectSequence: behind },
      });
    } catch (error) {
      if (requestFailure(error) === 'wrong_last_sequence') {
        throw new SequenceConflict('the job has a newer message');
      }
      throw error;
    }
  }
}

function isRefused(error: Error): boolean {
  return requestFailure(error) === 'not_permitted';
}
