import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ModelPage, settled } from '../model/page.js';
import type { Kind } from '../model/stream.js';
import { World } from '../model/world.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 300);
const SEED = process.env.HEADWAY_PROPERTY_SEED;

const JOBS = ['job-0', 'job-1', 'job-2'];
const job = fc.constantFrom(...JOBS);
const kind: fc.Arbitrary<Kind> = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Kind>('processing') },
  { weight: 1, arbitrary: fc.constantFrom<Kind>('completed', 'retryable', 'failed', 'invalid') },
);
const who = fc.nat(9);
const upTo = (max: number) => fc.integer({ min: 1, max });
const named = <T extends string>(...steps: T[]) => fc.record({ do: fc.constantFrom(...steps) });

const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('publish' as const), job, kind, times: upTo(4) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('deliver' as const), count: upTo(8) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('answer' as const), count: upTo(3) }) },
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant('move' as const), up: fc.nat(3), down: fc.nat(6) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('follow' as const),
      job,
      /** Whose cursor is given; null: none is. */
      after: fc.option(who, { freq: 1 }),
      isLooped: fc.boolean(),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('ask' as const), who, times: upTo(5) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('close' as const), who }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: upTo(8_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('trim' as const), count: upTo(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purgeJob' as const), job }) },
  { weight: 12, arbitrary: named('turn', 'accept') },
  { weight: 4, arbitrary: named('heartbeat', 'cut') },
  { weight: 3, arbitrary: named('look', 'restart', 'recreate', 'distrust', 'rebuild') },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const options = fc.record({
  maxPerSubject: fc.constantFrom(3, 10, 1_000),
  maxReplay: fc.constantFrom(20, 1_000_000),
  pageSize: fc.constantFrom(1, 3, 50),
  tailBytes: fc.constantFrom(600, 3_000, 1_000_000),
  lastStateBytes: fc.constantFrom(1_900, 1_000_000),
  complete: fc.boolean(),
  /** Updates a second; undefined: every event. */
  maxRate: fc.constantFrom(undefined, 0.2, 1, 50),
  /** How long a job is kept behind its last follower. */
  lingerMs: fc.constantFrom(0, 5_000),
});

async function take(world: World, page: ModelPage, next: Step): Promise<void> {
  const held = 'who' in next ? page.held[next.who % Math.max(1, page.held.length)] : undefined;
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
      await page.socket?.move(next.up, next.down);
      return;
    case 'follow': {
      const given =
        next.after === null ? undefined : page.held[next.after % Math.max(1, page.held.length)]?.job;
      page.follow(next.job, given?.id === next.job ? given.cursor : null, next.isLooped);
      return;
    }
    case 'ask':
      for (let i = 0; held !== undefined && i < next.times; i++) {
        page.ask(held);
        await settled();
      }
      return;
    case 'close':
      if (held !== undefined) page.close(held);
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
async function rest(world: World, page: ModelPage): Promise<void> {
  // A job whose pongs were held back is asked for again 10 s behind the last ping, which may come when a job is let go of.
  for (let quiet = 0, round = 0; quiet < 20 && round < 2_000; round++) {
    const before = page.judges.reduce((sum, { updates }) => sum + updates, 0);
    world.deliver(1_000);
    world.look();
    world.turn();
    await world.answer(1_000);
    page.socket?.accept();
    await page.socket?.move(1_000, 1_000);
    for (const held of page.held) page.ask(held);
    world.heartbeat();
    page.clock.pass(1_000);
    world.pass(1_000);
    await settled();
    const after = page.judges.reduce((sum, { updates }) => sum + updates, 0);
    const isSettled = page.client.connection === 'open' || page.client.connection === 'idle';
    quiet = isSettled && after === before ? quiet + 1 : 0;
  }
}

// A small queue, so that it overflows: what is dropped of it comes again.
beforeAll(async () => {
  (await import('../../sdk/client/loop.js')).limits.queued = 4;
});
afterAll(async () => {
  (await import('../../sdk/client/loop.js')).limits.queued = 1_000;
});

test('G1 order, G5 stale cursors: whatever is cut, each follower gets every event after its first state once, in order, or a reset', async () => {
  let updates = 0;
  let folded = 0;
  let resets = 0;
  let sockets = 0;
  await fc.assert(
    fc.asyncProperty(
      options,
      fc.array(step, { minLength: 40, maxLength: 150, size: 'max' }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      async (chosen, program, random) => {
        const world = new World(chosen);
        const page = new ModelPage(world, () => random.next().value, chosen);
        for (const next of program) {
          await take(world, page, next);
          await settled();
          if (page.failure !== null) throw page.failure;
        }
        await rest(world, page);
        page.verify();
        for (const judge of page.judges) {
          updates += judge.updates;
          folded += judge.folded;
          resets += judge.resets;
        }
        sockets += page.sockets.length;
        page.client.close();
      },
    ),
    { numRuns: RUNS, ...(SEED !== undefined && { seed: Number(SEED) }) },
  );
  // It is no proof if nothing happened.
  expect(updates).toBeGreaterThan(RUNS);
  expect(folded).toBeGreaterThan(RUNS / 10);
  expect(resets).toBeGreaterThan(0);
  expect(sockets).toBeGreaterThan(RUNS);
}, 120_000);
