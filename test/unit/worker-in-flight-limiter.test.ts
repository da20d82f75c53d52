import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InFlightLimiter } from '../../sdk/worker/nats-transport.js';
import type { SlotOwner } from '../../sdk/worker/ports.js';
import { TestClock } from './test-clock.js';

/** Adds to `launched` when it gets a slot; `launch` may do more, and sends nothing when it returns false. */
function ownerOf(name: number, launched: number[], onSlot: () => boolean = () => true): SlotOwner {
  return {
    slot: 'none',
    onSlot: () => {
      launched.push(name);
      return onSlot();
    },
  };
}

const limiterOf = (size: number, clock: TestClock): InFlightLimiter =>
  new InFlightLimiter(size, (ms, call) => void clock.later(ms, call));

test('never grants more slots than its size, keeps the order, and forgets nobody', () => {
  const program = fc.array(fc.tuple(fc.constantFrom('enter', 'enter', 'leave', 'pass'), fc.nat(199)), {
    maxLength: 600,
    size: 'max',
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 150 }), program, (size, steps) => {
      const clock = new TestClock();
      const limiter = limiterOf(size, clock);
      const launched: number[] = [];
      const owners = Array.from({ length: 200 }, (_, name) => ownerOf(name, launched));
      /** Owners without a slot, in the order in which they came. */
      const due: number[] = [];
      /** An owner that gives up waiting and returns may get its old position. */
      const fickle = new Set<number>();
      const check = (): void => {
        expect(owners.filter(({ slot }) => slot === 'held').length).toBeLessThanOrEqual(size);
        const steady = launched.filter((name) => !fickle.has(name));
        expect(steady).toEqual(due.splice(0, steady.length));
        launched.length = 0;
      };
      for (const [what, name] of steps) {
        const slot = owners[name] as SlotOwner;
        if (what === 'enter') {
          if (slot.slot === 'none' && !fickle.has(name)) due.push(name);
          limiter.acquire(slot);
        } else if (what === 'leave') {
          if (slot.slot === 'queued' && !fickle.has(name)) {
            due.splice(due.indexOf(name), 1);
            fickle.add(name);
          }
          limiter.release(slot);
        } else clock.pass(1);
        check();
      }
      for (let round = 0; round < 200; round++) {
        clock.pass(1);
        for (const slot of owners) if (slot.slot === 'held') limiter.release(slot);
        check();
      }
      expect(due).toEqual([]);
      expect(owners.every(({ slot }) => slot === 'none')).toBe(true);
    }),
  );
});

test('on a busy line a few wait for more, for a millisecond, and those who make a write do not wait', () => {
  const clock = new TestClock();
  const limiter = limiterOf(4_096, clock);
  const launched: number[] = [];
  const acquire = (names: number[]): void => {
    for (const name of names) limiter.acquire(ownerOf(name, launched));
  };
  const names = (from: number, to: number): number[] =>
    Array.from({ length: to - from }, (_, index) => from + index);
  acquire(names(0, 32));
  expect(launched).toEqual(names(0, 32));
  acquire(names(32, 40));
  expect(launched).toHaveLength(32);
  clock.pass(1);
  expect(launched).toEqual(names(0, 40));
  acquire(names(40, 103));
  expect(launched).toHaveLength(40);
  acquire([103]);
  expect(launched).toEqual(names(0, 104));
  expect(clock.timers.size).toBeLessThanOrEqual(1);
});

test('who is not sent leaves his place to the next', () => {
  const clock = new TestClock();
  const limiter = limiterOf(1, clock);
  const [first, second, third] = [true, false, true].map((sends, name) => ownerOf(name, [], () => sends));
  for (const one of [first, second, third]) limiter.acquire(one as SlotOwner);
  expect([first?.slot, second?.slot, third?.slot]).toEqual(['held', 'queued', 'queued']);
  limiter.release(first as SlotOwner);
  clock.pass(5);
  expect([first?.slot, second?.slot, third?.slot]).toEqual(['none', 'none', 'held']);
});

test('nobody is forgotten where none of a hundred thousand can be sent, or sending brings others', () => {
  const clock = new TestClock();
  const limiter = limiterOf(64, clock);
  const launched: number[] = [];
  const holders = Array.from({ length: 64 }, () => ownerOf(-1, []));
  for (const holder of holders) limiter.acquire(holder);
  clock.pass(1);
  const late = Array.from({ length: 1_000 }, (_, name) => ownerOf(200_000 + name, launched, () => false));
  for (let name = 0; name < 100_000; name++) {
    const brings = name % 100 === 0 ? late[name / 100] : undefined;
    const onSlot = (): boolean => {
      if (brings !== undefined) limiter.acquire(brings);
      return false;
    };
    limiter.acquire(ownerOf(name, launched, onSlot));
  }
  expect(launched).toEqual([]);
  for (const holder of holders) limiter.release(holder);
  clock.pass(5);
  expect(launched).toHaveLength(101_000);
  expect(late.every(({ slot }) => slot === 'none')).toBe(true);
});

test('one whose launch throws holds nobody else up', () => {
  const clock = new TestClock();
  const limiter = limiterOf(4_096, clock);
  const launched: number[] = [];
  for (let name = 0; name < 40; name++) limiter.acquire(ownerOf(name, launched));
  limiter.acquire(
    ownerOf(40, launched, () => {
      throw new Error('launched badly');
    }),
  );
  expect(() => clock.pass(1)).toThrow('launched badly');
  limiter.acquire(ownerOf(41, launched));
  clock.pass(1);
  expect(launched.at(-1)).toBe(41);
});

test('G9 memory: who has gone through it is forgotten', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  let later = (): void => {};
  const limiter = new InFlightLimiter(1, (_ms, call) => {
    later = call;
  });
  let held: SlotOwner = { slot: 'none', onSlot: () => true };
  let next: SlotOwner = { slot: 'none', onSlot: () => true };
  const before = used();
  limiter.acquire(held);
  for (let turn = 0; turn < 2_000_000; turn++) {
    limiter.acquire(next);
    limiter.release(held);
    later();
    [held, next] = [next, held];
  }
  expect(held.slot).toBe('held');
  // Kept, each would take 8 bytes.
  expect(used() - before).toBeLessThan(4_000_000);
});
