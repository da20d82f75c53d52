import type { ResetReason } from '../../schemas/frames.js';
import type { EventLog } from '../eventlog/log.js';
import { frameInScope, inScope, type LogRecord, type Scope } from '../eventlog/record.js';
import { SNAPSHOT_SCAN_LIMIT } from '../eventlog/snapshot.js';
import type { HistorySource, IsWanted, Resume } from './ports.js';

/** About the most bytes of one page: whoever reads slowly has it kept for as long. At least one record is on it. */
const PAGE_BYTES = 256 * 1024;
/** The most states that are read from JetStream for one page of the list of jobs. */
const MAX_STATE_READS = 512;

type JobScope = Extract<Scope, { kind: 'job' }>;
type AllScope = Extract<Scope, { kind: 'all' }>;

export interface PageRange {
  /** Only what stands behind this seq; null: from the beginning of what is kept. */
  readonly after: number | null;
  /** The epoch that `after` is of; null: taken to be the present one. */
  readonly epoch: string | null;
  /** The most records, from 1. */
  readonly limit: number;
}

/** Records of a page as the text of their frames. */
export interface FramesPage {
  readonly kind: 'page';
  readonly epoch: string;
  readonly frames: readonly string[];
  /** Everything in scope up to here was looked at. */
  readonly cursor: number;
  /** Whether nothing lay behind it. */
  readonly isEnd: boolean;
  /** What memory may have dropped of all jobs ends here. */
  readonly completeAfter: number;
}

/** The cursor cannot be served: something behind it is gone, or it was never one of this stream. */
export interface StaleCursor {
  readonly kind: 'stale';
  readonly reason: ResetReason;
  readonly epoch: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
}

/** The log is being loaded; asking again in a moment succeeds. */
export interface NotReady {
  readonly kind: 'not_ready';
}

/**
 * Answers who asks once: from memory where that reaches, else from JetStream. The same log and the same reads as those of
 * sessions, so that an answer is never at odds with what a connection is sent. PROTOCOL.md, "Over HTTP".
 */
export class JobReader {
  readonly #log: EventLog;
  readonly #nextTurn: () => Promise<unknown>;

  /** @param nextTurn resolves in the next turn of the event loop */
  constructor(log: EventLog, nextTurn: () => Promise<unknown>) {
    this.#log = log;
    this.#nextTurn = nextTurn;
  }

  /**
   * The newest valid event of a job; null when it has none.
   * @throws what the source throws when the edge stops or nobody wants the answer any more
   */
  async lastState(id: string, history: HistorySource, isWanted: IsWanted): Promise<LogRecord | null> {
    const log = this.#log;
    // What memory knows of a job is its newest state as of the log's head; what it does not know is read.
    const known = log.isReady ? log.last(id) : undefined;
    if (known !== undefined) return known;
    return log.isReady && log.knowsAllJobs ? null : history.lastState(id, isWanted);
  }

  /**
   * Whether a client with this cursor was sent the end of the job, so that it is owed nothing more. Only what is known for
   * certain counts: for all else a session finds out what is owed.
   * @throws what `lastState` throws
   */
  async hasSeenEnd(
    scope: JobScope,
    { lastSeq, epoch }: Resume,
    history: HistorySource,
    isWanted: IsWanted,
  ): Promise<boolean> {
    const log = this.#log;
    // The job may have begun again behind the head of an edge that is behind others.
    if (!log.isReady || epoch !== log.epoch || lastSeq > log.head) return false;
    const last = await this.lastState(scope.id, history, isWanted);
    // Who is not shown the job is not told of its end.
    return last?.finished === true && last.seq <= lastSeq && inScope(scope, last);
  }

