import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Scope } from '../../internal/eventlog/record.js';
import type { Kind } from '../model/stream.js';
import { World } from '../model/world.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 1_000);
const SEED = process.env.HEADWAY_PROPERTY_SEED;

const JOBS = ['job-0', 'job-1', 'job-2', 'job-3'];
const job = fc.constantFrom(...JOBS);
const kind: fc.Arbitrary<Kind> = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Kind>('processing') },
  { weight: 1, arbitrary: fc.constantFrom<Kind>('completed', 'retryable', 'failed', 'invalid') },
  { weight: 1, arbitrary: fc.constantFrom<Kind>('reading', 'again') },
);
const scope: fc.Arbitrary<Scope> = fc.oneof(
  job.map((id): Scope => ({ kind: 'job', id, jobTypes: null })),
  fc.constantFrom<Scope>({ kind: 'all', jobTypes: null }, { kind: 'all', jobTypes: new Set(['odd']) }),
);
/** Updates a second; undefined: every event. */
const rate = fc.constantFrom(undefined, undefined, 0.1, 1, 50);
const who = fc.nat(9);
const upTo = (max: number) => fc.integer({ min: 1, max });

const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('publish' as const), job, kind, times: upTo(4) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('deliver' as const), count: upTo(8) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('turn' as const) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('answer' as const), count: upTo(3) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('read' as const), who, count: upTo(6) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('connect' as const), scope, rate }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('drop' as const), who }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('resume' as const), who }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('page' as const),
      job,
      limit: upTo(5),
      /** How many messages behind the newest one, or ahead of it; null: from the beginning. */
      back: fc.oneof(fc.constant(null), fc.integer({ min: -3, max: 30 })),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('select' as const), jobs: fc.subarray(JOBS), rate }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('readSelected' as const), who, count: upTo(6) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('dropSelected' as const), who }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('follow' as const), who, jobs: fc.subarray(JOBS) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('unfollow' as const), who, job }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('source' as const),
      jobs: fc.subarray(JOBS, { minLength: 1 }),
      rate,
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('readSource' as const), who, count: upTo(6) }) },
  // Often between frames and the id behind them.
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('cutSource' as const),
      who,
      read: fc.nat(3),
      isBack: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('reopenSource' as const), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('heartbeat' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rebuild' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('trim' as const), count: upTo(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purgeJob' as const), job }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), minutes: upTo(11) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 20, 1_000, 10_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('repace' as const), who, rate }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('look' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('stall' as const), job }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rescope' as const), who, scope }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('purge' as const, 'recreate' as const, 'distrust' as const) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const options = fc.record({
  maxPerSubject: fc.constantFrom(3, 10, 1_000),
  maxReplay: fc.constantFrom(20, 1_000_000),
  pageSize: fc.constantFrom(1, 3, 50),
  tailBytes: fc.constantFrom(600, 3_000, 1_000_000),
  lastStateBytes: fc.constantFrom(1_900, 1_000_000),
  complete: fc.boolean(),
});

type Program = [typeof options extends fc.Arbitrary<infer T> ? T : never, Step[]];

const EVERYTHING: Scope = { kind: 'all', jobTypes: null };
/** Memory holds one event, so that whoever comes late reads the others from JetStream. */
const TINY = {
  maxPerSubject: 3,
  maxReplay: 20,
  pageSize: 50,
  tailBytes: 600,
  lastStateBytes: 1_900,
  complete: false,
} as const;

/** A client reads three events of a job from JetStream, and the edge has read but two of them. */
const AHEAD_OF_THE_EDGE: readonly Step[] = [
  { do: 'publish', job: 'job-0', kind: 'processing', times: 2 },
  { do: 'connect', scope: EVERYTHING, rate: undefined },
  { do: 'deliver', count: 2 },
  { do: 'publish', job: 'job-0', kind: 'processing', times: 1 },
  { do: 'read', who: 0, count: 1 },
  { do: 'answer', count: 1 },
];

/** The edge notices that the job is gone. The client is cut off before it hears of it, and is away for long. */
const GONE_BEHIND_THE_CURSOR: Program = [
  TINY,
  [
    ...AHEAD_OF_THE_EDGE,
    { do: 'purge' },
    { do: 'read', who: 0, count: 1 },
    { do: 'look' },
    { do: 'read', who: 0, count: 3 },
    { do: 'wait', minutes: 6 },
    { do: 'drop', who: 0 },
    { do: 'look' },
  ],
];

/** The same where the job's last event was purged among others that stay. */
const PURGED_BEHIND_THE_CURSOR: Program = [
  TINY,
  [{ do: 'publish', job: 'job-1', kind: 'processing', times: 1 }, ...GONE_BEHIND_THE_CURSOR[1]].map(
    (step): Step => (step.do === 'purge' ? { do: 'purgeJob', job: 'job-0' } : (step as Step)),
  ),
];

/** The same where what the edge has read of the job lies before the first message that stays. */
const TRIMMED_BEHIND_THE_CURSOR: Program = [
  TINY,
  [
    { do: 'publish', job: 'job-0', kind: 'processing', times: 1 },
    { do: 'connect', scope: EVERYTHING, rate: undefined },
    { do: 'publish', job: 'job-1', kind: 'processing', times: 1 },
    { do: 'deliver', count: 2 },
    { do: 'publish', job: 'job-0', kind: 'processing', times: 1 },
    { do: 'read', who: 0, count: 1 },
    { do: 'answer', count: 1 },
    { do: 'read', who: 0, count: 2 },
    { do: 'purgeJob', job: 'job-0' },
    { do: 'read', who: 0, count: 3 },
  ],
];

