import { describe, expect, test } from 'vitest';
import { limits } from '../../sdk/client/loop.js';
import type { JobsOptions, ProgressUpdate } from '../../sdk/client/types.js';
import { clientWorld, update } from './client-fixture.js';

/** A page that follows all jobs, and what it was told. */
async function page(options: JobsOptions = {}) {
  const w = clientWorld();
  const jobs = w.client.jobs({}, options);
  const told: (number | string)[] = [];
  jobs.addEventListener('update', ({ detail }) => told.push(detail.seq));
  jobs.addEventListener('reset', ({ detail }) => told.push(detail.reason));
  await w.loaded();
  return { ...w, jobs, told };
}

describe('all jobs', () => {
  test('what came since the page looked is proven, also where there was nothing before or it began at a cursor', async () => {
    for (const options of [{}, { after: '5.e.s' }]) {
      const { hello, say, jobs } = await page(options);
      await hello();
      await say({ type: 'caught_up', cursor: 5 });
      expect(jobs.getSnapshot().continuity).toEqual({ kind: 'unknown' });
      await say(update('a', 6, 0));
      expect(jobs.getSnapshot().continuity).toEqual({ kind: 'proven' });
    }
  });

  test('what was left out is told with its reason, and proves nothing any more', async () => {
    const { hello, say, jobs } = await page();
    const skipped: object[] = [];
    jobs.addEventListener('skipped', ({ detail }) => skipped.push(detail));
    await hello();
    await say({ type: 'skipped', reason: 'retention', after: 1, before: 20 }, update('a', 20, 0));
    expect(skipped).toEqual([{ reason: 'retention', after: 1, before: 20 }]);
    expect(jobs.getSnapshot().continuity).toEqual({ kind: 'unknown' });
  });

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

describe('all jobs with a maxRate', () => {
  const folded = (given: ProgressUpdate, count: number, resume_seq?: number): ProgressUpdate => ({
    ...{ ...given, folded: count },
    ...(resume_seq !== undefined && { resume_seq }),
  });
  /** Events 6 to 9: of a 6 and 8, of b 7 and 9. Behind the first update 7 is still to come. */
  const WINDOW = [folded(update('a', 8, 1), 2, 6), folded(update('b', 9, 2), 2)] as const;

  async function paced() {
    const w = await page({ maxRate: 2 });
    expect(w.wires[0]?.options.target.maxRate).toBe(2);
    await w.hello();
    await w.say(update('a', 1, 0), update('b', 2, 0), { type: 'caught_up', cursor: 5 });
    return w;
  }

  test('G1 order: updates that stand for several prove that nothing is missing', async () => {
    const { say, jobs, told, wires } = await paced();
    await say(...WINDOW);
    await say(folded(update('a', 20, 8), 5));
    expect(told).toEqual([1, 2, 8, 9, 20]);
    expect(jobs.getSnapshot().continuity).toEqual({ kind: 'proven' });
    expect(wires).toHaveLength(1);
  });

  test('G5 stale cursors: a connection that is cut in the midst of a window goes on before it, and each update comes once', async () => {
    const { hello, say, pass, wires, jobs, told } = await paced();
    await say(WINDOW[0]);
    expect([told, jobs.cursor]).toEqual([[1, 2], '5.e.s']);
    wires[0]?.owner.closed({ next: 'retry', code: 1006, message: 'cut', retryAfterMs: 0 });
    await pass(5_000);
    expect(wires[1]?.owner.position()).toMatchObject({ seq: 5, epoch: 'e', scope: 's' });
    await hello();
    await say(...WINDOW);
    expect([told, jobs.cursor]).toEqual([[1, 2, 8, 9], '9.e.s']);
    expect(jobs.getSnapshot().continuity).toEqual({ kind: 'proven' });
  });

  test('G5 stale cursors: in the midst of a window the cursor of a page is where it has to go on', async () => {
    const { say, jobs } = await paced();
    const cursors: (string | null)[] = [];
    const loop = jobs[Symbol.asyncIterator]();
    await say(...WINDOW);
    for (let i = 0; i < 2; i++) {
      await loop.next();
      cursors.push(jobs.cursor);
    }
    expect(cursors).toEqual(['6.e.s', '9.e.s']);
  });

  test('G1 order: a loop that is behind goes on behind a whole window, and not in its midst', async () => {
    const { say, jobs, wires, loaded } = await paced();
    const loop = jobs[Symbol.asyncIterator]();
    await loaded();
    const { queued } = limits;
    limits.queued = 1;
    try {
      await say(...WINDOW);
      await say(folded(update('a', 20, 8), 5));
    } finally {
      limits.queued = queued;
    }
    expect([(await loop.next()).value.seq, (await loop.next()).value.seq]).toEqual([8, 9]);
    void loop.next();
    await loaded();
    expect(wires[1]?.owner.position()).toMatchObject({ seq: 9 });
  });

  test('a window whose last update was kept back is given with whatever comes next', async () => {
    const { say, told } = await paced();
    await say(WINDOW[0], { type: 'heartbeat', cursor: 9, feed: 'ok' });
    expect(told).toEqual([1, 2, 8]);
  });

  test('G1 order: behind a gap nothing of a window counts until it has come again', async () => {
    const { hello, say, pass, wires, told } = await paced();
    await say(folded(update('a', 8, 3), 2, 6), WINDOW[1]);
    expect(told).toEqual([1, 2]);
    await pass(5_000);
    expect(wires[1]?.owner.position()).toMatchObject({ seq: 5 });
    await hello();
    await say(update('a', 3, 1), ...WINDOW.map((one) => ({ ...one, prev_seq: one.seq === 8 ? 3 : 2 })));
    expect(told.slice(2)).toEqual([8, 9]);
  });
});

describe('all jobs with maxFinished', () => {
  const ended = (given: ProgressUpdate): ProgressUpdate => ({ ...given, status: 'completed', progress: 100 });
  const retryable = (given: ProgressUpdate): ProgressUpdate => ({
    ...{ ...given, status: 'error' },
    error: { code: 'c', message: 'm', retryable: true },
  });

  async function bounded(maxFinished: number) {
    const w = await page({ maxFinished });
    await w.hello();
    return { ...w, shown: () => [...w.jobs.getSnapshot().jobs.keys()] };
  }

  test('the oldest finished ones are forgotten, and no other; the snapshot says so', async () => {
    const { say, jobs, told, shown } = await bounded(2);
    await say(update('busy', 1, 0), ended(update('a', 2, 0)), retryable(update('again', 3, 0)));
    await say(ended(update('b', 4, 0)));
    expect([shown(), jobs.getSnapshot().hasForgotten]).toEqual([['busy', 'a', 'again', 'b'], false]);
    await say(ended(update('c', 5, 0)), ended(update('busy', 6, 1)));
    expect([shown(), jobs.getSnapshot().hasForgotten]).toEqual([['busy', 'again', 'c'], true]);
    expect(told).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('without it all stay', async () => {
    const { hello, say, jobs } = await page();
    await hello();
    await say(...Array.from({ length: 50 }, (_, i) => ended(update(`job-${i}`, i + 1, 0))));
    expect([jobs.getSnapshot().jobs.size, jobs.getSnapshot().hasForgotten]).toEqual([50, false]);
  });

  test('a new attempt of a forgotten job brings it back, without a word of a gap', async () => {
    const { say, jobs, shown, wires } = await bounded(1);
    await say(ended(update('a', 1, 0)), ended(update('b', 2, 0)));
    await say({ ...update('a', 3, 1), attempt: 2 });
    expect(shown()).toEqual(['b', 'a']);
    expect(jobs.getSnapshot().continuity).toEqual({ kind: 'proven' });
    // It is not finished, so it stays, and the next of it is checked.
    await say(ended(update('c', 4, 0)), ended(update('d', 5, 0)));
    expect(shown()).toEqual(['a', 'd']);
    await say(update('a', 9, 8));
    expect(wires[0]?.isClosed).toBe(true);
  });

  test('nothing is kept of a forgotten one to check the next by, also where its events came once more', async () => {
    const { say, shown, wires } = await bounded(1);
    const both = [ended(update('a', 1, 0)), ended(update('b', 2, 0))];
    await say(...both, update('a', 5, 4));
    expect([wires[0]?.isClosed, shown()]).toEqual([false, ['b', 'a']]);
    await say(ended(update('a', 6, 5)), ...both, update('b', 9, 8));
    expect([wires[0]?.isClosed, shown()]).toEqual([false, ['a', 'b']]);
    // One that is still shown is checked.
    await say(update('a', 12, 11));
    expect(wires[0]?.isClosed).toBe(true);
  });

  test('one that finishes once more counts from then', async () => {
    const { say, shown } = await bounded(2);
    await say(ended(update('a', 1, 0)), ended(update('b', 2, 0)), ended(update('a', 3, 1)));
    await say(ended(update('c', 4, 0)));
    expect(shown()).toEqual(['a', 'c']);
  });

  test('one that the stream does not hold any more makes room for another', async () => {
    const { say, jobs, shown } = await bounded(2);
    await say(ended(update('a', 1, 0)), ended(update('b', 2, 0)), { type: 'gone', processing_id: 'b' });
    await say(ended(update('c', 3, 0)));
    expect([shown(), jobs.getSnapshot().hasForgotten]).toEqual([['a', 'c'], false]);
  });

  test('behind a reset nothing is forgotten yet', async () => {
    const { say, jobs, shown } = await bounded(1);
    await say(ended(update('a', 1, 0)), ended(update('b', 2, 0)));
    await say({ type: 'reset', reason: 'ahead', epoch: 'f', first_seq: 1, last_seq: 1 });
    await say(ended(update('c', 1, 0)));
    expect([shown(), jobs.getSnapshot().hasForgotten]).toEqual([['c'], false]);
  });

  test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, null, '5'])('%j is none', async (given) => {
    const { jobs } = await page({ maxFinished: given as number });
    expect(jobs.getSnapshot().error).toEqual(
      new TypeError(`maxFinished is ${given}; expected a whole number from 0`),
    );
  });

  test('jobs that are named all stay', async () => {
    const { client, loaded } = clientWorld();
    const jobs = client.jobs({ ids: ['a'] }, { maxFinished: 5 });
    await loaded();
    expect(jobs.getSnapshot().error).toEqual(
      new TypeError('ids are given with maxFinished; expected ids alone'),
    );
  });
});

test.each([0, 0.09, 50.1, -1, Number.NaN, Number.POSITIVE_INFINITY, null, 'fast'])(
  'a maxRate of %j is none',
  (given) => {
    const maxRate = given as number;
    const expected = new TypeError(`maxRate is ${maxRate}; expected 0.1 to 50 updates a second`);
    expect(() => clientWorld({ maxRate })).toThrow(expected);
    expect(() => clientWorld().client.jobs({}, { maxRate })).toThrow(expected);
  },
);

test('jobs that are named share the rate of their page', async () => {
  const { client, wires, loaded } = clientWorld({ maxRate: 0.1 });
  expect(() => client.jobs({ ids: ['a'] }, { maxRate: 5 })).toThrow(TypeError);
  client.jobs({ ids: ['a'] });
  await loaded();
  client.jobs();
  await loaded();
  expect(wires.map(({ options }) => [options.target.kind, options.target.maxRate])).toEqual([
    ['selected', 0.1],
    ['all', undefined],
  ]);
});
