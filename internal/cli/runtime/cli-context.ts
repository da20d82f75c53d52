import { createRequire } from 'node:module';
import { HeadwayError } from '../../errors.js';

/** All that a command sees of the world around it. */
export interface CliContext {
  /** What `process.env` is. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** ms since 1970. */
  readonly now: () => number;
  /**
   * Writes data, to stdout: what another program would read. Resolves when more may be written.
   * @throws PipeClosed when nobody reads it any more; OutputError when it cannot be written, as on a full disk
   */
  readonly stdout: (text: string) => Promise<void>;
  /** Writes what is for people, to stderr. */
  readonly stderr: (text: string) => void;
  /** Which of stdin, stdout and stderr are terminals. */
  readonly terminal: { readonly in: boolean; readonly out: boolean; readonly note: boolean };
  /** The width of stdout's terminal, in columns; 80 where it is none. */
  readonly columns: () => number;
  /** The height of stdout's terminal, in rows; 24 where it is none. */
  readonly rows: () => number;
  /** Aborted, with an `SignalError`, by each of `STOP_SIGNALS`. */
  readonly stopped: AbortSignal;
  /** One line that a person types; null when stdin is no terminal, at its end, and when the command is stopped. */
  readonly prompt: (question: string) => Promise<string | null>;
  /**
   * Calls `pressed` with what is typed: characters, or the sequences that the terminal sends. Keys that a terminal makes
   * signals of (Ctrl-C, Ctrl-Z, Ctrl-\) do what they always do, and are not in it. Nothing off a terminal.
   * @returns what ends it; to be called on every way out
   */
  readonly keys: (pressed: (key: string) => void) => () => void;
  /** Whether there is a command of this name on the PATH. */
  readonly hasCommand: (name: string) => boolean;
  /** Opens a pager, by a command as a shell takes it. While it is open Ctrl-C and Ctrl-\\ are its own. */
  readonly page: (command: string) => Pager;
}

/** A pager that is open. It has the terminal until its reader closes it. */
export interface Pager {
  /** @throws PipeClosed when its reader has seen enough */
  readonly write: (text: string) => Promise<void>;
  /** Says that nothing more comes, and waits until its reader closes it. @returns its exit code, as a shell gives it */
  readonly end: () => Promise<number>;
}

/** A command that was not called as it can be, or in an environment that it cannot use. One paragraph. */
export class UsageError extends HeadwayError {
  readonly code = 'usage';
  override readonly exitCode = 2;
}

/** The output cannot be written: a full disk, a limit of the file's size, a terminal that is gone. */
export class OutputError extends HeadwayError {
  readonly code = 'output';
  override readonly exitCode = 5;
  /** @param where what was written to, such as "the standard output" or a file's name */
  constructor(where: string, error: unknown) {
    const { code, message } = error as NodeJS.ErrnoException;
    super(
      `Cannot write to ${where}: ${REASONS[code ?? ''] ?? message}. What was written so far is not the whole.`,
    );
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full (ENOSPC)',
  EDQUOT: 'the quota of the disk is used up (EDQUOT)',
  EFBIG: 'the file is as large as it may get (EFBIG)',
  EIO: 'the device reports an error (EIO)',
  EROFS: 'the file system is read-only (EROFS)',
};

/** Whoever read the output, such as `head`, has seen enough. It ends a command and is no error. */
export class PipeClosed extends Error {}

/** Ends a command that has said all there is to say with this exit code; thrown by its action. */
export class Exit extends Error {
  /** @param exitCode one of `EXIT` */
  constructor(readonly exitCode: number) {
    super(`exit code ${exitCode}`);
  }
}

const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const;
export type StopSignal = keyof typeof SIGNAL_NUMBERS;
export const STOP_SIGNALS = Object.keys(SIGNAL_NUMBERS) as readonly StopSignal[];

/** A person or the system ended the command: the reason of `CliContext.stopped`. */
export class SignalError extends Error {
  /** What a shell would say of a program that the signal killed: 130 for SIGINT, 143 for SIGTERM. */
  readonly exitCode: number;
  constructor(readonly signal: StopSignal) {
    super(`stopped by ${signal}`);
    this.exitCode = 128 + SIGNAL_NUMBERS[signal];
  }
}

// By the package's own name: this file lies at another depth when it is compiled.
const { version } = createRequire(import.meta.url)('headway/package.json') as { version: string };

/** The version of this Headway, such as "0.1.0". */
export const VERSION: string = version;
