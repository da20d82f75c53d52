import type { GoneJob } from './job-state-cache.js';

/** The most jobs that are remembered for clients that were not there, or had not read so far. */
const MAX_GONE = 10_000;
/** Longer than two edges take to notice the same. */
const NOTICED_LATELY_MS = 5 * 60_000;

interface GoneEntry extends GoneJob {
  /** The stream's head as of then. */
  readonly head: number;
  /** Milliseconds that never go back. */
  readonly noticedAt: number;
}

/**
 * The jobs that left the stream, in the order in which it was noticed. Each has a number that stays: how many came
 * before it.
 */
export class GoneList {
  #entries: GoneEntry[] = [];
  /** So many came before the first that is remembered. */
  #before = 0;

  /** How many there were so far. */
  get count(): number {
    return this.#before + this.#entries.length;
  }

  push({ id, jobType }: GoneJob, head: number, noticedAt: number): void {
    this.#entries.push({ id, jobType, head, noticedAt });
    if (this.#entries.length < 2 * MAX_GONE) return;
    this.#before += this.#entries.length - MAX_GONE;
    this.#entries = this.#entries.slice(-MAX_GONE);
  }

  /** Forgets them all. Their numbers are not given out again. */
  clear(): void {
    this.#before += this.#entries.length;
    this.#entries = [];
  }

  /**
   * The number from which on a client that has seen everything up to `cursor` is told, as far as it is remembered. What
   * was noticed of late is told in any case: another edge may have given out a higher cursor before it noticed the same.
   * @param now milliseconds that never go back
   */
  from(cursor: number, now: number): number {
    const since = now - NOTICED_LATELY_MS;
    const index = this.#entries.findIndex(({ head, noticedAt }) => head >= cursor || noticedAt >= since);
    return this.#before + (index < 0 ? this.#entries.length : index);
  }

  /** Whether this job is among those from the number `from` on, as far as they are remembered. */
  includes(id: string, from: number): boolean {
    const start = Math.max(0, from - this.#before);
    return this.#entries.slice(start).some((entry) => entry.id === id);
  }

  /** The next `limit` from the number `from` on that left while the head was at `upTo` at most, and the number after them. */
  since(
    from: number,
    upTo: number,
    limit: number,
  ): { readonly jobs: readonly GoneJob[]; readonly next: number } {
    const start = Math.max(0, from - this.#before);
    const later = this.#entries.slice(start, start + limit).findIndex(({ head }) => head > upTo);
    const jobs = this.#entries.slice(start, start + (later < 0 ? limit : later));
    return { jobs, next: this.#before + start + jobs.length };
  }
}
