/** An edge as its users run it: the built service in a process of its own, configured by the environment. */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { listeningPort, parseLogLine } from '../../demo/child-process.js';
import { Child, type ExitStatus } from './child.js';
import { TEST_SETTINGS } from './edge-settings.js';
import { uniqueId } from './ids.js';
import { waitFor } from './wait.js';

export interface EdgeOptions {
  natsUrl: string;
  /** HEADWAY_STREAM; left to the edge's own default when not given. */
  stream?: string;
  /** 0, the default, lets the edge choose. */
  port?: number;
  /** Over the harness's own settings; undefined removes one. */
  env?: Record<string, string | undefined>;
  /** Of Node, before the program. */
  nodeOptions?: readonly string[];
  /** At most so many open files. */
  maxOpenFiles?: number;
  /** Another program that keeps to the same contract, for testing the harness itself. */
  program?: string;
  /** false: return as soon as it listens, ready or not. */
  untilReady?: boolean;
  timeoutMs?: number;
}

const BUILT_EDGE = fileURLToPath(new URL('../../dist/cmd/edge.js', import.meta.url));

/** Starts an edge and waits until it listens and `/readyz` says 200. */
export async function startEdgeProcess(options: EdgeOptions): Promise<EdgeProcess> {
  const {
    program = BUILT_EDGE,
    nodeOptions = [],
    maxOpenFiles,
    timeoutMs = 20_000,
    untilReady = true,
  } = options;
  if (!existsSync(program)) throw new Error(`${program} is missing: run \`npm run build\` first`);
  const run = [...nodeOptions, program];
  const limited = ['-c', `ulimit -n ${maxOpenFiles} && exec "$0" "$@"`, process.execPath, ...run];
  const [command, args] = maxOpenFiles === undefined ? [process.execPath, run] : ['bash', limited];
  const child = await Child.spawn('edge', command, args, environment(options));
  try {
    const port = await child.line(listeningPort, 'the log line "listening"', timeoutMs);
    const edge = new EdgeProcess(child, port);
    if (untilReady) await edge.ready(timeoutMs);
    return edge;
  } catch (error) {
    await child.kill();
    throw error;
  }
}

export class EdgeProcess implements AsyncDisposable {
  constructor(
    private readonly child: Child,
    readonly port: number,
  ) {}

  /** `http://127.0.0.1:<port>` */
  get http(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** `ws://127.0.0.1:<port>` */
  get ws(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.child.pid;
  }

  /** Resolves when the process is gone. */
  get exited(): Promise<ExitStatus> {
    return this.child.exited;
  }

  /** What it wrote to stdout and stderr so far. */
  output(): string {
    return this.child.output();
  }

  /** Its log lines of this message, as objects. */
  logged(msg: string): Record<string, unknown>[] {
    const lines = this.output().split('\n').map(parseLogLine);
    return lines.filter((line) => line?.msg === msg) as Record<string, unknown>[];
  }

  /** Waits until `/readyz` answers 200. */
  async ready(timeoutMs = 20_000): Promise<void> {
    await waitFor(
      async () => {
        const response = await fetch(`${this.http}/readyz`, { signal: AbortSignal.timeout(2_000) });
        const body = await response.text();
        if (response.status !== 200) throw new Error(`/readyz answered ${response.status}: ${body}`);
        return true;
      },
      { what: 'the edge to be ready', timeoutMs, giveUp: () => this.child.giveUp() },
    );
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    await this.child.kill();
  }

  /** SIGTERM, and waits until it is gone; returns its exit code (null when a signal ended it). */
  async stop(timeoutMs?: number): Promise<number | null> {
    return (await this.child.stop(timeoutMs)).code;
  }

  /** SIGSTOP: its sockets stay open and nothing answers. */
  async freeze(): Promise<void> {
    await this.child.freeze();
  }

  /** SIGCONT. */
  async thaw(): Promise<void> {
    await this.child.thaw();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** Ours without anything that configures an edge or marks a test runner, then the contract, then the test's wishes. */
function environment({ natsUrl, stream, port = 0, env = {} }: EdgeOptions): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(HEADWAY_|NATS_|VITEST|NODE_OPTIONS$|NODE_ENV$|TEST$)/.test(name),
  );
  const merged = {
    ...Object.fromEntries(inherited),
    NATS_URL: natsUrl,
    ...TEST_SETTINGS,
    HEADWAY_HOST: '127.0.0.1',
    HEADWAY_PORT: String(port),
    HEADWAY_EDGE_ID: uniqueId('test-edge'),
    ...(stream !== undefined && { HEADWAY_STREAM: stream }),
    ...env,
  };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined));
}
