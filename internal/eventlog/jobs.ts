import { RecordQueue } from './queue.js';
import type { LogRecord } from './record.js';

/** What memory holds of one job: its newest valid event, and those of its events that are in the tail. */
export interface Job {
  last: LogRecord;
  /** null: none of them is. */
  tail: RecordQueue | null;
  /** The newest event that is known before those in the tail; 0: none is. */
  beforeTail: number;
  /** From its event `wholeFrom` up to the gap at `wholeTo` nothing of the job was deleted unread. */
  wholeFrom: number;
  wholeTo: number;
}

/** A job that was let go and that a fresh all-jobs connection is owed: where its last state stands in the stream. */
interface Evicted extends Place {
  readonly jobType: string | undefined;
  /** Until when it is owed, in milliseconds since 1970. */
  readonly until: number;
}

/** Where a last state stands in the stream, and how large it is. */
export interface Place {
  readonly seq: number;
  readonly bytes: number;
}

/** A job of which the stream holds nothing any more. */
export interface GoneJob {
  readonly id: string;
  readonly jobType: string | undefined;
}

/** Told of the jobs that are let go while it iterates. */
export interface EvictionListener {
  evicted(place: Place): void;
}

// What a place in the index costs, measured on V8, besides the id.
const EVICTED_BYTES = 168;
/** Eviction goes on below the limit, so that its walk past the jobs that have to stay is worth it. */
const EVICT_TO = 0.95;

/**
 * The last state of every job; those that are not in the tail are bounded in bytes. What is let go leaves its place in the stream behind, for as long as
 * a fresh all-jobs connection is owed it; when even these places are too many, `isComplete` says so.
 *
 * Maps keep insertion order and every new event inserts its job anew, so each map is in rising order of the jobs'
 * last seq, and stays so under an iterator that a slow snapshot keeps open.
 */
