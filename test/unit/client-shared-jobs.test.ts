import { expect, test } from 'vitest';
import { settled } from '../model/page.js';
import { clientWorld, update } from './client-fixture.js';

test('G3 faults: a job that an edge has no room for now goes on where it was, after a wait; its page hears of no error', async () => {
  const { client, wires, say, hello, pass } = clientWorld();
  const job = client.job('job-1', { after: '7.e.s' });
  const errors: Error[] = [];
  job.addEventListener('error', ({ detail }) => errors.push(detail));
  await settled();
  await pass(100);
  await hello();
  wires[0]?.asked.splice(0);
  await say({ type: 'error', code: 'overloaded', message: 'too many reads wait', processing_id: 'job-1' });
  await pass(1_900);
  expect(wires[0]?.asked).toEqual([]);
  await pass(2_200);
  expect(wires[0]?.asked).toEqual([[{ id: 'job-1', position: { seq: 7, epoch: 'e', scope: 's' } }]]);
  await say({ type: 'following', processing_id: 'job-1', cursor: 9, scope: 's' });
  expect([errors, job.getSnapshot().error, job.getSnapshot().isCurrent]).toEqual([[], null, true]);
  client.close();
});

test('a job that nobody follows any more is not asked for again', async () => {
  const { client, wires, say, hello, pass } = clientWorld({ lingerMs: 1_000 });
  const job = client.job('job-1');
  await settled();
  await pass(100);
  await hello();
  wires[0]?.asked.splice(0);
  await say({ type: 'error', code: 'internal', message: 'not now', processing_id: 'job-1' });
  job.close();
  await pass(20_000);
  expect(wires[0]?.asked).toEqual([]);
  client.close();
});

test('G7 nobody unauthorised: when a renewed token opens less of all jobs, what it does not open is shown no longer', async () => {
  const { client, loaded, say, hello } = clientWorld();
  const jobs = client.jobs();
  const said: unknown[] = [];
  jobs.addEventListener('update', ({ detail }) => said.push(detail.seq));
  jobs.addEventListener('reset', ({ detail }) => said.push(detail.reason));
  await loaded();
  await hello({ scope: 'wide' });
  await say(update('a', 5), update('b', 7), { type: 'caught_up', cursor: 9 });
  await say({ type: 'auth_ok', expires_at: '2026-01-31T12:00:00Z', scope: 'narrow' });
  await hello({ scope: 'narrow' });
  await say(update('a', 5), { type: 'caught_up', cursor: 9 });
  expect([...jobs.getSnapshot().jobs.keys()]).toEqual(['a']);
  expect(said).toEqual([5, 7, 'scope', 5]);
  client.close();
});
