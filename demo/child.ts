import { type ChildProcess, spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { untilAborted, within } from '../internal/async.js';
import { WatchedProcess } from './child-process.js';
import { CannotStart } from './errors.js';
import type { SupervisorMessage } from './supervisor.js';

const SUPERVISOR = fileURLToPath(new URL('./supervisor.js', import.meta.url));
/** A command that is still there so long after SIGTERM gets SIGKILL. */
const KILL_AFTER_MS = 600;
const KEPT_LINES = 40;
const KEPT_CHARACTERS = 256 * 1024;

/** What to run, and who hears what it says. */
export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** A temporary folder for it, removed with it; `{folder}` in `args` stands for its path. */
  readonly folderPrefix?: string;
  readonly onLine?: (line: string) => void;
}

/**
 * A process that ends with the demo, whatever ends the demo. It stands in a session of its own, so that Ctrl-C in a
 * terminal, which reaches every process of the foreground, reaches the demo only, and the demo decides the order.
 */
export class Child implements AsyncDisposable {
  /** The exit code, when it is gone and all it said was read. */
  readonly exited: Promise<number>;
  readonly #supervisor: ChildProcess;
  readonly #watched: WatchedProcess;
  #started: { pid: number; folder: string | undefined } | undefined;
  #isStopping = false;

  private constructor({ command, args, env, folderPrefix = '', onLine }: ChildOptions) {
    // Options of the demo's own node (an inspector, a loader) are not meant for its children.
    const program = [SUPERVISOR, String(KILL_AFTER_MS), folderPrefix, command, ...args];
    this.#supervisor = spawn(process.execPath, program, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env,
    });
    this.#watched = new WatchedProcess(command, this.#supervisor, KEPT_CHARACTERS);
    if (onLine !== undefined) this.#watched.onLine(onLine);
    this.exited = this.#watched.exited.then(({ code }) => code ?? 1);
  }

  /** @throws CannotStart, or the signal's reason; then nothing is left running */
  static async start(options: ChildOptions, signal: AbortSignal): Promise<Child> {
    signal.throwIfAborted();
    const child = new Child(options);
    try {
      const message = await untilAborted(child.#firstMessage(), signal);
      if (message.kind === 'failed') throw new CannotStart(options.command, message.reason);
      return child;
    } catch (error) {
      await child.stop();
      throw error;
    }
  }

  /** The temporary folder that was asked for. */
  get folder(): string | undefined {
    return this.#started?.folder;
  }

  /** Whether it was asked to end, so that its end is no news. */
  get isStopping(): boolean {
    return this.#isStopping;
  }

  /** The last lines that it wrote, to stdout and stderr. */
  lastLines(): readonly string[] {
    return this.#watched.lines.slice(-KEPT_LINES);
  }

  /** Ends the command as the system would that has no memory left: at once, without a word. That is then no news. */
  async kill(): Promise<void> {
    this.#isStopping = true;
    const { pid } = this.#started ?? {};
    if (pid !== undefined) kill(pid);
    await this.exited;
  }

  /** Ends it, gently and then by force, and waits until it is gone. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#supervisor.connected) this.#supervisor.disconnect();
    const gone = this.exited.then(() => true);
    if (await within(gone, KILL_AFTER_MS + 300, () => false)) return;
    // The supervisor hangs, so do here what it would have done.
    const { pid, folder } = this.#started ?? {};
    if (pid !== undefined) kill(pid);
    this.#supervisor.kill('SIGKILL');
    if (folder !== undefined) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #firstMessage(): Promise<SupervisorMessage> {
    const failed = (reason: string): SupervisorMessage => ({ kind: 'failed', reason });
    return new Promise((resolve) => {
      this.#supervisor.once('message', (received) => {
        const message = received as SupervisorMessage;
        // Known also when nobody waits any more, for the end.
        if (message.kind === 'started') this.#started = message;
        resolve(message);
      });
      this.#supervisor.once('error', (error) => resolve(failed(error.message)));
      void this.exited.then(() => resolve(failed(this.#watched.lines.at(-1) ?? 'it ended at once')));
    });
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}
