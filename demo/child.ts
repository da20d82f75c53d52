import { type ChildProcess, spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DemoError } from './errors.js';
import { KILL_AFTER_MS, type SupervisorMessage } from './supervisor-message.js';

const SUPERVISOR = fileURLToPath(new URL('./supervisor.js', import.meta.url));
const KEPT_LINES = 40;

/** What to run, and who hears what it says. */
export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** A temporary folder for it, removed with it; `{folder}` in `args` stands for its path. */
  readonly folderPrefix?: string;
  readonly onLine?: (line: string) => void;
}

/** The system's word for why a program could not be started. */
export class CannotStart extends DemoError {
  constructor(
    command: string,
    readonly reason: string,
  ) {
    super(`Cannot start "${command}" (${reason}).`);
  }
}

/**
 * A process that ends with the demo, whatever ends the demo. It stands in a session of its own, so that Ctrl-C in a
 * terminal, which reaches every process of the foreground, reaches the demo only, and the demo decides the order.
 */
export class Child implements AsyncDisposable {
  /** The exit code, when it is gone and all it said was read. */
  readonly exited: Promise<number>;
  readonly #supervisor: ChildProcess;
  readonly #lines: string[] = [];
  #started: { pid: number; folder: string | undefined } | undefined;
  #isStopping = false;

  private constructor({ command, args, env, folderPrefix = '', onLine }: ChildOptions) {
    // Options of the demo's own node (an inspector, a loader) are not meant for its children.
    this.#supervisor = spawn(process.execPath, [SUPERVISOR, folderPrefix, command, ...args], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env,
    });
    const outputs = [this.#supervisor.stdout, this.#supervisor.stderr].filter((stream) => stream !== null);
    const read = outputs.map((stream) => {
      const lines = createInterface({ input: stream });
      lines.on('line', (line) => {
        this.#lines.push(line);
        if (this.#lines.length > KEPT_LINES) this.#lines.shift();
        onLine?.(line);
      });
      return new Promise<void>((resolve) => lines.once('close', resolve));
    });
    const exit = new Promise<number>((resolve) => {
      this.#supervisor.once('exit', (code) => resolve(code ?? 1));
      this.#supervisor.once('error', () => resolve(1));
    });
    // Not its event 'close', which does not come when the channel was closed from this side.
    this.exited = Promise.all([exit, ...read]).then(([code]) => code);
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
    return this.#lines;
  }

  /** Ends it, gently and then by force, and waits until it is gone. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#supervisor.connected) this.#supervisor.disconnect();
    const patience = new AbortController();
    const tooLong = delay(KILL_AFTER_MS + 300, true, { signal: patience.signal }).catch(() => false);
    const isLate = await Promise.race([this.exited.then(() => false), tooLong]);
    patience.abort();
    if (!isLate) return;
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
      void this.exited.then(() => resolve(failed(this.#lines.at(-1) ?? 'it ended at once')));
    });
  }
}

/** The promise's outcome, or the signal's reason as soon as it is aborted. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** A pause that an abort ends early, with the signal's own reason. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}
