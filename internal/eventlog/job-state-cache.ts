import { PositionIndex, type StreamPosition } from './position-index.js';
import { RecordQueue } from './queue.js';
import type { LogRecord } from './record.js';

/** What memory holds of one job: its newest valid event, and those of its events that are in the tail. */
export interface JobState {
  last: LogRecord;
  /** null: none of them is. */
  tail: RecordQueue | null;
  /** The newest event that is known before those in the tail; 0: none is. */
  beforeTail: number;
  /** From its event `wholeFrom` up to the gap at `wholeTo` nothing of the job was deleted unread. */
  wholeFrom: number;
  wholeTo: number;
  /** Where `last` is found in the stream; null: it is in order here. */
  position: StreamPosition | null;
  /** Which jobs it is kept among, and which of its type; null: nowhere yet, and nowhere by type. */
  among: Map<string, JobState> | null;
  amongType: Map<string, JobState> | null;
}

/** A job of which the stream holds nothing any more. */
export interface GoneJob {
  readonly id: string;
  readonly jobType: string | undefined;
}

/** A job that memory does not know any more. */
export interface ForgottenJob extends GoneJob {
  /** Its newest event that was known; 0: none was. */
  readonly seq: number;
}

// What a position in the index costs, measured on V8, besides the id.
const EVICTED_BYTES = 168;
/** Eviction goes on below the limit, so that its walk past the jobs that have to stay is worth it. */
const EVICT_TO = 0.95;

/**
 * The last state of every job; those that are not in the tail are bounded in bytes. What is evicted leaves its position in the stream behind, for as long as
 * a fresh all-jobs connection is owed it; when even these positions are too many, `isComplete` says so.
 *
 * Maps keep insertion order and every new event inserts its job anew, so each map is in rising order of the jobs'
 * last seq, and stays so under an iterator that a slow snapshot keeps open.
 */
export class JobStateCache {
  readonly #open = new Map<string, JobState>();
  readonly #finished = new Map<string, JobState>();
  /** The same jobs by their type, so that a filter costs what it finds. */
  readonly #byType = new Map<string, Map<string, JobState>>();
  /** Read back from JetStream, hence out of order; a job leaves this map with its next event. */
  readonly #restored = new Map<string, JobState>();
  /** Jobs that the stream holds nothing of, as long as some of their events are in the tail: those are still owed. */
  readonly #gone = new Map<string, JobState>();
  readonly #pins = new Map<string, number>();
  readonly #limit: number;
  readonly #forgotten: (job: ForgottenJob) => void;
  #bytes = 0;
  #positionBytes = 0;
  #evictAbove: number;
  #hasEvicted = false;
  #isComplete = true;
  #droppedSeq = 0;
  /** Jobs that were evicted and that a fresh all-jobs connection is owed. */
  readonly #evicted = new Map<string, StreamPosition>();
  /** Those, and the restored ones. */
  readonly positions = new PositionIndex();
  /** While it is loaded nobody walks over the restored ones, and they are put in order at the end. */
  #isLoading = true;
  /** The highest seq that came in order while it was loaded. */
  #loadedTo = 0;

  /** @param forgotten is told of each job that is let go with its place: nothing here knows of it any more */
  constructor(limitBytes: number, forgotten: (job: ForgottenJob) => void = () => undefined) {
    this.#limit = limitBytes;
    this.#forgotten = forgotten;
    this.#evictAbove = limitBytes;
  }

  /** Bytes of last states outside the tail, and of the positions of those that were evicted; each bounded by the limit. */
  get bytes(): number {
    return this.#bytes + this.#positionBytes;
  }

  get size(): number {
    return this.#open.size + this.#finished.size + this.#restored.size;
  }

  /** Whether a job was ever evicted, so that an unknown job may still have a history. */
  get hasEvicted(): boolean {
    return this.#hasEvicted;
  }

  /** Whether every job that a fresh all-jobs connection is owed is known, here or by its position in the stream. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Jobs that the stream is taken to hold: here, or by their position. */
  get known(): number {
    return this.size + this.#evicted.size;
  }

  /** Every job whose newest event lies above this seq is known, here or by its position. */
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

  /** Whether a job is known, here or by its position. */
  has(id: string): boolean {
    return this.get(id) !== undefined || this.#evicted.has(id);
  }

  /** The seq of the newest event of a job that was evicted; undefined when that is not known. */
  evictedSeq(id: string): number | undefined {
    return this.#evicted.get(id)?.seq;
  }

  get(id: string): JobState | undefined {
    return this.#open.get(id) ?? this.#finished.get(id) ?? this.#restored.get(id);
  }

