import { describe, expect, test } from 'vitest';
import { ReadTurns } from '../../internal/jetstream/read-turns.js';
import { settled } from './edge-fixture.js';

/** Reads that are answered when the test says so, in the order in which they began. */
function scene(concurrency: number) {
  const clock = { ms: 0 };
  const turns = new ReadTurns(concurrency, () => clock.ms);
  const began: string[] = [];
  const answers = new Map<string, () => void>();
  const ask = (name: string, ...requesters: string[]) => {
    const holder = { requesters: new Set(requesters) };
    const answer = turns.run(holder, () => {
      began.push(name);
      return new Promise<string>((resolve) => answers.set(name, () => resolve(name)));
    });
    return { holder, answer };
  };
  return {
    clock,
    turns,
    began,
    ask,
    /** So many reads of one requester, named after it. */
    many: (requester: string, count: number) =>
      Array.from({ length: count }, (_, i) => ask(`${requester}${i + 1}`, requester)),
    answer: async (name: string) => {
      const give = answers.get(name);
      if (give === undefined) throw new Error(`${name} does not run`);
      answers.delete(name);
      give();
      await settled();
    },
  };
}

describe('turns of reads', () => {
  test('so many run at once, all of them of one who asks alone; the first place that is free is for another', async () => {
    const { turns, began, many, answer } = scene(4);
    many('a', 10);
    await settled();
    expect(began).toEqual(['a1', 'a2', 'a3', 'a4']);
    many('b', 1);
    expect(turns.waiting).toMatchObject({ reads: 7, requesters: 2 });
    await answer('a3');
    expect(began.slice(4)).toEqual(['b1']);
  });

  test('while another waits, one gets at most half of the places, however slow its reads are', async () => {
    const { began, many, answer } = scene(4);
    many('a', 10);
    many('b', 10);
    await settled();
    // `a` took all of them while it was alone.
    for (const name of ['a1', 'a2']) await answer(name);
    expect(began.slice(4)).toEqual(['b1', 'b2']);
    // It has half of them now, and answers nothing more.
    for (const name of ['b1', 'b2', 'b3']) await answer(name);
    expect(began.slice(6)).toEqual(['b3', 'b4', 'b5']);
  });

  test('no place stays empty while somebody waits', async () => {
    const { turns, began, many, answer } = scene(3);
    many('a', 3);
    many('b', 2);
    await settled();
    for (const name of ['a1', 'a2', 'a3']) await answer(name);
    expect(began.slice(3).sort()).toEqual(['b1', 'b2']);
    for (const name of ['b1', 'b2']) await answer(name);
    expect(turns.waiting.requesters).toBe(0);
  });

  test('what another joins is read in the turn that comes first, and once', async () => {
    const { turns, began, many, ask, answer } = scene(1);
    many('a', 10);
    const { holder } = ask('shared', 'a');
    await settled();
    holder.requesters.add('b');
    turns.joined(holder, 'b');
    expect(turns.waiting.reads).toBe(10);
    await answer('a1');
    await answer(began[1] ?? '');
    expect(began.slice(0, 3)).toContain('shared');
    while (turns.waiting.reads > 0) await answer(began.at(-1) ?? '');
    expect(began.filter((name) => name === 'shared')).toHaveLength(1);
    expect(turns.waiting.requesters).toBe(0);
  });

  test('a read that fails, or throws, gives its place away', async () => {
    const { turns, began, many } = scene(1);
    const failed = turns.run({ requesters: new Set(['a']) }, () => Promise.reject(new Error('failed')));
    const threw = turns.run({ requesters: new Set(['a']) }, () => {
      throw new Error('threw');
    });
    many('b', 1);
    await expect(failed).rejects.toThrow('failed');
    await expect(threw).rejects.toThrow('threw');
    expect(began).toEqual(['b1']);
  });

  test('it says how many wait, of how many, and for how long', async () => {
    const { clock, turns, many, answer } = scene(1);
    expect(turns.waiting).toEqual({ reads: 0, requesters: 0, longestMs: 0 });
    many('a', 3);
    clock.ms = 1_000;
    many('b', 1);
    clock.ms = 3_000;
    await settled();
    expect(turns.waiting).toEqual({ reads: 3, requesters: 2, longestMs: 3_000 });
    await answer('a1');
    expect(turns.waiting).toMatchObject({ reads: 2 });
  });

  test('at the end what waits is rejected, and what runs is not', async () => {
    const { turns, ask, answer } = scene(1);
    const runs = ask('runs', 'a');
    const waits = ask('waits', 'a', 'b');
    await settled();
    turns.clear(new Error('the end'));
    await expect(waits.answer).rejects.toThrow('the end');
    await answer('runs');
    expect(await runs.answer).toBe('runs');
    expect(turns.waiting).toEqual({ reads: 0, requesters: 0, longestMs: 0 });
  });
});
