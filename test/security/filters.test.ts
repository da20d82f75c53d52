/** Filters that match nothing: each makes the edge look at every job, and sends nothing for it. */
import { expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { jobId, uniqueId } from '../harness/ids.js';
import { ProbedEdge } from '../harness/probed-edge.js';
import { event, publish, publishAll } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

const JOBS = 20_000;
const FILTERS = 200;
const ALL = '/ws/upload-progress';

test('G8 bad input: hundreds of filters that match nothing, on thousands of jobs, get an end each, and others their updates', async () => {
  await using world = await ProbedEdge.start({
    HEADWAY_MAX_UPGRADES_PER_ADDRESS: '0',
    HEADWAY_HEARTBEAT_MS: '2000',
  });
  await publishAll(
    world.nc,
    Array.from({ length: JOBS }, () => event(jobId('many'), { job_type: 'pdf.words' })),
  );
  const last = await publish(world.nc, world.job);
  await world.witness.until(({ seq }) => seq === last);

  let isOver = false;
  let slowest = 0;
  let rounds = 0;
  const others = (async () => {
    while (!isOver || rounds === 0) {
      const from = performance.now();
      await world.othersAreServed();
      slowest = Math.max(slowest, performance.now() - from);
      rounds += 1;
    }
  })();
  const filter = async (index: number): Promise<WsClient> => {
    // Fresh ones look at all newest states, the others at all events after their cursor.
    const cursor = index % 2 === 0 ? '' : '&last_seq=0';
    const client = await WsClient.connect(`${world.edge.ws}${ALL}?job_type=${uniqueId()}${cursor}`);
    await client.until(({ type }) => type === 'caught_up', { timeoutMs: 60_000 });
    return client;
  };
  const from = performance.now();
  const clients = await Promise.all(Array.from({ length: FILTERS }, (_, index) => filter(index)));
  const took = performance.now() - from;
  isOver = true;
  await others;
  process.stdout.write(
    `    measured: ${FILTERS} filters on ${JOBS} jobs caught up after: ${Math.round(took)} ms; ` +
      `slowest of ${rounds} updates of others meanwhile: ${Math.round(slowest)} ms\n`,
  );

  // What comes later matches none of them either.
  const head = await publish(world.nc, jobId('many'), { job_type: 'pdf.words' });
  const isThere = ({ type, cursor }: { type: string; cursor?: unknown }) =>
    type === 'heartbeat' && Number(cursor) >= head;
  await clients[0]?.until(isThere, { timeoutMs: 60_000 });
  for (const { frames } of clients) {
    expect(frames.filter(({ type }) => type === 'progress_update' || type === 'reset')).toEqual([]);
  }
  // Whoever filters for what is there gets all of it.
  await using one = await WsClient.connect(`${world.edge.ws}${ALL}?job_type=pdf.words`);
  await one.until(({ type }) => type === 'caught_up', { timeoutMs: 60_000 });
  await waitFor(() => one.frames.filter(({ type }) => type === 'progress_update').length === JOBS + 1, {
    what: 'all jobs of the type',
  });
  for (const client of clients) client.drop();
  await world.stands();
}, 180_000);
