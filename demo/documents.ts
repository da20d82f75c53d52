import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { subjectOf } from '../schemas/ids.js';
import { type Job, jobId, shippedDocuments, survey } from './jobs.js';
import type { Nats } from './nats.js';
import { JOB_TYPE } from './options.js';
import { Problem } from './problem.js';
import type { Workers } from './workers.js';

/** What the page is told of a document. */
export type ShownDocument = Pick<Job, 'id' | 'label' | 'pages'>;

/** What takes them and has them processed. */
export interface DocumentsOptions {
  readonly folder: string;
  readonly workers: Workers;
  readonly nats: Nats;
  readonly pageMs: number;
  readonly signal: AbortSignal;
  /** Told what happens, for people. */
  readonly say: (text: string) => void;
}

/** So many are processed at a time; so many more may wait. */
const AT_A_TIME = 4;
const MAX_UNFINISHED = 24;
/** The page shows no more. */
const MAX_SHOWN = 60;

/** The documents that the page shows, and those of them that came over it and are to be processed. */
export class Documents {
  readonly #options: DocumentsOptions;
  readonly #limit = pLimit(AT_A_TIME);
  #shown: ShownDocument[] = [];
  #unfinished = 0;

  constructor(options: DocumentsOptions) {
    this.#options = options;
  }

  /** The oldest first. */
  get shown(): readonly ShownDocument[] {
    return this.#shown;
  }

  show(jobs: readonly ShownDocument[]): void {
    const all = [...this.#shown, ...jobs.map(({ id, label, pages }) => ({ id, label, pages }))];
    this.#shown = all.slice(-MAX_SHOWN);
  }

  /**
   * Takes a document and has it processed.
   * @param receive writes it to the path that it is given, and tells how many pages it has
   * @throws Problem, when there are too many already; whatever `receive` throws
   */
  async take(label: string, receive: (path: string) => Promise<number>): Promise<ShownDocument> {
    this.#checkRoom(1);
    const id = jobId(label);
    const path = join(this.#options.folder, id);
    this.#unfinished += 1;
    let pages: number;
    try {
      pages = await receive(path);
    } catch (error) {
      this.#unfinished -= 1;
      throw error;
    }
    return this.#begin({ id, path, label, pages }, () => rm(path, { force: true }));
  }

  /** Has the documents processed that come with the demo, once more. */
  async takeShipped(): Promise<readonly ShownDocument[]> {
    const { jobs } = await survey(shippedDocuments());
    this.#checkRoom(jobs.length);
    this.#unfinished += jobs.length;
    return jobs.map((job) => this.#begin(job, async () => {}));
  }

  #checkRoom(count: number): void {
    if (this.#unfinished + count <= MAX_UNFINISHED) return;
    throw new Problem(
      429,
      'too_many',
      `${this.#unfinished} documents are not done yet: expected at most ${MAX_UNFINISHED}. Wait for some of them.`,
    );
  }

  #begin(job: Job, after: () => Promise<void>): ShownDocument {
    const { id, label, pages } = job;
    const shown = { id, label, pages };
    this.show([shown]);
    const done = (): void => {
      this.#unfinished -= 1;
    };
    const work = async (): Promise<void> => {
      try {
        await this.#process(job);
      } finally {
        await after();
      }
    };
    // It fails when the demo is ending.
    this.#limit(work).then(done, done);
    return shown;
  }

  async #process(job: Job): Promise<void> {
    const { workers, pageMs, signal, say } = this.#options;
    signal.throwIfAborted();
    const end = await workers.run([job], pageMs).catch((error: Error) => error);
    signal.throwIfAborted();
    if (end instanceof Error) {
      say(`No worker could be started for ${job.label}: ${end.message}`);
      await this.#giveUp(job.id, 'no worker could be started');
    } else if (end.code !== 0) {
      say(`The worker of ${job.label} ended with code ${end.code}: ${end.lines.at(-1) ?? 'it said nothing'}`);
      await this.#giveUp(job.id, `the worker ended with code ${end.code}`);
    }
  }

  /** So that nobody waits for a worker that cannot do it. */
  async #giveUp(id: string, message: string): Promise<void> {
    const event = {
      processing_id: id,
      job_type: JOB_TYPE,
      timestamp: new Date().toISOString(),
      status: 'error',
      progress: 0,
      error: { code: 'worker_failed', message, retryable: false },
    };
    await this.#options.nats.connection.jetstream().publish(subjectOf(id), JSON.stringify(event));
  }
}
