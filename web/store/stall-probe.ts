import type { JobSnapshot, ProgressClient } from '../../sdk/client/index.js';

/** So many jobs are asked about at once: fewer than an edge lets one connection follow. */
const AT_ONCE = 100;
/** An edge that says that a job has stalled does so right behind its last state. */
const ANSWER_MS = 500;
/** One that cannot answer now is not waited for. */
const PATIENCE_MS = 10_000;

/**
 * Finds out which of some silent jobs have stalled. The edge tells a page of all jobs of a stall once, when it begins; of
 * one that began before, only those who follow the job by its name. A job that merely looks silent may be alive: its
 * heartbeats are no events. And one that had stalled may be alive again by heartbeats alone, of which nobody is told.
 */
export class StallProbe {
  #waiting = new Set<string>();
  /** How to let go of each. */
  readonly #asked = new Map<string, () => void>();

  /**
   * @param client of its own, which follows nothing else: a job that is followed already is told nothing anew
   * @param onAnswer null: the job has not stalled
   */
  constructor(
    private readonly client: Pick<ProgressClient, 'job' | 'close'>,
    private readonly onAnswer: (id: string, stalled: JobSnapshot['stalled']) => void,
  ) {}

  ask(ids: Iterable<string>): void {
    const wanted = [...ids].filter((id) => !this.#asked.has(id));
    // Before those that are waited for: after a restart of the page these may be thousands.
    this.#waiting = new Set([...wanted, ...this.#waiting]);
    this.#next();
  }

  close(): void {
    this.#waiting.clear();
    for (const letGo of [...this.#asked.values()]) letGo();
    this.client.close();
  }

  #next(): void {
    for (const id of this.#waiting) {
      if (this.#asked.size >= AT_ONCE) return;
      this.#waiting.delete(id);
      this.#askOne(id);
    }
  }

  #askOne(id: string): void {
    const job = this.client.job(id);
    let timer = setTimeout(() => done(), PATIENCE_MS);
    const done = (): void => {
      clearTimeout(timer);
      if (!this.#asked.delete(id)) return;
      job.close();
      this.#next();
    };
    this.#asked.set(id, done);
    let isCurrent = false;
    job.addEventListener('stalled', ({ detail }) => {
      this.onAnswer(id, detail);
      done();
    });
    job.addEventListener('error', done);
    job.subscribe(() => {
      const snapshot = job.getSnapshot();
      if (snapshot.isEnded) done();
      else if (snapshot.isCurrent && !isCurrent) {
        isCurrent = true;
        clearTimeout(timer);
        timer = setTimeout(() => {
          this.onAnswer(id, null);
          done();
        }, ANSWER_MS);
      }
    });
  }
}
