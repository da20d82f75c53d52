import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ModelPage, settled } from '../model/page.js';
import type { Kind } from '../model/stream.js';
import { World } from '../model/world.js';
import {
  runPrograms,
  takeWorldStep,
  upTo,
  useSmallQueues,
  worldOptions,
  worldSteps,
} from './client-programs.js';

const job = fc.constantFrom('job-0', 'job-1', 'job-2');
const kind: fc.Arbitrary<Kind> = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Kind>('processing') },
  { weight: 1, arbitrary: fc.constantFrom<Kind>('completed', 'retryable', 'failed', 'invalid') },
);
const who = fc.nat(9);

const step = fc.oneof(
  ...worldSteps(job, kind),
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
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const options = fc.record({
  ...worldOptions,
  tailBytes: fc.constantFrom(600, 3_000, 1_000_000),
  lastStateBytes: fc.constantFrom(1_900, 1_000_000),
  /** How long a job is kept behind its last follower. */
  lingerMs: fc.constantFrom(0, 5_000),
});

async function take(world: World, page: ModelPage, next: Step): Promise<void> {
  const heldBy = (index: number) => page.held[index % Math.max(1, page.held.length)];
  switch (next.do) {
    case 'follow': {
      const given = next.after === null ? undefined : heldBy(next.after)?.job;
      page.follow(next.job, given?.id === next.job ? given.cursor : null, next.isLooped);
      return;
    }
    case 'ask': {
      const held = heldBy(next.who);
      for (let i = 0; held !== undefined && i < next.times; i++) {
        page.ask(held);
        await settled();
      }
      return;
    }
    case 'close': {
      const held = heldBy(next.who);
      if (held !== undefined) page.stop(held);
      return;
    }
    default:
      await takeWorldStep(world, page, next);
  }
}

useSmallQueues();

test('G1 order, G5 stale cursors: whatever is cut, each follower gets every event after its first state once, in order, or a reset', async () => {
  let [updates, folded, resets, sockets] = [0, 0, 0, 0];
  const runs = await runPrograms({
    ...{ options, step, take },
    async open(chosen, random) {
      const world = new World(chosen);
      return { world, page: new ModelPage(world, random, chosen) };
    },
    count(page) {
      for (const judge of page.judges) {
        updates += judge.updates;
        folded += judge.folded;
        resets += judge.resets;
      }
      sockets += page.sockets.length;
    },
  });
  // It is no proof if nothing happened.
  expect(updates).toBeGreaterThan(runs);
  expect(folded).toBeGreaterThan(runs / 10);
  expect(resets).toBeGreaterThan(0);
  expect(sockets).toBeGreaterThan(runs);
}, 120_000);
