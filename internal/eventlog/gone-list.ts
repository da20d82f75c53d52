import type { GoneJob } from './job-state-cache.js';

/** The most jobs that are remembered for clients that were not there, or had not read so far. */
const MAX_GONE = 10_000;
/** Longer than two edges take to notice the same. */
const NOTICED_LATELY_MS = 5 * 60_000;

/** Where it was noticed that a job left. */
export interface Noticed {
  /** The log's head as of then: clients hear of it behind this. */
  readonly head: number;
  /** The stream held nothing of the job up to this seq; what lies behind it may not have been read yet. */
  readonly upTo: number;
  /** Milliseconds that never go back; null: not known, the next look at the stream says. */
  readonly at: number | null;
}

interface GoneEntry extends GoneJob {
  head: number;
  upTo: number;
  noticedAt: number | null;
  /** No client has a higher cursor and was not told; Infinity: that is not known yet. */
  reached: number;
  /** It reported again. */
  isBack: boolean;
  /** The one before it of the same job, which is not known to have been back in between. */
  readonly older: GoneEntry | null;
}

/** How far a client is, and what is known there. */
export interface GoneView {
  /** The client has seen everything up to here. */
  readonly cursor: number;
  /** It is told of what left while the log's head was at this seq at most. */
  readonly place: number;
  /** Up to this seq it is known of every job whether it is back. */
  readonly known: number;
}

/**
 * The jobs that left the stream, in the order in which it was noticed. Each has a number that stays: how many came
 * before it.
 *
 * A cursor says whether its client was told only where whoever gave it out had noticed. Another edge may not have, and
 * this one's log may be behind what it serves from JetStream. So for a while everybody who comes back is told; and for
 * good whoever has a cursor that the stream had reached by then.
 */
export class GoneList {
  #entries: GoneEntry[] = [];
  /** The newest entry of each job. */
  readonly #byId = new Map<string, GoneEntry>();
  /** So many came before the first that is remembered. */
  #before = 0;
  /** The number of the first one of which everybody is told. */
  #open = 0;

  /** How many there were so far. */
  get count(): number {
    return this.#before + this.#entries.length;
  }

  push({ id, jobType }: GoneJob, { head, upTo, at }: Noticed): void {
    const reached = Number.POSITIVE_INFINITY;
    this.confirm(id, upTo);
    const older = this.#byId.get(id) ?? null;
    const entry: GoneEntry = { id, jobType, head, upTo, noticedAt: at, reached, isBack: false, older };
    this.#entries.push(entry);
    this.#byId.set(id, entry);
    if (this.#entries.length >= 2 * MAX_GONE) this.#forget(this.#entries.length - MAX_GONE);
  }

  /** Forgets them all. Their numbers are not given out again. */
  clear(): void {
    this.#forget(this.#entries.length);
  }

  /**
   * The stream was looked at.
   * @param lastSeq its last seq as of then
   * @param now milliseconds that never go back
   */
  looked(lastSeq: number, now: number): void {
    let isLately = false;
    for (let index = this.#open - this.#before; index < this.#entries.length; index++) {
      const entry = this.#entries[index] as GoneEntry;
      entry.noticedAt ??= now;
      // None is passed over, though it may stand before one that was noticed earlier: it would be told for ever, and so
      // would all behind it.
      isLately ||= entry.noticedAt >= now - NOTICED_LATELY_MS;
      if (isLately) continue;
      entry.reached = Math.max(lastSeq, entry.head, this.#entries[index - 1]?.reached ?? 0);
      this.#open = this.#before + index + 1;
    }
  }

  /** The log was loaded anew, up to `head`. It may lie before the one that there was: then seqs mean other events. */
  loaded(head: number): void {
    for (const entry of this.#entries) {
      entry.head = Math.min(entry.head, head);
      entry.upTo = Math.min(entry.upTo, head);
    }
  }

  /** Jobs that are not back, and of which the stream may hold something up to this seq. */
  *unconfirmed(seq: number): Generator<string> {
    for (const [id, { upTo }] of this.#byId) if (upTo < seq) yield id;
  }

  /**
   * The stream holds nothing of this job up to here.
   * @returns whether that says more of a job that left
   */
  confirm(id: string, upTo: number): boolean {
    const entry = this.#byId.get(id);
    if (entry === undefined || entry.upTo >= upTo) return false;
    for (let one: GoneEntry | null = entry; one !== null; one = one.older)
      one.upTo = Math.max(one.upTo, upTo);
    return true;
  }

  /**
   * A job has an event at `seq`.
   * @returns whether it had left before that
   */
  isBack(id: string, seq: number): boolean {
    const entry = this.#byId.get(id);
    if (entry === undefined || entry.upTo >= seq) return false;
    for (let one: GoneEntry | null = entry; one !== null; one = one.older) one.isBack = true;
    this.#byId.delete(id);
    return true;
  }

  /** The number from which on a client that has seen everything up to `cursor` is told, as far as it is remembered. */
  from(cursor: number): number {
    // `reached` never falls from one to the next.
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle] as GoneEntry).reached >= cursor) high = middle;
      else low = middle + 1;
    }
    return this.#before + low;
  }

  /** Whether this job is among those from the number `from` on, as far as they are remembered. */
  includes(id: string, from: number): boolean {
    const start = Math.max(0, from - this.#before);
    return this.#entries.slice(start).some((entry) => entry.id === id);
  }

  /**
   * The next `limit` from the number `from` on that this client can be told of, and the number after them. Where the
   * client is ahead of what is known, a job may be back already, in what it was shown: then it is told later.
   */
  since(
    from: number,
    { cursor, place, known }: GoneView,
    limit: number,
  ): { readonly jobs: readonly GoneJob[]; readonly next: number } {
    const start = Math.max(0, from - this.#before);
    const next = this.#entries.slice(start, start + limit);
    const later = next.findIndex(({ head, upTo }) => head > place || cursor > Math.max(upTo, known));
    const told = later < 0 ? next : next.slice(0, later);
    return { jobs: told.filter(({ isBack }) => !isBack), next: this.#before + start + told.length };
  }

  #forget(count: number): void {
    for (const entry of this.#entries.slice(0, count))
      if (this.#byId.get(entry.id) === entry) this.#byId.delete(entry.id);
    this.#entries = this.#entries.slice(count);
    this.#before += count;
    this.#open = Math.max(this.#open, this.#before);
  }
}
