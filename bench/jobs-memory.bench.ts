import { test } from 'vitest';
import { startEdgeProcess } from '../test/harness/edge-process.js';
import { startNats } from '../test/harness/nats-server.js';
import { connectNats, createStream, event } from '../test/harness/publish.js';
import { waitFor } from '../test/harness/wait.js';

const JOBS = Number(process.env.JOBS ?? 500_000);
const MiB = 1024 * 1024;

/** Publishes with one inbox for all acknowledgements: half a million by `js.publish` would take a minute. */
async function fill(url: string): Promise<void> {
  const nc = await connectNats(url);
  await createStream(nc, 'PROGRESS');
  let acked = 0;
  nc.subscribe('acks', {
    callback: () => {
      acked++;
    },
  });
  for (let sent = 0; sent < JOBS; ) {
    for (let i = 0; i < 2_000 && sent < JOBS; i++, sent++) {
      const body = event(`job-${sent}`, {
        message: `page ${sent % 90} of 90`,
        job_type: 'document',
        progress: sent % 100,
      });
      nc.publish(`progress.job-${sent}`, JSON.stringify(body), { reply: 'acks' });
    }
    await waitFor(() => acked >= sent, { what: 'the acknowledgements', timeoutMs: 60_000, everyMs: 2 });
  }
  await nc.close();
}

for (const [name, env] of [
  ['default memory (256 MiB of last states)', {}],
  ['64 MiB of last states', { HEADWAY_LAST_STATE_BYTES: String(64 * MiB) }],
] as const) {
  test(`${JOBS} unfinished jobs in the stream, ${name}`, async () => {
    await using nats = await startNats();
    await fill(nats.url);
    const startedAt = performance.now();
    await using edge = await startEdgeProcess({ natsUrl: nats.url, env, untilReady: false });
    await waitFor(async () => (await fetch(`${edge.http}/readyz`).catch(() => null))?.status === 200, {
      what: 'the edge is ready',
      timeoutMs: 120_000,
    });
    const seconds = (performance.now() - startedAt) / 1000;
    const text = await (await fetch(`${edge.http}/metrics`)).text();
    const metric = (key: string) => Number(new RegExp(`^${key} (\\S+)$`, 'm').exec(text)?.[1]);
    process.stdout.write(
      `    ready after ${seconds.toFixed(1)} s; resident ${Math.round(metric('process_resident_memory_bytes') / MiB)} MiB, ` +
        `heap ${Math.round(metric('nodejs_heap_size_used_bytes') / MiB)} MiB, last states ${Math.round(metric('headway_last_state_bytes') / MiB)} MiB ` +
        `of ${metric('headway_jobs')} jobs\n`,
    );
  }, 300_000);
}
