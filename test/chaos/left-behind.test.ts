/** What the stream lets go, and what a client did not follow before: nobody is left with what is not so. */
import { nanos } from 'nats';
import { expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { PageClient } from '../harness/page-client.js';
import { event, publish, publishAll } from '../harness/publish.js';
import { replayed } from '../harness/replayed.js';
import { bearer, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';
import { arrive, Crowd, framesOf, publishJobs } from './crowd.js';
import { Recorder, type Scope } from './recorder.js';
import { measured } from './workload.js';

const ALL: Scope = { kind: 'all', jobTypes: null };
const JOBS_PATH = '/ws/upload-progress';

const ways: [what: string, letGo: (crowd: Crowd) => Promise<unknown>][] = [
  [
    'they are purged one by one',
    async ({ nc }) => {
      const jsm = await nc.jetstreamManager();
      for (const id of ['old-0', 'old-1']) await jsm.streams.purge('PROGRESS', { filter: `progress.${id}` });
    },
  ],
  [
    'they grow too old',
    async ({ nc }) => {
      const jsm = await nc.jetstreamManager();
      const ages = (ms: number) => ({ max_age: nanos(ms), duplicate_window: nanos(Math.min(ms, 120_000)) });
      await jsm.streams.update('PROGRESS', ages(100));
      const isEmpty = async () => (await jsm.streams.info('PROGRESS')).state.messages === 0;
      await waitFor(isEmpty, { what: 'everything to grow too old' });
      await jsm.streams.update('PROGRESS', ages(7 * 24 * 60 * 60 * 1_000));
      await publish(nc, 'young');
    },
  ],
];

for (const [what, letGo] of ways) {
  test(`G5 stale cursors: jobs leave the stream, ${what}: all jobs are told, and nobody is shown them any more`, async () => {
    await using crowd = await Crowd.start({}, { HEADWAY_TAIL_BYTES: '10000000' }, async (nc) => {
      await publishJobs(nc, 'old', 2, 300);
      await publish(nc, 'young');
    });
    const { edge } = crowd;
    await using live = PageClient.start(edge.ws);
    const away = new Recorder('away while they leave', ALL);
    await away.connect(edge.ws);
    await waitFor(() => away.isCaughtUp, { what: 'the states' });
    await away.drop();
    await live.until(({ caughtUp }) => caughtUp > 0, 'caught up');

    const startedAt = performance.now();
    await letGo(crowd);
    await live.until(({ gone }) => gone.includes('old-0') && gone.includes('old-1'), 'both are gone', 20_000);
    measured(`jobs leave, ${what}, until all jobs are told`, Math.round(performance.now() - startedAt));

    expect(live.resets).toEqual([]);
    await arrive(away, edge.ws, 100, 3);
    expect(framesOf(away, 'reset')).toEqual([]);
    expect([...away.shown.keys()]).toEqual(['young']);
    const fresh = new Recorder('new', ALL);
    await arrive(fresh, edge.ws, 100, 3);
    expect([...fresh.shown.keys()]).toEqual(['young']);
    for (const id of ['old-0', 'old-1']) {
      expect(await replayed(edge.ws, `/${id}`)).toMatchObject([expect.stringMatching(/^caught_up /)]);
      expect((await fetch(`${edge.http}/v1/jobs/${id}`)).status).toBe(404);
    }
    expect((await fetch(`${edge.http}/v1/jobs/young`)).status).toBe(200);
    for (const client of [away, fresh]) await client.drop();
  });
}

test('G5 stale cursors: a filter that grew, and a token that opens more: a reset, and the states of what was not followed before', async () => {
  const types = ['even', 'odd'] as const;
  await using crowd = await Crowd.start({}, JWT_ENV, async (nc) => {
    for (const type of types) await publishJobs(nc, type, 3, 300, { job_type: type });
  });
  const { edge } = crowd;
  const open = await mint({ jobs: ['*'] });
  const narrow = await mint({ job_types: ['odd'] });
  const visits: { path: string; token: string; jobs: number; reset: string[] }[] = [
    { path: '?job_type=odd', token: open, jobs: 3, reset: [] },
    { path: '?job_type=odd', token: open, jobs: 0, reset: [] },
    { path: '?job_type=odd&job_type=even', token: open, jobs: 6, reset: ['scope'] },
    { path: '?job_type=even&job_type=odd', token: open, jobs: 0, reset: [] },
    { path: '?', token: open, jobs: 6, reset: ['scope'] },
    { path: '?', token: narrow, jobs: 3, reset: ['scope'] },
    { path: '?', token: open, jobs: 6, reset: ['scope'] },
  ];
  let place = '';
  for (const { path, token, jobs, reset } of visits) {
    await using client = await WsClient.connect(`${edge.ws}${JOBS_PATH}${path}${place}`, bearer(token));
    const frames = await client.until(({ type }) => type === 'caught_up');
    expect(frames.filter(({ type }) => type === 'reset').map(({ reason }) => reason)).toEqual(reset);
    expect(client.seen()).toHaveLength(jobs);
    const [hello] = frames;
    place = `&last_seq=${client.cursor}&epoch=${hello?.epoch}&scope=${hello?.scope}`;
  }
});

test('G5 stale cursors: a limit counts what there is to send: a quiet job among many events of others is served, the busy one is not', async () => {
  const others = 2_000;
  await using crowd = await Crowd.start(
    { max_msgs_per_subject: -1 },
    { HEADWAY_MAX_REPLAY_JOB: '100' },
    async (nc) => {
      await publish(nc, 'quiet');
      await publish(nc, 'busy');
      await publishAll(
        nc,
        Array.from({ length: others }, (_, index) => event(index % 2 === 0 ? 'busy' : `other-${index}`)),
      );
      await publish(nc, 'quiet');
    },
  );
  const { edge } = crowd;
  expect(await replayed(edge.ws, '/quiet?last_seq=1')).toEqual([`${others + 3}`, `caught_up ${others + 3}`]);
  const [reset] = await replayed(edge.ws, '/busy?last_seq=2');
  expect(reset).toBe('reset limit');
  // What the edge has in memory counts no other way.
  await publishAll(
    crowd.nc,
    Array.from({ length: 150 }, () => event('another')),
  );
  const last = await publish(crowd.nc, 'quiet');
  await crowd.read();
  const head = last;
  expect(await replayed(edge.ws, `/quiet?last_seq=${others + 3}`)).toEqual([`${last}`, `caught_up ${head}`]);
});
