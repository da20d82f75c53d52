import { expect, test } from 'vitest';
// Loaded here: where the machine is busy, a test would be over before it comes.
import '../../sdk/client/refusals.js';
import type { Job, JobsSnapshot } from '../../sdk/client/types.js';
import { clientWorld, update } from './client-fixture.js';

const following = (id: string, cursor: number) =>
  ({ type: 'following', processing_id: id, cursor, scope: 's' }) as const;

test('G1 order: who follows a job from an older cursor in the midst of a batch gets all behind it', async () => {
  const w = clientWorld();
  const seqs: number[] = [];
  let late: Job | undefined;
  w.client.job('a').addEventListener('update', ({ detail }) => {
    if (detail.seq !== 6) return;
    late = w.client.job('a', { after: '3.e.s' });
    late.addEventListener('update', (event) => seqs.push(event.detail.seq));
  });
  await w.pass(100);
  await w.hello();
  await w.say(update('a', 5, 4), following('a', 5));
  await w.say(update('a', 6, 5), update('a', 7, 6));
  await w.pass(100);
  expect(w.wires[0]?.asked.at(-1)).toMatchObject([{ id: 'a', position: { seq: 3 } }]);
  await w.say(update('a', 4, 3), update('a', 5, 4), update('a', 6, 5), update('a', 7, 6), following('a', 7));
  expect(seqs).toEqual([4, 5, 6, 7]);
  expect(late?.getSnapshot().continuity).toEqual({ kind: 'proven' });
  w.client.close();
});

test('a loop that is begun by the handler of an update gets that update once', async () => {
  const w = clientWorld();
  const job = w.client.job('a');
  let loop: AsyncIterator<{ seq: number }> | undefined;
  job.addEventListener('update', ({ detail }) => {
    if (detail.seq === 6) loop = job[Symbol.asyncIterator]();
  });
  await w.pass(100);
  await w.hello();
  await w.say(update('a', 5, 4), update('a', 6, 5), update('a', 7, 6));
  await w.loaded();
  expect([(await loop?.next())?.value.seq, (await loop?.next())?.value.seq]).toEqual([6, 7]);
  w.client.close();
});

test('G5 stale cursors: a cursor of a future is reset, also where older events come first for another follower', async () => {
  const w = clientWorld();
  w.client.job('a', { after: '9.e.s' });
  const ahead = w.client.job('a', { after: '90.e.s' });
  const told: unknown[] = [];
  ahead.addEventListener('reset', ({ detail }) => told.push(detail.reason));
  ahead.addEventListener('update', ({ detail }) => told.push(detail.seq));
  await w.pass(100);
  await w.hello();
  await w.say(update('a', 20, 9), update('a', 25, 20), following('a', 25));
  expect(told).toEqual(['ahead', 25]);
  await w.say(update('a', 26, 25));
  expect(told).toEqual(['ahead', 25, 26]);
  w.client.close();
});

test('a refusal that is looked at while its connection is lost says nothing of the next one', async () => {
  const answers: ((token: string | null) => void)[] = [];
  const w = clientWorld({
    getToken: () => new Promise((resolve) => answers.push(resolve)),
  });
  w.client.job('a');
  await w.pass(100);
  answers[0]?.('token-1');
  await w.pass(0);
  await w.hello();
  await w.pass(100);
  const job = w.client.job('b');
  await w.pass(100);
  await w.say({ type: 'error', code: 'forbidden', message: 'not yet', processing_id: 'b' });
  await w.loaded();
  // The page's server does not answer this one for long.
  expect(answers).toHaveLength(2);
  w.wires[0]?.owner.closed({ next: 'retry', code: 1006, message: 'cut' });
  await w.pass(32_000);
  answers[2]?.('token-2');
  await w.pass(0);
  await w.hello();
  await w.say(update('b', 5, 4), following('b', 5));
  answers[1]?.(null);
  await w.loaded();
  // What comes now is taken, and no heartbeat covers what is not.
  await w.say(update('b', 6, 5), { type: 'heartbeat', cursor: 9, feed: 'ok' });
  await w.pass(100);
  expect(job.getSnapshot()).toMatchObject({ error: null, isCurrent: true, state: { seq: 6 } });
  expect(w.wires[1]?.asked).toEqual([]);
  w.client.close();
});

test('a job that is closed by a handler of its reset, or of another one, hears nothing more, and keeps no cursor of what it did not take', async () => {
  const w = clientWorld();
  const told: string[] = [];
  const other = w.client.job('a');
  const [first, second] = [
    w.client.job('a', { after: '50.old.s' }),
    w.client.job('a', { after: '60.old.s' }),
  ];
  for (const [name, job] of [
    ['first', first],
    ['second', second],
  ] as const)
    for (const type of ['reset', 'update'] as const)
      job.addEventListener(type, () => told.push(`${name} ${type}`));
  first.addEventListener('reset', () => {
    first.close();
    second.close();
  });
  await w.pass(100);
  await w.hello();
  await w.say(update('a', 5, 4), following('a', 5));
  expect(told).toEqual(['first reset']);
  expect([first.cursor, other.cursor]).toEqual([null, '5.e.s']);
  w.client.close();
});

test('a follower that closes on the reset of what it was given keeps no cursor of what it did not take', async () => {
  const w = clientWorld();
  w.client.job('a');
  await w.pass(100);
  await w.hello();
  await w.say(update('a', 5, 4), following('a', 9));
  const late = w.client.job('a', { after: '50.old.s' });
  late.addEventListener('reset', () => late.close());
  await w.pass(0);
  expect(late.getSnapshot().connection).toBe('closed');
  expect(late.cursor).toBe(null);
  w.client.close();
});

