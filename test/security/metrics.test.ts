/** Metrics: not for everybody, and cheap however often somebody asks. */
import { expect, test } from 'vitest';
import { startLocalEdge } from '../harness/edge-in-process.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { metricsText } from '../harness/metrics.js';
import { sharedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const shared = sharedNats();

/** When the metrics that somebody got were collected. */
async function collectedAt(http: string): Promise<string> {
  const text = await metricsText(http);
  // It differs with each collection, since the collection itself takes time.
  return /^process_cpu_seconds_total \S+$/m.exec(text)?.[0] ?? 'none';
}

test('G8 bad input: who asks for metrics again and again gets what was collected before', async () => {
  await using edge = await startEdgeProcess({
    natsUrl: shared.nats.url,
    env: { HEADWAY_METRICS_MAX_AGE_MS: '60000' },
  });
  const first = await collectedAt(edge.http);
  expect(first).toMatch(/\d$/);
  const all = await Promise.all(Array.from({ length: 200 }, () => collectedAt(edge.http)));
  expect(new Set(all)).toEqual(new Set([first]));
});

test('and soon what is new', async () => {
  await using edge = await startEdgeProcess({
    natsUrl: shared.nats.url,
    env: { HEADWAY_METRICS_MAX_AGE_MS: undefined },
  });
  const first = await collectedAt(edge.http);
  await waitFor(async () => (await collectedAt(edge.http)) !== first, { what: 'newer metrics' });
});

test('metrics with an address of their own are not at the public one', async () => {
  await using edge = await startLocalEdge(shared.nats.url, { HEADWAY_METRICS_LISTEN: '127.0.0.1:0' });
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready' });
  const operators = `http://127.0.0.1:${edge.edge.metricsPort}`;
  expect(edge.edge.metricsPort).not.toBe(edge.edge.port);
  expect((await fetch(`${edge.http}/metrics`)).status).toBe(404);
  expect((await fetch(`${edge.http}/metrics`, { method: 'HEAD' })).status).toBe(404);
  expect(await metricsText(operators)).toMatch(/^headway_connections\{/m);
  for (const path of ['/livez', '/readyz']) {
    expect((await fetch(`${edge.http}${path}`)).status).toBe(200);
    expect((await fetch(`${operators}${path}`)).status).toBe(200);
  }
  // Nobody gets a job there.
  expect((await fetch(`${operators}/v1/jobs/job-1`)).status).toBe(404);
  expect((await fetch(`${operators}/ws/upload-progress`)).status).toBe(404);
});

test('an address for metrics that is taken is said to be, and the edge does not start', async () => {
  await using edge = await startEdgeProcess({ natsUrl: shared.nats.url });
  const second = startEdgeProcess({
    natsUrl: shared.nats.url,
    env: { HEADWAY_METRICS_LISTEN: `127.0.0.1:${edge.port}` },
  });
  await expect(second).rejects.toThrow(/Cannot listen on 127\.0\.0\.1:\d+: .* set HEADWAY_METRICS_LISTEN/);
});
