import { spawn } from 'node:child_process';
import { accessSync, constants, fstatSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import {
  type CliContext,
  OutputError,
  type Pager,
  PipeClosed,
  SignalError,
  STOP_SIGNALS,
  type StopSignal,
} from './cli-context.js';
import { keys } from './keys.js';

/**
 * One key or one `timeout` can give a signal twice: to all processes of the terminal, and by npx, npm or timeout once more.
 * So soon nobody presses again, and what the command puts in order at its end would be left undone.
 */
const SAME_PRESS_MS = 250;

/** The world of a real process. Listens for its signals: the first stops the command, a second one ends at once. */
export function processContext(): CliContext {
  const stopped = new AbortController();
  let openPagers = 0;
  let firstAt = 0;
  const stop = (signal: StopSignal): void => {
    // The terminal gives these keys to the pager as well, and there they mean something else.
    if (openPagers > 0 && (signal === 'SIGINT' || signal === 'SIGQUIT')) return;
    const interrupted = new SignalError(signal);
    const now = performance.now();
    const { reason } = stopped.signal;
    const isSamePress =
      reason instanceof SignalError && reason.signal === signal && now - firstAt < SAME_PRESS_MS;
    if (isSamePress) return;
    if (stopped.signal.aborted) process.exit(interrupted.exitCode);
    firstAt = now;
    stopped.abort(interrupted);
  };
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  // Each write tells its own error. Of notes that nobody reads nothing is told.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  const terminal = {
    in: process.stdin.isTTY === true,
    out: process.stdout.isTTY === true,
    note: process.stderr.isTTY === true,
  };
  return {
    env: process.env,
    now: Date.now,
    stdout: isPlainFile(process.stdout.fd) ? writeFile : writeStream,
    stderr: (text) => void process.stderr.write(text),
    terminal,
    columns: () => process.stdout.columns || 80,
    rows: () => process.stdout.rows || 24,
    stopped: stopped.signal,
    prompt: (question) => (terminal.in ? ask(question, stopped.signal, stop) : Promise.resolve(null)),
    keys: (pressed) => (terminal.in ? keys(pressed, stop) : () => undefined),
    hasCommand,
    page: (command) => {
      openPagers++;
      return openPager(command, () => {
        openPagers--;
      });
    },
  };
}

function hasCommand(name: string): boolean {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function openPager(command: string, closed: () => void): Pager {
  const { env } = process;
  // As git does, for a PAGER that is only "less".
  const child = spawn('sh', ['-c', command], {
    stdio: ['pipe', 'inherit', 'inherit'],
    env: { ...env, LESS: env.LESS ?? 'FRX' },
  });
  const ended = new Promise<number>((resolve) => {
    child.on('error', () => resolve(127));
    child.on('close', (code) => resolve(code ?? 0));
  });
  ended.then(closed, closed);
  // Each write tells its own error.
  child.stdin.on('error', () => undefined);
  return {
    write: (text) =>
      new Promise((resolve, reject) => {
        child.stdin.write(text, (error) => {
          if (error == null) resolve();
          else reject(new PipeClosed('the pager was closed'));
        });
      }),
    end: () => {
      child.stdin.end();
      return ended;
    },
  };
}

function isPlainFile(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isFile() || (stat.isCharacterDevice() && process.stdout.isTTY !== true);
  } catch {
    return false;
  }
}

// Node's stream for files drops the rest of a text that a full disk took in part; this writes on, and so gets the error.
async function writeFile(text: string): Promise<void> {
  try {
    writeFileSync(process.stdout.fd, Buffer.from(text));
  } catch (error) {
    throw outputError(error);
  }
}

function writeStream(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (error == null) resolve();
      else reject(outputError(error));
    });
  });
}

function outputError(error: unknown): Error {
  const { code } = error as NodeJS.ErrnoException;
  // The second is what Node says of a stream that has failed before.
  if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED') return new PipeClosed('nobody reads the output');
  return new OutputError('the standard output', error);
}

function ask(
  question: string,
  stopped: AbortSignal,
  stop: (signal: StopSignal) => void,
): Promise<string | null> {
  if (stopped.aborted) return Promise.resolve(null);
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // On a terminal Ctrl-C is a key while a line is edited.
  lines.on('SIGINT', () => stop('SIGINT'));
  return new Promise<string | null>((resolve) => {
    const give = (answer: string | null) => () => resolve(answer);
    stopped.addEventListener('abort', give(null), { once: true });
    lines.on('close', give(null));
    lines.question(question, resolve);
  }).finally(() => lines.close());
}
