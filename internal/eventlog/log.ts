import type { DecodedEvent } from './decode.js';
import { Jobs } from './jobs.js';
import { RecordQueue } from './queue.js';
import { type LogRecord, makeRecord } from './record.js';
import { inScope, type Scope } from './scope.js';
import { Snapshot } from './snapshot.js';

/** A job that is finished for longer than this is left out of a fresh all-jobs connection. PROTOCOL.md, "All jobs". */
export const RECENTLY_FINISHED_MS = 10 * 60_000;

/** The most records that one read looks at, so that a narrow filter over a long tail does not hold up the others. */
const READ_SCAN_LIMIT = 4096;

export interface LogLimits {
  /** Bytes of the newest events kept in memory. */
  readonly tailBytes: number;
  /** Bytes of last states kept in memory. */
  readonly lastStateBytes: number;
}

/** The answer to a read: records and the cursor after them; or the head; or that memory does not reach back. */
export type LogRead =
  | {
      readonly kind: 'records';
      readonly records: readonly LogRecord[];
      readonly cursor: number;
      readonly scanned: number;
    }
  | { readonly kind: 'head'; readonly cursor: number }
  | { readonly kind: 'behind' };

/**
 * The newest part of the stream in memory, and the last state of every job. Pure: whoever follows the stream calls
 * `begin`, `load`, `ready` and `append`; everyone else reads.
 *
 * Invariants:
 * - between `brokenAt` and `head` the log has seen every message; a cursor before `brokenAt` is never served from memory;
 * - every valid event with `floor < seq <= head` is in the tail;
 * - every job in `jobs` has its newest valid event at or below `head` as `last`;
 * - `settled <= head`: live sessions have been given everything up to `settled`.
 */
export class EventLog {
  readonly #limits: LogLimits;
  #tail = new RecordQueue();
  #tailBytes = 0;
  #jobs: Jobs;
  #epoch = '';
  #head = 0;
  #headStoredAt: number | null = null;
  #floor = 0;
  #settled = 0;
  #complete = false;
  #pristine = false;
  #brokenAt = 0;
  #isReady = false;
  #firstSeq = 0;

  constructor(limits: LogLimits) {
    this.#limits = limits;
    this.#jobs = new Jobs(limits.lastStateBytes);
  }

  get epoch(): string {
    return this.#epoch;
  }
  get head(): number {
    return this.#head;
  }
  get floor(): number {
    return this.#floor;
  }
  /** When the message at the head was stored, in milliseconds since 1970; null: not read by this log. */
  get headStoredAt(): number | null {
    return this.#headStoredAt;
  }
  /** The stream's first kept seq when the feed last looked. */
  get firstSeq(): number {
    return this.#firstSeq;
  }
  get settled(): number {
    return this.#settled;
  }
  /** Messages just before this seq were gone before they could be read; 0: none were. */
  get brokenAt(): number {
    return this.#brokenAt;
  }
  get isReady(): boolean {
    return this.#isReady;
  }
  get stats() {
    return {
      tailBytes: this.#tailBytes,
      tailEvents: this.#tail.length,
      lastStateBytes: this.#jobs.bytes,
      jobs: this.#jobs.size,
    };
  }

  /** Names the stream's incarnation, as soon as it is known. */
  setEpoch(epoch: string): void {
    this.#epoch = epoch;
  }

