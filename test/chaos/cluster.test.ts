import { expect, test } from 'vitest';
import { startEdgeProcess } from '../harness/edge-process.js';
import { type NatsCluster, startNatsCluster } from '../harness/nats-cluster.js';
import type { NatsServer } from '../harness/nats-server.js';
import { connectNats, createStream } from '../harness/publish.js';
import { measured, Scene } from './workload.js';

const STREAM = 'PROGRESS';

/** The node that a client of this name is connected to. */
async function serverOf(cluster: NatsCluster, client: string): Promise<NatsServer> {
  for (const node of cluster.running) {
    const page = (await node.monitor('/connz')) as { connections?: { name?: string }[] };
    if (page.connections?.some(({ name }) => name === client)) return node;
  }
  throw new Error(`${client} is connected to no node`);
}

test('G3 faults: a 3-node cluster with two edges and 50 jobs: the stream’s leader, an edge’s server and the consumer’s host are killed in turn', async () => {
  await using cluster = await startNatsCluster(3);
  const nc = await connectNats(cluster.urls);
  await createStream(nc, STREAM, { num_replicas: 3 });
  const env = { HEADWAY_STREAM_REPLICAS: '3' };
  const servers = cluster.urls.join(',');
  await using one = await startEdgeProcess({ natsUrl: servers, env: { ...env, HEADWAY_EDGE_ID: 'one' } });
  await using two = await startEdgeProcess({ natsUrl: servers, env: { ...env, HEADWAY_EDGE_ID: 'two' } });
  const edges = [one.ws, two.ws];
  let turn = 0;
  await using scene = await Scene.start(cluster.urls, () => edges[turn++ % 2] as string, 50);

  const killAndRestore = async (what: string, node: NatsServer) => {
    const startedAt = performance.now();
    await node.kill();
    await scene.flowing(90_000);
    measured(`${what} killed, until events flow to every client`, Math.round(performance.now() - startedAt));
    await node.start();
    await cluster.ready();
    await scene.flowing(90_000);
    measured(`${what} killed, until the cluster is whole again`, Math.round(performance.now() - startedAt));
  };
  await killAndRestore('the leader of the stream', await cluster.leaderOf(STREAM));
  await killAndRestore('the host of an edge’s consumer', await cluster.leaderOf(STREAM, 'edge-one'));
  await killAndRestore('the server of an edge', await serverOf(cluster, 'headway-edge two'));

  const { events } = await scene.finish();
  expect(events).toBeGreaterThanOrEqual(scene.acknowledged);
  process.stdout.write(
    `    ${events} events stored, ${scene.acknowledged} acknowledged, each seen once by each of its clients\n`,
  );
  await nc.close();
}, 400_000);