export class Jobs {
  readonly #open = new Map<string, Job>();
  readonly #finished = new Map<string, Job>();
  /** Read back from JetStream, hence out of order; a job leaves this map with its next event. */
  readonly #restored = new Map<string, Job>();
  /** Jobs that the stream holds nothing of, as long as some of their events are in the tail: those are still owed. */
  readonly #gone = new Map<string, Job>();
  readonly #pins = new Map<string, number>();
  readonly #limit: number;
  #bytes = 0;
  #placeBytes = 0;
  #evictAbove: number;
  #forgot = false;
  #isComplete = true;
  #droppedSeq = 0;
  readonly #evicted = new Map<string, Evicted>();
  readonly #listeners = new Set<EvictionListener>();

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
    this.#evictAbove = limitBytes;
  }

  /** Bytes of last states outside the tail, and of the places of those that were let go; each bounded by the limit. */
  get bytes(): number {
    return this.#bytes + this.#placeBytes;
  }

  get size(): number {
    return this.#open.size + this.#finished.size + this.#restored.size;
  }

  /** Whether a job was ever let go, so that an unknown job may still have a history. */
  get forgot(): boolean {
    return this.#forgot;
  }

  /** Whether every job that a fresh all-jobs connection is owed is known, here or by its place in the stream. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Jobs that the stream is taken to hold: here, or by their place. */
  get known(): number {
    return this.size + this.#evicted.size;
  }

  /** Every job whose newest event lies above this seq is known, here or by its place. */
  get droppedSeq(): number {
    return this.#droppedSeq;
  }

  *ids(): Generator<string> {
    for (const jobs of [this.#open, this.#finished, this.#restored, this.#evicted]) yield* jobs.keys();
  }

  /** The id and type of every job that is known. */
  *types(): Generator<GoneJob> {
    for (const jobs of [this.#open, this.#finished, this.#restored])
      for (const [id, { last }] of jobs) yield { id, jobType: last.jobType };
    for (const [id, { jobType }] of this.#evicted) yield { id, jobType };
  }

  /** Whether a job is known, here or by its place. */
  has(id: string): boolean {
    return this.get(id) !== undefined || this.#evicted.has(id);
  }

  /** The seq of the newest event of a job that was let go; undefined when that is not known. */
  evictedSeq(id: string): number | undefined {
    return this.#evicted.get(id)?.seq;
  }

  /**
   * The places after `after` of the jobs that are not in order here (let go, or read back), rising: those owed at
   * `now`, or with `owedMs` Infinity all of them.
   */
  places(after: number, now: number, owedMs: number): Place[] {
    const places: Place[] = [];
    const isOwed = (until: number) => owedMs === Number.POSITIVE_INFINITY || until >= now;
    for (const place of this.#evicted.values())
      if (place.seq > after && isOwed(place.until)) places.push(place);
    for (const { last } of this.#restored.values())
      if (last.seq > after && isOwed(owedUntil(last, owedMs)))
        places.push({ seq: last.seq, bytes: last.bytes });
    return places.sort((a, b) => a.seq - b.seq);
  }

  listen(listener: EvictionListener): void {
    this.#listeners.add(listener);
  }

  unlisten(listener: EvictionListener): void {
    this.#listeners.delete(listener);
  }

  get(id: string): Job | undefined {
    return this.#open.get(id) ?? this.#finished.get(id) ?? this.#restored.get(id);
  }

  /**
   * Makes `record`, which has just entered the tail, its job's newest event. Its seq is above every seq put before.
   * While it is in the tail its memory is the tail's.
   */
  put(record: LogRecord): Job {
    const beforeTail = this.evictedSeq(record.id) ?? 0;
    const job = this.#take(record.id) ?? this.#takeGone(record.id) ?? newJob(record, beforeTail);
    if (job.tail === null && job.last !== record) job.beforeTail = job.last.seq;
    job.last = record;
    job.tail ??= new RecordQueue();
    job.tail.push(record);
    (record.finished ? this.#finished : this.#open).set(record.id, job);
    return job;
  }

  /** `record`, the oldest of the tail, has left it. */
  leftTail(record: LogRecord): void {
    const known = this.get(record.id);
    const job = known ?? this.#gone.get(record.id);
    if (job?.tail?.at(0) !== record) return;
    job.tail.shift();
    job.beforeTail = record.seq;
    if (job.tail.length > 0) return;
    job.tail = null;
    if (known === undefined) this.#gone.delete(record.id);
    else this.#bytes += job.last.bytes;
  }

  /** Takes in a last state that was read back from JetStream. Ignored when a newer one is here. */
  restore(record: LogRecord): Job {
    const known = this.get(record.id);
    if (known !== undefined && known.last.seq >= record.seq) return known;
    const gone = this.#gone.get(record.id);
    if (gone !== undefined) return gone;
    const job = this.#take(record.id) ?? newJob(record, 0);
    job.last = record;
    this.#restored.set(record.id, job);
    this.#bytes += record.bytes;
    return job;
  }

  /** What the tail holds of a job, also of one that the stream holds nothing of. */
  served(id: string): Job | undefined {
    return this.get(id) ?? this.#gone.get(id);
  }

  /**
   * The stream begins at `firstSeq` now: lets go of the jobs whose events lie all before it, `limit` at most. Those in
   * order are found at the front, so it costs nothing where there are none.
   */
  removeBelow(firstSeq: number, limit: number): GoneJob[] {
    const gone: GoneJob[] = [];
    for (const jobs of [this.#open, this.#finished, this.#restored]) {
      for (const [id, { last }] of jobs) {
        if (gone.length >= limit) return gone;
        if (last.seq < firstSeq) gone.push(this.#remove(id, last.jobType));
        else if (jobs !== this.#restored) break;
      }
    }
    return gone;
  }

  /** The stream holds nothing of this job; one that has an event after `upTo` stays. @returns null: it stays, or is not known */
  remove(id: string, upTo: number): GoneJob | null {
    const place = this.#evicted.get(id);
    if (place !== undefined && place.seq <= upTo) {
      this.#dropPlace(id);
      return { id, jobType: place.jobType };
    }
    const job = this.get(id);
    return job !== undefined && job.last.seq <= upTo ? this.#remove(id, job.last.jobType) : null;
  }

  /** Puts restored jobs in order. Only while nobody iterates: at the end of loading. */
  sortRestored(): void {
    if (this.#restored.size === 0) return;
    const all = [...this.#open, ...this.#finished, ...this.#restored].sort(
      (a, b) => a[1].last.seq - b[1].last.seq,
    );
    this.#open.clear();
    this.#finished.clear();
    this.#restored.clear();
    for (const [id, job] of all) (job.last.finished ? this.#finished : this.#open).set(id, job);
  }

  /** Keeps a job in memory while somebody watches it. Each `pin` needs its `unpin`. */
  pin(id: string): void {
    this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1);
  }

  unpin(id: string): void {
    const count = this.#pins.get(id) ?? 0;
    if (count > 1) this.#pins.set(id, count - 1);
    else {
      this.#pins.delete(id);
      this.#evictAbove = this.#limit;
    }
  }

  /** Takes over what is pinned from the memory that this one follows. */
  takePins(from: Jobs): void {
    for (const [id, count] of from.#pins) this.#pins.set(id, count);
  }

  open(): IterableIterator<Job> {
    return this.#open.values();
  }

  finished(): IterableIterator<Job> {
    return this.#finished.values();
  }

  #remove(id: string, jobType: string | undefined): GoneJob {
    const job = this.#take(id);
    if (job !== undefined && job.tail !== null) this.#gone.set(id, job);
    return { id, jobType };
  }

  #takeGone(id: string): Job | undefined {
    const job = this.#gone.get(id);
    this.#gone.delete(id);
    return job;
  }

  #take(id: string): Job | undefined {
    this.#dropPlace(id);
    const job = this.get(id);
    if (job === undefined) return undefined;
    if (job.tail === null) this.#bytes -= job.last.bytes;
    if (!this.#open.delete(id) && !this.#finished.delete(id)) this.#restored.delete(id);
    return job;
  }

  /**
   * Lets jobs go until the limit holds: first the finished ones, then the others, and of each those first that have
   * not moved for the longest. Nobody's watched job is let go, and none with events in the tail: the tail is found
   * through it, and is bounded on its own. A watcher, or a fresh all-jobs connection, brings one back by a read.
   * @param now milliseconds since 1970
   * @param owedMs for how long after its end a finished job is owed to a fresh all-jobs connection
   */
  evict(now: number, owedMs: number): void {
    if (this.#bytes > this.#evictAbove) {
      this.#evictStates(now, owedMs);
      // What could not be let go is not walked past again until there is more, or somebody stops watching.
      this.#evictAbove = Math.max(this.#limit, this.#bytes + this.#limit * (1 - EVICT_TO));
    }
    if (this.#placeBytes > this.#limit) this.#dropPlaces(now);
  }

  #evictStates(now: number, owedMs: number): void {
    const goal = this.#limit * EVICT_TO;
    for (const jobs of [this.#restored, this.#finished, this.#open]) {
      for (const [id, { last, tail }] of jobs) {
        if (this.#bytes <= goal) return;
        if (this.#pins.has(id)) continue;
        if (tail !== null) {
          // In the ordered maps everything after this one is in the tail as well.
          if (jobs === this.#restored) continue;
          break;
        }
        jobs.delete(id);
        this.#bytes -= last.bytes;
        this.#forgot = true;
        const until = owedUntil(last, owedMs);
        if (until < now) {
          this.#droppedSeq = Math.max(this.#droppedSeq, last.seq);
          continue;
        }
        const { seq, bytes, jobType } = last;
        this.#evicted.set(id, { seq, bytes, jobType, until });
        this.#placeBytes += EVICTED_BYTES + id.length;
        for (const listener of this.#listeners) listener.evicted({ seq, bytes });
      }
    }
  }

  // Places are bounded apart from states: jobs that are watched stay, however many they are, and must not cost the
  // others their places.
  #dropPlaces(now: number): void {
    const goal = this.#limit * EVICT_TO;
    for (const [id, { seq, until }] of this.#evicted) {
      if (until >= now) continue;
      this.#dropPlace(id);
      this.#droppedSeq = Math.max(this.#droppedSeq, seq);
    }
    for (const [id, { seq }] of this.#evicted) {
      if (this.#placeBytes <= goal) return;
      this.#dropPlace(id);
      this.#droppedSeq = Math.max(this.#droppedSeq, seq);
      this.#isComplete = false;
    }
  }

  #dropPlace(id: string): void {
    if (this.#evicted.delete(id)) this.#placeBytes -= EVICTED_BYTES + id.length;
  }
}

const newJob = (last: LogRecord, beforeTail: number): Job => ({
  last,
  tail: null,
  beforeTail,
  wholeFrom: 0,
  wholeTo: 0,
});

function owedUntil(last: LogRecord, owedMs: number): number {
  return last.finished ? last.storedAt + owedMs : Number.POSITIVE_INFINITY;
}