/** What the edge has read of the job is gone; what the client has seen beyond that is not. */
const KEPT_AHEAD_OF_THE_EDGE: Program = [
  TINY,
  [
    ...AHEAD_OF_THE_EDGE,
    { do: 'read', who: 0, count: 1 },
    { do: 'trim', count: 2 },
    { do: 'look' },
    { do: 'read', who: 0, count: 9 },
  ],
];

const EXAMPLES = [
  GONE_BEHIND_THE_CURSOR,
  PURGED_BEHIND_THE_CURSOR,
  TRIMMED_BEHIND_THE_CURSOR,
  KEPT_AHEAD_OF_THE_EDGE,
];

async function take(world: World, next: Step): Promise<void> {
  const client = 'who' in next ? world.clients[next.who % Math.max(1, world.clients.length)] : undefined;
  const selected = 'who' in next ? world.selected[next.who % Math.max(1, world.selected.length)] : undefined;
  const source = 'who' in next ? world.sources[next.who % Math.max(1, world.sources.length)] : undefined;
  switch (next.do) {
    case 'source':
      world.source(next.jobs, next.rate);
      break;
    case 'readSource':
      source?.read(next.count);
      if (source?.isOver) world.cutSource(source);
      break;
    case 'cutSource':
      if (source === undefined) break;
      source.read(next.read);
      world.cutSource(source);
      if (next.isBack) world.reopen(source);
      break;
    case 'reopenSource':
      if (source) world.reopen(source);
      break;
    case 'select':
      world.select(next.jobs, next.rate);
      break;
    case 'readSelected':
      selected?.read(next.count);
      break;
    case 'dropSelected':
      if (selected) world.deselect(selected);
      break;
    case 'follow':
      if (selected) {
        world.reselect(selected);
        selected.follow(next.jobs);
      }
      break;
    case 'unfollow':
      selected?.unfollow(next.job);
      break;
    case 'publish':
      for (let i = 0; i < next.times; i++) world.stream.publish(next.job, next.kind);
      break;
    case 'deliver':
      world.deliver(next.count);
      break;
    case 'turn':
      world.turn();
      break;
    case 'answer':
      await world.answer(next.count);
      break;
    case 'read':
      client?.read(next.count);
      break;
    case 'connect':
      world.connect(next.scope, next.rate);
      break;
    case 'drop':
      if (client) world.drop(client);
      break;
    case 'resume':
      if (client) world.reconnect(client);
      break;
    case 'page':
      world.page(
        next.job,
        next.limit,
        next.back === null ? null : Math.max(0, world.stream.last - next.back),
      );
      break;
    case 'heartbeat':
      world.heartbeat();
      break;
    case 'rebuild':
      world.rebuildFeed();
      break;
    case 'restart':
      world.restartEdge();
      break;
    case 'trim':
      world.stream.removeOldest(next.count);
      break;
    case 'purgeJob':
      world.stream.purgeJob(next.job);
      break;
    case 'wait':
      world.pass(next.minutes * 60_000);
      break;
    case 'pass':
      world.pass(next.ms);
      break;
    case 'repace':
      if (client) world.repace(client, next.rate);
      break;
    case 'stall':
      world.stall(next.job);
      break;
    case 'look':
      world.look();
      break;
    case 'rescope':
      if (client) world.rescope(client, next.scope);
      break;
    case 'distrust':
      world.distrust();
      break;
    case 'purge':
      world.stream.purge();
      break;
    case 'recreate':
      world.stream.recreate();
      break;
  }
}

test('G1 order, G2 state first, G4 slow readers, G5 stale cursors: after any program every client has exactly what it is owed, and whoever pages as well', async () => {
  let updates = 0;
  let [folded, interleaved, foldedOfSelected, foldedOfSources] = [0, 0, 0, 0];
  let [resets, skips, gone, paged, stale, ofSelected, stalls] = [0, 0, 0, 0, 0, 0, 0];
  let [ofSources, again, byId, anew, stopped] = [0, 0, 0, 0, 0];
  await fc.assert(
    fc.asyncProperty(
      options,
      fc.array(step, { minLength: 5, maxLength: 120, size: 'max' }),
      async (chosen, steps) => {
        const world = new World(chosen);
        for (const next of steps) await take(world, next);
        await world.verify();
        for (const client of world.clients) {
          updates += client.updates;
          folded += client.folded;
          interleaved += client.interleaved;
          resets += client.resets;
          skips += client.skips;
          gone += client.gone;
          stalls += client.stalls;
        }
        for (const { judges } of world.selected) {
          for (const judge of judges) {
            ofSelected += judge.updates;
            foldedOfSelected += judge.folded;
          }
        }
        for (const source of world.sources) {
          for (const judge of source.judges) {
            ofSources += judge.updates;
            foldedOfSources += judge.folded;
          }
          again += source.again;
          byId += source.byId;
          anew += source.anew;
          if (source.isStopped) stopped++;
        }
        for (const pager of world.pagers) {
          paged += pager.events;
          if (pager.isStale) stale++;
        }
      },
    ),
    { numRuns: RUNS, examples: EXAMPLES, ...(SEED ? { seed: Number(SEED) } : {}) },
  );
  // A property that nothing ever exercises holds as well.
  expect(updates).toBeGreaterThan(RUNS);
  for (const times of [
    resets,
    skips,
    gone,
    stalls,
    paged,
    stale,
    ofSelected,
    ofSources,
    again,
    byId,
    anew,
    stopped,
  ])
    expect(times).toBeGreaterThan(0);
  for (const times of [folded, interleaved, foldedOfSelected, foldedOfSources])
    expect(times).toBeGreaterThan(0);
}, 120_000);
