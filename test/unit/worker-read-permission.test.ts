/** Workers that may not read what was written to their job. */
import { expect, test } from 'vitest';
import { NotPermittedError } from '../../sdk/worker/index.js';
import { type CheckOrder, Simulation, type WorkerProcess } from './worker-simulation.js';

/** Lets everything happen for a while; nothing may be lost on the way. */
async function carryOn(simulation: Simulation, rounds = 20): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const process of simulation.processes) {
      while (process.requests.length > 0) process.arrive(0);
      while (process.replies.length > 0) process.answer(0);
      for (const read of process.reads.splice(0)) read();
    }
    await simulation.settle();
    simulation.pass(1_000);
  }
}

const texts = (simulation: Simulation): string[] =>
  simulation.stream.stored.map(({ text }) => {
    if (text === 'litter') return text;
    const { attempt, status } = JSON.parse(text) as { attempt?: number; status: string };
    return `${attempt} ${status}`;
  });

const missing = (process: WorkerProcess): unknown[] =>
  process.warnings.filter(({ error }) => error instanceof NotPermittedError).map(({ kind }) => kind);

const orders: CheckOrder[] = ['duplicate first', 'expected first'];

test.each(orders)(
  'G6 the end: a run without an attempt writes nothing over what it may not read (%s)',
  async (order) => {
    const simulation = new Simulation(order);
    const process = simulation.process('nothing');
    const done = process.start({ processingId: 'job' }).end({ status: 'completed', result: null });
    await simulation.heal();
    await done;
    expect(missing(process)).toEqual([]);
    const second = process.start({ processingId: 'job' });
    second.report({ progress: 50 });
    await carryOn(simulation);
    expect(texts(simulation)).toEqual(['1 processing', '1 completed']);
    expect(second.signal.aborted).toBe(false);
    expect(new Set(missing(process))).toEqual(new Set(['attempt_unknown']));

    const third = process.start({ processingId: 'job', attempt: 2 });
    const warnings = third.end({ status: 'completed', result: null });
    await carryOn(simulation);
    await warnings;
    expect(texts(simulation).slice(2)).toEqual(['2 processing', '2 completed']);
  },
);

test('G6 the end: a worker that may read the newest message only writes nothing over what is no event', async () => {
  const simulation = new Simulation('duplicate first');
  const process = simulation.process('newest');
  const jobWriter = process.start({ processingId: 'job' });
  await simulation.heal();
  simulation.stream.publish('progress.other', 'litter', '', null);
  simulation.litter('job');
  jobWriter.report({ progress: 50 });
  await carryOn(simulation);
  expect(texts(simulation).filter((text) => text.startsWith('1'))).toEqual(['1 processing']);
  expect(jobWriter.signal.aborted).toBe(false);
  expect(new Set(missing(process))).toEqual(new Set(['not_permitted']));
  // Once an event stands there again, it says whose the job is.
  simulation.timeOut('job');
  await carryOn(simulation);
  expect(texts(simulation).slice(-2)).toEqual(['1 error', '1 processing']);
});

test('what nobody hears is asked again before the job is given up', async () => {
  const simulation = new Simulation('duplicate first');
  const process = simulation.process('nobody there');
  const jobWriter = process.start({ processingId: 'job' });
  await simulation.heal();
  const other = simulation.process('all').start({ processingId: 'job', attempt: 2 });
  await carryOn(simulation);
  expect(other.attempt).toBe(2);
  jobWriter.report({ progress: 50 });
  for (const wanted of [false, false, true]) {
    process.arrive(0);
    process.answer(0);
    expect(process.reads).toHaveLength(1);
    process.reads.shift()?.();
    await simulation.settle();
    expect(jobWriter.signal.aborted).toBe(wanted);
    simulation.pass(10_000);
  }
});
