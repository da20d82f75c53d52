import { type ChildProcess, spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DemoError } from './errors.js';
import { KILL_AFTER_MS, type TetherMessage } from './tether-message.js';

const TETHER = fileURLToPath(new URL('./tether.js', import.meta.url));
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
  readonly #tether: ChildProcess;
  readonly #lines: string[] = [];
  #started: { pid: number; folder: string | undefined } | undefined;
  #isStopping = false;

  private constructor({ command, args, env, folderPrefix = '', onLine }: ChildOptions) {
    // Options of the demo's own node (an inspector, a loader) are not meant for its children.
    this.#tether = spawn(process.execPath, [TETHER, folderPrefix, command, ...args], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env,
    });
    this.exited = new Promise((resolve) => {
      this.#tether.once('close', (code) => resolve(code ?? 1));
      this.#tether.once('error', () => resolve(1));
    });
    for (const stream of [this.#tether.stdout, this.#tether.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        this.#lines.push(line);
        if (this.#lines.length > KEPT_LINES) this.#lines.shift();
        onLine?.(line);
      });
    }
  }

  /** @throws CannotStart, or the signal's reason; then nothing is left running */
  static async start(options: ChildOptions, signal: AbortSignal): Promise<Child> {
    signal.throwIfAborted();
    const child = new Child(options);
    try {
      const message = await untilAborted(child.#firstMessage(), signal);
      if (message.kind === 'failed') throw new CannotStart(options.command, message.reason);
      child.#started = message;
      return child;
    } catch (error) {
      await child.stop();
      throw error;
    }
  }

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
    if (this.#tether.connected) this.#tether.disconnect();
    const patience = new AbortController();
    const tooLong = delay(KILL_AFTER_MS + 300, true, { signal: patience.signal }).catch(() => false);
    const isLate = await Promise.race([this.exited.then(() => false), tooLong]);
    patience.abort();
    if (!isLate) return;
    // Something holds the tether up, so what it would have done is done here.
    const { pid, folder } = this.#started ?? {};
    if (pid !== undefined) kill(pid);
    this.#tether.kill('SIGKILL');
    if (folder !== undefined) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #firstMessage(): Promise<TetherMessage> {
    const failed = (reason: string): TetherMessage => ({ kind: 'failed', reason });
    return new Promise((resolve) => {
      this.#tether.once('message', (message) => resolve(message as TetherMessage));
      this.#tether.once('error', (error) => resolve(failed(error.message)));
      this.#tether.once('close', () => resolve(failed(this.#lines.at(-1) ?? 'it ended at once')));
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
