import { fileURLToPath } from 'node:url';
import { pause, untilAborted } from '../internal/async.js';
import { Child } from './child.js';
import type { Job } from './jobs.js';

/** How workers run. */
export interface WorkerSettings {
  readonly natsUrl: string;
  readonly natsCreds: string | undefined;
  readonly stream: string;
  readonly signal: AbortSignal;
}

/** How a worker ended that nobody killed. */
export interface WorkerEnd {
  readonly code: number;
  readonly lines: readonly string[];
}

const PROGRAM = fileURLToPath(new URL('./worker.js', import.meta.url));
/** Long enough to see that nothing comes, and what is told of it. */
const REPLACED_AFTER_MS = 1_500;

/** The workers that run. One that is killed is replaced by another one, which goes on where it was. */
export class Workers {
  readonly #running = new Set<Child>();
  readonly #killed = new WeakSet<Child>();

  constructor(private readonly settings: WorkerSettings) {}

  /**
   * Has documents processed by one worker, one after the other.
   * @param pageMs each page takes at least so long
   * @throws CannotStart, or the signal's reason; then nothing is left running
   */
  async run(jobs: readonly Job[], pageMs: number): Promise<WorkerEnd> {
    const { signal } = this.settings;
    for (let life = 1; ; life += 1) {
      await using worker = await this.#start(jobs, pageMs, life > 1);
      this.#running.add(worker);
      try {
        const code = await untilAborted(worker.exited, signal);
        if (!this.#killed.has(worker)) return { code, lines: worker.lastLines() };
      } finally {
        this.#running.delete(worker);
      }
      await pause(REPLACED_AFTER_MS, signal);
    }
  }

  /** Kills those that run. @returns how many */
  async killAll(): Promise<number> {
    const running = [...this.#running].filter((worker) => !this.#killed.has(worker));
    for (const worker of running) this.#killed.add(worker);
    await Promise.all(running.map((worker) => worker.kill()));
    return running.length;
  }

  async #start(jobs: readonly Job[], pageMs: number, isAgain: boolean): Promise<Child> {
    const { natsUrl, natsCreds, stream, signal } = this.settings;
    return await Child.start(
      {
        command: process.execPath,
        args: [PROGRAM, ...jobs.flatMap(({ id, path, label }) => [id, path, label])],
        env: {
          ...process.env,
          PAGE_MS: String(pageMs),
          NATS_URL: natsUrl,
          NATS_CREDS: natsCreds,
          HEADWAY_STREAM: stream,
          RESUME: isAgain ? '1' : '',
        },
      },
      signal,
    );
  }
}
