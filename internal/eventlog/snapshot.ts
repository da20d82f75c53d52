import type { EvictionListener, Job, Jobs, Place } from './jobs.js';
import type { LogRecord } from './record.js';
import { inScope, type Scope } from './scope.js';

/** The most places that are handed out at once, to be read from JetStream together. */
const BATCH = 64;
/** Of large states fewer, so that a client that is cut off or slow has not much more read for it than it takes. */
const BATCH_BYTES = 64 * 1024;
/** The most jobs that one call looks at, so that a filter which matches nothing does not hold up the others. */
export const SNAPSHOT_SCAN_LIMIT = 4_096;

export interface SnapshotRange {
  /** Only states after this seq. */
  readonly after: number;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Jobs that are finished for longer are left out; Infinity: none is. */
  readonly recentMs: number;
}

/** A last state; or the places in the stream of the next ones, to be read first; or neither yet; or the end. */
export type SnapshotStep =
  | { readonly kind: 'state'; readonly record: LogRecord }
  | { readonly kind: 'places'; readonly seqs: readonly number[] }
  /** So many jobs were looked at, and none was found yet. */
  | { readonly kind: 'scanned' }
  | { readonly kind: 'end' };

/** One of the log's maps of jobs, which is in rising order, read up to the next state that is wanted. */
interface Source {
  readonly jobs: Iterator<Job>;
  /** null: there is none; undefined: not looked for yet. */
  next: LogRecord | null | undefined;
}

/**
 * The last states that a fresh all-jobs connection gets: every unfinished job and those finished lately, in rising
 * seq, as they stood at `head`. In that order a client that drops half-way through resumes by its last seq like any
 * other: each job it has not had yet has its last event after that seq. With `after` it is what has changed since.
 *
 * It is an iterator, not a copy: a slow reader of half a million jobs costs nothing. A job that moves on meanwhile is
 * left out here, since its newer event lies after `head`, where the reader goes on. A job that memory let go, before
 * or meanwhile, comes as its place in the stream. `close` it when it is not read to its end.
 */
export class Snapshot implements EvictionListener {
  readonly head: number;
  readonly #jobs: Jobs;
  readonly #scope: Scope;
  readonly #after: number;
  readonly #finishedSince: number;
  readonly #open: Source;
  readonly #finished: Source;
  /** Places in the stream, rising, from `#place` on. */
  #places: Place[];
  #place = 0;
  #passed: number;

  constructor(jobs: Jobs, scope: Scope, head: number, { after, now, recentMs }: SnapshotRange) {
    this.head = head;
    this.#jobs = jobs;
    this.#scope = scope;
    this.#after = after;
    this.#passed = after;
    this.#finishedSince = now - recentMs;
    this.#places = jobs.places(after, now, recentMs);
    this.#open = { jobs: jobs.open(), next: undefined };
    this.#finished = { jobs: jobs.finished(), next: undefined };
    jobs.listen(this);
  }

  next(): SnapshotStep {
    let budget = SNAPSHOT_SCAN_LIMIT;
    for (const source of [this.#open, this.#finished]) {
      budget -= this.#advance(source, budget);
      if (source.next === undefined) return { kind: 'scanned' };
    }
    const source = earlier(this.#open, this.#finished);
    const record = source.next ?? null;
    const seqs = this.#placesUpTo(record?.seq ?? this.head);
    if (seqs.length > 0) return { kind: 'places', seqs };
    if (record === null) {
      this.close();
      return { kind: 'end' };
    }
    source.next = undefined;
    this.#passed = record.seq;
    return { kind: 'state', record };
  }

  /** Whether a state that was read from one of the places is part of it. */
  includes(record: LogRecord): boolean {
    if (record.finished && record.storedAt < this.#finishedSince) return false;
    const known = this.#jobs.get(record.id)?.last.seq ?? this.#jobs.evictedSeq(record.id) ?? record.seq;
    return known === record.seq && inScope(this.#scope, record);
  }

  evicted(place: Place): void {
    const { seq } = place;
    // What was read ahead, but not handed out, is still to come from memory.
    if (seq === this.#open.next?.seq || seq === this.#finished.next?.seq) return;
    if (seq <= this.#passed || seq > this.head) return;
    let index = this.#places.length;
    while (index > this.#place && (this.#places[index - 1] as Place).seq > seq) index--;
    if (this.#places[index - 1]?.seq !== seq) this.#places.splice(index, 0, place);
  }

  close(): void {
    this.#jobs.unlisten(this);
  }

  #placesUpTo(seq: number): readonly number[] {
    const seqs: number[] = [];
    let bytes = 0;
    while (this.#place < this.#places.length && seqs.length < BATCH && bytes < BATCH_BYTES) {
      const place = this.#places[this.#place] as Place;
      if (place.seq > seq) break;
      seqs.push(place.seq);
      bytes += place.bytes;
      this.#passed = place.seq;
      this.#place++;
    }
    return seqs;
  }

  /** Looks for the source's next state. @returns how many jobs it looked at, `budget` at most */
  #advance(source: Source, budget: number): number {
    let looked = 0;
    while (source.next === undefined && looked < budget) {
      const step = source.jobs.next();
      if (step.done || step.value.last.seq > this.head) {
        source.next = null;
        break;
      }
      looked++;
      const { last } = step.value;
      if (last.seq <= this.#after) continue;
      if (last.finished && last.storedAt < this.#finishedSince) continue;
      if (inScope(this.#scope, last)) source.next = last;
    }
    return looked;
  }
}

function earlier(one: Source, other: Source): Source {
  if (one.next === null || one.next === undefined) return other;
  if (other.next === null || other.next === undefined) return one;
  return one.next.seq < other.next.seq ? one : other;
}
