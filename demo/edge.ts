import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { prettyFactory } from 'pino-pretty';
import { deferred, pause, unlessFailed, untilAborted } from '../internal/async.js';
import { Child } from './child.js';
import { listeningPort, parseLogLine } from './child-process.js';
import { DemoError, said } from './errors.js';
import { JOB_TYPE } from './options.js';

/** An edge, in a process of its own as in production. */
export interface Edge extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  readonly http: string;
  readonly port: number;
  /** The WebSocket endpoint of one job, or of all documents. */
  progressUrl(processingId?: string): string;
}

/** One whose process can be killed. */
interface EdgeLife extends Edge {
  kill(): Promise<void>;
}

/** How to run it. */
export interface EdgeSettings {
  readonly natsUrl: string;
  readonly natsCreds: string | undefined;
  readonly stream: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Another one may have to take its place, on its port. */
  readonly isMortal: boolean;
  /** Gets the log: made readable for a terminal, as it is for everything else. */
  readonly log: NodeJS.WriteStream | undefined;
  /** Told when the edge ends by itself. */
  readonly fail: (error: Error) => void;
}

/** An edge that can be killed and comes back by itself, on the port on which it was. */
export class MortalEdge implements Edge {
  #life: EdgeLife;
  #isUp = true;

  private constructor(
    private readonly settings: EdgeSettings,
    private readonly signal: AbortSignal,
    first: EdgeLife,
  ) {
    this.#life = first;
  }

  /**
   * Starts an edge and waits until it is ready for clients.
   * @throws DemoError, or the signal's reason; then nothing is left running
   */
  static async start(settings: EdgeSettings, signal: AbortSignal): Promise<MortalEdge> {
    const port = settings.isMortal && settings.port === 0 ? await freePort() : settings.port;
    return new MortalEdge(settings, signal, await startEdge(settings, port, signal));
  }

  get http(): string {
    return this.#life.http;
  }

  get port(): number {
    return this.#life.port;
  }

  progressUrl(processingId?: string): string {
    return this.#life.progressUrl(processingId);
  }

  /**
   * Kills its process. Another one takes its place after so many milliseconds.
   * @returns false: it is away already
   */
  async kill(awayMs: number): Promise<boolean> {
    if (!this.#isUp) return false;
    this.#isUp = false;
    await this.#life.kill();
    void this.#comeBack(awayMs);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#coming;
    await this.#life[Symbol.asyncDispose]();
  }

  async #comeBack(awayMs: number): Promise<void> {
    const { settings, signal } = this;
    this.#coming = pause(awayMs, signal)
      .then(() => startEdge(settings, this.port, signal))
      .then(
        (life) => {
          this.#life = life;
          this.#isUp = true;
        },
        (error: Error) => {
          // When the demo ends there is nothing to say.
          if (!signal.aborted) settings.fail(error);
        },
      );
  }
  #coming: Promise<void> = Promise.resolve();
}

const PROGRAM = fileURLToPath(new URL('../cmd/edge.js', import.meta.url));
const START_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 25;

/** @param at the port on which it listens; 0 takes a free one */
async function startEdge(settings: EdgeSettings, at: number, signal: AbortSignal): Promise<EdgeLife> {
  const show = printer(settings.log);
  const port = deferred<number>();
  const onLine = (line: string): void => {
    show(line);
    const taken = listeningPort(line);
    if (taken !== undefined) port.resolve(taken);
  };

  const child = await Child.start(
    { command: process.execPath, args: [PROGRAM], env: environment(settings, at), onLine },
    signal,
  );
  const failure = child.exited.then((code): never => {
    throw new DemoError(`The edge ended with code ${code}.${said(words(child))}${hint(settings)}`);
  });
  failure.catch((error: Error) => {
    if (!child.isStopping) settings.fail(error);
  });
  try {
    const within = AbortSignal.timeout(START_WITHIN_MS);
    const starting = AbortSignal.any([signal, within]);
    const ready = port.promise.then((taken) => untilReady(taken, starting));
    const orFailure = unlessFailed(ready, (fail) => {
      failure.catch(fail);
      return () => undefined;
    });
    const taken = await untilAborted(orFailure, starting).catch((error: unknown) => {
      if (error !== within.reason) throw error;
      throw new DemoError(`The edge was not ready within ${START_WITHIN_MS / 1000} s.${said(words(child))}`);
    });
    return {
      http: `http://127.0.0.1:${taken}`,
      port: taken,
      progressUrl: (id) =>
        `ws://127.0.0.1:${taken}/ws/upload-progress${id === undefined ? `?job_type=${JOB_TYPE}` : `/${id}`}`,
      kill: () => child.kill(),
      [Symbol.asyncDispose]: () => child.stop(),
    };
  } catch (error) {
    await child.stop();
    throw error;
  }
}

/** Ours without what may configure another edge: the demo's is open, but only to this machine. */
function environment({ natsUrl, natsCreds, stream }: EdgeSettings, port: number): NodeJS.ProcessEnv {
  const others = Object.entries(process.env).filter(([name]) => !/^(HEADWAY_|NATS_)/.test(name));
  return {
    ...Object.fromEntries(others),
    NATS_URL: natsUrl,
    ...(natsCreds !== undefined && { NATS_CREDS: natsCreds }),
    HEADWAY_AUTH: 'none',
    HEADWAY_HOST: '127.0.0.1',
    HEADWAY_PORT: String(port),
    HEADWAY_STREAM: stream,
  };
}

/**
 * Nobody listens on it now. One that the system chose for a process which is killed with connections is kept from others for a
 * minute; one that was asked for by its number is not.
 */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function untilReady(port: number, signal: AbortSignal): Promise<number> {
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`, { signal }).catch(() => null);
    await answer?.body?.cancel();
    if (answer?.ok === true) return port;
    await pause(LOOK_EVERY_MS, signal);
  }
}

function printer(out: NodeJS.WriteStream | undefined): (line: string) => void {
  if (out === undefined) return () => {};
  if (!out.isTTY) return (line) => out.write(`${line}\n`);
  const pretty = prettyFactory({
    colorize: !process.env.NO_COLOR,
    ignore: 'pid,hostname,edge',
    translateTime: 'SYS:HH:MM:ss.l',
    messageFormat: 'edge: {msg}',
    singleLine: true,
  });
  return (line) => out.write(parseLogLine(line) === undefined ? `${line}\n` : pretty(line));
}

/** What the edge said for people, without the log; the last of the log when there is nothing else. */
function words(child: Child): readonly string[] {
  const lines = child.lastLines();
  const plain = lines.filter((line) => parseLogLine(line) === undefined);
  return plain.length > 0 ? plain : lines.slice(-5);
}

/** The edge explains its own settings; who runs the demo has others. */
function hint({ port }: EdgeSettings): string {
  return port === 0 ? '' : `\n\nThe demo took the port from PORT=${port}; without PORT it takes a free one.`;
}
