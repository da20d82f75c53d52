import { RecordQueue } from './queue.js';
import type { LogRecord } from './record.js';

/** What memory holds of one job: its newest valid event, and those of its events that are in the tail. */
export interface Job {
  last: LogRecord;
  readonly tail: RecordQueue;
}

/**
 * The last state of every job, bounded in bytes.
 *
 * Maps keep insertion order and every new event inserts its job anew, so each map is in rising order of the jobs'
 * last seq, and stays so under an iterator that a slow snapshot keeps open.
 */
export class Jobs {
  readonly #open = new Map<string, Job>();
  readonly #finished = new Map<string, Job>();
  /** Read back from JetStream, hence out of order; a job leaves this map with its next event. */
  readonly #restored = new Map<string, Job>();
  readonly #pins = new Map<string, number>();
  readonly #limit: number;
  #bytes = 0;
  #forgot = false;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#open.size + this.#finished.size + this.#restored.size;
  }

  /** Whether a job was ever let go, so that an unknown job may still have a history. */
  get forgot(): boolean {
    return this.#forgot;
  }

  get(id: string): Job | undefined {
    return this.#open.get(id) ?? this.#finished.get(id) ?? this.#restored.get(id);
  }

  /** Makes `record` its job's newest event. Its seq is above every seq put before. */
  put(record: LogRecord): Job {
    const job = this.#take(record.id) ?? { last: record, tail: new RecordQueue() };
    job.last = record;
    (record.finished ? this.#finished : this.#open).set(record.id, job);
    this.#bytes += record.bytes;
    return job;
  }

  /** Takes in a last state that was read back from JetStream. Ignored when a newer one is here. */
  restore(record: LogRecord): Job {
    const known = this.get(record.id);
    if (known !== undefined && known.last.seq >= record.seq) return known;
    const job = this.#take(record.id) ?? { last: record, tail: new RecordQueue() };
    job.last = record;
    this.#restored.set(record.id, job);
    this.#bytes += record.bytes;
    return job;
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
    else this.#pins.delete(id);
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

  #take(id: string): Job | undefined {
    const job = this.get(id);
    if (job === undefined) return undefined;
    this.#bytes -= job.last.bytes;
    if (!this.#open.delete(id) && !this.#finished.delete(id)) this.#restored.delete(id);
    return job;
  }

  /**
   * Lets jobs go until the limit holds: finished ones that nobody watches, the oldest first; a watcher brings one back
   * by a read. A job with events in the tail stays: the tail is found through it, and is bounded on its own. So do
   * the jobs that a fresh all-jobs connection is owed, those that are not finished or finished lately.
   * @param finishedBefore milliseconds since 1970
   */
  evict(finishedBefore: number): void {
    for (const jobs of [this.#restored, this.#finished]) {
      for (const [id, job] of jobs) {
        if (this.#bytes <= this.#limit) return;
        if (!job.last.finished || this.#pins.has(id)) continue;
        if (job.tail.length > 0 || job.last.storedAt >= finishedBefore) break;
        this.#bytes -= job.last.bytes;
        jobs.delete(id);
        this.#forgot = true;
      }
    }
  }
}
