import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FairQueue } from '../../internal/session/fair-queue.js';

interface Item {
  readonly key: string;
  readonly number: number;
}

/** The keys of what is taken until nothing waits, in order. */
function drained(queue: FairQueue<Item>): string[] {
  const keys: string[] = [];
  for (let taken = queue.take(); taken !== null; taken = queue.take()) keys.push(taken.key);
  return keys;
}

function filled(counts: Readonly<Record<string, number>>): FairQueue<Item> {
  const queue = new FairQueue<Item>();
  for (const [key, count] of Object.entries(counts)) {
    for (let number = 0; number < count; number++) queue.add(key, { key, number });
  }
  return queue;
}

describe('a fair queue', () => {
  test('each key has its turn, whoever came first with however many', () => {
    expect(drained(filled({ a: 4, b: 1, c: 2 })).join('')).toBe('abcacaa');
  });

  test('a key that comes anew waits for one turn of each other key', () => {
    const queue = filled({ a: 100, b: 100 });
    queue.take();
    queue.add('c', { key: 'c', number: 0 });
    expect(drained(queue).indexOf('c')).toBe(2);
  });

  test('a key that was passed over has its turn when there is nobody else, and they take turns in that, too', () => {
    const queue = filled({ a: 3, b: 3, c: 1 });
    const isFavored = (key: string) => key === 'c';
    const keys = Array.from({ length: 7 }, () => queue.take(isFavored)?.key);
    expect(keys[0]).toBe('c');
    expect(keys.slice(1).join('')).toMatch(/^(ab){3}$|^(ba){3}$/);
    expect(queue.take(isFavored)).toBeNull();
  });

  test('a key without items is forgotten', () => {
    const queue = new FairQueue<Item>();
    for (let number = 0; number < 1_000; number++) {
      const item = { key: `key ${number}`, number };
      queue.add(item.key, item);
      if (number % 2 === 0) queue.take();
      else queue.delete(item.key, item);
      expect(queue.keys).toBe(0);
    }
  });

  test('however it is used: nothing is lost or doubled, order holds within a key, nobody waits for more than a turn of each other', () => {
    type Step =
      | { readonly kind: 'add'; readonly key: string }
      | { readonly kind: 'delete'; readonly nth: number }
      | { readonly kind: 'take of'; readonly key: string }
      | { readonly kind: 'take'; readonly favored: readonly string[] | null };
    const keys = fc.constantFrom('a', 'b', 'c', 'd');
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('add' as const), key: keys }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), nth: fc.nat(20) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('take of' as const), key: keys }) },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant('take' as const),
          favored: fc.option(fc.subarray(['a', 'b', 'c', 'd']), { freq: 1 }),
        }),
      },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const queue = new FairQueue<Item>();
        const waiting: Item[] = [];
        /** For each key that waits: whose turns have passed since it began to wait, or since its own last one. */
        const passedBy = new Map<string, string[]>();
        let number = 0;
        for (const one of steps) {
          switch (one.kind) {
            case 'add': {
              const item = { key: one.key, number: number++ };
              queue.add(one.key, item);
              queue.add(one.key, item);
              waiting.push(item);
              if (!passedBy.has(one.key)) passedBy.set(one.key, []);
              break;
            }
            case 'delete': {
              const item = waiting[one.nth];
              if (item === undefined) break;
              expect(queue.delete(item.key, item)).toBe(true);
              expect(queue.delete(item.key, item)).toBe(false);
              waiting.splice(one.nth, 1);
              break;
            }
            case 'take of': {
              const item = waiting.find(({ key }) => key === one.key) ?? null;
              expect(queue.takeOf(one.key)).toBe(item);
              if (item !== null) waiting.splice(waiting.indexOf(item), 1);
              break;
            }
            case 'take': {
              const isFavored = (key: string) => one.favored?.includes(key) ?? true;
              const wasAnyFavored = waiting.some(({ key }) => isFavored(key));
              const taken = queue.take(isFavored);
              if (taken === null) {
                expect(waiting).toEqual([]);
                break;
              }
              const { key, item } = taken;
              expect(waiting.find((other) => other.key === key)).toBe(item);
              if (wasAnyFavored) expect(isFavored(key)).toBe(true);
              waiting.splice(waiting.indexOf(item), 1);
              for (const [other, passed] of passedBy) {
                if (other === key || one.favored !== null) passed.length = 0;
                else passed.push(key);
                expect(new Set(passed).size).toBe(passed.length);
              }
              break;
            }
          }
          for (const key of passedBy.keys()) {
            if (!waiting.some((item) => item.key === key)) passedBy.delete(key);
          }
          expect(queue.size).toBe(waiting.length);
          expect(queue.keys).toBe(new Set(waiting.map(({ key }) => key)).size);
          for (const key of 'abcd')
            expect(queue.count(key)).toBe(waiting.filter((item) => item.key === key).length);
        }
      }),
    );
  });
});
