import { describe, expect, test } from 'vitest';
// Loaded here: where the machine is busy, a test would be over before it comes.
import '../../sdk/client/refusals.js';
import type { Job } from '../../sdk/client/types.js';
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

test('a job is let go of some seconds after its last follower, also where others come and go all the time', async () => {
  const w = clientWorld({ lingerMs: 5_000 });
  w.client.job('stays');
  await settled();
  await w.hello();
  for (let i = 0; i < 20; i++) {
    const job = w.client.job(`job-${i}`);
    await w.pass(3_000);
    job.close();
    w.wires[0]?.owner.alive();
  }
  await w.pass(4_999);
  expect(w.wires[0]?.owner.followed().map(({ id }) => id)).toEqual(['stays', 'job-19']);
  // Who comes back in time finds it as it was.
  const back = w.client.job('job-19');
  await w.pass(5_000);
  back.close();
  await w.pass(4_999);
  expect(w.wires[0]?.left.flat()).toEqual(Array.from({ length: 19 }, (_, i) => `job-${i}`));
  // What is left at about the same time goes together.
  await w.pass(50);
  expect(w.wires[0]?.left.flat().at(-1)).toBe('job-19');
  w.client.close();
});

test('G6 the end: a job that is followed again right behind its end goes on with its next attempt', async () => {
  const w = clientWorld();
  const first = w.client.job('a');
  await settled();
  await w.hello();
  await w.say(update('a', 5), { type: 'end', processing_id: 'a' });
  expect((await first.done).seq).toBe(5);
  const again = w.client.job('a');
  await w.pass(100);
  expect(again.getSnapshot()).toMatchObject({ state: { seq: 5 }, isEnded: false });
  expect(w.wires[0]?.asked.flat()).toEqual([{ id: 'a', position: expect.objectContaining({ seq: 5 }) }]);
  await w.say(update('a', 8, 5), { type: 'following', processing_id: 'a', cursor: 9, scope: 's' });
  expect(again.getSnapshot()).toMatchObject({ state: { seq: 8 }, continuity: { kind: 'proven' } });
  await w.say({ type: 'end', processing_id: 'a' });
  expect((await again.done).seq).toBe(8);
  // One that has not gone on is told so.
  const third = w.client.job('a');
  await w.pass(100);
  await w.say({ type: 'end', processing_id: 'a' });
  expect((await third.done).seq).toBe(8);
  w.client.close();
});

test('who comes late to a job that is stalled is told so, until its next update', async () => {
  const w = clientWorld();
  w.client.job('a');
  await settled();
  await w.hello();
  await w.say(update('a', 5), { type: 'following', processing_id: 'a', cursor: 9, scope: 's' });
  const stalled = { type: 'stalled', processing_id: 'a', silent_ms: 31_000 } as const;
  await w.say(stalled);
  const late = w.client.job('a');
  await settled();
  expect(late.getSnapshot()).toMatchObject({ stalled, state: { seq: 5 } });
  await w.say(update('a', 10, 5));
  expect(late.getSnapshot().stalled).toBe(null);
  const later = w.client.job('a');
  await settled();
  expect(later.getSnapshot().stalled).toBe(null);
  w.client.close();
});

test('jobs that are left one by one are let go of in few frames, for an edge takes so many a second', async () => {
  const w = clientWorld({ lingerMs: 100 });
  w.client.job('stays');
  const jobs = Array.from({ length: 100 }, (_, i) => w.client.job(`job-${i}`));
  await settled();
  await w.hello();
  for (const job of jobs) {
    job.close();
    await w.pass(5);
  }
  await w.pass(200);
  expect(w.wires[0]?.left.flat()).toHaveLength(100);
  expect(w.wires[0]?.left.length).toBeLessThanOrEqual(12);
  w.client.close();
});

test('the connection stays some seconds behind the last job, also where another was left before', async () => {
  const w = clientWorld({ lingerMs: 5_000 });
  const first = w.client.job('a');
  w.client.job('b');
  await settled();
  await w.hello();
  first.close();
  await w.pass(4_900);
  await w.say(update('b', 5), { type: 'end', processing_id: 'b' });
  await w.pass(4_999);
  expect(w.client.connection).toBe('open');
  await w.pass(51);
  expect(w.client.connection).toBe('idle');
  w.client.close();
});

