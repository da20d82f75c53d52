import type { ResetReason } from '../../schemas/frames.js';
import type { DecodedEvent } from './decode.js';
import { type Gap, GapList } from './gaps.js';
import { GoneList, type GoneView } from './gone-list.js';
import { type GoneJob, type JobState, JobStateCache } from './job-state-cache.js';
import type { HeadRead, LogRead } from './log-read.js';
import { Queue, RecordQueue } from './queue.js';
import { RecentReads } from './recent-reads.js';
import { inScope, type LogRecord, makeRecord, type Scope } from './record.js';
import { Snapshot } from './snapshot.js';
import { UnsureJobs } from './unsure-jobs.js';

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

/** The most jobs that leave with one look at the stream's first message, so that clients can be told of each. */
const MAX_TRIMMED = 4_096;

/** What the last states were loaded of. */
export interface LoadedStream {
  /** Everything up to this seq is loaded. */
  readonly head: number;
  /** The stream's first kept seq. */
  readonly firstSeq: number;
  /** Whether every job of the stream is among the loaded, so that an unknown job has no event. */
  readonly complete: boolean;
  /** Whether nothing was ever deleted from the stream, so that an unknown job never had an event. */
  readonly neverTrimmed: boolean;
}

/** Where a stream begins and ends. */
export interface StreamEnds {
  /** Its first kept seq. */
  readonly firstSeq: number;
  /** Its last seq, kept or not. The log may not have read so far. */
  readonly lastSeq: number;
}

/**
 * Who hears what becomes of the log. Each is called when the log has taken it in, but for `restarting`; so what is heard
 * can be read. They hear it in the order of the stream, and may not change the log meanwhile.
 */
export interface LogListener {
  /**
   * What is in memory is about to be emptied, and can be read for the last time; nobody may start from it.
   * @param reset what everybody who follows is owed for it: `ahead` when seqs of the same epoch now mean other events,
   * `retention` when something may be missing in what was shown; null: nothing
   */
  restarting?(reset: ResetReason | null): void;
  /** A job's last state as of the beginning. */
  loaded?(record: LogRecord): void;
  /** The last states are loaded. */
  ready?(): void;
  /** The head moved; null: by a message that is not an event. */
  appended?(record: LogRecord | null): void;
  /** The stream holds nothing of these jobs any more. Where there are none, more is known of some that left before. */
  gone?(jobs: readonly GoneJob[]): void;
}

/**
 * The newest part of the stream in memory, and the last state of every job. Pure: whoever follows the stream calls
 * `begin`, `load`, `ready` and `append`; everyone else listens, or reads.
 *
 * Invariants:
 * - every valid event with `tailStart < seq <= head` that could be read is in the tail; what could not, lies in a gap;
 * - a cursor before a gap is served from memory only over `skipped`, or when the gap is known to concern other jobs;
 * - every job that is known has its newest valid event at or below `head` as `last`;
 * - `flushedSeq <= head`: live sessions have been given everything up to `flushedSeq`.
 */
export class EventLog {
  readonly #limits: LogLimits;
  #listeners: readonly LogListener[] = [];
  #tail = new RecordQueue();
  /** The job of each record in the tail: an old one is not in the processor's caches any more, to look it up by its id. */
  #tailJobs = new Queue<JobState>();
  #tailBytes = 0;
  #jobs: JobStateCache;
  #epoch = '';
  #head = 0;
  #headStoredAt: number | null = null;
  /** The loaded state with the highest seq. */
  #newestLoaded: { readonly seq: number; readonly storedAt: number } | null = null;
  #tailStart = 0;
  #gaps = new GapList();
  readonly #reads = new RecentReads();
  #flushedSeq = 0;
  #complete = false;
  #neverTrimmed = false;
  #isReady = false;
  #firstSeq = 0;
  /** The stream's last seq when the feed last looked; 0: it did not look yet. */
  #lastSeq = 0;
  /** What was known before this load, where it is of the same epoch. */
  #before: ReadonlyMap<string, string | undefined> | null = null;
  readonly #unsure = new UnsureJobs();
  readonly #gone = new GoneList();
  /** When the stream was last looked at, in milliseconds that never go back. */
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(limits: LogLimits) {
    this.#limits = limits;
    this.#jobs = this.#newJobs();
  }

