import type { EvictionListener, Job, Jobs } from './jobs.js';
import type { LogRecord } from './record.js';
import { inScope, type Scope } from './scope.js';

/** The most places that are handed out at once, to be read from JetStream together. */
const BATCH = 64;

/**
 * The last states that a fresh all-jobs connection gets: every unfinished job and those finished lately, in rising
 * seq, as they stood at `head`. In that order a client that drops half-way through resumes by its last seq like any
 * other: each job it has not had yet has its last event after that seq.
 *
 * It is an iterator, not a copy: a slow reader of half a million jobs costs nothing. A job that moves on meanwhile is
 * left out here, since its newer event lies after `head`, where the reader goes on. A job that memory let go, before
 * or meanwhile, comes as its place in the stream. `close` it when it is not read to its end.
 */
export class Snapshot implements EvictionListener {
  readonly head: number;
  readonly #jobs: Jobs;
  readonly #scope: Scope;
  readonly #finishedSince: number;
  readonly #open: Iterator<Job>;
  readonly #finished: Iterator<Job>;
  #nextOpen: LogRecord | null;
  #nextFinished: LogRecord | null;
  /** Places in the stream, rising, from `#place` on. */
  #places: number[];
  #place = 0;
  #passed = 0;

  /** @param now milliseconds since 1970 */
  constructor(jobs: Jobs, scope: Scope, head: number, now: number, recentMs: number) {
    this.head = head;
    this.#jobs = jobs;
    this.#scope = scope;
    this.#finishedSince = now - recentMs;
    this.#places = jobs.places(now, recentMs);
    this.#open = jobs.open();
    this.#finished = jobs.finished();
    this.#nextOpen = this.#advance(this.#open);
    this.#nextFinished = this.#advance(this.#finished);
    jobs.listen(this);
  }

  /** The next last state, or the places of the next ones that have to be read first, or null at the end. */
  next(): LogRecord | readonly number[] | null {
    const open = this.#nextOpen;
    const finished = this.#nextFinished;
    const inMemory = open !== null && (finished === null || open.seq < finished.seq) ? open : finished;
    const places = this.#placesUpTo(inMemory?.seq ?? this.head);
    if (places.length > 0) return places;
    if (inMemory === null) {
      this.close();
      return null;
    }
    if (inMemory === open) this.#nextOpen = this.#advance(this.#open);
    else this.#nextFinished = this.#advance(this.#finished);
    this.#passed = inMemory.seq;
    return inMemory;
  }

  /** Whether a state that was read from one of the places is part of it. */
  includes(record: LogRecord): boolean {
    if (record.finished && record.storedAt < this.#finishedSince) return false;
    const known = this.#jobs.get(record.id)?.last.seq ?? this.#jobs.evictedSeq(record.id) ?? record.seq;
    return known === record.seq && inScope(this.#scope, record);
  }

  evicted(seq: number): void {
    // What was read ahead, but not handed out, is still to come from memory.
    if (seq === this.#nextOpen?.seq || seq === this.#nextFinished?.seq) return;
    if (seq <= this.#passed || seq > this.head) return;
    let index = this.#places.length;
    while (index > this.#place && (this.#places[index - 1] as number) > seq) index--;
    if (this.#places[index - 1] !== seq) this.#places.splice(index, 0, seq);
  }

  close(): void {
    this.#jobs.unlisten(this);
  }

  #placesUpTo(seq: number): readonly number[] {
    const from = this.#place;
    while (this.#place < this.#places.length && this.#place - from < BATCH) {
      const place = this.#places[this.#place] as number;
      if (place > seq) break;
      this.#passed = place;
      this.#place++;
    }
    return this.#places.slice(from, this.#place);
  }

  #advance(jobs: Iterator<Job>): LogRecord | null {
    for (let step = jobs.next(); !step.done; step = jobs.next()) {
      const { last } = step.value;
      if (last.seq > this.head) return null;
      if (last.finished && last.storedAt < this.#finishedSince) continue;
      if (inScope(this.#scope, last)) return last;
    }
    return null;
  }
}