test('a handler that follows a refused job again at once is not forgotten', async () => {
  const w = clientWorld();
  let again: Job | undefined;
  w.client.job('a').addEventListener('error', () => {
    again ??= w.client.job('a');
  });
  await w.pass(100);
  await w.hello();
  await w.say(update('a', 4));
  await w.say({ type: 'error', code: 'too_many_jobs', message: 'no room', processing_id: 'a' });
  // Nothing stays of what was refused.
  expect(again?.getSnapshot().state).toBe(null);
  await w.pass(100);
  expect(w.wires[0]?.asked).toEqual([[{ id: 'a', position: null }]]);
  await w.say(update('a', 5));
  expect(again?.getSnapshot().state?.seq).toBe(5);
  w.client.close();
});

test('what is shown is current again after a new connection, whatever the one before said of its feed', async () => {
  const w = clientWorld();
  const job = w.client.job('a');
  await w.pass(100);
  await w.hello();
  const following = () =>
    w.say(update('a', 5), { type: 'following', processing_id: 'a', cursor: 5, scope: 's' });
  await following();
  await w.say({ type: 'heartbeat', cursor: 5, feed: 'away' });
  expect(job.getSnapshot().isCurrent).toBe(false);
  w.wires[0]?.owner.closed({ next: 'retry', code: 1006, message: 'cut' });
  await w.pass(30_000);
  await w.hello();
  await following();
  expect(job.getSnapshot().isCurrent).toBe(true);
  w.client.close();
});

test('G5 stale cursors: a last state that comes behind a reset is of the stream of before, and not shown', async () => {
  let answer = (_answer: Response): void => {};
  const w = clientWorld(
    {},
    () =>
      new Promise<Response>((resolve) => {
        answer = resolve;
      }),
  );
  w.client.job('a', { after: '90.e.s' });
  await w.pass(100);
  await w.hello();
  await w.say({ type: 'following', processing_id: 'a', cursor: 90, scope: 's' });
  const late = w.client.job('a');
  await w.loaded();
  await w.say({
    ...{ type: 'reset', reason: 'epoch', epoch: 'f', first_seq: 1, last_seq: 2, processing_id: 'a' },
  });
  answer(Response.json(update('a', 80)));
  await settled();
  await w.say(update('a', 2), { type: 'following', processing_id: 'a', cursor: 2, scope: 's' });
  expect(late.getSnapshot().state?.seq).toBe(2);
  expect(w.client.job('a').getSnapshot().state?.seq).toBe(2);
  w.client.close();
});

test('G1 order: a loop that is behind the end of its job, and is refused the rest, says so', async () => {
  const w = clientWorld();
  const job = w.client.job('a', { after: '3.e.s' });
  await w.pass(100);
  await w.hello();
  await w.say({ ...update('a', 4, 3), status: 'completed' }, { type: 'end', processing_id: 'a' });
  expect((await job.done).seq).toBe(4);
  const next = job[Symbol.asyncIterator]().next();
  await w.loaded();
  await w.pass(100);
  expect(w.wires[0]?.asked.at(-1)).toMatchObject([{ id: 'a', position: { seq: 3 } }]);
  await w.say({ type: 'error', code: 'too_many_jobs', message: 'no room', processing_id: 'a' });
  await expect(next).rejects.toMatchObject({ code: 'too_many_jobs' });
  expect(job.getSnapshot()).toMatchObject({ isEnded: true, error: null });
  w.client.close();
});

test('G1 order: a heartbeat behind the end of a job does not cover it, and its next attempt comes whole', async () => {
  const w = clientWorld();
  w.client.job('a');
  await w.pass(100);
  await w.hello();
  await w.say(
    { ...update('a', 4), status: 'completed' },
    { type: 'following', processing_id: 'a', cursor: 5, scope: 's' },
    { type: 'end', processing_id: 'a' },
    { type: 'heartbeat', cursor: 9, feed: 'ok' },
  );
  w.client.job('a');
  await w.pass(100);
  expect(w.wires[0]?.asked).toEqual([[{ id: 'a', position: { seq: 5, epoch: 'e', scope: 's' } }]]);
  w.client.close();
});

