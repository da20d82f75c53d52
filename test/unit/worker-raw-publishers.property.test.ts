/** Workers beside publishers that are none of this package: random programs in which anybody writes anything to a job. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Event } from '../../schemas/event.js';
import { readEvent } from '../../sdk/worker/fencing.js';
import { SupersededError } from '../../sdk/worker/index.js';
import type { JobWriter } from '../../sdk/worker/job-writer.js';
import { type CheckOrder, type MayRead, Simulation, type WorkerProcess } from './worker-simulation.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 1_000);
const SEED = process.env.HEADWAY_PROPERTY_SEED;
const CHECKS = { numRuns: RUNS, ...(SEED !== undefined && { seed: Number(SEED) }) };

const MOST_RUNS = 4;
const who = fc.nat(MOST_RUNS - 1);
/** Events without an attempt; what comes late, of an attempt that others have passed, is added below. */
const nameless = fc.constantFrom<Record<string, unknown>>(
  { message: 'queued' },
  { message: 'queued' },
  { progress: 60 },
  { status: 'completed', progress: 100 },
  { status: 'error', error: { code: 'x', retryable: true } },
);
const named = fc.record({
  attempt: fc.integer({ min: 1, max: 4 }),
  status: fc.constantFrom('processing', 'processing', 'completed', 'error'),
});
const steps = (raw: fc.Arbitrary<Record<string, unknown>>, timeOuts: boolean) =>
  fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant('report' as const), who }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('end' as const), who }) },
      // A process that is frozen for a while: nothing of it moves until it moves again.
      { weight: 8, arbitrary: fc.record({ do: fc.constant('move' as const), who }) },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constantFrom('disconnect' as const, 'reconnect' as const), who }),
      },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('start' as const) }) },
      { weight: 5, arbitrary: fc.record({ do: fc.constant('raw' as const), fields: raw }) },
      {
        weight: timeOuts ? 1 : 0,
        arbitrary: fc.record({ do: fc.constantFrom('timeOut' as const, 'litter' as const) }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(100, 5_000) }),
      },
    ),
    { minLength: 4, maxLength: 50, size: 'max' },
  );
type Step = ReturnType<typeof steps> extends fc.Arbitrary<(infer T)[]> ? T : never;

interface Run {
  readonly process: WorkerProcess;
  readonly jobWriter: JobWriter;
}

async function run(simulation: Simulation, mayRead: MayRead, program: readonly Step[]): Promise<Run[]> {
  const runs: Run[] = [];
  for (const step of program) {
    const one = 'who' in step ? runs[step.who] : undefined;
    switch (step.do) {
      case 'report':
        quietly(() => one?.jobWriter.report({ progress: 10 }));
        break;
      case 'end':
        quietly(() => void one?.jobWriter.end({ status: 'completed', result: null }).catch(() => {}));
        break;
      case 'move':
        one?.process.arrive(0);
        one?.process.answer(0);
        one?.process.reads.shift()?.();
        break;
      case 'disconnect':
        one?.process.disconnect();
        break;
      case 'reconnect':
        one?.process.reconnect();
        break;
      case 'start':
        if (runs.length < MOST_RUNS) {
          const process = simulation.process(mayRead);
          runs.push({ process, jobWriter: process.start({ processingId: 'job' }) });
        }
        break;
      case 'raw':
        simulation.raw('job', step.fields);
        break;
      case 'timeOut':
        simulation.timeOut('job');
        break;
      case 'litter':
        simulation.litter('job');
        break;
      case 'pass':
        simulation.pass(step.ms);
        break;
    }
    await simulation.settle();
  }
  return runs;
}

function quietly(call: () => void): void {
  try {
    call();
  } catch (error) {
    if ((error as { code?: string }).code !== 'job_ended') expect(error).toBeInstanceOf(SupersededError);
  }
}

/** The job's attempt after each of its messages, by PROTOCOL.md: the highest so far; one that names none belongs to it. */
function checkWorkers(simulation: Simulation): void {
  let highest = 0;
  let hasEnded = false;
  for (const { text, msgId } of simulation.stream.stored) {
    const event = readEvent('job', Buffer.from(text));
    if (event === null) continue;
    const attempt = event.attempt ?? Math.max(highest, Number(event.status !== 'processing'));
    if (msgId !== '') {
      const story = simulation.stream.stored
        .map((one) => `${one.msgId === '' ? 'raw' : one.msgId} ${one.text}`)
        .join('\n');
      expect(attempt, `an attempt below the job's:\n${story}`).toBeGreaterThanOrEqual(highest);
      if (attempt === highest) expect(hasEnded, `it goes on behind its end:\n${story}`).toBe(false);
    }
    if (attempt > highest) hasEnded = false;
    highest = Math.max(highest, attempt);
    if (attempt === highest && isEnd(event, msgId)) hasEnded = true;
  }
}

// The timeout of an edge, which has no id, is no end: the worker may come back.
const isEnd = ({ status, error }: Event, msgId: string): boolean =>
  status !== 'processing' && !(msgId === '' && error?.code === 'timeout');

const order = fc.constantFrom<CheckOrder>('duplicate first', 'expected first');

test('G6 the end: beside publishers that name no attempt, or a wrong one, no worker falls back behind the highest attempt, or writes behind its end', async () => {
  await fc.assert(
    fc.asyncProperty(order, steps(fc.oneof(nameless, named), true), async (checkOrder, program) => {
      const simulation = new Simulation(checkOrder);
      const runs = await run(simulation, 'all', program);
      await simulation.heal();
      checkWorkers(simulation);
      // The job is free for whoever begins it now.
      const last = simulation.process('all');
      const done = last.start({ processingId: 'job' }).end({ status: 'completed', result: null });
      await simulation.heal();
      await done;
      checkWorkers(simulation);
      for (const { jobWriter } of runs) quietly(() => jobWriter.report({ progress: 20 }));
      await simulation.heal();
      checkWorkers(simulation);
      const stored = simulation.stream.stored.at(-1);
      expect(stored?.msgId.startsWith(last.name), 'nobody takes it back').toBe(true);
    }),
    CHECKS,
  );
});

test('G6 the end: with permission for the newest message alone, beside publishers that name no attempt, the same', async () => {
  await fc.assert(
    fc.asyncProperty(order, steps(nameless, false), async (checkOrder, program) => {
      const simulation = new Simulation(checkOrder);
      await run(simulation, 'newest', program);
      for (const process of simulation.processes) process.reconnect();
      // An event that names an attempt lets those go on that may not look beneath the others.
      simulation.raw('job', { attempt: 90, message: 'taken' });
      await simulation.heal();
      checkWorkers(simulation);
    }),
    CHECKS,
  );
});
