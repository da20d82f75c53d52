/** A real nats-server of a test's own: it picks a free port once and keeps it, and its folder, across restarts. */
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { basename, join } from 'node:path';
import { Child, type ExitStatus } from './child.js';
import { type NatsBinary, natsBinary } from './nats-binary.js';
import { waitFor } from './wait.js';
import { guardedFolder } from './watchdog.js';

export interface NatsOptions {
  /** The server's name, which JetStream in a cluster tells leaders by. */
  name?: string;
  /** On by default. A string is put into the `jetstream` block: `'sync_interval: always'`. */
  jetstream?: boolean | string;
  /** More lines of the configuration file; they win over the harness's own. */
  config?: string;
  /** This server's place in a cluster: its own route port and everyone's. */
  cluster?: { name: string; port: number; routes: number[] };
}

/** Starts a server of its own port and folder, ready to be used. */
export async function startNats(options: NatsOptions = {}): Promise<NatsServer> {
  const server = new NatsServer(await natsBinary(), options, await guardedFolder('headway-nats'));
  try {
    await server.start();
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

export class NatsServer implements AsyncDisposable {
  readonly #binary: NatsBinary;
  readonly #options: NatsOptions;
  readonly #folder: Awaited<ReturnType<typeof guardedFolder>>;
  #child: Child | undefined;
  #earlier = '';
  /** -1 lets the server choose. */
  #port = -1;
  #monitorPort = -1;

  constructor(binary: NatsBinary, options: NatsOptions, folder: Awaited<ReturnType<typeof guardedFolder>>) {
    this.#binary = binary;
    this.#options = options;
    this.#folder = folder;
  }

  /** For clients: `nats://127.0.0.1:<port>`. */
  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get port(): number {
    if (this.#port < 0) throw new Error('this nats-server was never started');
    return this.#port;
  }

  /** The monitoring endpoint, for `/varz`, `/connz`, `/jsz`. */
  get monitorUrl(): string {
    return `http://127.0.0.1:${this.#monitorPort}`;
  }

  /** The server's version: `2.10.27`. */
  get version(): string {
    return this.#binary.version;
  }

  get name(): string {
    return this.#options.name ?? 'nats';
  }

  /** Its configuration file and, under `jetstream/`, all it stores. */
  get folder(): string {
    return this.#folder.path;
  }

  /** The process id while it runs. */
  get pid(): number | undefined {
    return this.running ? this.#child?.pid : undefined;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.status === undefined;
  }

  /** Resolves when the process that runs now is gone. */
  get exited(): Promise<ExitStatus> {
    return this.#started().exited;
  }

  /** Everything it has logged, over all of its lives. */
  log(): string {
    return this.#earlier + (this.#child?.output() ?? '');
  }

  /** Starts it, on the port it had before; returns when it serves clients and its JetStream answers. */
  async start(timeoutMs = 20_000): Promise<void> {
    if (this.running) throw new Error(`${this.name} runs already`);
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      try {
        await this.#launch(Math.max(1, deadline - performance.now()));
        return;
      } catch (error) {
        const busy = this.#child?.output().includes('address already in use') ?? false;
        await this.kill();
        // Someone may hold our port for a moment while we are away: an outgoing connection, another test.
        if (this.#port < 0 || !busy || performance.now() > deadline) throw error;
      }
    }
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    await this.#child?.kill();
  }

  /** SIGTERM, and waits until it is gone. */
  async stop(): Promise<void> {
    await this.#child?.stop();
  }

  /** Stops it, or kills it with -9, and starts it again with the same port and folder. */
  async restart(how: 'stop' | 'kill' = 'stop'): Promise<void> {
    await this[how]();
    await this.start();
  }

  /** SIGSTOP: its connections stay open and nothing answers. */
  async freeze(): Promise<void> {
    await this.#started().freeze();
  }

  /** SIGCONT. */
  async thaw(): Promise<void> {
    await this.#started().thaw();
  }

  /**
   * Lame-duck mode: it tells its clients, takes no new ones, and ends by itself once they are gone (at the latest
   * about 1 s per client later). Returns when the mode is entered; `exited` tells the end.
   */
  async lameDuck(): Promise<void> {
    const child = this.#started();
    child.signal('SIGUSR2');
    await child.line((line) => line.includes('Entering lame duck mode') || undefined, 'lame-duck mode');
  }

  /** A page of the monitoring endpoint: `monitor('/jsz?streams=true')`. */
  async monitor(page: string): Promise<unknown> {
    const response = await fetch(this.monitorUrl + page, { signal: AbortSignal.timeout(5_000) });
    const body = await response.text();
    if (!response.ok) throw new Error(`${page} answered ${response.status}: ${body}`);
    return JSON.parse(body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#folder.remove();
  }

  #started(): Child {
    if (this.#child === undefined) throw new Error(`${this.name} was never started`);
    return this.#child;
  }

  async #launch(timeoutMs: number): Promise<void> {
    const config = join(this.folder, 'nats.conf');
    await writeFile(config, this.#config());
    if (this.#child) this.#earlier += `${this.#child.output()}\n`;
    const child = await Child.spawn(this.name, this.#binary.path, ['-c', config]);
    this.#child = child;
    const wait = { timeoutMs, everyMs: 5, giveUp: () => child.giveUp() };
    const portsFile = join(this.folder, `${basename(this.#binary.path)}_${child.pid}.ports`);
    const ports = await waitFor(async () => JSON.parse(await readFile(portsFile, 'utf8')), {
      ...wait,
      what: `the ports of ${this.name}`,
    });
    this.#port = portOf(ports.nats);
    this.#monitorPort = portOf(ports.monitoring);
    await waitFor(() => answersInfo(this.port), { ...wait, what: `${this.name} to greet a client` });
    // In a cluster only the whole knows when it is ready: see nats-cluster.ts.
    const health = this.#options.cluster ? '/healthz?js-enabled-only=true' : '/healthz';
    await waitFor(() => this.monitor(health), { ...wait, what: `the JetStream of ${this.name}` });
  }

  #config(): string {
    const { jetstream = true, cluster, config = '' } = this.#options;
    const lines = [
      `server_name: ${JSON.stringify(this.name)}`,
      `listen: "127.0.0.1:${this.#port}"`,
      `http: "127.0.0.1:${this.#monitorPort}"`,
      `ports_file_dir: ${JSON.stringify(this.folder)}`,
      'lame_duck_duration: "30s"',
      'lame_duck_grace_period: "500ms"',
    ];
    if (jetstream !== false) {
      const more = typeof jetstream === 'string' ? jetstream : '';
      lines.push(`jetstream {\n  store_dir: ${JSON.stringify(this.folder)}\n  ${more}\n}`);
    }
    if (cluster) {
      const routes = cluster.routes.map((port) => `"nats-route://127.0.0.1:${port}"`).join(', ');
      lines.push(
        `cluster {\n  name: "${cluster.name}"\n  listen: "127.0.0.1:${cluster.port}"\n  routes: [${routes}]\n}`,
      );
    }
    return `${lines.join('\n')}\n${config}\n`;
  }
}

/** The port in the first of a ports file's URLs. */
function portOf(urls: string[] | undefined): number {
  const url = urls?.[0];
  if (url === undefined) throw new Error('nats-server named no URL in its ports file');
  return Number(new URL(url).port);
}

/** Whether a new connection is greeted with INFO, which comes before any authentication. */
function answersInfo(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.setTimeout(5_000, () => socket.destroy(new Error('no INFO')));
    socket.once('error', reject);
    socket.once('data', (data) => {
      resolve(data.toString('latin1').startsWith('INFO '));
      socket.destroy();
    });
  });
}
