/** Workers that may not read what was written to their job. */
import { expect, test } from 'vitest';
import { NotPermittedError } from '../../sdk/worker/index.js';
import { type CheckOrder, type WorkerProcess, World } from './worker-simulation.js';

/** Lets everything happen for a while; nothing may be lost on the way. */
async function carryOn(world: World, rounds = 20): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const process of world.processes) {
      while (process.requests.length > 0) process.arrive(0);
      while (process.replies.length > 0) process.answer(0);
      for (const read of process.reads.splice(0)) read();
    }
    await world.settle();
    world.pass(1_000);
  }
}

const texts = (world: World): string[] =>
  world.stream.stored.map(({ text }) => {
    if (text === 'litter') return text;
    const { attempt, status } = JSON.parse(text) as { attempt?: number; status: string };
    return `${attempt} ${status}`;
  });

const missing = (process: WorkerProcess): unknown[] =>
  process.told.filter(({ error }) => error instanceof NotPermittedError).map(({ kind }) => kind);

const orders: CheckOrder[] = ['duplicate first', 'expected first'];

test.each(orders)(
  'G6 the end: a run without an attempt writes nothing over what it may not read (%s)',
  async (order) => {
    const world = new World(order);
    const process = world.process('nothing');
    const done = process.start({ processingId: 'job' }).end({ status: 'completed', result: null });
    await world.heal();
    await done;
    expect(missing(process)).toEqual([]);
    const second = process.start({ processingId: 'job' });
    second.report({ progress: 50 });
    await carryOn(world);
    expect(texts(world)).toEqual(['1 processing', '1 completed']);
    expect(second.signal.aborted).toBe(false);
    expect(new Set(missing(process))).toEqual(new Set(['attempt_unknown']));

    const third = process.start({ processingId: 'job', attempt: 2 });
    const told = third.end({ status: 'completed', result: null });
    await carryOn(world);
    await told;
    expect(texts(world).slice(2)).toEqual(['2 processing', '2 completed']);
  },
);

test('G6 the end: a worker that may read the newest message only writes nothing over what is no event', async () => {
  const world = new World('duplicate first');
  const process = world.process('newest');
  const pen = process.start({ processingId: 'job' });
  await world.heal();
  world.stream.publish('progress.other', 'litter', '', null);
  world.litter('job');
  pen.report({ progress: 50 });
  await carryOn(world);
  expect(texts(world).filter((text) => text.startsWith('1'))).toEqual(['1 processing']);
  expect(pen.signal.aborted).toBe(false);
  expect(new Set(missing(process))).toEqual(new Set(['not_permitted']));
  // Once an event stands there again, it says whose the job is.
  world.timeOut('job');
  await carryOn(world);
  expect(texts(world).slice(-2)).toEqual(['1 error', '1 processing']);
});

test('what nobody hears is asked again before the job is given up', async () => {
  const world = new World('duplicate first');
  const process = world.process('nobody there');
  const pen = process.start({ processingId: 'job' });
  await world.heal();
  const other = world.process('all').start({ processingId: 'job', attempt: 2 });
  await carryOn(world);
  expect(other.attempt).toBe(2);
  pen.report({ progress: 50 });
  for (const wanted of [false, false, true]) {
    process.arrive(0);
    process.answer(0);
    expect(process.reads).toHaveLength(1);
    process.reads.shift()?.();
    await world.settle();
    expect(pen.signal.aborted).toBe(wanted);
    world.pass(10_000);
  }
});
