/** Several nats-servers with routes to each other, for tests of leaders that die. */
import type { ConnectionOptions } from 'nats';
import { type ClusterLayout, chosenLayout } from './nats-layout.js';
import { type NatsOptions, type NatsServer, startNats } from './nats-server.js';
import { connectNats } from './publish.js';
import { waitFor } from './wait.js';

export interface ClusterOptions extends Omit<NatsOptions, 'name' | 'cluster'> {
  /** How the harness itself logs in, if `config` asks for that. */
  login?: Pick<ConnectionOptions, 'user' | 'pass' | 'token'>;
}

/** Starts `size` servers n1, n2, ... and waits until their JetStream takes a stream with a copy on each. */
export async function startNatsCluster(
  size = 3,
  options: ClusterOptions = {},
  lay = chosenLayout,
): Promise<NatsCluster> {
  const { login = {}, ...each } = options;
  for (let attempt = 1; ; attempt += 1) {
    const layout = await lay(size);
    const started = await Promise.allSettled(
      layout.places.map(({ name, listen, routes, site }) =>
        startNats({ ...each, name, cluster: { name: 'test', listen, routes } }, site),
      ),
    );
    const nodes = started.filter((one) => one.status === 'fulfilled').map((one) => one.value);
    const cluster = new NatsCluster(nodes, login, layout);
    try {
      const failed = started.find((one) => one.status === 'rejected');
      if (failed) throw failed.reason;
      await cluster.ready(20_000);
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      // Route ports must be known before the first server starts, so someone else may have taken one meanwhile. And
      // now and then three servers that start at the same moment do not find together; that is not what is tested.
      const isNewTry =
        attempt < 3 && /address already in use|to hear from|a leader of JetStream/.test(String(error));
      if (!isNewTry) throw error;
    }
  }
}

/** The parts of `/jsz` that are read here. */
interface Jsz {
  meta_cluster?: { leader?: string; replicas?: { name: string; current: boolean; offline?: boolean }[] };
  account_details?: { stream_detail?: StreamDetail[] }[];
}
interface StreamDetail {
  name: string;
  cluster?: { leader?: string };
  consumer_detail?: { name: string; cluster?: { leader?: string } }[];
}

export class NatsCluster implements AsyncDisposable {
  constructor(
    readonly nodes: readonly NatsServer[],
    private readonly login: NonNullable<ClusterOptions['login']>,
    private readonly layout: ClusterLayout,
  ) {}

  /** The URLs of all nodes, running or not. */
  get urls(): string[] {
    return this.nodes.map((node) => node.url);
  }

  get running(): NatsServer[] {
    return this.nodes.filter((node) => node.running);
  }

  node(name: string): NatsServer {
    const node = this.nodes.find((one) => one.name === name);
    if (node === undefined) throw new Error(`no node ${name} in this cluster`);
    return node;
  }

  /** SIGKILL for one node. */
  async kill(node: NatsServer): Promise<void> {
    await node.kill();
  }

  /** The node that leads JetStream, once all running nodes agree on one that runs. */
  async metaLeader(timeoutMs = 30_000): Promise<NatsServer> {
    return await waitFor(
      async () => {
        const pages = await Promise.all(this.running.map((node) => node.monitor('/jsz') as Promise<Jsz>));
        const [name, ...others] = new Set(pages.map((page) => page.meta_cluster?.leader));
        return name && others.length === 0 && this.running.find((node) => node.name === name);
      },
      { what: 'a leader of JetStream', timeoutMs },
    );
  }

  /** The node that leads a stream, or one of its consumers, once one that runs does. */
  async leaderOf(stream: string, consumer?: string, timeoutMs = 30_000): Promise<NatsServer> {
    const what = consumer === undefined ? `stream ${stream}` : `consumer ${consumer} of stream ${stream}`;
    return await waitFor(
      async () => {
        const pages = await Promise.all(
          this.running.map(async (node) => {
            const page = (await node.monitor('/jsz?accounts=true&streams=true&consumers=true')) as Jsz;
            return {
              node,
              details: page.account_details?.flatMap((account) => account.stream_detail ?? []) ?? [],
            };
          }),
        );
        // Each server's own word counts: a follower may still name the leader before.
        return pages.find(({ node, details }) => {
          const found = details.find((detail) => detail.name === stream);
          const group = consumer ? found?.consumer_detail?.find((one) => one.name === consumer) : found;
          return group?.cluster?.leader === node.name;
        })?.node;
      },
      { what: `a leader of ${what}`, timeoutMs },
    );
  }

  /** Waits until the running nodes have a leader, know each other, and take a stream with a copy on each of them. */
  async ready(timeoutMs = 45_000): Promise<void> {
    const leader = await this.metaLeader(timeoutMs);
    const others = this.running.filter((node) => node !== leader).map((node) => node.name);
    await waitFor(
      async () => {
        const { meta_cluster } = (await leader.monitor('/jsz')) as Jsz;
        return others.every((name) =>
          meta_cluster?.replicas?.some((peer) => peer.name === name && peer.current && !peer.offline),
        );
      },
      { what: `${leader.name} to hear from ${others.join(', ')}`, timeoutMs },
    );
    await using nc = await connectNats(leader.url, this.login);
    const jsm = await nc.jetstreamManager({ checkAPI: false, timeout: 30_000 });
    const probe = { name: 'harness_probe', subjects: ['harness.probe'], num_replicas: this.running.length };
    await waitFor(() => jsm.streams.add(probe), { what: 'a stream with a copy on each node', timeoutMs });
    await waitFor(() => jsm.streams.delete(probe.name), { what: 'the probe to go', timeoutMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
    await this.layout[Symbol.asyncDispose]();
  }
}
