/**
 * Each life of a nats-server is a container of its own, published on ports of 127.0.0.1. Its folder is on this machine
 * and outlives it; it sees this repository and the temporary folder under the paths that they have here, since
 * configurations of tests name files in both.
 */
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Container, Network, type Place } from './container.js';
import { freePorts } from './free-ports.js';
import type { ClusterLayout } from './nats-layout.js';
import type { NatsSite } from './nats-site.js';
import { waitFor } from './wait.js';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const CLIENTS = 4222;
const MONITOR = 8222;
const ROUTES = 6222;

/** The image that nats-servers of tests are made of. */
export const natsImage = (): string => process.env.HEADWAY_NATS_IMAGE || 'nats:2.15.1-alpine';

/** @param networks where the servers are, with their names there; Docker's own network when there is none */
export function containers(
  networks: readonly Place[] = [],
  began?: (container: Container) => void,
): NatsSite {
  return {
    addresses: ({ client }) => [
      `listen: "0.0.0.0:${CLIENTS}"`,
      `http: "0.0.0.0:${MONITOR}"`,
      // What it knows of its own addresses is of no use outside.
      `client_advertise: "127.0.0.1:${client}"`,
    ],

    async choosePorts() {
      const [client = 0, monitor = 0] = await freePorts(2);
      return { client, monitor };
    },

    async launch(name, folder, ports, report, timeoutMs) {
      const options = {
        image: natsImage(),
        command: ['nats-server', '-c', `${folder}/nats.conf`],
        ports: { [CLIENTS]: ports.client, [MONITOR]: ports.monitor },
        binds: [`${tmpdir()}:${tmpdir()}`, `${REPOSITORY}:${REPOSITORY}:ro`],
        user: `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`,
        networks,
        env: inherited(),
      };
      let hopeless: string | undefined;
      const container = await waitFor(
        () =>
          Container.start(name, options).catch((error: unknown) => {
            // Somebody may hold one of the ports for a moment while the server is away. All else stays as it is.
            const isBusy = /already allocated|already in use/.test(String(error));
            if (!isBusy) hopeless = String(error);
            throw error;
          }),
        { what: `a container for ${name}`, timeoutMs, everyMs: 200, giveUp: () => hopeless },
      );
      report(container);
      began?.(container);
      return ports;
    },
  };
}

/** As a process would get it: configurations of tests ask the environment for names and passwords. */
function inherited(): Record<string, string> {
  const own = /^(PATH|HOME|HOSTNAME|PWD|TMPDIR|LD_.*|SSL_.*)$/;
  const all = Object.entries(process.env).filter(
    (one): one is [string, string] => one[1] !== undefined && !own.test(one[0]),
  );
  return Object.fromEntries(all);
}

/** The nodes of a cluster on a private network, from which they can be cut off one by one. */
export interface NetworkLayout extends ClusterLayout {
  /** Cuts the node off from the others, and only from them; its own clients reach it as before. */
  cut(node: string): Promise<void>;
  heal(node: string): Promise<void>;
}

export async function networkLayout(size: number): Promise<NetworkLayout> {
  const [outside, inside] = await Promise.all([Network.create(false), Network.create(true)]);
  const names = Array.from({ length: size }, (_, i) => `n${i + 1}`);
  const nodes = new Map<string, Container>();
  const nodeOf = (name: string): Container => {
    const node = nodes.get(name);
    if (node === undefined) throw new Error(`no container ${name} was started`);
    return node;
  };
  return {
    places: names.map((name) => ({
      name,
      listen: `0.0.0.0:${ROUTES}`,
      routes: names.map((other) => `${other}:${ROUTES}`),
      site: containers(
        [
          // Another name there, or they would find each other through this network, too.
          { network: outside, alias: `outside-${name}` },
          { network: inside, alias: name },
        ],
        (container) => nodes.set(name, container),
      ),
    })),
    cut: (node) => nodeOf(node).cut(inside),
    heal: (node) => nodeOf(node).heal(inside),
    async [Symbol.asyncDispose]() {
      await Promise.all([outside, inside].map((network) => network[Symbol.asyncDispose]()));
    },
  };
}
