import fc from 'fast-check';
import { expect, test } from 'vitest';
import { judge, type Tally } from './checker.js';
import { JOBS, type Options, options, type Step, step, take } from './program-steps.js';
import { SelectedRecorder } from './selected-recorder.js';
import { NatsFault, ProgramWorld } from './system-under-test.js';

const PROGRAMS = Number(process.env.HEADWAY_PROGRAMS ?? 10);
const SEED = process.env.HEADWAY_PROPERTY_SEED;
const PATH = process.env.HEADWAY_PROPERTY_PATH;

const count = (counts: Record<string, number>, name: string, by = 1): void => {
  counts[name] = (counts[name] ?? 0) + by;
};

test('G1 order, G2 state first, G3 faults, G4 slow readers, G5 stale cursors, G6 the end, G10 any edge: after any program every client has exactly what it is owed', async () => {
  const steps: Record<string, number> = {};
  const resets: Record<string, number> = {};
  const skips: Record<string, number> = {};
  const faults: Record<string, number> = {};
  let [programs, clients, updates, events, gone] = [0, 0, 0, 0, 0];
  let [connections, taken, read] = [0, 0, 0];
  let [selected, joint] = [0, 0];

  const run = async (chosen: Options, program: Step[]): Promise<void> => {
    await using world = await ProgramWorld.start(chosen);
    for (const [index, one] of chosen.audience.entries())
      await world.audience.connect(one, index % 3 > 0, index);
    try {
      for (const next of program) {
        await take(world, next);
        count(steps, next.do);
      }
      // First as things are: a new event would wake up who was forgotten. Then the end of every job.
      await world.rest();
    } catch (error) {
      if (!(error instanceof NatsFault)) throw error;
      count(faults, error.message);
      return;
    }
    const verify = (): Tally[] =>
      world.audience.clients.flatMap(({ recorder }) =>
        recorder.members.map((member) => judge(member, world.truths)),
      );
    verify();
    await world.newcomers();
    const needed = await world.audience.arrivals(chosen.cutAfter);
    connections += needed.connections;
    taken += needed.bytes;
    read += needed.read;
    verify();
    for (const id of JOBS) await world.publish(id, 'completed', 1, 10);
    await world.rest();
    for (const { recorder } of world.audience.clients) {
      if (recorder.scope.kind === 'all') continue;
      const deadline = performance.now() + 10_000;
      while (!recorder.hasEnded && performance.now() < deadline) await recorder.change(1_000);
      expect(recorder.hasEnded, recorder.describe()).toBe(true);
    }
    for (const tally of verify()) {
      updates += tally.updates;
      gone += tally.gone;
      for (const [reason, times] of Object.entries(tally.skips)) count(skips, reason, times);
      for (const [reason, times] of Object.entries(tally.resets)) count(resets, reason, times);
    }
    programs++;
    clients += world.audience.clients.length;
    for (const { recorder } of world.audience.clients) {
      if (!(recorder instanceof SelectedRecorder)) continue;
      selected += recorder.members.length;
      joint += recorder.jointResumes;
    }
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
    `    ${programs} programs, ${clients} clients, ${selected} jobs selected on one connection with others (${joint} times back with one number for all), ${events} events stored, ${updates} updates checked, ` +
      `${connections} connections until everyone who was cut had arrived, who took ${taken} bytes; ` +
      `${read} were read from NATS for them\n` +
      `    steps: ${JSON.stringify(steps)}\n    resets: ${JSON.stringify(resets)}, skips: ${JSON.stringify(skips)}, ${gone} gone\n    given up for nats-server: ${JSON.stringify(faults)}\n`,
  );
  // A property that nothing ever exercises holds as well.
  if (!PATH) expect(updates).toBeGreaterThan(PROGRAMS);
}, 3_600_000);
