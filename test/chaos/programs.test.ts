import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Kind } from './program-truth.js';
import { NatsFault, ProgramWorld } from './program-world.js';
import type { Scope } from './recorder.js';
import { judge, type Tally } from './verdict.js';

const PROGRAMS = Number(process.env.HEADWAY_PROGRAMS ?? 12);
const SEED = process.env.HEADWAY_PROPERTY_SEED;
const PATH = process.env.HEADWAY_PROPERTY_PATH;

const JOBS = ['job-0', 'job-1', 'job-2', 'job-3'] as const;
/** Jobs that nobody follows alone. Their states are more than an edge here may hold, so it lets some go. */
const FILLERS = ['other-0', 'other-1', 'other-2', 'other-3', 'other-4'] as const;
const job = fc.constantFrom(...JOBS);
const kind: fc.Arbitrary<Kind> = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Kind>('processing') },
  { weight: 2, arbitrary: fc.constantFrom<Kind>('completed', 'retryable', 'failed', 'invalid') },
);
const scope: fc.Arbitrary<Scope> = fc.oneof(
  job.map((id): Scope => ({ kind: 'job', id })),
  fc.constantFrom<Scope>({ kind: 'all', jobType: null }, { kind: 'all', jobType: 'odd' }),
);
const who = fc.nat(9);
const edge = fc.nat(1);
const is = <T extends string>(name: T) => fc.constant(name);
const times = fc.integer({ min: 1, max: 12 });
// Twenty of the large ones push everything else out of 64 KiB of tail.
const length = fc.constantFrom(10, 200, 3_000);