  /**
   * Starts over: memory is emptied, last states up to `head` are about to be loaded, events after it appended.
   * Watched jobs stay pinned.
   */
  begin(epoch: string, head: number, firstSeq: number): void {
    this.#epoch = epoch;
    // An empty stream says 0, but its first message will be 1.
    this.#firstSeq = Math.max(1, firstSeq);
    this.#tail = new RecordQueue();
    this.#tailBytes = 0;
    const jobs = new Jobs(this.#limits.lastStateBytes);
    jobs.takePins(this.#jobs);
    this.#jobs = jobs;
    this.#head = head;
    this.#headStoredAt = null;
    this.#floor = head;
    this.#settled = head;
    this.#brokenAt = 0;
    this.#complete = false;
    this.#pristine = false;
    this.#isReady = false;
  }

  /** A job's last state as of the beginning, in any order. @returns its record */
  load(seq: number, storedAt: number, event: DecodedEvent): LogRecord {
    const record = makeRecord(event, seq, null, storedAt);
    this.#jobs.restore(record);
    if (seq === this.#head) this.#headStoredAt = storedAt;
    this.#jobs.evict(storedAt, RECENTLY_FINISHED_MS);
    return record;
  }

  /**
   * The last states are loaded.
   * @param complete whether every job of the stream is among them, so that an unknown job has no event
   * @param pristine whether nothing was ever deleted from the stream, so that an unknown job never had an event
   */
  ready(complete: boolean, pristine: boolean): void {
    this.#jobs.sortRestored();
    this.#complete = complete;
    this.#pristine = pristine;
    this.#isReady = true;
  }

  /** What is in memory is about to be replaced (`begin` follows); nobody may start from it any more. */
  suspend(): void {
    this.#isReady = false;
  }

  /**
   * The stream's next message: a valid event, or null for one that is not.
   * @returns its record; null when there is none to serve (not valid, or already known)
   */
  append(seq: number, storedAt: number, event: DecodedEvent | null): LogRecord | null {
    if (seq <= this.#head) return null;
    if (seq > this.#head + 1) this.#break(seq - 1);
    this.#head = seq;
    this.#headStoredAt = storedAt;
    if (event === null) return null;
    const record = makeRecord(event, seq, this.#previous(event.id), storedAt);
    this.#tail.push(record);
    this.#tailBytes += record.bytes;
    this.#jobs.put(record);
    while (this.#tailBytes > this.#limits.tailBytes && this.#tail.length > 1) this.#evictOldest();
    this.#jobs.evict(storedAt, RECENTLY_FINISHED_MS);
    return record;
  }

  /** Takes in a last state that was read from JetStream for a job that is not in memory. */
  restore(record: LogRecord): void {
    if (record.seq > this.#head) return;
    this.#jobs.restore(record);
    this.#jobs.evict(record.storedAt, RECENTLY_FINISHED_MS);
  }

  /** Says that every live session has been given everything up to the head. */
  settle(): void {
    this.#settled = this.#head;
  }

  /** The newest valid event of a job, if memory has it. */
  last(id: string): LogRecord | undefined {
    return this.#jobs.get(id)?.last;
  }

  /** Whether a job that memory does not know has no event up to the head. */
  get knowsAllJobs(): boolean {
    return this.#complete && !this.#jobs.forgot;
  }

  /** Whether memory can say what all jobs are, or has let too many go. */
  get hasAllStates(): boolean {
    return this.#jobs.isComplete;
  }

  watch(id: string): void {
    this.#jobs.pin(id);
  }
  unwatch(id: string): void {
    this.#jobs.unpin(id);
  }

  /** The last states for a fresh connection, at `now` (milliseconds since 1970). */
  snapshot(scope: Scope, now: number): Snapshot {
    return new Snapshot(this.#jobs, scope, this.#head, now, RECENTLY_FINISHED_MS);
  }

  /**
   * What lies after `cursor` in the scope, up to about `maxBytes` and at least one record.
   * A cursor at or above the head (another edge may have been ahead) is at the head.
   */
  read(scope: Scope, cursor: number, maxBytes: number): LogRead {
    return scope.kind === 'job'
      ? this.#readJob(scope.id, cursor, maxBytes)
      : this.#readAll(scope, cursor, maxBytes);
  }

  #readJob(id: string, cursor: number, maxBytes: number): LogRead {
    if (cursor < this.#brokenAt) return { kind: 'behind' };
    const job = this.#jobs.get(id);
    if (job === undefined) {
      if ((this.#jobs.evictedSeq(id) ?? Number.POSITIVE_INFINITY) <= cursor) return this.#atHead(cursor);
      const hadNone = this.knowsAllJobs && this.#pristine;
      return cursor >= this.#floor || hadNone ? this.#atHead(cursor) : { kind: 'behind' };
    }
    if (job.last.seq <= cursor) return this.#atHead(cursor);
    const { tail, last } = job;
    let index = tail?.indexAfter(cursor) ?? 0;
    const first = tail?.at(index) ?? last;
    const reaches = cursor >= this.#floor || (first.prevSeq !== null && first.prevSeq <= cursor);
    if (!reaches) return { kind: 'behind' };
    const records = [first];
    let bytes = first.bytes;
    for (let next = tail?.at(++index); next !== undefined && bytes < maxBytes; next = tail?.at(++index)) {
      records.push(next);
      bytes += next.bytes;
    }
    return { kind: 'records', records, cursor: (records.at(-1) as LogRecord).seq, scanned: records.length };
  }

  #readAll(scope: Scope, cursor: number, maxBytes: number): LogRead {
    if (cursor < this.#floor) return { kind: 'behind' };
    let index = this.#tail.indexAfter(cursor);
    const records: LogRecord[] = [];
    let bytes = 0;
    let seen = 0;
    for (; bytes < maxBytes && seen < READ_SCAN_LIMIT; seen++) {
      const next = this.#tail.at(index++);
      if (next === undefined) break;
      cursor = next.seq;
      if (!inScope(scope, next)) continue;
      records.push(next);
      bytes += next.bytes;
    }
    return seen === 0 ? this.#atHead(cursor) : { kind: 'records', records, cursor, scanned: seen };
  }

  #atHead(cursor: number): LogRead {
    return { kind: 'head', cursor: Math.max(cursor, this.#head) };
  }

  #previous(id: string): number | null {
    const last = this.last(id)?.seq ?? this.#jobs.evictedSeq(id);
    if (last === undefined) return this.knowsAllJobs && this.#pristine && this.#brokenAt === 0 ? 0 : null;
    return last > this.#brokenAt || this.#brokenAt === 0 ? last : null;
  }

  // Messages were deleted before they could be read (trimmed or purged while the feed was away). Nothing in memory
  // may be taken for adjacent to what follows: cursors from before go through a checked read of JetStream.
  #break(floor: number): void {
    while (this.#tail.length > 0) this.#evictOldest();
    this.#head = floor;
    this.#floor = floor;
    this.#brokenAt = floor;
  }

  #evictOldest(): void {
    const record = this.#tail.shift();
    if (record === undefined) return;
    this.#tailBytes -= record.bytes;
    this.#floor = record.seq;
    this.#jobs.leftTail(record);
  }
}
