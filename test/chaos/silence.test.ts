/** Many jobs fall silent at once, under two edges and a cluster whose leader dies while their timeouts are written. */
import { expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { startLocalEdge } from '../harness/edge-in-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { startNatsCluster } from '../harness/nats-cluster.js';
import { connectNats, createStream, event, publishAll, storedEvents } from '../harness/publish.js';

import { waitFor } from '../harness/wait.js';

const STREAM = 'PROGRESS';
const JOBS = 300;
const TIMEOUT_SECONDS = 4;

test('G3 faults: 300 jobs time out while the leader of the stream is killed: each once in the log, and every client sees it', async () => {
  await using cluster = await startNatsCluster(3);
  await using nc = await connectNats(cluster.urls);
  await createStream(nc, STREAM, { num_replicas: 3 });
  const servers = cluster.urls.join(',');
  await using one = await startLocalEdge(servers, { HEADWAY_STREAM_REPLICAS: '3' });
  await using two = await startLocalEdge(servers, { HEADWAY_STREAM_REPLICAS: '3' });
  const ids = Array.from({ length: JOBS }, () => jobId());
  await publishAll(
    nc,
    ids.map((id) => event(id, { timeout_seconds: TIMEOUT_SECONDS, attempt: 1 })),
  );
  await using all = await WsClient.connect(`${one.ws}/ws/upload-progress`);
  await using other = await WsClient.connect(`${two.ws}/ws/upload-progress`);
  const timedOut = (client: WsClient) =>
    new Set(
      client.seen().flatMap(({ processing_id, status }) => (status === 'error' ? [processing_id] : [])),
    );

  // Killed as soon as the first timeouts are in the log, with the others on their way.
  await waitFor(() => timedOut(all).size > 0, { what: 'the first timeout', timeoutMs: 30_000, everyMs: 1 });
  const atKill = timedOut(all).size;
  const leader = await cluster.leaderOf(STREAM);
  await leader.kill();
  for (const client of [all, other])
    await waitFor(() => timedOut(client).size === JOBS, { what: 'every timeout', timeoutMs: 90_000 });

  const errors = (await storedEvents(nc, STREAM)).filter(
    ({ json }) => (json as { status: string }).status === 'error',
  );
  expect(errors).toHaveLength(JOBS);
  expect(new Set(errors.map(({ subject }) => subject))).toEqual(new Set(ids.map((id) => `progress.${id}`)));
  for (const client of [all, other]) {
    const seqs = client.seen().flatMap(({ status, seq }) => (status === 'error' ? [seq] : []));
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
    expect(seqs).toHaveLength(JOBS);
  }
  const judged = await Promise.all([one, two].map(({ http }) => metric(http, 'headway_timeouts_total')));
  process.stdout.write(
    `    ${atKill} of ${JOBS} timeouts were written before the kill; the edges judged ${judged.join(' and ')}\n`,
  );
}, 200_000);
