import { expect, test } from 'vitest';
import { World } from './worker-simulation.js';

const percents = (world: World): unknown[] =>
  world.stream.stored.map(({ text }) => (JSON.parse(text) as { progress: number }).progress);

test.each([
  ['waits for its turn', true],
  ['waits behind the one on its way', false],
])('at a close the newest state is sent at once, where it %s', async (_, isAnswered) => {
  const world = new World('duplicate first');
  const process = world.process('all', { maxUpdatesPerSecond: 0.05 });
  const pen = process.start({ processingId: 'job' });
  const answer = (): void => {
    process.arrive(0);
    process.answer(0);
  };
  if (isAnswered) answer();
  pen.report({ progress: 50 });
  expect(process.requests).toHaveLength(isAnswered ? 0 : 1);
  pen.flush();
  if (!isAnswered) answer();
  answer();
  expect(percents(world)).toEqual([0, 50]);
  // The job may go on until the reporter is closed.
  pen.report({ progress: 60 });
  answer();
  expect(percents(world)).toEqual([0, 50, 60]);
  expect(process.counts.pendingJobs).toBe(0);
});
