import { expect, test } from 'vitest';
import { Simulation } from './worker-simulation.js';

test('G3 faults: an event that had to wait for its slot is sent again when no acknowledgement comes, also without heartbeats', () => {
  const simulation = new Simulation('duplicate first');
  const process = simulation.process();
  process.isFull = true;
  process.start({ processingId: 'job', heartbeatSeconds: 0 });
  expect(process.requests).toHaveLength(0);
  process.makeRoom();
  expect(process.requests).toHaveLength(1);
  process.lose(0, 'nothing');
  simulation.pass(5_000);
  simulation.pass(1_000);
  expect(process.requests).toHaveLength(1);
  process.arrive(0);
  process.answer(0);
  expect([simulation.stream.stored.length, process.counts]).toMatchObject([
    1,
    { retried: 1, pendingJobs: 0 },
  ]);
});