  /**
   * Makes `record`, which has just entered the tail, its job's newest event. Its seq is above every seq put before.
   * While it is in the tail its memory is the tail's.
   * @param known what `served` says of its job
   */
  put(record: LogRecord, known: JobState | undefined = this.served(record.id)): JobState {
    const { id, finished, jobType } = record;
    const among = finished ? this.#finished : this.#open;
    // Nearly all events: the job goes on as it was, and the one before is in the tail as well.
    if (known?.among === among && known.tail !== null && known.last.jobType === jobType) {
      known.last = record;
      known.tail.push(record);
      moveToEnd(among, id, known);
      if (known.amongType !== null) moveToEnd(known.amongType, id, known);
      return known;
    }
    const job = known ?? newJob(record, this.evictedSeq(id) ?? 0);
    if (known === undefined) this.#dropPosition(id);
    else this.#take(known);
    if (job.tail === null && job.last !== record) job.beforeTail = job.last.seq;
    job.last = record;
    job.tail ??= new RecordQueue();
    job.tail.push(record);
    this.#putInOrder(job);
    return job;
  }

  /** `record`, the oldest of the tail, has left it. @param job its job, as `put` gave it */
  leftTail(record: LogRecord, job: JobState): void {
    if (job.tail?.at(0) !== record) return;
    job.tail.shift();
    job.beforeTail = record.seq;
    if (job.tail.length > 0) return;
    job.tail = null;
    if (job.among === this.#gone) this.#gone.delete(record.id);
    else this.#bytes += job.last.bytes;
  }

  /** Takes in a last state that was read back from JetStream. Ignored when a newer one is here, or was and left its position. */
  restore(record: LogRecord): void {
    const known = this.served(record.id);
    if (known !== undefined && (known.among === this.#gone || known.last.seq >= record.seq)) return;
    const position = this.#evicted.get(record.id);
    if (position !== undefined && position.seq > record.seq) return;
    const isSame = position?.seq === record.seq;
    if (isSame) this.#takePosition(record.id);
    else if (position !== undefined) this.#dropPosition(record.id);
    const job = known ?? newJob(record, 0);
    if (known !== undefined) this.#take(known);
    job.last = record;
    this.#bytes += record.bytes;
    if (this.#isLoading && !isSame && record.seq > this.#loadedTo) {
      // Nearly all that are loaded: they come in order.
      this.#loadedTo = record.seq;
      this.#putInOrder(job);
      return;
    }
    if (isSame) job.position = position ?? null;
    else if (!this.#isLoading) job.position = this.#addPosition(record);
    job.among = this.#restored;
    this.#restored.set(record.id, job);
  }

  /** What the tail holds of a job, also of one that the stream holds nothing of. */
  served(id: string): JobState | undefined {
    return this.get(id) ?? this.#gone.get(id);
  }

  /**
   * The stream begins at `firstSeq` now: lets go of the jobs whose events lie all before it, `limit` at most. Those in
   * order are found at the front, so it costs nothing where there are none.
   */
  removeBelow(firstSeq: number, limit: number): GoneJob[] {
    const gone: GoneJob[] = [];
    for (const jobs of [this.#open, this.#finished, this.#restored]) {
      for (const job of jobs.values()) {
        if (gone.length >= limit) return gone;
        if (job.last.seq < firstSeq) gone.push(this.#remove(job));
        else if (jobs !== this.#restored) break;
      }
    }
    return gone;
  }

  /** The stream holds nothing of this job; one that has an event after `upTo` stays. @returns null: it stays, or is not known */
  remove(id: string, upTo: number): GoneJob | null {
    const position = this.#evicted.get(id);
    if (position !== undefined && position.seq <= upTo) {
      this.#dropPosition(id);
      return { id, jobType: position.jobType };
    }
    const job = this.get(id);
    return job !== undefined && job.last.seq <= upTo ? this.#remove(job) : null;
  }

  /** Puts restored jobs in order. Only while nobody iterates: at the end of loading. */
  sortRestored(): void {
    this.#isLoading = false;
    if (this.#restored.size === 0) return;
    const all = [this.#open, this.#finished, this.#restored].flatMap((jobs) => [...jobs.values()]);
    all.sort((one, other) => one.last.seq - other.last.seq);
    for (const jobs of [this.#open, this.#finished, this.#restored, this.#byType]) jobs.clear();
    for (const job of all) {
      if (job.position !== null) this.positions.remove(job.position);
      job.position = null;
      job.amongType = null;
      this.#putInOrder(job);
    }
  }

  /** Keeps a job in memory while somebody watches it. Each `pin` needs its `unpin`. */
  pin(id: string): void {
    this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1);
  }

  /** How many watch a job. */
  pinsOf(id: string): number {
    return this.#pins.get(id) ?? 0;
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
  takePins(from: JobStateCache): void {
    for (const [id, count] of from.#pins) this.#pins.set(id, count);
  }

  /** Walks over the jobs of these types (null: of all), each in rising order of the last seq. Evicted and restored ones are in `positions`. */
  inOrder(jobTypes: ReadonlySet<string> | null): Iterator<JobState>[] {
    if (jobTypes === null) return [this.#open.values(), this.#finished.values()];
    return [...jobTypes].flatMap((type) => this.#byType.get(type)?.values() ?? []);
  }

  #remove(job: JobState): GoneJob {
    const { id, jobType } = job.last;
    this.#take(job);
    if (job.tail !== null) {
      job.among = this.#gone;
      this.#gone.set(id, job);
    }
    return { id, jobType };
  }

  #take(job: JobState): void {
    if (job.tail === null) this.#bytes -= job.last.bytes;
    this.#leave(job);
    if (job.position !== null) this.positions.remove(job.position);
    job.position = null;
  }

  #putInOrder(job: JobState): void {
    const { id, finished, jobType } = job.last;
    job.among = finished ? this.#finished : this.#open;
    job.among.set(id, job);
    if (jobType === undefined) return;
    let ofType = this.#byType.get(jobType);
    if (ofType === undefined) {
      ofType = new Map();
      this.#byType.set(jobType, ofType);
    }
    ofType.set(id, job);
    job.amongType = ofType;
  }

  #leave(job: JobState): void {
    const { id, jobType } = job.last;
    job.among?.delete(id);
    job.among = null;
    if (job.amongType === null) return;
    job.amongType.delete(id);
    if (job.amongType.size === 0 && jobType !== undefined) this.#byType.delete(jobType);
    job.amongType = null;
  }

  #addPosition({ seq, bytes, jobType, finished, storedAt }: LogRecord): StreamPosition {
    const finishedAt = finished ? storedAt : Number.POSITIVE_INFINITY;
    const position: StreamPosition = { seq, bytes, jobType, finishedAt };
    this.positions.add(position);
    return position;
  }

  /**
   * Evicts jobs until the limit holds: first the finished ones, then the others, and of each those first that have
   * not moved for the longest. Nobody's watched job is evicted, and none with events in the tail: the tail is found
   * through it, and is bounded on its own. A watcher, or a fresh all-jobs connection, brings one back by a read.
   * @param now milliseconds since 1970
   * @param owedMs for how long after its end a finished job is owed to a fresh all-jobs connection
   */
  evict(now: number, owedMs: number): void {
    if (this.#bytes > this.#evictAbove) {
      this.#evictStates(now, owedMs);
      // What could not be evicted is not walked past again until there is more, or somebody stops watching.
      this.#evictAbove = Math.max(this.#limit, this.#bytes + this.#limit * (1 - EVICT_TO));
    }
    if (this.#positionBytes > this.#limit) this.#dropPositions(now - owedMs);
  }

  #evictStates(now: number, owedMs: number): void {
    const goal = this.#limit * EVICT_TO;
    for (const jobs of [this.#restored, this.#finished, this.#open]) {
      for (const [id, job] of jobs) {
        const { last } = job;
        if (this.#bytes <= goal) return;
        if (this.#pins.has(id)) continue;
        if (job.tail !== null) {
          // In the ordered maps everything after this one is in the tail as well.
          if (jobs === this.#restored) continue;
          break;
        }
        this.#leave(job);
        this.#bytes -= last.bytes;
        this.#hasEvicted = true;
        if (last.finished && last.storedAt < now - owedMs) {
          if (job.position !== null) this.positions.remove(job.position);
          this.#forget(id, last);
          continue;
        }
        this.#evicted.set(id, job.position ?? this.#addPosition(last));
        this.#positionBytes += EVICTED_BYTES + id.length;
      }
    }
  }

  // Positions are bounded apart from states: jobs that are watched stay, however many they are, and must not cost the
  // others their positions.
  #dropPositions(finishedSince: number): void {
    const goal = this.#limit * EVICT_TO;
    for (const [id, position] of this.#evicted) {
      if (position.finishedAt >= finishedSince) continue;
      this.#dropPosition(id);
      this.#forget(id, position);
    }
    for (const [id, position] of this.#evicted) {
      if (this.#positionBytes <= goal) return;
      this.#dropPosition(id);
      this.#forget(id, position);
      this.#isComplete = false;
    }
  }

  #forget(id: string, { seq, jobType }: Pick<StreamPosition, 'seq' | 'jobType'>): void {
    this.#droppedSeq = Math.max(this.#droppedSeq, seq);
    this.#forgotten({ id, jobType, seq });
  }

  #dropPosition(id: string): void {
    const position = this.#takePosition(id);
    if (position !== null) this.positions.remove(position);
  }

  #takePosition(id: string): StreamPosition | null {
    const position = this.#evicted.get(id);
    if (position === undefined) return null;
    this.#evicted.delete(id);
    this.#positionBytes -= EVICTED_BYTES + id.length;
    return position;
  }
}

const newJob = (last: LogRecord, beforeTail: number): JobState => ({
  last,
  tail: null,
  beforeTail,
  wholeFrom: 0,
  wholeTo: 0,
  position: null,
  among: null,
  amongType: null,
});

function moveToEnd(jobs: Map<string, JobState>, id: string, job: JobState): void {
  jobs.delete(id);
  jobs.set(id, job);
}
