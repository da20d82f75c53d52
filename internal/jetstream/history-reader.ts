import type { MsgRequest, StoredMsg } from 'nats';
import pLimit, { type LimitFunction } from 'p-limit';
import pRetry, { AbortError } from 'p-retry';
import { subjectOf } from '../../schemas/ids.js';
import { decodeEvent } from '../eventlog/decode.js';
import { type LogRecord, makeRecord } from '../eventlog/record.js';
import { inScope, type Scope } from '../eventlog/scope.js';
import type { ColdSource, IsWanted, Page, Refusal } from '../session/ports.js';
import { type HistoryAccess, RetryableReadError, readPage } from './history-page.js';
import { epochOf, lastMessage, storedMessage } from './stream.js';

export type ReadKind = 'page' | 'last_state' | 'records' | 'kept' | 'head';

export interface ColdObserver {
  /** A read that JetStream answered: what kind, and how many milliseconds it took with its retries. */
  read(kind: ReadKind, ms: number): void;
  /** A read that failed and will be tried again. */
  failed(kind: ReadKind, error: Error): void;
}

/** A read that is under way, and who wants its answer. */
interface Flight {
  readonly answer: Promise<unknown>;
  readonly askers: IsWanted[];
}

const always: IsWanted = () => true;

/**
 * Reads from JetStream for cursors behind the tail and for jobs that memory does not know. The same read is done once
 * for everyone who asks for it at the same time, and only so many run at once. A read is tried until it succeeds:
 * while NATS is away sessions wait, they are not sent away.
 */
export class HistoryReader implements ColdSource {
  readonly #access: HistoryAccess;
  readonly #limit: LimitFunction;
  readonly #observer: ColdObserver;
  readonly #now: () => number;
  readonly #stopped = new AbortController();
  readonly #flights = new Map<string, Flight>();

  constructor(access: HistoryAccess, concurrency: number, observer: ColdObserver, now: () => number) {
    this.#access = access;
    this.#limit = pLimit(concurrency);
    this.#observer = observer;
    this.#now = now;
  }

  /** How many reads run or wait for their turn. */
  get pending(): number {
    return this.#limit.activeCount + this.#limit.pendingCount;
  }

  lastState(id: string, isWanted: IsWanted = always): Promise<LogRecord | null> {
    return this.#once(`last ${id}`, 'last_state', isWanted, async () => {
      const message = await lastMessage(this.#access.jsm, this.#access.stream, subjectOf(id));
      if (message === null) return null;
      const decoded = decodeEvent(message.subject, message.data);
      if (decoded.ok) return makeRecord(decoded.event, message.seq, null, message.time.getTime());
      return this.#newestValid(id);
    });
  }

  records(seqs: readonly number[], isWanted: IsWanted): Promise<readonly LogRecord[]> {
    return this.#once(`records ${seqs.join(' ')}`, 'records', isWanted, async () => {
      const messages = await Promise.all(seqs.map((seq) => this.#stored({ seq })));
      return messages.flatMap((message) => {
        if (message === null) return [];
        const decoded = decodeEvent(message.subject, message.data);
        return decoded.ok ? [makeRecord(decoded.event, message.seq, null, message.time.getTime())] : [];
      });
    });
  }

  isKept(seq: number, isWanted: IsWanted): Promise<boolean> {
    return this.#once(`kept ${seq}`, 'kept', isWanted, async () => (await this.#stored({ seq })) !== null);
  }

  async page(scope: Scope, after: number, isWanted: IsWanted): Promise<Page | Refusal> {
    const key = scope.kind === 'job' ? `page ${scope.id} ${after}` : `page * ${after}`;
    const page = await this.#once(key, 'page', isWanted, () => readPage(this.#access, scope, after));
    if (page.kind === 'refused' || scope.kind === 'job') return page;
    return { ...page, records: page.records.filter((record) => inScope(scope, record)) };
  }

  reached(cursor: number, isWanted: IsWanted): Promise<{ readonly kind: 'ok' } | Refusal> {
    return this.#once(`head ${cursor}`, 'head', isWanted, async () => {
      const info = await this.#access.jsm.streams.info(this.#access.stream);
      const { first_seq: firstSeq, last_seq: lastSeq } = info.state;
      if (epochOf(info) === this.#access.epoch() && lastSeq >= cursor) return { kind: 'ok' };
      return { kind: 'refused', reason: 'ahead', firstSeq, lastSeq };
    });
  }

  /** Rejects what waits. Later reads reject at once. */
  stop(): void {
    this.#limit.clearQueue();
    this.#stopped.abort(new Error('the edge stops'));
  }

  // The leader is asked, not any replica by a direct get: an answer that is older than what this edge has already read
  // of the stream would be taken for the newest. docs/decisions/0007-last-states-from-the-leader.md
  #stored(query: MsgRequest): Promise<StoredMsg | null> {
    return storedMessage(this.#access.jsm, this.#access.stream, query);
  }

  // The newest message is not an event; what the job's watchers are owed is the newest that is.
  async #newestValid(id: string): Promise<LogRecord | null> {
    let newest: LogRecord | null = null;
    const scope: Scope = { kind: 'job', id, jobTypes: null };
    const info = await this.#access.jsm.streams.info(this.#access.stream);
    for (let after = Math.max(0, info.state.first_seq - 1); ; ) {
      const page = await readPage(this.#access, scope, after, 'none');
      // Nothing is left behind the place that was read.
      if (page.kind === 'refused') return newest;
      newest = page.records.at(-1) ?? newest;
      if (page.cursor <= after || page.cursor >= info.state.last_seq) return newest;
      after = page.cursor;
    }
  }

  #once<T>(what: string, kind: ReadKind, isWanted: IsWanted, read: () => Promise<T>): Promise<T> {
    // What was asked of another incarnation of the stream is no answer about this one.
    const key = `${this.#access.epoch()} ${what}`;
    const running = this.#flights.get(key);
    if (running !== undefined) {
      running.askers.push(isWanted);
      return running.answer as Promise<T>;
    }
    const askers = [isWanted];
    const answer = this.#persist(kind, askers, read).finally(() => this.#flights.delete(key));
    this.#flights.set(key, { answer, askers });
    return answer;
  }

  // What another incarnation of the stream answers is of no use; epochs never come back, so one look afterwards tells.
  async #ofOneStream<T>(read: () => Promise<T>): Promise<T> {
    const epoch = this.#access.epoch();
    const result = await read();
    const info = await this.#access.jsm.streams.info(this.#access.stream);
    if (epochOf(info) !== epoch) throw new RetryableReadError('the stream is another one');
    return result;
  }

  #persist<T>(kind: ReadKind, askers: readonly IsWanted[], read: () => Promise<T>): Promise<T> {
    const startedAt = this.#now();
    const attempt = async (): Promise<T> => {
      const result = await this.#limit(() => {
        // A herd that gave up while it waited must not be read for: those that came instead would wait behind it.
        if (!askers.some((isWanted) => isWanted())) throw new AbortError('nobody wants the answer any more');
        return this.#access.link.during(this.#stopped.signal, () => this.#ofOneStream(read));
      }).catch(retryable);
      this.#observer.read(kind, this.#now() - startedAt);
      return result;
    };
    return pRetry(attempt, {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: 50,
      maxTimeout: 2_000,
      randomize: true,
      signal: this.#stopped.signal,
      onFailedAttempt: ({ error }) => this.#observer.failed(kind, error),
    });
  }
}

// The retrying library gives up on a TypeError; a session must not be left without an answer for it.
function retryable(error: unknown): never {
  throw error instanceof TypeError ? new Error(error.message, { cause: error }) : error;
}
