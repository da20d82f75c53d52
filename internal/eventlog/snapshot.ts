import type { JobState, JobStateCache } from './job-state-cache.js';
import type { StreamPosition } from './position-index.js';
import { hasTypeIn, inScope, type LogRecord, type Scope } from './record.js';

/** The most jobs that one call looks at, so that a filter which matches little does not hold up the others. */
export const SNAPSHOT_SCAN_LIMIT = 4_096;

export interface SnapshotRange {
  /** Only states after this seq. */
  readonly after: number;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Jobs that are finished for longer are left out; Infinity: none is. */
  readonly recentMs: number;
  /** Whether it goes on over states whose positions were dropped, instead of being `lost`. */
  readonly mayMiss?: boolean;
}

/**
 * A last state; or the positions in the stream of the next ones, to be read first; or neither yet; or the end; or `lost`:
 * a state that was still to come was evicted, and its position dropped.
 */
export type SnapshotStep =
  | { readonly kind: 'state'; readonly record: LogRecord }
  | { readonly kind: 'evicted'; readonly seqs: readonly number[] }
  /** So many jobs were looked at, and none was found yet. */
  | { readonly kind: 'scanned' }
  | { readonly kind: 'end' }
  | { readonly kind: 'lost' };

/** Jobs in rising order, read up to the next state that is wanted. */
interface Source {
  readonly jobs: Iterator<JobState>;
  /** null: there is none; undefined: not looked for yet. */
  next: LogRecord | null | undefined;
}

/**
 * The last states that a fresh all-jobs connection gets: every unfinished job and those finished lately, in rising
 * seq, as they stood at `head`. In that order a client that drops half-way through resumes by its last seq like any
 * other: each job it has not had yet has its last event after that seq. With `after` it is what has changed since.
 *
 * It is a walk over what the log keeps in order anyway, for each type of job too, and holds nothing but its position:
 * ten thousand of them, and one whose client does not read, cost nothing. A job that moves on meanwhile is
 * left out here, since its newer event lies after `head`, where the reader goes on. A job that was evicted, before
 * or meanwhile, comes as its position in the stream.
 */
export class Snapshot {
  readonly head: number;
  readonly #jobs: JobStateCache;
  readonly #scope: Scope;
  readonly #after: number;
  readonly #finishedSince: number;
  /** Whether also what is finished for long is owed, whose position is not kept. */
  readonly #owesAll: boolean;
  readonly #sources: readonly Source[];
  /** What comes up to here was handed out, or is not wanted. */
  #passed: number;

  constructor(
    jobs: JobStateCache,
    scope: Scope,
    head: number,
    { after, now, recentMs, mayMiss }: SnapshotRange,
  ) {
    this.head = head;
    this.#jobs = jobs;
    this.#scope = scope;
    this.#after = after;
    this.#passed = after;
    this.#finishedSince = now - recentMs;
    this.#owesAll = recentMs === Number.POSITIVE_INFINITY && mayMiss !== true;
    this.#sources = jobs.inOrder(scope.jobTypes).map((iterator) => ({ jobs: iterator, next: undefined }));
  }

  next(): SnapshotStep {
    if (this.#owesAll && this.#jobs.droppedSeq > this.#passed) return { kind: 'lost' };
    let budget = SNAPSHOT_SCAN_LIMIT;
    for (const source of this.#sources) {
      budget -= this.#advance(source, budget);
      if (source.next === undefined) return { kind: 'scanned' };
    }
    const source = this.#earliest();
    const record = source?.next ?? null;
    // Before the state, not at it: a job that is evicted after it was found here comes from here.
    const page = this.#jobs.positions.page(
      this.#passed,
      record?.seq ?? this.head + 1,
      budget,
      this.#isWanted,
    );
    this.#passed = page.passed;
    if (page.seqs.length > 0) return { kind: 'evicted', seqs: page.seqs };
    if (!page.isWhole) return { kind: 'scanned' };
    if (source === null || record === null) return { kind: 'end' };
    source.next = undefined;
    this.#passed = record.seq;
    return { kind: 'state', record };
  }

  /** Whether a state that was read from one of the positions is part of it. */
  includes(record: LogRecord): boolean {
    if (record.finished && record.storedAt < this.#finishedSince) return false;
    const known = this.#jobs.get(record.id)?.last.seq ?? this.#jobs.evictedSeq(record.id) ?? record.seq;
    return known === record.seq && inScope(this.#scope, record);
  }

  readonly #isWanted = ({ finishedAt, jobType }: StreamPosition): boolean =>
    finishedAt >= this.#finishedSince && hasTypeIn(this.#scope, jobType);

  #earliest(): Source | null {
    let earliest: Source | null = null;
    let seq = Number.POSITIVE_INFINITY;
    for (const source of this.#sources) {
      if (!source.next || source.next.seq >= seq) continue;
      earliest = source;
      seq = source.next.seq;
    }
    return earliest;
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