  /** Names who hears of it, in this order. Called once: listeners read the log, and so are made after it. */
  setListeners(listeners: readonly LogListener[]): void {
    this.#listeners = listeners;
  }

  get epoch(): string {
    return this.#epoch;
  }
  get head(): number {
    return this.#head;
  }
  get tailStart(): number {
    return this.#tailStart;
  }
  /** When the message at the head was stored, in milliseconds since 1970; null: not read by this log. */
  get headStoredAt(): number | null {
    return this.#headStoredAt;
  }
  /** The stream's first kept seq when the feed last looked. */
  get firstSeq(): number {
    return this.#firstSeq;
  }
  get flushedSeq(): number {
    return this.#flushedSeq;
  }
  /** The newest message that was deleted before it could be read; 0: none was. */
  get gapSeq(): number {
    return this.#gaps.newestSeq;
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
   * Starts over: memory is emptied, last states are about to be loaded, up to a head that `ready` names. Watched jobs
   * stay pinned.
   * @param reset what everybody who follows is owed for it, see `LogListener`
   */
  begin(epoch: string, reset: ResetReason | null = null): void {
    this.#isReady = false;
    this.#tell((listener) => listener.restarting?.(reset));
    // Behind them: they may have read for the last time.
    this.#reads.forget();
    if (epoch !== this.#epoch) {
      this.#before = null;
      this.#gone.clear();
    } else {
      const known = new Map(this.#before);
      for (const jobs of [this.#unsure.types(), this.#jobs.types()])
        for (const { id, jobType } of jobs) known.set(id, jobType);
      this.#before = known;
    }
    this.#epoch = epoch;
    this.#lastSeq = 0;
    this.#tail = new RecordQueue();
    this.#tailJobs = new Queue();
    this.#tailBytes = 0;
    const jobs = this.#newJobs();
    jobs.takePins(this.#jobs);
    this.#jobs = jobs;
    this.#newestLoaded = null;
    this.#gaps = new GapList();
    this.#complete = false;
    this.#neverTrimmed = false;
  }

  /** A job's last state as of the beginning, in any order; of several of one job the newest counts. @returns its record */
  load(seq: number, storedAt: number, event: DecodedEvent): LogRecord {
    const record = makeRecord(event, seq, null, storedAt);
    this.#jobs.restore(record);
    if (this.#gone.isBack(record.id, seq)) this.#knownBefore(record);
    if (seq > (this.#newestLoaded?.seq ?? 0)) this.#newestLoaded = { seq, storedAt };
    this.#jobs.evict(storedAt, RECENTLY_FINISHED_MS);
    for (const listener of this.#listeners) listener.loaded?.(record);
    return record;
  }

  // It was told as gone. Should it leave before the log is ready, that is to be told again.
  #knownBefore({ id, jobType }: LogRecord): void {
    if (!this.#isReady) this.#before = new Map(this.#before).set(id, jobType);
  }

  /** The last states are loaded. */
  ready({ head, firstSeq, complete, neverTrimmed }: LoadedStream): void {
    this.#reads.forget();
    this.#jobs.sortRestored();
    this.#head = head;
    this.#headStoredAt = this.#newestLoaded?.seq === head ? this.#newestLoaded.storedAt : null;
    this.#tailStart = head;
    this.#flushedSeq = head;
    // An empty stream says 0, but its first message will be 1.
    this.#firstSeq = Math.max(1, firstSeq);
    // What was loaded and has left meanwhile was never shown by this load.
    this.#jobs.removeBelow(this.#firstSeq, Number.POSITIVE_INFINITY);
    this.#complete = complete;
    this.#neverTrimmed = neverTrimmed;
    this.#isReady = true;
    this.#gone.loaded(head);
    this.#unsure.clear();
    for (const [id, jobType] of this.#before ?? []) {
      if (this.#jobs.has(id)) continue;
      if (this.knowsAllJobs) this.#left({ id, jobType }, head, null);
      else this.#unsure.addOfBefore(id, jobType);
    }
    this.#before = null;
    this.#tell((listener) => listener.ready?.());
  }

  /**
   * The stream's next message: a valid event, or null for one that is not.
   * @returns its record; null when there is none to serve (not valid, or already known)
   */
  append(seq: number, storedAt: number, event: DecodedEvent | null): LogRecord | null {
    if (seq <= this.#head) return null;
    if (seq > this.#head + 1) this.#gaps.push({ after: this.#head, before: seq });
    this.#reads.forget();
    this.#head = seq;
    this.#headStoredAt = storedAt;
    const record = event === null ? null : this.#take(seq, storedAt, event);
    for (const listener of this.#listeners) listener.appended?.(record);
    return record;
  }

  #take(seq: number, storedAt: number, event: DecodedEvent): LogRecord {
    const job = this.#jobs.served(event.id);
    const last = job?.last;
    const prevSeq = this.#previous(event.id, last);
    const isChange = prevSeq === null || last?.seq !== prevSeq || last.phase !== event.phase;
    const record = makeRecord(event, seq, prevSeq, storedAt, isChange, last);
    this.#tail.push(record);
    this.#tailBytes += record.bytes;
    this.#tailJobs.push(this.#jobs.put(record, job));
    this.#unsure.delete(event.id);
    this.#gone.isBack(event.id, seq);
    while (this.#tailBytes > this.#limits.tailBytes && this.#tail.length > 1) this.#evictOldest();
    this.#jobs.evict(storedAt, RECENTLY_FINISHED_MS);
    return record;
  }

  /**
   * Takes in a last state that was read from JetStream for a job that is not in memory. Before the log is ready it is
   * one of those that are loaded.
   */
  restore(record: LogRecord): void {
    if (this.#isReady && record.seq > this.#head) return;
    this.#reads.forget();
    this.#jobs.restore(record);
    if (this.#gone.isBack(record.id, record.seq)) this.#knownBefore(record);
    this.#jobs.evict(record.storedAt, RECENTLY_FINISHED_MS);
    if (!this.#isReady) this.#tell((listener) => listener.loaded?.(record));
  }

  /**
   * The stream was looked at: what lies before its first message is gone, and so are the jobs that have nothing behind it.
   * @param now milliseconds that never go back
   * @returns these jobs, a few thousand at most; the next call has the next ones
   */
  trim({ firstSeq, lastSeq }: StreamEnds, now: number): readonly GoneJob[] {
    this.#lookedAt = now;
    this.#lastSeq = lastSeq;
    this.#gone.looked(Math.max(lastSeq, this.#head), now);
    this.#reads.forget();
    this.#firstSeq = Math.max(this.#firstSeq, firstSeq);
    const gone = this.#jobs.removeBelow(this.#firstSeq, MAX_TRIMMED);
    this.#leave(gone, this.#firstSeq - 1);
    return gone;
  }

  /**
   * The stream holds nothing of these jobs any more, as of when its newest message was `upTo`, and not before it was
   * last looked at; what has a newer event stays.
   * @param now milliseconds that never go back
   * @returns those of them that were known
   */
  drop(ids: Iterable<string>, upTo: number, now: number): readonly GoneJob[] {
    this.#lookedAt = now;
    this.#reads.forget();
    const lookedUpTo = Math.max(upTo, this.#lastSeq);
    const gone: GoneJob[] = [];
    let isMoreKnown = false;
    for (const id of ids) {
      const unsure = this.#unsure.remove(id, lookedUpTo);
      const job = this.#jobs.remove(id, upTo) ?? (this.#jobs.has(id) ? null : unsure);
      if (job !== null) gone.push(job);
      else if (!this.#jobs.has(id) && this.#gone.confirm(id, lookedUpTo)) isMoreKnown = true;
    }
    this.#leave(gone, lookedUpTo);
    if (isMoreKnown && gone.length === 0) this.#tell((listener) => listener.gone?.(gone));
    return gone;
  }

  /** A client is shown a record that was read from JetStream; where memory does not know its job, the stream may let it go unseen. */
  shown({ id, jobType, seq }: LogRecord): void {
    this.#gone.isBack(id, seq);
    if (!this.#jobs.has(id)) this.#unsure.add({ id, jobType, seq });
  }

  #newJobs(): JobStateCache {
    return new JobStateCache(this.#limits.lastStateBytes, (job) => {
      // What is let go while it is loaded was never shown.
      if (this.#isReady) this.#unsure.add(job);
    });
  }

  /** How many jobs memory takes the stream to hold, those included whose states were let go. */
  get jobCount(): number {
    return this.#jobs.known;
  }

  /** The ids of these jobs, and of others that clients may show. Not across a change of the log. */
  *jobIds(): Generator<string> {
    yield* this.#jobs.ids();
    yield* this.#unsure.ids();
    // A client may have been shown what this log has yet to read, or never will where it was deleted.
    if (this.#head < this.#lastSeq) yield* this.#gone.unconfirmed(this.#lastSeq);
  }

  /** Where `goneSince` begins for who has seen everything up to `cursor`. */
  goneFrom(cursor: number): number {
    return this.#gone.from(cursor);
  }

  /** The gaps behind `seq`, in the order of the stream. */
  gapsAfter(seq: number): readonly Gap[] {
    return this.#gaps.after(seq);
  }

  /** Where `goneSince` begins for who starts now. */
  get goneCount(): number {
    return this.#gone.count;
  }

  /**
   * The next `limit` jobs that left the stream since the count was `from`, as far as who is there can be told; without
   * those that have come back.
   */
  goneSince(
    from: number,
    { cursor, place }: Pick<GoneView, 'cursor' | 'place'>,
    limit: number,
  ): { readonly jobs: readonly GoneJob[]; readonly next: number } {
    // What lies before the stream's first message is gone, read or not.
    const known = Math.max(this.#head, this.#firstSeq - 1);
    const { jobs, next } = this.#gone.since(from, { cursor, place, known }, limit);
    return { jobs: jobs.filter(({ id }) => !this.#jobs.has(id)), next };
  }

  /** Whether this job left the stream since the count was `from`. */
  hasLeftSince(id: string, from: number): boolean {
    return this.#gone.includes(id, from);
  }

  #tell(call: (listener: LogListener) => void): void {
    for (const listener of this.#listeners) call(listener);
  }

  #leave(jobs: readonly GoneJob[], upTo: number): void {
    for (const job of jobs) this.#left(job, upTo, this.#lookedAt);
    if (jobs.length > 0) this.#tell((listener) => listener.gone?.(jobs));
  }

  #left(job: GoneJob, upTo: number, at: number | null): void {
    // From here on a job that memory does not know may have had events.
    this.#neverTrimmed = false;
    this.#gone.push(job, { head: this.#head, upTo: Math.max(upTo, this.#head), at });
  }

  /** Says that every live session has been given everything up to the head. */
  markFlushed(): void {
    this.#reads.forget();
    this.#flushedSeq = this.#head;
  }

  /** The newest valid event of a job, if memory has it. */
  last(id: string): LogRecord | undefined {
    return this.#jobs.get(id)?.last;
  }

  /** The newest valid event that clients of a job are owed: also of one that has left the stream since. */
  lastServed(id: string): LogRecord | undefined {
    return this.#jobs.served(id)?.last;
  }

  /** Whether nothing of a job after `cursor`, or its newest event before that, was deleted unread. */
  isWhole(id: string, cursor: number): boolean {
    if (cursor >= this.gapSeq) return true;
    const job = this.#jobs.served(id);
    return job !== undefined && job.wholeTo >= this.gapSeq && cursor >= job.wholeFrom;
  }

  /** Whether a job with an event before the newest gap has to be looked up before its sessions may go past that. */
  needsCheck(id: string): boolean {
    return !this.isWhole(id, this.gapSeq - 1);
  }

  /** The stream still keeps the job's event at `anchor`, so nothing after it was deleted in the gaps up to `gapSeq`. */
  verified(id: string, anchor: number, gapSeq: number): void {
    const job = this.#jobs.served(id);
    if (job === undefined || job.wholeTo > gapSeq) return;
    job.wholeFrom = job.wholeTo === gapSeq ? Math.min(job.wholeFrom, anchor) : anchor;
    job.wholeTo = gapSeq;
  }

  /** Whether a job that memory does not know has no event up to the head. */
  get knowsAllJobs(): boolean {
    return this.#complete && !this.#jobs.hasEvicted;
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
    return new Snapshot(this.#jobs, scope, this.#head, { after: 0, now, recentMs: RECENTLY_FINISHED_MS });
  }

  /** The last states of all jobs that have an event after `cursor`, however long they are finished. */
  changes(scope: Scope, cursor: number): Snapshot {
    const all = { after: cursor, now: 0, recentMs: Number.POSITIVE_INFINITY };
    return new Snapshot(this.#jobs, scope, this.#head, all);
  }

  /** The last states of all jobs that memory knows, with an event after `cursor`. Of those up to `droppedSeq` some may be missing. */
  known(scope: Scope, cursor: number): Snapshot {
    const known = { after: cursor, now: 0, recentMs: Number.POSITIVE_INFINITY, mayMiss: true };
    return new Snapshot(this.#jobs, scope, this.#head, known);
  }

  /** Memory knows every job whose newest event lies above this seq. */
  get droppedSeq(): number {
    return this.#jobs.droppedSeq;
  }

  /** Whether memory knows every job that has an event after `cursor`. */
  hasChangesSince(cursor: number): boolean {
    return cursor >= this.#jobs.droppedSeq;
  }

  /** Whether memory will hold what lies after `cursor` for a while: it stands in the newer half of it. */
  canWait(cursor: number): boolean {
    const middle = this.#tail.at(this.#tail.length >>> 1);
    return (
      this.#isReady &&
      (middle === undefined || middle.seq <= cursor || this.#tailBytes * 2 < this.#limits.tailBytes)
    );
  }

  /** How many events memory holds after `cursor`, in the scope but for its filter; null: it does not reach back. */
  countAfter(scope: Scope, cursor: number): number | null {
    if (cursor < this.#tailStart) return null;
    const tail = scope.kind === 'all' ? this.#tail : this.#jobs.served(scope.id)?.tail;
    return tail === null || tail === undefined ? 0 : tail.length - tail.indexAfter(cursor);
  }

  /**
   * What lies after `cursor` in the scope, up to about `maxBytes` and at least one record.
   * A cursor at or above the head (another edge may have been ahead) is at the head.
   */
  read(scope: Scope, cursor: number, maxBytes: number): LogRead {
    // What one client alone follows nobody else will read alike.
    const isShared = scope.kind === 'all' || this.#jobs.pinsOf(scope.id) > 1;
    const recent = isShared ? this.#reads.find(scope, cursor, maxBytes) : null;
    if (recent !== null) return recent;
    const read =
      scope.kind === 'job'
        ? this.#readJob(scope.id, cursor, maxBytes)
        : this.#readAll(scope, cursor, maxBytes);
    if (isShared && (read.kind === 'records' || read.kind === 'head'))
      this.#reads.keep(scope, cursor, maxBytes, read);
    return read;
  }

  #readJob(id: string, cursor: number, maxBytes: number): LogRead {
    const job = this.#jobs.served(id);
    if (!this.isWhole(id, cursor)) return this.#unverified(job, cursor);
    if (job === undefined) {
      if ((this.#jobs.evictedSeq(id) ?? Number.POSITIVE_INFINITY) <= cursor)
        return this.#atHead(cursor, null);
      const hadNone = this.knowsAllJobs && this.#neverTrimmed;
      return cursor >= this.#tailStart || hadNone ? this.#atHead(cursor, null) : { kind: 'out_of_range' };
    }
    if (job.last.seq <= cursor) return this.#atHead(cursor, null);
    const { tail, last } = job;
    let index = tail?.indexAfter(cursor) ?? 0;
    const first = tail?.at(index) ?? last;
    const before = first.prevSeq ?? (tail === null || job.beforeTail === 0 ? null : job.beforeTail);
    const reaches = cursor >= this.#tailStart || (before !== null && before <= cursor);
    if (!reaches) return { kind: 'out_of_range' };
    const records = [first];
    let bytes = first.bytes;
    for (let next = tail?.at(++index); next !== undefined && bytes < maxBytes; next = tail?.at(++index)) {
      records.push(next);
      bytes += next.bytes;
    }
    const read = (records.at(-1) as LogRecord).seq;
    const isEnd = read === last.seq && this.isWhole(id, read);
    const head = isEnd ? this.#atHead(read, null) : null;
    return {
      kind: 'records',
      records,
      cursor: read,
      scanned: records.length,
      gap: null,
      head,
      encoded: null,
    };
  }

  // A job's events leave the stream at its old end. So while one is kept, none that came after it has left. The newest
  // one at or before the cursor is the likeliest to be.
  #unverified(job: JobState | undefined, cursor: number): LogRead {
    if (job === undefined) return { kind: 'out_of_range' };
    const { tail, last } = job;
    if (last.seq <= cursor) return { kind: 'unverified', anchor: last.seq, gapSeq: this.gapSeq };
    const index = tail?.indexAfter(cursor) ?? 0;
    const anchor = index > 0 ? tail?.at(index - 1)?.seq : tail === null ? last.prevSeq : job.beforeTail;
    const isUsable = typeof anchor === 'number' && anchor > 0 && anchor <= cursor;
    return isUsable ? { kind: 'unverified', anchor, gapSeq: this.gapSeq } : { kind: 'out_of_range' };
  }

  #readAll(scope: Scope, cursor: number, maxBytes: number): LogRead {
    if (cursor < this.#tailStart) return { kind: 'out_of_range' };
    const from = cursor;
    let index = this.#tail.indexAfter(cursor);
    const records: LogRecord[] = [];
    let bytes = 0;
    let seen = 0;
    let head: HeadRead | null = null;
    for (; bytes < maxBytes && seen < READ_SCAN_LIMIT; seen++) {
      const next = this.#tail.at(index++);
      if (next === undefined) {
        head = this.#atHead(cursor, this.#gaps.between(cursor, this.#head));
        break;
      }
      cursor = next.seq;
      if (!inScope(scope, next)) continue;
      records.push(next);
      bytes += next.bytes;
    }
    if (seen === 0 && head !== null) return head;
    const gap = this.#gaps.between(from, cursor);
    return { kind: 'records', records, cursor, scanned: seen, gap, head, encoded: null };
  }

  #atHead(cursor: number, gap: Gap | null): HeadRead {
    return { kind: 'head', cursor: Math.max(cursor, this.#head), gap };
  }

  #previous(id: string, served: LogRecord | undefined): number | null {
    const last = served?.seq ?? this.#jobs.evictedSeq(id);
    if (last === undefined) return this.knowsAllJobs && this.#neverTrimmed && this.gapSeq === 0 ? 0 : null;
    return this.isWhole(id, last) ? last : null;
  }

  #evictOldest(): void {
    const [record, job] = [this.#tail.shift(), this.#tailJobs.shift()];
    if (record === undefined || job === undefined) return;
    this.#tailBytes -= record.bytes;
    this.#tailStart = record.seq;
    this.#gaps.dropUpTo(record.seq);
    this.#jobs.leftTail(record, job);
  }
}
