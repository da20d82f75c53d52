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

test('G9 memory: an event that is evicted while its worker hears that it was too large is not kept for ever', () => {
  const simulation = new Simulation('duplicate first');
  const process = simulation.process();
  const kept = new Set<number>();
  const { registerReply, unregisterReply, publish, maxPayload } = process;
  Object.assign(process, {
    maxPayload: 10,
    publish: () => false,
    registerReply: (...all: Parameters<typeof registerReply>) => {
      const token = registerReply.apply(process, all);
      kept.add(token);
      return token;
    },
    unregisterReply: (...all: Parameters<typeof unregisterReply>) => {
      unregisterReply.apply(process, all);
      kept.delete(all[1]);
    },
  });
  process.isFull = true;
  const jobWriter = process.start({ processingId: 'job', heartbeatSeconds: 0 });
  // A program may start a job where it is warned, for which there is no room.
  process.warnings.push = ({ kind }) => {
    if (kind === 'event_truncated') jobWriter.evict();
    return 0;
  };
  process.makeRoom();
  Object.assign(process, { maxPayload, publish });
  simulation.pass(1_000);
  process.arrive(0);
  process.answer(0);
  expect([process.counts, kept.size]).toMatchObject([{ dropped: 1, acknowledged: 1, pendingJobs: 0 }, 0]);
});