  /** The valid events of one job, in order: all that the stream keeps behind `after`, or `stale`. */
  async events(
    scope: JobScope,
    range: PageRange,
    history: HistorySource,
    isWanted: IsWanted,
  ): Promise<FramesPage | StaleCursor | NotReady> {
    const log = this.#log;
    if (!log.isReady) return NOT_READY;
    if (range.epoch !== null && range.epoch !== log.epoch) return this.#stale('epoch');
    // While somebody asks for it the job stays in memory, with what was found out about it.
    log.watch(scope.id);
    try {
      for (let tries = START_TRIES; tries > 0; tries--) {
        const page = new EventsPage(log, scope, range.limit, history, isWanted);
        const from = range.after ?? (await page.start());
        const answer = from === null ? NOT_READY : await page.read(from);
        // What the stream kept when it was looked at may have left since; who names no cursor is owed no reset.
        if (answer.kind !== 'stale' || range.after !== null) return answer;
      }
      return NOT_READY;
    } finally {
      log.unwatch(scope.id);
    }
  }

  /**
   * The last states of all jobs in scope that this edge knows, in rising order of their seq.
   * @param isListed which of them are wanted
   */
  async jobs(
    scope: AllScope,
    { after, epoch, limit }: PageRange,
    isListed: (record: LogRecord) => boolean,
    history: HistorySource,
    isWanted: IsWanted,
  ): Promise<FramesPage | StaleCursor | NotReady> {
    const log = this.#log;
    if (!log.isReady) return NOT_READY;
    const current = log.epoch;
    if (epoch !== null && epoch !== current) return this.#stale('epoch');
    if (after !== null && after > log.head) {
      // The edge may be behind others; the stream knows.
      const reached = await history.reached(after, isWanted);
      if (!log.isReady || log.epoch !== current) return NOT_READY;
      if (reached.kind === 'refused') return { ...reached, kind: 'stale', epoch: current };
    }
    let snapshot = log.known(scope, after ?? 0);
    const page = new PageOfRecords(scope, limit);
    let cursor = after ?? 0;
    let reads = 0;
    let unlisted = 0;
    let isEnd = false;
    while (!isEnd && !page.isFull && reads < MAX_STATE_READS && isWanted()) {
      const step = snapshot.next();
      switch (step.kind) {
        case 'state':
          if (isListed(step.record)) {
            cursor = page.add([step.record], step.record.seq);
            break;
          }
          cursor = step.record.seq;
          unlisted++;
          if (unlisted % SNAPSHOT_SCAN_LIMIT !== 0) break;
          await this.#nextTurn();
          if (!log.isReady || log.epoch !== current) return NOT_READY;
          break;
        case 'evicted': {
          reads += step.seqs.length;
          const records = await history.records(step.seqs, isWanted);
          if (!log.isReady || log.epoch !== current) return NOT_READY;
          const listed = records.filter((record) => snapshot.includes(record) && isListed(record));
          cursor = page.add(listed, step.seqs.at(-1) ?? cursor);
          break;
        }
        case 'scanned':
          // Many jobs, none of them wanted: others have their turn meanwhile.
          await this.#nextTurn();
          if (!log.isReady || log.epoch !== current) return NOT_READY;
          break;
        case 'lost':
        case 'end':
          cursor = Math.max(cursor, snapshot.head);
          // What moved on while this page was read is left out by the snapshot: it lies behind.
          isEnd = log.head <= cursor;
          if (!isEnd) snapshot = log.known(scope, cursor);
          break;
      }
    }
    const { frames } = page;
    return { kind: 'page', epoch: current, frames, cursor, isEnd, completeAfter: log.droppedSeq };
  }

  #stale(reason: ResetReason): StaleCursor {
    const { epoch, firstSeq, head: lastSeq } = this.#log;
    return { kind: 'stale', reason, epoch, firstSeq, lastSeq };
  }
}

const NOT_READY: NotReady = { kind: 'not_ready' };
/** How often one request looks anew for the oldest event that is kept. */
const START_TRIES = 3;

/** One page of a job's events while it is read. */
class EventsPage {
  readonly #log: EventLog;
  readonly #epoch: string;
  readonly #scope: JobScope;
  readonly #history: HistorySource;
  readonly #isWanted: IsWanted;
  readonly #page: PageOfRecords;

  constructor(log: EventLog, scope: JobScope, limit: number, history: HistorySource, isWanted: IsWanted) {
    this.#log = log;
    this.#epoch = log.epoch;
    this.#scope = scope;
    this.#history = history;
    this.#isWanted = isWanted;
    this.#page = new PageOfRecords(scope, limit);
  }

