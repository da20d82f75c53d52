/** A real nats-server of a test's own: it picks a free port once and keeps it, and its folder, across restarts. */
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { ExitStatus } from './child.js';
import { chosenSite, type NatsPorts, type NatsProcess, type NatsSite } from './nats-site.js';
import { waitFor } from './wait.js';
import { guardedFolder } from './watchdog.js';

export interface NatsOptions {
  /** The server's name, which JetStream in a cluster tells leaders by. */
  name?: string;
  /** On by default. A string is put into the `jetstream` block: `'sync_interval: always'`. */
  jetstream?: boolean | string;
  /** More lines of the configuration file; they win over the harness's own. */
  config?: string;
  /** This server's place in a cluster: where it listens for the others, and where everyone is: `host:port`. */
  cluster?: { name: string; listen: string; routes: string[] };
}

/** Starts a server of its own port and folder, ready to be used; where this run has its servers, or at `site`. */
export async function startNats(options: NatsOptions = {}, site?: NatsSite): Promise<NatsServer> {
  const server = new NatsServer(site ?? (await chosenSite()), options, await guardedFolder('headway-nats'));
  try {
    await server.start();
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

export class NatsServer implements AsyncDisposable {
  readonly #site: NatsSite;
  readonly #options: NatsOptions;
  readonly #folder: Awaited<ReturnType<typeof guardedFolder>>;
  #child: NatsProcess | undefined;
  #earlier = '';
  #version = '';
  /** -1 lets the server choose. */
  #port = -1;
  #monitorPort = -1;

  constructor(site: NatsSite, options: NatsOptions, folder: Awaited<ReturnType<typeof guardedFolder>>) {
    this.#site = site;
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
    return this.#version;
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

  #started(): NatsProcess {
    if (this.#child === undefined) throw new Error(`${this.name} was never started`);
    return this.#child;
  }

  async #launch(timeoutMs: number): Promise<void> {
    const known = { client: this.#port, monitor: this.#monitorPort };
    const chosen = this.#port < 0 ? await this.#site.choosePorts() : known;
    await writeFile(join(this.folder, 'nats.conf'), this.#config(chosen));
    if (this.#child) this.#earlier += `${this.#child.output()}\n`;
    this.#child = undefined;
    const began = (child: NatsProcess): void => {
      this.#child = child;
    };
    const ports = await this.#site.launch(this.name, this.folder, chosen, began, timeoutMs);
    this.#port = ports.client;
    this.#monitorPort = ports.monitor;
    const wait = { timeoutMs, everyMs: 5, giveUp: () => this.#started().giveUp() };
    const greeted = { ...wait, what: `${this.name} to greet a client` };
    this.#version = await waitFor(() => versionInInfo(this.port), greeted);
    // In a cluster only the whole knows when it is ready: see nats-cluster.ts.
    const health = this.#options.cluster ? '/healthz?js-enabled-only=true' : '/healthz';
    await waitFor(() => this.monitor(health), { ...wait, what: `the JetStream of ${this.name}` });
  }

  #config(ports: NatsPorts): string {
    const { jetstream = true, cluster, config = '' } = this.#options;
    const lines = [
      `server_name: ${JSON.stringify(this.name)}`,
      ...this.#site.addresses(ports),
      `ports_file_dir: ${JSON.stringify(this.folder)}`,
      'lame_duck_duration: "30s"',
      'lame_duck_grace_period: "500ms"',
    ];
    if (jetstream !== false) {
      const more = typeof jetstream === 'string' ? jetstream : '';
      lines.push(`jetstream {\n  store_dir: ${JSON.stringify(this.folder)}\n  ${more}\n}`);
    }
    if (cluster) {
      const routes = cluster.routes.map((route) => `"nats-route://${route}"`).join(', ');
      lines.push(
        `cluster {\n  name: "${cluster.name}"\n  listen: "${cluster.listen}"\n  routes: [${routes}]\n}`,
      );
    }
    return `${lines.join('\n')}\n${config}\n`;
  }
}

/** The server's version as it greets a new connection with it, which comes before any authentication. */
function versionInInfo(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.setTimeout(5_000, () => socket.destroy(new Error('no INFO')));
    socket.once('error', reject);
    // Docker takes connections to a published port also while nobody listens behind it.
    socket.once('close', () => reject(new Error('closed before INFO')));
    socket.once('data', (data) => {
      const version = /^INFO .*"version":"([^"]+)"/.exec(data.toString('latin1'))?.[1];
      if (version === undefined) reject(new Error('what answers is no nats-server'));
      else resolve(version);
      socket.destroy();
    });
  });
}
