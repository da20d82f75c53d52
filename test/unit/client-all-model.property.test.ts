import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { ModelAllPage } from '../model/all-page.js';
import { settled } from '../model/page.js';
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

const job = fc.constantFrom('job-0', 'job-1', 'job-2', 'job-3');
const kind: fc.Arbitrary<Kind> = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Kind>('processing') },
  { weight: 2, arbitrary: fc.constantFrom<Kind>('completed', 'reading', 'again', 'invalid') },
);

const step = fc.oneof(...worldSteps(job, kind), {
  weight: 8,
  arbitrary: fc.record({ do: fc.constant('ask' as const), times: upTo(5) }),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const options = fc.record({
  ...worldOptions,
  tailBytes: fc.constantFrom(3_000, 1_000_000),
  lastStateBytes: fc.constant(1_000_000),
  /** So many finished jobs stay; undefined: all of them. */
  maxFinished: fc.constantFrom(undefined, 0, 1, 2),
});

async function take(world: World, page: ModelAllPage, next: Step): Promise<void> {
  if (next.do !== 'ask') await takeWorldStep(world, page, next);
  else
    for (let i = 0; i < next.times; i++) {
      page.ask();
      await settled();
    }
  await settled();
  page.verifyShown();
}

useSmallQueues();
beforeAll(async () => {
  await import('../../sdk/client/jobs.js');
});

test('G1 order, G5 stale cursors: of all jobs, whatever is cut, handlers and loop get every event, or one that stands for it, once, in order, or a reset', async () => {
  let [updates, folded, resets, skips, sockets, forgotten, back] = [0, 0, 0, 0, 0, 0, 0];
  const runs = await runPrograms({
    ...{ options, step, take },
    async open(chosen, random) {
      const world = new World(chosen);
      const page = new ModelAllPage(world, random, chosen);
      // What it loads when it is needed.
      while (page.jobs.getSnapshot().connection === 'idle') await new Promise(setImmediate);
      return { world, page };
    },
    count(page) {
      for (const judge of [page.handlers, page.loop]) {
        updates += judge.updates;
        folded += judge.folded;
      }
      resets += page.handlers.resets;
      skips += page.skips;
      sockets += page.sockets.length;
      forgotten += page.shown.forgotten;
      back += page.shown.back;
    },
  });
  // It is no proof if nothing happened.
  expect(updates).toBeGreaterThan(runs);
  expect(folded).toBeGreaterThan(runs / 10);
  expect(sockets).toBeGreaterThan(runs);
  for (const times of [resets, skips, forgotten, back]) expect(times).toBeGreaterThan(0);
}, 120_000);
