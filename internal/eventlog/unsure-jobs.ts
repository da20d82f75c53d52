import type { ForgottenJob, GoneJob } from './job-state-cache.js';

/** The most of them that come one by one. */
const MAX_UNSURE = 10_000;

/** Jobs that clients may show and memory does not know: the stream may hold them or not. */
export class UnsureJobs {
  readonly #jobs = new Map<string, ForgottenJob>();

  /** Takes a job in, unless there are too many: the first ones leave the stream first. */
  add(job: ForgottenJob): void {
    const known = this.#jobs.get(job.id);
    if (known === undefined ? this.#jobs.size < MAX_UNSURE : known.seq < job.seq) this.#jobs.set(job.id, job);
  }

  /** The log was loaded anew, and this job, which it knew before, was not among what was loaded. However many there are. */
  addOfBefore(id: string, jobType: string | undefined): void {
    this.#jobs.set(id, { id, jobType, seq: 0 });
  }

  /** Memory knows it. */
  delete(id: string): void {
    this.#jobs.delete(id);
  }

  clear(): void {
    this.#jobs.clear();
  }

  /** The stream held nothing of this job when its newest message was `upTo`. @returns null: it has a newer event, or is none of these */
  remove(id: string, upTo: number): GoneJob | null {
    const job = this.#jobs.get(id);
    if (job === undefined || job.seq > upTo) return null;
    this.#jobs.delete(id);
    return { id, jobType: job.jobType };
  }

  ids(): Iterable<string> {
    return this.#jobs.keys();
  }

  /** The id and type of each. */
  types(): Iterable<GoneJob> {
    return this.#jobs.values();
  }
}
