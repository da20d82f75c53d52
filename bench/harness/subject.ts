/** A server under test: a process of its own, clients that follow jobs in it, and a way to have it send them updates. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { guard } from '../../test/harness/watchdog.js';
import { ask } from './ask.js';
import type { ClientSpec } from './load.js';
import { jobId } from './payload.js';

export type SubjectName = 'headway' | 'limit' | 'relay' | 'ws' | 'socket-io' | 'centrifugo';

export interface Subject extends AsyncDisposable {
  readonly name: SubjectName;
  readonly pid: number;
  /** Where it is several processes: those of the others. */
  readonly otherPids?: readonly number[];
  /** Where it reads its events from; undefined: from nowhere, it makes its updates by itself. */
  readonly natsUrl?: string;
  /** What a client sends to follow one job, by its id or by its own number (`{n}`). */
  clientOf(job: string): ClientSpec;
  /** What a client sends to follow all jobs; undefined where there is no such thing. */
  readonly clientOfAll?: ClientSpec;
  /** Has this many updates of a job sent, all in one turn of the server's loop as far as that is in our hands. */
  publish(job: string, count: number): void;
  /**
   * Keeps so many updates of each job, and says what a client sends that comes back and has none of them. Not every server
   * can.
   */
  behind?(missed: Missed): Promise<ClientSpec>;
  /** Without a `natsUrl`: updates at this pace to who follows all jobs. */
  pace?(pace: Pace): void;
}

export interface Missed {
  readonly jobs: number;
  /** Of each job. */
  readonly events: number;
  /** How many jobs each client follows; 1: by a connection to the one. */
  readonly of: number;
}

/** Which jobs a client follows, by its number: `of` of them, one behind the other, from another one on for each. */
export function selection(at: number, { jobs, of }: Missed): string[] {
  return Array.from({ length: of }, (_, nth) => jobId((at * of + nth) % jobs));
}

export interface Pace {
  readonly perSecond: number;
  readonly seconds: number;
  /** Each in turn. */
  readonly jobs: number;
  readonly tickMs: number;
}

/** What a server of ours is told by its parent. */
export type SubjectCommand =
  | { readonly kind: 'publish'; readonly job: string; readonly count: number }
  /** So many updates are kept for who comes and follows this. */
  | { readonly kind: 'keep'; readonly job: string; readonly count: number }
  | ({ readonly kind: 'pace' } & Pace);

/** What every server in Node is started with, as our image starts an edge. See docs/guides/production.md, "Running an edge". */
export const NODE_FLAGS: readonly string[] = ['--v8-pool-size=1', '--heap-growing-percent=50'];

/** A server of bench/servers/, started with these words, that has said on which port it listens. */
export class OwnProcess implements AsyncDisposable {
  private constructor(
    readonly child: ChildProcess,
    readonly pid: number,
    readonly port: number,
  ) {}

  static async start(program: string, args: readonly string[] = []): Promise<OwnProcess> {
    const file = fileURLToPath(new URL(`../servers/${program}`, import.meta.url));
    const child = fork(file, args, {
      execArgv: [...NODE_FLAGS],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    if (child.pid === undefined) throw new Error(`${program} could not be started`);
    child.once('exit', guard(child.pid));
    const port = await ask<number>(child);
    return new OwnProcess(child, child.pid, port);
  }

  tell(command: object): void {
    this.child.send(command);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }
}

/** In the process of a server of ours: says where it listens, and does what it is told. */
export function serve<C = SubjectCommand>(port: number, act: (command: C) => void): void {
  process.on('message', (command: C) => act(command));
  process.on('disconnect', () => process.exit());
  process.send?.(port);
}
