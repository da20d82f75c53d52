import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ModelAllPage } from '../model/all-page.js';
import { settled } from '../model/page.js';
import type { Kind } from '../model/stream.js';
import { World } from '../model/world.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 300);
const SEED = process.env.HEADWAY_PROPERTY_SEED;

const job = fc.constantFrom('job-0', 'job-1', 'job-2', 'job-3');
const kind: fc.Arbitrary<Kind> = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Kind>('processing') },
  { weight: 2, arbitrary: fc.constantFrom<Kind>('completed', 'reading', 'again', 'invalid') },
);
const upTo = (max: number) => fc.integer({ min: 1, max });
const named = <T extends string>(...steps: T[]) => fc.record({ do: fc.constantFrom(...steps) });

const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('publish' as const), job, kind, times: upTo(4) }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('deliver' as const), count: upTo(12) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('answer' as const), count: upTo(3) }) },
  { weight: 14, arbitrary: fc.record({ do: fc.constant('move' as const), down: fc.nat(6) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('ask' as const), times: upTo(5) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: upTo(8_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('trim' as const), count: upTo(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purgeJob' as const), job }) },
  { weight: 12, arbitrary: named('turn', 'accept') },
  { weight: 4, arbitrary: named('heartbeat', 'cut') },
  { weight: 2, arbitrary: named('look', 'restart', 'recreate', 'distrust', 'rebuild') },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const options = fc.record({
  maxPerSubject: fc.constantFrom(3, 1_000),
  maxReplay: fc.constantFrom(20, 1_000_000),
  pageSize: fc.constantFrom(1, 3, 50),
  tailBytes: fc.constantFrom(3_000, 1_000_000),
  lastStateBytes: fc.constant(1_000_000),
  complete: fc.boolean(),
  /** Updates a second; undefined: every event. */
  maxRate: fc.constantFrom(undefined, 0.2, 1, 50),
});

async function take(world: World, page: ModelAllPage, next: Step): Promise<void> {
  switch (next.do) {
    case 'publish':
      for (let i = 0; i < next.times; i++) world.stream.publish(next.job, next.kind);
      return;
    case 'deliver':
      world.deliver(next.count);
      return;
    case 'answer':
      await world.answer(next.count);
      return;
    case 'turn':
      world.turn();
      return;
    case 'accept':
      page.socket?.accept();
      return;
    case 'move':
      await page.socket?.move(6, next.down);
      return;
    case 'ask':
      for (let i = 0; i < next.times; i++) {
        page.ask();
        await settled();
      }
      return;
    case 'pass':
      page.clock.pass(next.ms);
      world.pass(next.ms);
      return;
    case 'cut':
      page.socket?.cut();
      return;
    case 'heartbeat':
      world.heartbeat();
      return;
    case 'look':
      world.look();
      return;
    case 'trim':
      world.stream.removeOldest(next.count);
      return;
    case 'purgeJob':
      world.stream.purgeJob(next.job);
      return;
    case 'restart':
      page.socket?.cut();
      world.restartEdge();
      return;
    case 'recreate':
      world.stream.recreate();
      return;
    case 'distrust':
      world.distrust();
      return;
    case 'rebuild':
      world.rebuildFeed();
      return;
  }
}

/** Everything that is under way comes to rest. */
async function rest(world: World, page: ModelAllPage): Promise<void> {
  for (let quiet = 0, round = 0; quiet < 12 && round < 2_000; round++) {
    const before = page.handlers.updates + page.loop.updates;
    world.deliver(1_000);
    world.look();
    world.turn();
    await world.answer(1_000);
    page.socket?.accept();
    await page.socket?.move(1_000, 1_000);
    page.ask();
    world.heartbeat();
    page.clock.pass(1_000);
    world.pass(1_000);
    await settled();
    const isSettled = page.handlers.updates + page.loop.updates === before;
    quiet = isSettled && page.jobs.getSnapshot().isCurrent ? quiet + 1 : 0;
  }
}

// A small queue, so that it overflows: what is dropped of it comes again.
beforeAll(async () => {
  (await import('../../sdk/client/loop.js')).limits.queued = 4;
  await import('../../sdk/client/jobs.js');
});
afterAll(async () => {
  (await import('../../sdk/client/loop.js')).limits.queued = 1_000;
});

test('G1 order, G5 stale cursors: of all jobs, whatever is cut, handlers and loop get every event, or one that stands for it, once, in order, or a reset', async () => {
  let [updates, folded, resets, skips, sockets] = [0, 0, 0, 0, 0];
  await fc.assert(
    fc.asyncProperty(
      options,
      fc.array(step, { minLength: 40, maxLength: 150, size: 'max' }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      async (chosen, program, random) => {
        const world = new World(chosen);
        const page = new ModelAllPage(world, () => random.next().value, chosen.maxRate);
        // What it loads when it is needed.
        while (page.jobs.getSnapshot().connection === 'idle') await new Promise(setImmediate);
        for (const next of program) {
          await take(world, page, next);
          await settled();
          if (page.failure !== null) throw page.failure;
        }
        await rest(world, page);
        page.verify();
        for (const judge of [page.handlers, page.loop]) {
          updates += judge.updates;
          folded += judge.folded;
        }
        resets += page.handlers.resets;
        skips += page.skips;
        sockets += page.sockets.length;
        page.client.close();
      },
    ),
    { numRuns: RUNS, ...(SEED !== undefined && { seed: Number(SEED) }) },
  );
  // It is no proof if nothing happened.
  expect(updates).toBeGreaterThan(RUNS);
  expect(folded).toBeGreaterThan(RUNS / 10);
  expect(sockets).toBeGreaterThan(RUNS);
  for (const times of [resets, skips]) expect(times).toBeGreaterThan(0);
}, 120_000);