test('a clock that is set back does not hold back what a page wants', async () => {
  const w = clientWorld();
  w.clock.at = 3_600_000;
  w.client.job('a');
  await w.pass(100);
  await w.hello();
  w.client.job('b');
  await w.pass(100);
  w.clock.at = 0;
  w.client.job('c');
  await w.pass(100);
  expect(w.wires[0]?.asked.flat().map(({ id }) => id)).toEqual(['b', 'c']);
  w.client.close();
});

test('G5 stale cursors: a job of which nothing had come is of the stream that the edge named last', async () => {
  const w = clientWorld();
  w.client.job('a');
  await w.pass(100);
  await w.hello();
  await w.say(update('a', 50, 4), following('a', 50));
  const job = w.client.job('b');
  await w.pass(100);
  await w.say({ type: 'reset', reason: 'epoch', epoch: 'f', first_seq: 1, last_seq: 2, processing_id: 'a' });
  await w.say(update('b', 2, 1), following('b', 2));
  expect(job.cursor).toBe('2.f.s');
  w.client.close();
});

test('the connection of all jobs can be looked at, and closed, from its first event on', async () => {
  const w = clientWorld();
  const seen: JobsSnapshot[] = [];
  const jobs = w.client.jobs();
  const closed = w.client.jobs();
  jobs.addEventListener('connection', () => seen.push(jobs.getSnapshot()));
  closed.addEventListener('connection', () => closed.close());
  const next = closed[Symbol.asyncIterator]().next();
  await w.loaded();
  expect(seen.map(({ connection }) => connection)).toEqual(['connecting']);
  expect(await next).toEqual({ done: true, value: undefined });
  expect(closed.getSnapshot().connection).toBe('closed');
  w.client.close();
});

test('what handlers of several named jobs see is what they are told of', async () => {
  const w = clientWorld();
  const jobs = w.client.jobs({ ids: ['a', 'b'] });
  const seen: unknown[] = [];
  jobs.addEventListener('update', () => seen.push(jobs.getSnapshot().jobs.get('a')?.state?.seq));
  await w.loaded();
  await w.hello();
  await w.say(update('a', 5, 4), update('a', 6, 5));
  expect(seen).toEqual([5, 6]);
  w.client.close();
});

test('a page that goes from as many jobs as an edge follows to others keeps its connection', async () => {
  const w = clientWorld();
  const before = Array.from({ length: 256 }, (_, i) => w.client.job(`job-${i}`));
  await w.pass(100);
  await w.hello();
  for (const job of before) job.close();
  w.client.job('other');
  await w.pass(100);
  expect(w.wires).toHaveLength(1);
  expect(w.wires[0]?.asked.flat().map(({ id }) => id)).toEqual(['other']);
  w.client.close();
});

test('G5 stale cursors: of all jobs, a heartbeat in the midst of a window covers nothing of it', async () => {
  const w = clientWorld();
  w.client.jobs({}, { maxRate: 2 });
  await w.loaded();
  await w.hello();
  await w.say(update('a', 1, 0), update('b', 2, 0), { type: 'caught_up', cursor: 5 });
  await w.say(
    { ...update('a', 8, 1), folded: 2, resume_seq: 6 },
    { type: 'heartbeat', cursor: 6, feed: 'ok' },
  );
  expect(w.wires[0]?.owner.position()).toMatchObject({ seq: 6 });
  w.client.close();
});

test('G1 order: all jobs that are closed in the midst of a window go on right there', async () => {
  const w = clientWorld();
  const jobs = w.client.jobs({}, { maxRate: 2 });
  const told: unknown[] = [];
  jobs.addEventListener('update', ({ detail }) => {
    told.push(detail.seq);
    if (detail.seq === 8) jobs.close();
  });
  await w.loaded();
  await w.hello();
  await w.say(update('a', 1, 0), update('b', 2, 0), { type: 'caught_up', cursor: 5 });
  await w.say(
    { ...update('a', 8, 1), folded: 2, resume_seq: 6 },
    { ...update('b', 9, 2), folded: 2, resume_seq: 8 },
    { type: 'caught_up', cursor: 9 },
  );
  expect([told, jobs.cursor]).toEqual([[1, 2, 8], '6.e.s']);
  w.client.close();
});

test('G5 stale cursors: a last state that was asked for before a reset is not shown to who comes behind it with a cursor', async () => {
  let answer = (_answer: Response): void => {};
  const w = clientWorld({}, () => new Promise<Response>((resolve) => (answer = resolve)));
  w.client.job('a', { after: '90.e.s' });
  await w.pass(100);
  await w.hello();
  const late = w.client.job('a');
  await w.say(following('a', 90));
  await w.loaded();
  const of = answer;
  await w.say({ type: 'reset', reason: 'epoch', epoch: 'f', first_seq: 1, last_seq: 2, processing_id: 'a' });
  w.client.job('a', { after: '3.f.s' });
  await w.pass(100);
  of(Response.json(update('a', 80)));
  await w.loaded();
  expect(late.getSnapshot().state).toBe(null);
  await w.say(update('a', 4, 3), following('a', 4));
  expect(late.getSnapshot()).toMatchObject({ state: { seq: 4 }, isCurrent: true });
  w.client.close();
});
