/** `headway` as an operator starts it: a process over `dist/`, at pipes, at a terminal, or at any file as its stdout. */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { waitFor, withTimeout } from './wait.js';
import { guard } from './watchdog.js';

const HEADWAY = fileURLToPath(new URL('../../dist/cmd/headway.js', import.meta.url));
/** Runs a program at a pseudo-terminal: see there. */
export const TERMINAL = fileURLToPath(new URL('./terminal.py', import.meta.url));
const END_MS = 30_000;

export type Env = Record<string, string>;

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface HeadwayOptions {
  /** The whole environment of the process; PATH is added. */
  env?: Env;
  /** Closes these before anything can be read. */
  cut?: readonly ('stdout' | 'stderr')[];
  /** A file that takes stdout's place, such as `/dev/full`. */
  stdoutFile?: string;
  timeoutMs?: number;
}

/** The environment that makes `headway` use this server. */
export const natsEnv = (url: string, more: Env = {}): Env => ({ NATS_URL: url, ...more });

/**
 * Runs `headway` to its end. Whatever it does, it leaves no stack trace.
 * @throws when it does not end in time
 */
export async function headway(args: readonly string[], options: HeadwayOptions = {}): Promise<Ended> {
  const command = startHeadway(args, options);
  return await command.ended(options.timeoutMs);
}

/** Starts `headway`; whoever does must `await using` it. */
export function startHeadway(args: readonly string[], options: HeadwayOptions = {}): HeadwayCommand {
  const { env = {}, cut = [], stdoutFile } = options;
  const file = stdoutFile === undefined ? null : openSync(stdoutFile, 'w');
  const child = spawn(process.execPath, [HEADWAY, ...args], {
    stdio: ['ignore', file ?? 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', ...env },
  });
  if (file !== null) closeSync(file);
  return new HeadwayCommand(child as ChildProcessByStdio<null, Readable, Readable>, cut);
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

/** Why no terminal can be had here, for `test.skipIf`; null where it can. */
export const noTerminal: string | null = whyNoTerminal();

function whyNoTerminal(): string | null {
  if (!existsSync('/dev/ptmx')) return 'this machine has no pseudo-terminals';
  return spawnSync('python3', ['-c', 'import pty']).status === 0 ? null : 'this machine has no python3';
}

/**
 * Starts `headway` at a pseudo-terminal, which is its stdin, stdout and, unless `notes` are asked for, its stderr.
 * What it shows is in `stdout`.
 */
export function startHeadwayAtTerminal(
  args: readonly string[],
  options: { env?: Env; size?: TerminalSize; notes?: boolean } = {},
): HeadwayCommand {
  const { env = {}, size = { columns: 100, rows: 24 }, notes = false } = options;
  const program = [String(size.columns), String(size.rows), notes ? 'apart' : 'together', process.execPath];
  const child = spawn('python3', [TERMINAL, ...program, HEADWAY, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', TERM: 'xterm-256color', ...env },
  });
  return new HeadwayCommand(child, []);
}

/** A shell at a pseudo-terminal, with `headway` as a command, for what only a shell does: jobs that are stopped and go on. */
export function startShellAtTerminal(env: Env = {}): HeadwayCommand {
  const child = spawn('python3', [TERMINAL, '100', '24', 'together', 'bash', '--norc', '--noprofile', '-i'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH ?? '',
      HOME: process.env.HOME ?? '',
      TERM: 'xterm-256color',
      PS1: '',
      ...env,
    },
  });
  const shell = new HeadwayCommand(child, []);
  shell.type(`headway() { '${process.execPath}' '${HEADWAY}' "$@"; }\n`);
  return shell;
}

export class HeadwayCommand implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable | null, Readable | null, Readable | null>;
  readonly #release: () => void;
  readonly #closed: Promise<[number | null, NodeJS.Signals | null]>;
  #status: { code: number | null; signal: NodeJS.Signals | null } | null = null;
  stdout = '';
  stderr = '';

  constructor(
    child: ChildProcessByStdio<Writable | null, Readable | null, Readable | null>,
    cut: readonly ('stdout' | 'stderr')[],
  ) {
    this.#child = child;
    this.#release = guard(child.pid ?? 0);
    child.stdin?.on('error', () => undefined);
    for (const name of ['stdout', 'stderr'] as const) {
      const stream = child[name];
      if (cut.includes(name)) stream?.destroy();
      else
        stream?.setEncoding('utf8').on('data', (text: string) => {
          this[name] += text;
        });
    }
    this.#closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    this.#closed.then(
      ([code, signal]) => {
        this.#status = { code, signal };
      },
      () => undefined,
    );
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Waits until what it has written fits. */
  async shows(what: string | RegExp, on: 'stdout' | 'stderr' = 'stdout', timeoutMs = 15_000): Promise<void> {
    await waitFor(() => (typeof what === 'string' ? this[on].includes(what) : what.test(this[on])), {
      what: `headway to write ${what} to ${on}`,
      timeoutMs,
      giveUp: () =>
        this.#status === null
          ? undefined
          : `it ended with ${JSON.stringify({ ...this.#status, stdout: this.stdout, stderr: this.stderr })}`,
    });
  }

  /** Types at the terminal: `'\u0003'` is Ctrl-C. What has ended takes no keys. */
  type(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  /** Stops reading its stdout for good, as `head` does when it has seen enough. */
  closeStdout(): void {
    this.#child.stdout?.destroy();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async ended(timeoutMs = END_MS): Promise<Ended> {
    try {
      const [code, signal] = await withTimeout(this.#closed, timeoutMs, 'headway to end');
      expect(this.stderr).not.toMatch(/^\s+at |node:internal|^Node\.js v\d/m);
      return { code, signal, stdout: this.stdout, stderr: this.stderr };
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#status === null) this.#child.kill('SIGKILL');
    await this.#closed.catch(() => undefined);
    this.#release();
  }
}
