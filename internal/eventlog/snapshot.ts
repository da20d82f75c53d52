import type { Job, Jobs } from './jobs.js';
import type { LogRecord } from './record.js';
import { inScope, type Scope } from './scope.js';

/**
 * The last states that a fresh all-jobs connection gets: every unfinished job and those finished lately, in rising
 * seq, as they stood at `head`. In that order a client that drops half-way through resumes by its last seq like any
 * other: each job it has not had yet has its last event after that seq.
 *
 * It is an iterator, not a copy: a slow reader of half a million jobs costs nothing. A job that moves on meanwhile is
 * left out here, since its newer event lies after `head`, where the reader goes on.
 */
export class Snapshot {
  readonly head: number;
  readonly #scope: Scope;
  readonly #finishedSince: number;
  readonly #open: Iterator<Job>;
  readonly #finished: Iterator<Job>;
  #nextOpen: LogRecord | null;
  #nextFinished: LogRecord | null;

  constructor(jobs: Jobs, scope: Scope, head: number, finishedSince: number) {
    this.head = head;
    this.#scope = scope;
    this.#finishedSince = finishedSince;
    this.#open = jobs.open();
    this.#finished = jobs.finished();
    this.#nextOpen = this.#advance(this.#open);
    this.#nextFinished = this.#advance(this.#finished);
  }

  /** The next last state, or null at the end. */
  next(): LogRecord | null {
    const open = this.#nextOpen;
    const finished = this.#nextFinished;
    if (open !== null && (finished === null || open.seq < finished.seq)) {
      this.#nextOpen = this.#advance(this.#open);
      return open;
    }
    if (finished !== null) this.#nextFinished = this.#advance(this.#finished);
    return finished;
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
