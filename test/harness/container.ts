/** One container by way of testcontainers, with what a process under test has: its output, its end, and signals. */
import { readFile } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { type ContainerRuntimeClient, getContainerRuntimeClient } from 'testcontainers';
import type { ExitStatus } from './child.js';
import { uniqueId } from './ids.js';
import type { NatsProcess } from './nats-site.js';
import { waitFor, withTimeout } from './wait.js';
import { guard } from './watchdog.js';

/** What scripts/container-test.sh removes when a test's process died before it could. */
const LABELS = { 'headway.test': process.env.HEADWAY_TEST_SESSION ?? 'by-hand' };

type Docker = ContainerRuntimeClient['container']['dockerode'];
type DockerContainer = ReturnType<Docker['getContainer']>;
type DockerNetwork = ReturnType<Docker['getNetwork']>;

export interface ContainerOptions {
  readonly image: string;
  /** Program and arguments; the image's own when not given. */
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Ports of the container and where each is published on 127.0.0.1 of this machine. */
  readonly ports?: Readonly<Record<number, number>>;
  /** `source:target:mode`, as Docker writes them. */
  readonly binds?: readonly string[];
  /** `uid:gid` */
  readonly user?: string;
  /** The first is the one that ports are published through; Docker's own when none is given. */
  readonly networks?: readonly Place[];
  readonly readOnly?: boolean;
}

/** A container's place in a network. */
export interface Place {
  readonly network: Network;
  /** The name by which the others there find it. */
  readonly alias: string;
}

/** The Docker daemon of this run, found the way testcontainers finds it (DOCKER_HOST and so on). */
async function docker(): Promise<Docker> {
  return (await getContainerRuntimeClient()).container.dockerode;
}

export class Network implements AsyncDisposable {
  private constructor(
    readonly name: string,
    private readonly network: DockerNetwork,
  ) {}

  /** @param internal whether it leads nowhere, this machine included: then no ports are published through it */
  static async create(internal = true): Promise<Network> {
    // Docker publishes ports through the network whose name comes first.
    const name = `headway-${internal ? 'z' : 'a'}-${uniqueId('net')}`;
    const network = await (await docker()).createNetwork({
      Name: name,
      Internal: internal,
      CheckDuplicate: true,
      Labels: LABELS,
    });
    return new Network(name, network);
  }

  async attach(container: DockerContainer, alias: string): Promise<void> {
    await this.network.connect({ Container: container.id, EndpointConfig: { Aliases: [alias] } });
  }

