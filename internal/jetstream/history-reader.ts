import type { MsgRequest, StoredMsg } from 'nats';
import pRetry, { AbortError } from 'p-retry';
import { subjectOf } from '../../schemas/ids.js';
import { decodeEvent } from '../eventlog/decode.js';
import { inScope, type LogRecord, makeRecord, type Scope } from '../eventlog/record.js';
import type { HistorySource, IsWanted, Page, ResetRequired } from '../session/ports.js';
import { type HistoryAccess, RetryableReadError, readPage } from './history-page.js';
import { ReadTurns } from './read-turns.js';
import { epochOf, lastMessage, storedMessage } from './stream.js';

export type ReadKind = 'page' | 'last_state' | 'records' | 'kept' | 'head';

export interface HistoryObserver {
  /** A read that JetStream answered: what kind, and how many milliseconds it took with its retries. */
  read(kind: ReadKind, ms: number): void;
  /** A read that failed and will be tried again. */
  failed(kind: ReadKind, error: Error): void;
}

/** Who asks for a read: by whose turn it is done, and whether the answer is still wanted. */
export interface Reader {
  /** The same for all connections of one subject, or of one address. */
  readonly requester: string;
  readonly isWanted: IsWanted;
}

/** A read that is under way, and who wants its answer. */
interface SharedRead {
  readonly requesters: Set<string>;
  readonly waiters: IsWanted[];
}

/** What the edge itself reads has turns of its own. */
const EDGE: Reader = { requester: 'edge', isWanted: () => true };

/**
 * Reads from JetStream for cursors behind the tail and for jobs that memory does not know. The same read is done once
 * for everyone who asks for it at the same time. Only so many run at once, and those that wait have turns by who asks. A
 * read is tried until it succeeds: while NATS is away sessions wait, they are not sent away.
 */
export class HistoryReader {
  readonly #access: HistoryAccess;
  readonly #turns: ReadTurns;
  readonly #observer: HistoryObserver;
  readonly #now: () => number;
  readonly #stopped = new AbortController();
  readonly #sharedReads = new Map<
    string,
    { readonly shared: SharedRead; readonly answer: Promise<unknown> }
  >();

  /** How many of the reads under way are of each requester. */
  readonly #pendingOf = new Map<string, number>();

  constructor(access: HistoryAccess, concurrency: number, observer: HistoryObserver, now: () => number) {
    this.#access = access;
    this.#turns = new ReadTurns(concurrency, now);
    this.#observer = observer;
    this.#now = now;
  }

  /** How many reads run, wait for their turn, or will be tried again in a moment. */
  get pending(): number {
    return this.#sharedReads.size;
  }

  /** How many of them are this requester's, those included that others want as well. */
  pendingOf(requester: string): number {
    return this.#pendingOf.get(requester) ?? 0;
  }

  /** How many reads wait for their turn, of how many requesters, and for how many milliseconds the oldest has waited. */
  get waiting(): ReadTurns['waiting'] {
    return this.#turns.waiting;
  }

  /** Reads in the turns of one requester. */
  of(requester: string): HistorySource {
    return new ReadsOfRequester(this, requester);
  }