const step = fc.oneof(
  { weight: 14, arbitrary: fc.record({ do: is('publish'), job, kind, times, length }) },
  { weight: 4, arbitrary: fc.record({ do: is('connect'), scope, proxied: fc.boolean(), edge }) },
  { weight: 4, arbitrary: fc.record({ do: is('drop'), who }) },
  { weight: 8, arbitrary: fc.record({ do: is('resume'), who, edge }) },
  { weight: 6, arbitrary: fc.record({ do: is('settle') }) },
  { weight: 3, arbitrary: fc.record({ do: is('tear'), edge, job }) },
  { weight: 2, arbitrary: fc.record({ do: is('pause'), who }) },
  { weight: 2, arbitrary: fc.record({ do: is('read'), who }) },
  { weight: 2, arbitrary: fc.record({ do: is('flood'), job }) },
  { weight: 2, arbitrary: fc.record({ do: is('fill') }) },
  { weight: 1, arbitrary: fc.record({ do: is('purge') }) },
  { weight: 1, arbitrary: fc.record({ do: is('purgeJob'), job }) },
  { weight: 1, arbitrary: fc.record({ do: is('purgeBelow'), percent: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ do: is('recreate') }) },
  { weight: 1, arbitrary: fc.record({ do: is('deleteConsumer'), edge }) },
  { weight: 2, arbitrary: fc.record({ do: is('cut'), edge }) },
  { weight: 2, arbitrary: fc.record({ do: is('stall'), edge }) },
  { weight: 2, arbitrary: fc.record({ do: is('flow'), edge }) },
  { weight: 1, arbitrary: fc.record({ do: is('killEdge'), edge }) },
  { weight: 1, arbitrary: fc.record({ do: is('killNats') }) },
  { weight: 1, arbitrary: fc.record({ do: is('publishIntoKill'), job }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const options = fc.record({
  maxPerSubject: fc.constantFrom(5, 40, 1_000),
  maxReplay: fc.constantFrom(60, 1_000_000, 1_000_000),
  audience: fc.array(scope, { minLength: 2, maxLength: 6 }),
});
type Options = typeof options extends fc.Arbitrary<infer T> ? T : never;

// Below 1 there is nothing, but nats-server 2.10 takes that for a purge of everything.
async function purgeBelow(world: ProgramWorld, below: number): Promise<void> {
  if (below > 1) await world.purge({ below });
}

async function take(world: ProgramWorld, next: Step): Promise<void> {
  switch (next.do) {
    case 'publish':
      return world.publish(next.job, next.kind, next.times, next.length);
    case 'flood':
      return world.publish(next.job, 'processing', 450, 10_000);
    case 'fill':
      for (const id of FILLERS) await world.publish(id, 'processing', 1, 30_000);
      return;
    case 'connect':
      return world.connect(next.scope, next.proxied, next.edge);
    case 'drop':
      return world.drop(next.who);
    case 'resume':
      return world.resume(next.who, next.edge);
    case 'settle':
      return world.settle();
    case 'tear':
      return world.tear(next.edge, next.job);
    case 'pause':
      return world.pause(next.who);
    case 'read':
      return world.read(next.who);
    case 'purge':
      return world.purge({});
    case 'purgeJob':
      return world.purge({ id: next.job });
    case 'purgeBelow':
      return purgeBelow(world, Math.round((world.truth.last * next.percent) / 100));
    case 'recreate':
      return world.recreate();
    case 'deleteConsumer':
      return world.deleteConsumer(next.edge);
    case 'cut':
    case 'stall':
    case 'flow':
      return world.link(next.edge, next.do);
    case 'killEdge':
      return world.killEdge(next.edge);
    case 'killNats':
      return world.killNats();
    case 'publishIntoKill':
      return world.publishIntoKill(next.job);
  }
}

const count = (counts: Record<string, number>, name: string, by = 1): void => {
  counts[name] = (counts[name] ?? 0) + by;
};

test('G1 order, G2 state first, G3 faults, G4 slow readers, G5 stale cursors, G6 the end, G10 any edge: after any program every client has exactly what it is owed', async () => {
  const steps: Record<string, number> = {};
  const resets: Record<string, number> = {};
  const faults: Record<string, number> = {};
  let [programs, clients, updates, events] = [0, 0, 0, 0];

  const run = async (chosen: Options, program: Step[]): Promise<void> => {
    await using world = await ProgramWorld.start(chosen);
    for (const [index, one] of chosen.audience.entries()) await world.connect(one, index % 3 > 0, index);
    try {
      for (const next of program) {
        await take(world, next);
        count(steps, next.do);
      }
    } catch (error) {
      if (!(error instanceof NatsFault)) throw error;
      count(faults, error.message);
      return;
    }
    // First as things are: a new event would wake up who was forgotten. Then the end of every job.
    await world.rest();
    const verify = (): Tally[] => world.clients.map(({ recorder }) => judge(recorder, world.truths));
    verify();
    for (const id of JOBS) await world.publish(id, 'completed', 1, 10);
    await world.rest();
    for (const { recorder } of world.clients) {
      if (recorder.scope.kind !== 'job') continue;
      const deadline = performance.now() + 10_000;
      while (!recorder.hasEnded && performance.now() < deadline) await recorder.change(1_000);
      expect(recorder.hasEnded, recorder.describe()).toBe(true);
    }
    for (const tally of verify()) {
      updates += tally.updates;
      for (const [reason, times] of Object.entries(tally.resets)) count(resets, reason, times);
    }
    programs++;
    clients += world.clients.length;
    for (const truth of world.truths.values()) events += truth.events;
  };

  await fc.assert(
    fc.asyncProperty(options, fc.array(step, { minLength: 8, maxLength: 25, size: 'max' }), run),
    {
      numRuns: PROGRAMS,
      // A smaller program that fails would take minutes to find.
      endOnFailure: true,
      ...(SEED ? { seed: Number(SEED) } : {}),
      ...(PATH ? { path: PATH } : {}),
    },
  );
  process.stdout.write(
    `    ${programs} programs, ${clients} clients, ${events} events stored, ${updates} updates checked\n` +
      `    steps: ${JSON.stringify(steps)}\n    resets: ${JSON.stringify(resets)}\n    given up for nats-server: ${JSON.stringify(faults)}\n`,
  );
  // A property that nothing ever exercises holds as well.
  if (!PATH) expect(updates).toBeGreaterThan(PROGRAMS);
}, 3_600_000);
