/** Reads of operators while a cluster has lost a server. */
import { expect, test } from 'vitest';
import { readStored } from '../../internal/jetstream/read-stored.js';
import { jobId } from '../harness/ids.js';
import { startNatsCluster } from '../harness/nats-cluster.js';
import { connectNats, createStream, publish } from '../harness/publish.js';
import { measured } from './workload.js';

const STREAM = 'PROGRESS';
const JOBS = 20;
const READS = 12;

test('G3 faults: reads that begin just after a server of the cluster was killed read everything, wherever they were placed', async () => {
  await using cluster = await startNatsCluster(3);
  const leader = await (async () => {
    await using nc = await connectNats(cluster.urls);
    await createStream(nc, STREAM, { num_replicas: 3 });
    for (let job = 0; job < JOBS; job++) await publish(nc, jobId());
    return cluster.leaderOf(STREAM);
  })();
  const other = cluster.running.find((node) => node !== leader);
  if (other === undefined) throw new Error('the cluster has one server');
  await using nc = await connectNats(
    cluster.running.filter((node) => node !== other).map((node) => node.url),
  );
  const jsm = await nc.jetstreamManager({ checkAPI: false });
  const access = { connection: nc, jsm, js: nc.jetstream(), stream: STREAM };
  await other.kill();
  const startedAt = performance.now();
  const count = async (kind: 'first' | 'last_per_subject'): Promise<number> => {
    let messages = 0;
    const signal = AbortSignal.timeout(100_000);
    for await (const batch of readStored(access, { id: null, from: { kind }, until: 'head' }, signal)) {
      messages += batch.length;
    }
    return messages;
  };
  const counts = await Promise.all(
    Array.from({ length: READS }, (_, read) => count(read % 2 === 0 ? 'first' : 'last_per_subject')),
  );
  expect(counts).toEqual(Array.from({ length: READS }, () => JOBS));
  measured(`${READS} reads after the kill`, Math.round(performance.now() - startedAt));
}, 200_000);
