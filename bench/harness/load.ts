/**
 * The clients of a measurement: bare TCP connections in processes of their own, which do nothing but count the updates
 * that come, so that the server is what is measured.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { guard } from '../../test/harness/watchdog.js';
import { ask } from './ask.js';

/**
 * What one client sends to follow something. In `path` and `say` stand `{n}` for the client's number, as job ids have it, and
 * `{each}` for one of `each`, by that number.
 */
export interface ClientSpec {
  readonly port: number;
  /** Of the WebSocket handshake. */
  readonly path: string;
  /** Text frames that it sends when the handshake is answered. */
  readonly say?: readonly string[];
  readonly each?: readonly string[];
  /** What comes when it is all set up. */
  readonly ready: string;
}

/** Percentiles in milliseconds, of the updates that came since the last question. */
export interface Latencies {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export type LoadCommand =
  | { readonly kind: 'connect'; readonly spec: ClientSpec; readonly first: number; readonly count: number }
  | { readonly kind: 'until'; readonly total: number }
  | { readonly kind: 'figures' }
  | { readonly kind: 'cut' };

export type LoadAnswer =
  | { readonly kind: 'done' }
  | {
      readonly kind: 'figures';
      readonly updates: number;
      readonly bytes: number;
      /** In microseconds, since the last question. */
      readonly latencies: readonly number[];
    }
  | { readonly kind: 'failed'; readonly why: string };

const PROGRAM = fileURLToPath(new URL('./load-process.js', import.meta.url));
/** A process may have at most 20,000 open files; and one of Node is busy with fewer. */
const CLIENTS_OF_A_PROCESS = 5_000;

interface Part {
  readonly process: ChildProcess;
  clients: number;
  /** Updates that it is to have had, since it began. */
  expected: number;
}

export class Load implements AsyncDisposable {
  readonly #parts: Part[] = [];
  #clients = 0;

  /** Connects so many clients, and waits until each has said that it is set up. */
  async connect(spec: ClientSpec, count: number): Promise<void> {
    for (let left = count; left > 0; ) {
      const part = this.#room();
      const some = Math.min(left, CLIENTS_OF_A_PROCESS - part.clients);
      await tell(part, { kind: 'connect', spec, first: this.#clients, count: some });
      part.clients += some;
      this.#clients += some;
      left -= some;
    }
    // Last states and the like came before: it is counted from now on.
    for (const part of this.#parts) part.expected = (await figuresOf(part)).updates;
  }

  /**
   * Connects so many clients, as fast as they get in, and waits until each has had so many updates.
   * @param count the same at each call: the processes stay, and their clients are to be cut before
   */
  async herd(spec: ClientSpec, count: number, updates: number): Promise<void> {
    const commands: { part: Part; first: number; some: number }[] = [];
    for (let left = count; left > 0; ) {
      const part = this.#room();
      const some = Math.min(left, CLIENTS_OF_A_PROCESS - part.clients);
      commands.push({ part, first: this.#clients, some });
      part.clients += some;
      this.#clients += some;
      left -= some;
    }
    await Promise.all(
      commands.map(async ({ part, first, some }) => {
        await tell(part, { kind: 'connect', spec, first, count: some });
        part.expected += updates * some;
        await tell(part, { kind: 'until', total: part.expected });
      }),
    );
  }

  get clients(): number {
    return this.#clients;
  }

  /** Waits until each client has had so many more updates than at the end of the last wait. */
  async untilEachHas(updates: number): Promise<void> {
    await Promise.all(
      this.#parts.map(async (part) => {
        part.expected += updates * part.clients;
        await tell(part, { kind: 'until', total: part.expected });
      }),
    );
  }

  /** Waits until all together have had so many more updates. Where there is more than one process, see `untilEachHas`. */
  async untilAllHave(updates: number): Promise<void> {
    const [part, ...others] = this.#parts;
    if (part === undefined || others.length > 0) throw new Error('only with the clients of one process');
    part.expected += updates;
    await tell(part, { kind: 'until', total: part.expected });
  }

  /** Updates and bytes since the beginning, and the latencies since the last call. */
  async figures(): Promise<{ updates: number; bytes: number; latencies: Latencies }> {
    const all = await Promise.all(this.#parts.map(figuresOf));
    return {
      updates: sum(all.map(({ updates }) => updates)),
      bytes: sum(all.map(({ bytes }) => bytes)),
      latencies: percentiles(all.flatMap(({ latencies }) => latencies)),
    };
  }

  /** Cuts all connections without a word. */
  async cut(): Promise<void> {
    await Promise.all(this.#parts.map((part) => tell(part, { kind: 'cut' })));
    for (const part of this.#parts) part.clients = 0;
    this.#clients = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(
      this.#parts.map(async (part) => {
        const exited = once(part.process, 'exit');
        await tell(part, { kind: 'cut' });
        part.process.kill('SIGKILL');
        await exited;
      }),
    );
  }

  #room(): Part {
    const free = this.#parts.find(({ clients }) => clients < CLIENTS_OF_A_PROCESS);
    if (free !== undefined) return free;
    const child = fork(PROGRAM, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    if (child.pid !== undefined) child.once('exit', guard(child.pid));
    const part: Part = { process: child, clients: 0, expected: 0 };
    this.#parts.push(part);
    return part;
  }
}

async function tell(part: Part, command: LoadCommand): Promise<LoadAnswer> {
  const answer = await ask<LoadAnswer>(part.process, command);
  if (answer.kind === 'failed') throw new Error(answer.why);
  return answer;
}

async function figuresOf(part: Part): Promise<Extract<LoadAnswer, { kind: 'figures' }>> {
  const answer = await tell(part, { kind: 'figures' });
  if (answer.kind !== 'figures') throw new Error('a process of clients gave no figures');
  return answer;
}

const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0);

function percentiles(micros: readonly number[]): Latencies {
  const sorted = Float64Array.from(micros).sort();
  const at = (part: number): number =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN) / 1_000;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}
