/** Where the nats-servers of the tests run: as processes of this machine, or in containers. */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Child } from './child.js';
import { natsBinary } from './nats-binary.js';
import { waitFor } from './wait.js';

/** One life of a server: what a test can do to it, wherever it runs. */
export type NatsProcess = Pick<
  Child,
  'pid' | 'status' | 'exited' | 'output' | 'line' | 'giveUp' | 'signal' | 'kill' | 'stop' | 'freeze' | 'thaw'
>;

/** Two ports of 127.0.0.1 on this machine; -1 as long as they are not known. */
export interface NatsPorts {
  readonly client: number;
  readonly monitor: number;
}

export interface NatsSite {
  /** What the configuration of a server says of its addresses; these ports are where it will be reached. */
  addresses(ports: NatsPorts): string[];
  /** The ports of a server that was never started; -1 where it chooses them itself. */
  choosePorts(): Promise<NatsPorts>;
  /** Starts a server with the file nats.conf in this folder. What it started is in `began` also when it rejects. */
  launch(
    name: string,
    folder: string,
    ports: NatsPorts,
    began: (process: NatsProcess) => void,
    timeoutMs: number,
  ): Promise<NatsPorts>;
}

/** The default: processes of the binary that nats-binary.ts finds, on loopback. */
export const processes: NatsSite = {
  addresses: ({ client, monitor }) => [`listen: "127.0.0.1:${client}"`, `http: "127.0.0.1:${monitor}"`],

  choosePorts: async () => ({ client: -1, monitor: -1 }),

  async launch(name, folder, _ports, began, timeoutMs) {
    const { path } = await natsBinary();
    const child = await Child.spawn(name, path, ['-c', join(folder, 'nats.conf')]);
    began(child);
    const file = join(folder, `${basename(path)}_${child.pid}.ports`);
    const ports = await waitFor(async () => JSON.parse(await readFile(file, 'utf8')), {
      what: `the ports of ${name}`,
      timeoutMs,
      everyMs: 5,
      giveUp: () => child.giveUp(),
    });
    return { client: portOf(ports.nats), monitor: portOf(ports.monitoring) };
  },
};

/** Where this run was asked to have its servers: HEADWAY_TEST_NATS=container, or nothing. */
export function isInContainers(): boolean {
  const chosen = process.env.HEADWAY_TEST_NATS || 'process';
  if (chosen === 'container') return true;
  if (chosen === 'process') return false;
  throw new Error(`HEADWAY_TEST_NATS is "${chosen}", and not "process" or "container"`);
}

/** The site of this run. */
export async function chosenSite(): Promise<NatsSite> {
  // Loaded only then: it needs a Docker daemon, and takes a moment.
  return isInContainers() ? (await import('./nats-container.js')).containers() : processes;
}

/** The port in the first of a ports file's URLs. */
function portOf(urls: string[] | undefined): number {
  const url = urls?.[0];
  if (url === undefined) throw new Error('nats-server named no URL in its ports file');
  return Number(new URL(url).port);
}
