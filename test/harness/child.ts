/** A child process under the watchdog: its output by lines, its end as a promise, signals that wait for their effect. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type ExitStatus, WatchedProcess } from '../../demo/child-process.js';
import { waitFor, withTimeout } from './wait.js';
import { guard } from './watchdog.js';

export type { ExitStatus };

/** Output beyond this many characters is forgotten, oldest first. */
const OUTPUT_LIMIT = 8 * 1024 * 1024;

/** Whether a process of this id runs; one that only waits to be reaped does not. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const state = await stateOf(pid);
  return state !== 'Z' && state !== 'X';
}

/** The state letter that Linux tells of a process; undefined elsewhere, or when it is gone. */
export async function stateOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat.split(') ').at(-1)?.charAt(0);
}

export class Child {
  readonly pid: number;
  readonly #watched: WatchedProcess;

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
    pid: number,
  ) {
    this.pid = pid;
    const release = guard(pid);
    child.once('exit', release);
    this.#watched = new WatchedProcess(name, child, OUTPUT_LIMIT);
  }

  /** Starts a program; rejects when it cannot be started at all. */
  static async spawn(name: string, command: string, args: string[], env?: NodeJS.ProcessEnv): Promise<Child> {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...(env && { env }) });
    if (child.pid !== undefined) return new Child(name, child, child.pid);
    return await new Promise((_, reject) => {
      child.once('error', (error) => reject(new Error(`${name} could not be started`, { cause: error })));
    });
  }

  /** Resolves when the process is gone and all of its output was read. */
  get exited(): Promise<ExitStatus> {
    return this.#watched.exited;
  }

  /** How it ended, or undefined while it runs. */
  get status(): ExitStatus | undefined {
    return this.#watched.status;
  }

  /** What it wrote to stdout and stderr so far. */
  output(): string {
    return this.#watched.output();
  }

  /** The first line, past or future, for which `pick` gives something; fails at once when the process ends. */
  async line<T>(pick: (line: string) => T | undefined, what: string, timeoutMs = 10_000): Promise<T> {
    return await this.#watched.line(pick, what, timeoutMs);
  }

  /** Why waiting for this process is hopeless, or undefined while it runs. For `waitFor`'s `giveUp`. */
  giveUp(): string | undefined {
    return this.#watched.whyGone();
  }

  signal(signal: NodeJS.Signals): void {
    if (this.status === undefined) this.child.kill(signal);
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<ExitStatus> {
    this.signal('SIGKILL');
    return await withTimeout(this.exited, 10_000, `${this.name} to die of SIGKILL`);
  }

  /** SIGTERM, and waits until it is gone; one that does not go is killed, and that is an error. */
  async stop(timeoutMs = 15_000): Promise<ExitStatus> {
    this.signal('SIGCONT');
    this.signal('SIGTERM');
    try {
      return await withTimeout(this.exited, timeoutMs, `${this.name} to stop after SIGTERM`);
    } catch (error) {
      await this.kill();
      throw new Error(`${this.name} had to be killed\n${this.output()}`, { cause: error });
    }
  }

  /** SIGSTOP, and waits until no thread of it runs any more. */
  async freeze(): Promise<void> {
    this.signal('SIGSTOP');
    await this.#untilState('to freeze', (state) => state === 'T');
  }

  /** SIGCONT. */
  async thaw(): Promise<void> {
    this.signal('SIGCONT');
    await this.#untilState('to thaw', (state) => state !== 'T');
  }

  /** Waits for a signal's effect where the system shows it; elsewhere the signal alone must do. */
  async #untilState(what: string, reached: (state: string | undefined) => boolean): Promise<void> {
    if (!existsSync('/proc/self/stat')) return;
    await waitFor(async () => reached(await stateOf(this.pid)), {
      what: `${this.name} ${what}`,
      everyMs: 1,
      giveUp: () => this.giveUp(),
    });
  }
}
