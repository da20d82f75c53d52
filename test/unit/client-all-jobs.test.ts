import { describe, expect, test } from 'vitest';
import { clientWorld, update } from './client-fixture.js';

/** A page that follows all jobs, and what it was told. */
async function page() {
  const w = clientWorld();
  const jobs = w.client.jobs();
  const told: (number | string)[] = [];
  jobs.addEventListener('update', ({ detail }) => told.push(detail.seq));
  jobs.addEventListener('reset', ({ detail }) => told.push(detail.reason));
  await w.loaded();
  return { ...w, jobs, told };
}

describe('all jobs', () => {
  test('G1 order: an edge that is a little behind another takes nothing back', async () => {
    const { hello, say, pass, wires, jobs, told } = await page();
    await hello();
    await say(update('a', 20), update('a', 21, 20), { type: 'caught_up', cursor: 21 });
    wires[0]?.owner.closed({ next: 'retry', code: 1006, message: 'cut', retryAfterMs: 0 });
    await pass(5_000);
    await hello();
    await say({ type: 'caught_up', cursor: 19 });
    expect(jobs.cursor).toBe('21.e.s');
    await say(update('a', 20), update('a', 21, 20), update('a', 22, 21));
    expect(told).toEqual([20, 21, 22]);
  });
});
