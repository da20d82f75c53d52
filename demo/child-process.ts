import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { deferred, unlessFailed, within } from '../internal/async.js';

/** How a process ended: by a code or by a signal. Both are null when it could not be started at all. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What a process writes, by lines, and how it ends. It neither starts the process nor ends it. */
export class WatchedProcess {
  /** Resolves when it is gone and all that it wrote was read. */
  readonly exited: Promise<ExitStatus>;
  readonly #name: string;
  readonly #keptCharacters: number;
  readonly #lines: string[] = [];
  readonly #listeners = new Set<(line: string) => void>();
  #size = 0;
  #status: ExitStatus | undefined;

  /**
   * @param name for errors: "edge"
   * @param child with pipes for its stdout and stderr
   * @param keptCharacters what it wrote beyond so many is forgotten, the oldest first
   */
  constructor(name: string, child: ChildProcess, keptCharacters: number) {
    this.#name = name;
    this.#keptCharacters = keptCharacters;
    const read = [child.stdout, child.stderr].flatMap((stream) => {
      if (stream === null) return [];
      const lines = createInterface({ input: stream }).on('line', (line) => this.#take(line));
      return [new Promise<void>((resolve) => lines.once('close', resolve))];
    });
    const ended = new Promise<ExitStatus>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
      // Also comes when a signal cannot be sent; the process then still runs.
      child.on('error', () => {
        if (child.pid === undefined) resolve({ code: null, signal: null });
      });
    });
    // Not its event 'close', which does not come when a channel to it was closed from this side.
    this.exited = Promise.all([ended, ...read]).then(([status]) => {
      this.#status = status;
      return status;
    });
  }

  /** How it ended; undefined while it runs. */
  get status(): ExitStatus | undefined {
    return this.#status;
  }

  /** What it wrote to stdout and stderr, as far as it is kept. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Calls `listener` for every line to come. @returns what ends that */
  onLine(listener: (line: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The first line, past or future, for which `pick` gives something.
   * @param what is waited for, for the error
   * @throws Error when the process ends before, and after so many milliseconds
   */
  async line<T>(pick: (line: string) => T | undefined, what: string, timeoutMs: number): Promise<T> {
    const { promise: found, resolve } = deferred<T>();
    const look = (line: string): void => {
      const picked = pick(line);
      if (picked !== undefined) resolve(picked);
    };
    for (const line of this.#lines) look(line);
    const forget = this.onLine(look);
    const orEnd = unlessFailed(found, (fail) => {
      void this.exited.then(() => fail(new Error(`it ended (${this.#describeEnd()})`)));
      return forget;
    });
    try {
      return await within(orEnd, timeoutMs, (): never => {
        throw new Error(`${what} took longer than ${Math.round(timeoutMs)} ms`);
      });
    } catch (error) {
      throw new Error(`${this.#name}: waiting for ${what} failed\n${this.output()}`, { cause: error });
    } finally {
      forget();
    }
  }

  /** Why waiting for it is hopeless; undefined while it runs. */
  whyGone(): string | undefined {
    return this.#status && `${this.#name} ended (${this.#describeEnd()})\n${this.output()}`;
  }

  /** What it wrote, as far as it is kept. */
  output(): string {
    return this.#lines.join('\n');
  }

  // "by SIGKILL" or "with code 1".
  #describeEnd(): string {
    const { code, signal } = this.#status ?? {};
    return signal ? `by ${signal}` : `with code ${code}`;
  }

  #take(line: string): void {
    this.#lines.push(line);
    this.#size += line.length + 1;
    while (this.#size > this.#keptCharacters) this.#size -= (this.#lines.shift() ?? '').length + 1;
    for (const listener of this.#listeners) listener(line);
  }
}

/** A line of a log in JSON; undefined when it is none. */
export function parseLogLine(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** The port that an edge's log says it listens on; undefined when the line says something else. */
export function listeningPort(line: string): number | undefined {
  const entry = parseLogLine(line);
  return entry?.msg === 'listening' && typeof entry.port === 'number' ? entry.port : undefined;
}
