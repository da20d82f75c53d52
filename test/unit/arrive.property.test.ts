/**
 * Everyone arrives: whatever happened, a client that takes at least one update on each of its connections, and is cut off
 * after it, has everything after a bounded number of them.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Scope } from '../../internal/eventlog/record.js';
import type { ModelClient } from '../model/client.js';
import { World } from '../model/world.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 300);
const SEED = process.env.HEADWAY_PROPERTY_SEED;

const JOBS = ['job-0', 'job-1', 'job-2', 'job-3', 'other-4', 'other-5', 'other-6', 'other-7'];

const scope: fc.Arbitrary<Scope> = fc.oneof(
  fc.constantFrom(...JOBS).map((id): Scope => ({ kind: 'job', id, jobTypes: null })),
  fc.constantFrom<Scope>({ kind: 'all', jobTypes: null }, { kind: 'all', jobTypes: new Set(['odd']) }),
);

/** What happens while a client is away: one job reports far more than the stream keeps of it, others a little. */
const meanwhile = fc.record({
  busy: fc.nat({ max: 30 }),
  quiet: fc.array(fc.constantFrom(...JOBS), { maxLength: 3 }),
  fault: fc.constantFrom('none', 'none', 'none', 'restart', 'trim', 'purgeJob', 'rebuild', 'distrust'),
});

const options = fc.record({
  maxPerSubject: fc.constantFrom(2, 5),
  maxReplay: fc.constantFrom(3, 1_000_000),
  pageSize: fc.constantFrom(1, 3, 50),
  tailBytes: fc.constantFrom(600, 3_000),
  lastStateBytes: fc.constantFrom(3_000, 1_000_000),
  complete: fc.boolean(),
});

/** Everything that takes time comes to rest, as far as it does without the client reading. */
async function settle(world: World, client: ModelClient): Promise<void> {
  for (let round = 0; round < 40; round++) {
    world.deliver(1_000);
    world.look();
    world.heartbeat();
    world.turn();
    await world.answer(1_000);
    if (client.unread > 0 && round > 3) return;
  }
}

/** One connection: reads until it was shown something new, or has everything; then the line is cut. */
async function connectOnce(world: World, client: ModelClient): Promise<'nearer' | 'arrived'> {
  world.reconnect(client);
  const before = client.updates;
  for (let frame = 0; frame < 500; frame++) {
    await settle(world, client);
    client.read(1);
    if (client.isCaughtUp || client.isDone) return 'arrived';
    if (client.updates > before) break;
  }
  world.drop(client);
  return 'nearer';
}

type Value<T> = T extends fc.Arbitrary<infer V> ? V : never;
type Program = [Value<typeof options>, Scope, Value<typeof meanwhile>[]];

/** More than the stream keeps comes from the memory of an edge, one update for each connection. */
const FROM_MEMORY: Program = [
  {
    maxPerSubject: 2,
    maxReplay: 1_000_000,
    pageSize: 1,
    tailBytes: 3_000,
    lastStateBytes: 3_000,
    complete: false,
  },
  { kind: 'all', jobTypes: null },
  [
    { busy: 2, quiet: [], fault: 'none' },
    { busy: 2, quiet: [], fault: 'none' },
    { busy: 0, quiet: ['job-1', 'job-1'], fault: 'none' },
  ],
];

test('G5 stale cursors: a client that is cut after every update arrives within a bounded number of connections', async () => {
  let [longest, skips, resets] = [0, 0, 0];
  await fc.assert(
    fc.asyncProperty(
      options,
      scope,
      fc.array(meanwhile, { minLength: 1, maxLength: 8, size: 'max' }),
      async (chosen, follows, happenings) => {
        const world = new World(chosen);
        for (const id of JOBS) world.stream.publish(id, 'processing');
        const client = world.connect(follows);
        world.drop(client);
        let connections = 0;
        for (const { busy, quiet, fault } of happenings) {
          for (let n = 0; n < busy; n++) world.stream.publish('job-1', 'processing');
          for (const id of quiet) world.stream.publish(id, 'processing');
          if (fault === 'restart') world.restartEdge();
          if (fault === 'trim') world.stream.removeOldest(3);
          if (fault === 'purgeJob') world.stream.purgeJob('job-2');
          if (fault === 'rebuild') world.rebuildFeed();
          if (fault === 'distrust') world.distrust();
          await connectOnce(world, client);
          connections++;
          world.drop(client);
        }
        // From here on nothing happens. What is left is what the stream still keeps after the cursor, and what memory has
        // that the stream has let go, at most.
        const bound = world.stream.kept.size + world.remembered + 2;
        for (let left = bound; ; left--) {
          expect(left, `${client.name} does not arrive within ${bound} connections`).toBeGreaterThan(0);
          connections++;
          if ((await connectOnce(world, client)) === 'arrived') break;
        }
        await world.verify();
        longest = Math.max(longest, connections);
        skips += client.skips;
        resets += client.resets;
      },
    ),
    { numRuns: RUNS, examples: [FROM_MEMORY], ...(SEED ? { seed: Number(SEED) } : {}) },
  );
  for (const times of [longest, skips, resets]) expect(times).toBeGreaterThan(0);
});