describe('G6 the end: of a job whose last state is not known', () => {
  const end = { type: 'end', processing_id: 'a' } as const;
  /** A page that follows from a cursor, behind which nothing came but the end; and what it asks for the last state. */
  async function ended(answer: () => Response | Promise<Response>) {
    let asked = 0;
    const w = clientWorld({}, async () => {
      asked += 1;
      return await answer();
    });
    const job = w.client.job('a', { after: '5.e.s' });
    const seqs: number[] = [];
    job.addEventListener('update', ({ detail }) => seqs.push(detail.seq));
    await w.pass(100);
    await w.hello();
    await w.say(end);
    await w.loaded();
    return { ...w, job, seqs, asked: () => asked };
  }

  test('it is asked for once, and is none of the updates', async () => {
    const { job, seqs, asked, client } = await ended(() => Response.json(update('a', 5)));
    expect((await job.done).seq).toBe(5);
    expect([seqs, asked(), job.getSnapshot().isEnded]).toEqual([[], 1, true]);
    client.close();
  });

  test('one that the stream does not hold any more is said to be gone', async () => {
    const { job, client } = await ended(() => Response.json({ code: 'no_event' }, { status: 404 }));
    await expect(job.done).rejects.toMatchObject({ code: 'no_event' });
    expect(job.getSnapshot()).toMatchObject({ isEnded: true, state: null });
    client.close();
  });

  test('a job that has gone on since is followed from where it was', async () => {
    const { job, seqs, wires, pass, say, client } = await ended(() => Response.json(update('a', 9)));
    await pass(100);
    expect(wires[0]?.asked).toEqual([[{ id: 'a', position: { seq: 5, epoch: 'e', scope: 's' } }]]);
    await say(update('a', 7, 5), update('a', 9, 7), end);
    expect((await job.done).seq).toBe(9);
    expect(seqs).toEqual([7, 9]);
    client.close();
  });

  test('where it cannot be asked for now, the job is followed again later, and ends then', async () => {
    let isAway = true;
    const { job, wires, pass, say, loaded, client } = await ended(() => {
      if (isAway) throw new TypeError('no network');
      return Response.json(update('a', 5));
    });
    expect(job.getSnapshot().isEnded).toBe(false);
    isAway = false;
    await pass(4_100);
    expect(wires[0]?.asked.flat()).toMatchObject([{ id: 'a', position: { seq: 5 } }]);
    await say(end);
    await loaded();
    expect((await job.done).seq).toBe(5);
    client.close();
  });

  test('an answer that comes behind a reset says nothing', async () => {
    let answer = (_answer: Response): void => {};
    const { job, say, client } = await ended(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    await say({
      ...{ type: 'reset', reason: 'epoch', epoch: 'f', first_seq: 1, last_seq: 2, processing_id: 'a' },
    });
    answer(Response.json(update('a', 5)));
    await say(update('a', 2), { type: 'following', processing_id: 'a', cursor: 2, scope: 's' });
    expect(job.getSnapshot()).toMatchObject({ isEnded: false, state: { seq: 2 } });
    client.close();
  });
});

test('G2 state first: who comes without a cursor to a job that is followed from one gets its last state', async () => {
  const w = clientWorld({}, async () => Response.json(update('a', 80)));
  w.client.job('a', { after: '90.e.s' });
  await w.pass(100);
  await w.hello();
  await w.say({ type: 'following', processing_id: 'a', cursor: 90, scope: 's' });
  const late = w.client.job('a');
  await w.loaded();
  expect(late.getSnapshot()).toMatchObject({ state: { seq: 80 }, isCurrent: true });
  await w.say({ type: 'heartbeat', cursor: 95, feed: 'ok' });
  expect(late.cursor).toBe('95.e.s');
  w.client.close();
});

test('G5 stale cursors: who comes with a cursor of a future is reset, and shown the state at once', async () => {
  const w = clientWorld();
  w.client.job('a');
  await w.pass(100);
  await w.hello();
  await w.say(update('a', 5), { type: 'following', processing_id: 'a', cursor: 9, scope: 's' });
  const late = w.client.job('a', { after: '90.e.s' });
  const told: unknown[] = [];
  late.addEventListener('reset', ({ detail }) => told.push(detail.reason));
  late.addEventListener('update', ({ detail }) => told.push(detail.seq));
  await w.pass(0);
  expect([told, late.cursor]).toEqual([['ahead', 5], '9.e.s']);
  w.client.close();
});

test('a job that was let go of while its refusal was looked at is followed anew as if nothing had been', async () => {
  let answer = (_token: string | null): void => {};
  let asked = 0;
  const w = clientWorld({
    lingerMs: 0,
    getToken: () => {
      asked += 1;
      if (asked === 1) return 'token-1';
      return new Promise((resolve) => {
        answer = resolve;
      });
    },
  });
  w.client.job('a');
  await w.pass(1);
  await w.hello();
  await w.pass(100);
  const refused = w.client.job('b');
  await w.pass(100);
  await w.say({ type: 'error', code: 'forbidden', message: 'not yours', processing_id: 'b' });
  refused.close();
  await w.pass(100);
  const again = w.client.job('b');
  await w.pass(100);
  answer(null);
  await w.pass(0);
  await w.say(update('b', 5), { type: 'following', processing_id: 'b', cursor: 5, scope: 's' });
  expect(again.getSnapshot()).toMatchObject({ state: { seq: 5 }, error: null, isCurrent: true });
  w.client.close();
});
