import { expect, test } from 'vitest';
import { Simulation } from './worker-simulation.js';

const percents = (simulation: Simulation): unknown[] =>
  simulation.stream.stored.map(({ text }) => (JSON.parse(text) as { progress: number }).progress);

test.each([
  ['waits for its turn', true],
  ['waits behind the one on its way', false],
])('at a close the newest state is sent at once, where it %s', async (_, isAnswered) => {
  const simulation = new Simulation('duplicate first');
  const process = simulation.process('all', { maxUpdatesPerSecond: 0.05 });
  const jobWriter = process.start({ processingId: 'job' });
  const answer = (): void => {
    process.arrive(0);
    process.answer(0);
  };
  if (isAnswered) answer();
  jobWriter.report({ progress: 50 });
  expect(process.requests).toHaveLength(isAnswered ? 0 : 1);
  jobWriter.flush();
  if (!isAnswered) answer();
  answer();
  expect(percents(simulation)).toEqual([0, 50]);
  // The job may go on until the reporter is closed.
  jobWriter.report({ progress: 60 });
  answer();
  expect(percents(simulation)).toEqual([0, 50, 60]);
  expect(process.counts.pendingJobs).toBe(0);
});