  lastState(id: string, reader: Reader = EDGE): Promise<LogRecord | null> {
    return this.#once(`last ${id}`, 'last_state', reader, async () => {
      const message = await lastMessage(this.#access.jsm, this.#access.stream, subjectOf(id));
      if (message === null) return null;
      const decoded = decodeEvent(message.subject, message.data);
      if (decoded.ok) return makeRecord(decoded.event, message.seq, null, message.time.getTime());
      return this.#newestValid(id);
    });
  }

  records(seqs: readonly number[], reader: Reader): Promise<readonly LogRecord[]> {
    return this.#once(`records ${seqs.join(' ')}`, 'records', reader, async () => {
      const messages = await Promise.all(seqs.map((seq) => this.#stored({ seq })));
      return messages.flatMap((message) => {
        if (message === null) return [];
        const decoded = decodeEvent(message.subject, message.data);
        return decoded.ok ? [makeRecord(decoded.event, message.seq, null, message.time.getTime())] : [];
      });
    });
  }

  isKept(seq: number, reader: Reader): Promise<boolean> {
    return this.#once(`kept ${seq}`, 'kept', reader, async () => (await this.#stored({ seq })) !== null);
  }

  async page(scope: Scope, after: number, reader: Reader): Promise<Page | ResetRequired> {
    const key = scope.kind === 'job' ? `page ${scope.id} ${after}` : `page * ${after}`;
    const page = await this.#once(key, 'page', reader, () => readPage(this.#access, scope, after));
    if (page.kind === 'refused' || scope.kind === 'job') return page;
    return { ...page, records: page.records.filter((record) => inScope(scope, record)) };
  }

  oldest(scope: Scope, reader: Reader): Promise<Pick<Page, 'records' | 'cursor'>> {
    const key = scope.kind === 'job' ? `oldest ${scope.id}` : 'oldest *';
    return this.#once(key, 'page', reader, async () => {
      const page = await readPage(this.#access, scope, 0, 'none');
      if (page.kind === 'refused') throw new RetryableReadError('the stream has changed');
      return page;
    });
  }

  reached(cursor: number, reader: Reader): Promise<{ readonly kind: 'ok' } | ResetRequired> {
    return this.#once(`head ${cursor}`, 'head', reader, async () => {
      const info = await this.#access.jsm.streams.info(this.#access.stream);
      const { first_seq: firstSeq, last_seq: lastSeq } = info.state;
      if (epochOf(info) === this.#access.epoch() && lastSeq >= cursor) return { kind: 'ok' };
      return { kind: 'refused', reason: 'ahead', firstSeq, lastSeq };
    });
  }

  /** Rejects what waits. Later reads reject at once. */
  stop(): void {
    const error = new Error('the edge stops');
    this.#stopped.abort(error);
    this.#turns.clear(new AbortError(error));
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

  #once<T>(
    what: string,
    kind: ReadKind,
    { requester, isWanted }: Reader,
    read: () => Promise<T>,
  ): Promise<T> {
    // What was asked of another incarnation of the stream is no answer about this one.
    const key = `${this.#access.epoch()} ${what}`;
    const running = this.#sharedReads.get(key);
    if (running !== undefined) {
      const { shared, answer } = running;
      shared.waiters.push(isWanted);
      this.#join(shared, requester);
      this.#turns.joined(shared, requester);
      return answer as Promise<T>;
    }
    const shared: SharedRead = { requesters: new Set(), waiters: [isWanted] };
    this.#join(shared, requester);
    const answer = this.#persist(kind, shared, read).finally(() => {
      this.#sharedReads.delete(key);
      for (const one of shared.requesters) this.#count(one, -1);
    });
    this.#sharedReads.set(key, { shared, answer });
    return answer;
  }

  #join({ requesters }: SharedRead, requester: string): void {
    if (requesters.has(requester)) return;
    requesters.add(requester);
    this.#count(requester, 1);
  }

  #count(requester: string, change: 1 | -1): void {
    const count = this.pendingOf(requester) + change;
    if (count > 0) this.#pendingOf.set(requester, count);
    else this.#pendingOf.delete(requester);
  }

  // What another incarnation of the stream answers is of no use; epochs never come back, so one look afterwards tells.
  async #ofOneStream<T>(read: () => Promise<T>): Promise<T> {
    const epoch = this.#access.epoch();
    const result = await read();
    const info = await this.#access.jsm.streams.info(this.#access.stream);
    if (epochOf(info) !== epoch) throw new RetryableReadError('the stream is another one');
    return result;
  }

  #persist<T>(kind: ReadKind, shared: SharedRead, read: () => Promise<T>): Promise<T> {
    const startedAt = this.#now();
    const attempt = async (): Promise<T> => {
      const result = await this.#turns
        .run(shared, async () => {
          // A herd that gave up while it waited must not be read for: those that came instead would wait behind it.
          if (!shared.waiters.some((isWanted) => isWanted()))
            throw new AbortError('nobody wants the answer any more');
          return this.#access.monitor.runWhileConnected(this.#stopped.signal, () => this.#ofOneStream(read));
        })
        .catch(retryable);
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

class ReadsOfRequester implements HistorySource {
  readonly #reader: HistoryReader;
  readonly #requester: string;

  constructor(reader: HistoryReader, requester: string) {
    this.#reader = reader;
    this.#requester = requester;
  }

  lastState(id: string, isWanted: IsWanted): Promise<LogRecord | null> {
    return this.#reader.lastState(id, this.#by(isWanted));
  }

  records(seqs: readonly number[], isWanted: IsWanted): Promise<readonly LogRecord[]> {
    return this.#reader.records(seqs, this.#by(isWanted));
  }

  isKept(seq: number, isWanted: IsWanted): Promise<boolean> {
    return this.#reader.isKept(seq, this.#by(isWanted));
  }

  page(scope: Scope, after: number, isWanted: IsWanted): Promise<Page | ResetRequired> {
    return this.#reader.page(scope, after, this.#by(isWanted));
  }

  oldest(scope: Scope, isWanted: IsWanted): Promise<Pick<Page, 'records' | 'cursor'>> {
    return this.#reader.oldest(scope, this.#by(isWanted));
  }

  reached(cursor: number, isWanted: IsWanted): Promise<{ readonly kind: 'ok' } | ResetRequired> {
    return this.#reader.reached(cursor, this.#by(isWanted));
  }

  #by(isWanted: IsWanted): Reader {
    return { requester: this.#requester, isWanted };
  }
}

// The retrying library gives up on a TypeError; a session must not be left without an answer for it.
function retryable(error: unknown): never {
  throw error instanceof TypeError ? new Error(error.message, { cause: error }) : error;
}
