import fc from 'fast-check';
import { afterAll, beforeAll } from 'vitest';
import { type ModelSocket, settled } from '../model/page.js';
import type { Kind } from '../model/stream.js';
import type { World } from '../model/world.js';
import type { TestClock } from './test-clock.js';

// Random programs for a page with the real client, in a world that is a model: what those of both kinds of page have in common.

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 300);
const SEED = process.env.HEADWAY_PROPERTY_SEED;

/** What a program needs of a page. */
export interface ProgramPage {
  readonly clock: TestClock;
  readonly socket: ModelSocket | undefined;
  readonly failure: unknown;
  /** So many updates were given. */
  readonly updates: number;
  readonly isQuiet: boolean;
  /** Each of its loops asks for the next one. */
  askAll(): void;
  verify(): void;
  close(): void;
}

export const upTo = (max: number) => fc.integer({ min: 1, max });
export const named = <T extends string>(...steps: T[]) => fc.record({ do: fc.constantFrom(...steps) });

/** What happens to the world and to the connection, whoever follows what. */
export const worldSteps = (job: fc.Arbitrary<string>, kind: fc.Arbitrary<Kind>) =>
  [
    { weight: 12, arbitrary: fc.record({ do: fc.constant('publish' as const), job, kind, times: upTo(4) }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant('deliver' as const), count: upTo(8) }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('answer' as const), count: upTo(3) }) },
    {
      weight: 12,
      arbitrary: fc.record({ do: fc.constant('move' as const), up: fc.nat(6), down: fc.nat(6) }),
    },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: upTo(8_000) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('trim' as const), count: upTo(20) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('purgeJob' as const), job }) },
    { weight: 12, arbitrary: named('turn', 'accept') },
    { weight: 4, arbitrary: named('heartbeat', 'cut') },
    { weight: 2, arbitrary: named('look', 'restart', 'recreate', 'distrust', 'rebuild') },
  ] as const;

type WorldStep = ReturnType<typeof worldSteps>[number]['arbitrary'] extends fc.Arbitrary<infer T> ? T : never;

export const worldOptions = {
  maxPerSubject: fc.constantFrom(3, 10, 1_000),
  maxReplay: fc.constantFrom(20, 1_000_000),
  pageSize: fc.constantFrom(1, 3, 50),
  complete: fc.boolean(),
  /** Updates a second; undefined: every event. */
  maxRate: fc.constantFrom(undefined, 0.2, 1, 50),
};

export async function takeWorldStep(world: World, page: ProgramPage, next: WorldStep): Promise<void> {
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
async function rest(world: World, page: ProgramPage): Promise<void> {
  // A job whose pongs were held back is asked for again 10 s behind the last ping, which may come when a job is let go of.
  for (let quiet = 0, round = 0; quiet < 20 && round < 2_000; round++) {
    const before = page.updates;
    world.deliver(1_000);
    world.look();
    world.turn();
    await world.answer(1_000);
    page.socket?.accept();
    await page.socket?.move(1_000, 1_000);
    page.askAll();
    world.heartbeat();
    page.clock.pass(1_000);
    world.pass(1_000);
    await settled();
    quiet = page.isQuiet && page.updates === before ? quiet + 1 : 0;
  }
}

export interface Programs<Options, Step, Page extends ProgramPage> {
  readonly options: fc.Arbitrary<Options>;
  readonly step: fc.Arbitrary<Step>;
  open(options: Options, random: () => number): Promise<{ readonly world: World; readonly page: Page }>;
  take(world: World, page: Page, step: Step): Promise<void>;
  /** What happened to a page, whose program is over. */
  count(page: Page): void;
}

/**
 * Runs random programs until one fails.
 * @returns how many there were
 */
export async function runPrograms<Options, Step, Page extends ProgramPage>({
  options,
  step,
  open,
  take,
  count,
}: Programs<Options, Step, Page>): Promise<number> {
  await fc.assert(
    fc.asyncProperty(
      options,
      fc.array(step, { minLength: 40, maxLength: 150, size: 'max' }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      async (chosen, program, random) => {
        const { world, page } = await open(chosen, () => random.next().value);
        for (const next of program) {
          await take(world, page, next);
          await settled();
          if (page.failure !== null) throw page.failure;
        }
        await rest(world, page);
        page.verify();
        count(page);
        page.close();
      },
    ),
    { numRuns: RUNS, ...(SEED !== undefined && { seed: Number(SEED) }) },
  );
  return RUNS;
}

/** A small queue for each loop, so that it overflows: what is dropped of it comes again. */
export function useSmallQueues(): void {
  let queued: number;
  beforeAll(async () => {
    const { limits } = await import('../../sdk/client/loop.js');
    ({ queued } = limits);
    limits.queued = 4;
  });
  afterAll(async () => {
    (await import('../../sdk/client/loop.js')).limits.queued = queued;
  });
}
