/** Where the nodes of a cluster are, and how they find each other. */
import { freePorts } from './free-ports.js';
import { isInContainers, type NatsSite, processes } from './nats-site.js';

export interface ClusterPlace {
  /** n1, n2, ... */
  readonly name: string;
  /** Where it listens for the other nodes, and where all nodes are: `host:port`. */
  readonly listen: string;
  readonly routes: string[];
  readonly site: NatsSite;
}

/** Disposed when its nodes are gone. */
export interface ClusterLayout extends AsyncDisposable {
  readonly places: readonly ClusterPlace[];
}

/** The layout of this run. */
export async function chosenLayout(size: number): Promise<ClusterLayout> {
  return isInContainers()
    ? await (await import('./nats-container.js')).networkLayout(size)
    : await loopback(size);
}

async function loopback(size: number): Promise<ClusterLayout> {
  const routes = (await freePorts(size)).map((port) => `127.0.0.1:${port}`);
  const places = routes.map((listen, i) => ({ name: `n${i + 1}`, listen, routes, site: processes }));
  return { places, [Symbol.asyncDispose]: async () => {} };
}