  /**
   * Puts the oldest event that is kept on the page, unless memory has them all.
   * @returns where to go on; null: the log is being loaded
   */
  async start(): Promise<number | null> {
    const read = this.#log.read(this.#scope, 0, PAGE_BYTES);
    if (read.kind === 'records' || read.kind === 'head') return 0;
    const { records, cursor } = await this.#history.oldest(this.#scope, this.#isWanted);
    if (!this.#isCurrent()) return null;
    // Only what comes behind an event that is known can be shown to be whole.
    const first = records[0];
    return first === undefined ? cursor : this.#page.add([first], first.seq);
  }

  /** Reads what lies behind `cursor` until the page is full or the head is reached. */
  async read(cursor: number): Promise<FramesPage | StaleCursor | NotReady> {
    while (!this.#page.isFull) {
      // The edge may be behind others; the stream knows.
      const isAhead = cursor > this.#log.head;
      const read = isAhead ? OUT_OF_RANGE : this.#log.read(this.#scope, cursor, PAGE_BYTES);
      switch (read.kind) {
        case 'records':
          cursor = this.#page.add(read.records, read.cursor);
          continue;
        case 'head':
          return this.#done(read.cursor, true);
        case 'unverified':
          if (await this.#isKept(read.anchor, read.gapSeq)) continue;
          break;
        case 'out_of_range':
          break;
      }
      if (!this.#isCurrent()) return NOT_READY;
      const fetched = await this.#history.page(this.#scope, cursor, this.#isWanted);
      if (!this.#isCurrent()) return NOT_READY;
      if (fetched.kind === 'refused') return { ...fetched, kind: 'stale', epoch: this.#epoch };
      const reached = this.#page.add(fetched.records, fetched.cursor);
      if (!this.#page.isFull) this.#page.follow(fetched.previous);
      const isEnd = fetched.records.length === 0 && reached >= this.#log.head;
      if (isEnd) return this.#done(Math.max(cursor, reached), true);
      cursor = Math.max(cursor, reached);
    }
    return this.#done(cursor, false);
  }

  async #isKept(anchor: number, gapSeq: number): Promise<boolean> {
    const isKept = await this.#history.isKept(anchor, this.#isWanted);
    if (isKept && this.#isCurrent()) this.#log.verified(this.#scope.id, anchor, gapSeq);
    return isKept && this.#isCurrent();
  }

  #isCurrent(): boolean {
    return this.#log.isReady && this.#log.epoch === this.#epoch;
  }

  #done(cursor: number, isEnd: boolean): FramesPage {
    return { kind: 'page', epoch: this.#epoch, frames: this.#page.frames, cursor, isEnd, completeAfter: 0 };
  }
}

const OUT_OF_RANGE = { kind: 'out_of_range' } as const;

/** The records of one page, up to its limits, worded by those before them. */
class PageOfRecords {
  readonly frames: string[] = [];
  readonly #scope: Scope;
  readonly #limit: number;
  #bytes = 0;
  #previous: number | null = null;

  constructor(scope: Scope, limit: number) {
    this.#scope = scope;
    this.#limit = limit;
  }

  get isFull(): boolean {
    return this.frames.length >= this.#limit || this.#bytes >= PAGE_BYTES;
  }

  /** The next record follows this one, whichever were added; null: nobody knows. */
  follow(previous: number | null): void {
    // With a filter it may be one that was kept back, and is not named then.
    if (this.#scope.jobTypes === null) this.#previous = previous ?? this.#previous;
  }

  /**
   * Adds records until the page is full.
   * @param upTo everything in scope up to here is among them
   * @returns how far the page reaches now
   */
  add(records: readonly LogRecord[], upTo: number): number {
    let reached = upTo;
    for (const record of records) {
      if (this.isFull) return reached;
      reached = record.seq;
      if (!inScope(this.#scope, record)) continue;
      this.frames.push(frameInScope(record, this.#scope, this.#previous));
      this.#previous = record.seq;
      this.#bytes += record.bytes;
    }
    return this.isFull ? reached : upTo;
  }
}