  /** What is on its way to or from the container is dropped from now on, and nobody is told. */
  async detach(container: DockerContainer): Promise<void> {
    await this.network.disconnect({ Container: container.id, Force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.network.remove().catch(() => {});
  }
}

export class Container implements NatsProcess, AsyncDisposable {
  readonly exited: Promise<ExitStatus>;
  #status: ExitStatus | undefined;
  #output = '';
  #pid = 0;
  #isFrozen = false;
  #thawing: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly name: string,
    private readonly container: DockerContainer,
    private readonly places: readonly Place[],
    ended: Promise<{ StatusCode: number }>,
  ) {
    this.exited = ended.then(({ StatusCode }) => {
      // As a shell tells it: 128 and the number of the signal.
      const signal = StatusCode === 137 ? 'SIGKILL' : null;
      this.#status = { code: signal === null ? StatusCode : null, signal };
      return this.#status;
    });
    this.exited.catch(() => {});
  }

  /** Starts it; rejects when Docker cannot, and leaves nothing behind then. That the program runs on is not awaited. */
  static async start(name: string, options: ContainerOptions): Promise<Container> {
    const { networks = [], ports = {}, command } = options;
    const [first, ...more] = networks;
    const daemon = await docker();
    const created = await daemon.createContainer({
      name: uniqueId(`headway-${name}`),
      Image: options.image,
      Labels: LABELS,
      ...(command && { Entrypoint: command.slice(0, 1), Cmd: command.slice(1) }),
      ...(options.user !== undefined && { User: options.user }),
      Env: Object.entries(options.env ?? {}).map(([key, value]) => `${key}=${value}`),
      ExposedPorts: Object.fromEntries(Object.keys(ports).map((port) => [`${port}/tcp`, {}])),
      HostConfig: {
        AutoRemove: true,
        Binds: [...(options.binds ?? [])],
        PortBindings: Object.fromEntries(
          Object.entries(ports).map(([inner, outer]) => [
            `${inner}/tcp`,
            [{ HostIp: '127.0.0.1', HostPort: String(outer) }],
          ]),
        ),
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
        ...(options.readOnly && { ReadonlyRootfs: true, Tmpfs: { '/tmp': '' } }),
        ...(first && { NetworkMode: first.network.name }),
      },
      ...(first && {
        NetworkingConfig: { EndpointsConfig: { [first.network.name]: { Aliases: [first.alias] } } },
      }),
    });
    try {
      for (const { network, alias } of more) await network.attach(created, alias);
      const output = await created.attach({ stream: true, stdout: true, stderr: true });
      // Asked before the start, or a program that ends at once would be gone before. Removed: then its ports are free.
      const removed = created.wait({ condition: 'removed' }) as Promise<{ StatusCode: number }>;
      removed.catch(() => {});
      const read = finished(output, { writable: false }).catch(() => {});
      const container = new Container(
        name,
        created,
        networks,
        read.then(() => removed),
      );
      const take = { write: (bytes: Buffer) => container.#take(bytes) } as unknown as NodeJS.WritableStream;
      created.modem.demuxStream(output, take, take);
      await created.start();
      await container.#guard();
      return container;
    } catch (error) {
      await created.remove({ force: true, v: true }).catch(() => {});
      throw error;
    }
  }

  /** Its first process, as this machine numbers it. */
  get pid(): number {
    return this.#pid;
  }

  get status(): ExitStatus | undefined {
    return this.#status;
  }

  output(): string {
    return this.#output;
  }

  async line<T>(pick: (line: string) => T | undefined, what: string, timeoutMs = 10_000): Promise<T> {
    const found = await waitFor(
      () => {
        for (const line of this.#output.split('\n')) {
          const picked = pick(line);
          if (picked !== undefined) return { picked };
        }
        return null;
      },
      { what: `${what} of ${this.name}`, timeoutMs, giveUp: () => this.giveUp() },
    );
    return found.picked;
  }

  giveUp(): string | undefined {
    return this.#status && `${this.name} ended (with ${JSON.stringify(this.#status)})\n${this.#output}`;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#status === undefined) void this.container.kill({ signal }).catch(() => {});
  }

  /** What Docker knows of it. */
  async inspect(): Promise<Awaited<ReturnType<DockerContainer['inspect']>>> {
    return await this.container.inspect();
  }

  /** SIGKILL, and waits until it is gone and its ports are free. */
  async kill(): Promise<ExitStatus> {
    return await this.#end('SIGKILL', 10_000);
  }

  /** SIGTERM, and waits until it is gone and its ports are free; one that does not go is killed, and an error. */
  async stop(timeoutMs = 15_000): Promise<ExitStatus> {
    try {
      return await this.#end('SIGTERM', timeoutMs);
    } catch (error) {
      await this.kill();
      throw new Error(`${this.name} had to be killed\n${this.#output}`, { cause: error });
    }
  }

  /** Its processes stand still; its connections stay open. */
  async freeze(): Promise<void> {
    await this.container.pause();
    this.#isFrozen = true;
  }

  /** Nothing, where it runs: Docker would take that for a mistake. */
  async thaw(): Promise<void> {
    if (this.#isFrozen) {
      this.#isFrozen = false;
      this.#thawing = this.container.unpause();
    }
    await this.#thawing;
  }

  /** Cuts it off from one of its networks: packets are dropped, and no connection is closed. */
  async cut(network: Network): Promise<void> {
    await network.detach(this.container);
  }

  /** Puts it back into a network, under the name that it had there. */
  async heal(network: Network): Promise<void> {
    const place = this.places.find((one) => one.network === network);
    if (place === undefined) throw new Error(`${this.name} never was in ${network.name}`);
    await network.attach(this.container, place.alias);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #end(signal: NodeJS.Signals, timeoutMs: number): Promise<ExitStatus> {
    if (this.#status === undefined) {
      if (this.#isFrozen) await this.thaw();
      await this.container.kill({ signal }).catch((error: unknown) => {
        // It ended by itself meanwhile: 409 when it is there, 404 when it is gone.
        if (!/\b40[49]\b/.test(String(error))) throw error;
      });
    }
    return await withTimeout(this.exited, timeoutMs, `${this.name} to end of ${signal}`);
  }

  /** Has the watchdog end it when this process dies first; where the daemon is on this machine. */
  async #guard(): Promise<void> {
    const state = await this.container.inspect().catch(() => undefined);
    this.#pid = state?.State.Pid ?? 0;
    const groups = await readFile(`/proc/${this.#pid}/cgroup`, 'utf8').catch(() => '');
    if (!groups.includes(this.container.id)) return;
    const release = guard(this.#pid);
    this.exited.then(release, release);
  }

  #take(bytes: Buffer): void {
    this.#output += bytes.toString('utf8');
  }
}
