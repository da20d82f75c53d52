import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Ticket, Window } from '../../sdk/worker/in-flight-limiter.js';
import { TestClock } from './test-clock.js';

/** Says in `launched` that it was let in; its launch may do more, and sends nothing when that is false. */
function ticketOf(name: number, launched: number[], launch: () => boolean = () => true): Ticket {
  return {
    place: 'outside',
    launch: () => {
      launched.push(name);
      return launch();
    },
  };
}

const windowOf = (size: number, clock: TestClock): Window =>
  new Window(size, (ms, call) => void clock.later(ms, call));

test('never lets more in than it holds, keeps the order, and forgets nobody', () => {
  const program = fc.array(fc.tuple(fc.constantFrom('enter', 'enter', 'leave', 'pass'), fc.nat(199)), {
    maxLength: 600,
    size: 'max',
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 150 }), program, (size, steps) => {
      const clock = new TestClock();
      const window = windowOf(size, clock);
      const launched: number[] = [];
      const tickets = Array.from({ length: 200 }, (_, name) => ticketOf(name, launched));
      /** Those who have not been let in, in the order in which they came. */
      const due: number[] = [];
      /** Whoever gives up waiting and comes again may still find his old place. */
      const fickle = new Set<number>();
      const check = (): void => {
        expect(tickets.filter(({ place }) => place === 'inside').length).toBeLessThanOrEqual(size);
        const steady = launched.filter((name) => !fickle.has(name));
        expect(steady).toEqual(due.splice(0, steady.length));
        launched.length = 0;
      };
      for (const [what, name] of steps) {
        const slot = tickets[name] as Ticket;
        if (what === 'enter') {
          if (slot.place === 'outside' && !fickle.has(name)) due.push(name);
          window.enter(slot);
        } else if (what === 'leave') {
          if (slot.place === 'waiting' && !fickle.has(name)) {
            due.splice(due.indexOf(name), 1);
            fickle.add(name);
          }
          window.leave(slot);
        } else clock.pass(1);
        check();
      }
      for (let round = 0; round < 200; round++) {
        clock.pass(1);
        for (const slot of tickets) if (slot.place === 'inside') window.leave(slot);
        check();
      }
      expect(due).toEqual([]);
      expect(tickets.every(({ place }) => place === 'outside')).toBe(true);
    }),
  );
});

test('on a busy line a few wait for more, for a millisecond, and those who make a write do not wait', () => {
  const clock = new TestClock();
  const window = windowOf(4_096, clock);
  const launched: number[] = [];
  const enter = (names: number[]): void => {
    for (const name of names) window.enter(ticketOf(name, launched));
  };
  const names = (from: number, to: number): number[] =>
    Array.from({ length: to - from }, (_, index) => from + index);
  enter(names(0, 32));
  expect(launched).toEqual(names(0, 32));
  enter(names(32, 40));
  expect(launched).toHaveLength(32);
  clock.pass(1);
  expect(launched).toEqual(names(0, 40));
  enter(names(40, 103));
  expect(launched).toHaveLength(40);
  enter([103]);
  expect(launched).toEqual(names(0, 104));
  expect(clock.timers.size).toBeLessThanOrEqual(1);
});

test('who is not sent leaves his place to the next', () => {
  const clock = new TestClock();
  const window = windowOf(1, clock);
  const [first, second, third] = [true, false, true].map((sends, name) => ticketOf(name, [], () => sends));
  for (const one of [first, second, third]) window.enter(one as Ticket);
  expect([first?.place, second?.place, third?.place]).toEqual(['inside', 'waiting', 'waiting']);
  window.leave(first as Ticket);
  clock.pass(5);
  expect([first?.place, second?.place, third?.place]).toEqual(['outside', 'outside', 'inside']);
});

test('nobody is forgotten where none of a hundred thousand can be sent, or sending brings others', () => {
  const clock = new TestClock();
  const window = windowOf(64, clock);
  const launched: number[] = [];
  const holders = Array.from({ length: 64 }, () => ticketOf(-1, []));
  for (const holder of holders) window.enter(holder);
  clock.pass(1);
  const late = Array.from({ length: 1_000 }, (_, name) => ticketOf(200_000 + name, launched, () => false));
  for (let name = 0; name < 100_000; name++) {
    const brings = name % 100 === 0 ? late[name / 100] : undefined;
    const launch = (): boolean => {
      if (brings !== undefined) window.enter(brings);
      return false;
    };
    window.enter(ticketOf(name, launched, launch));
  }
  expect(launched).toEqual([]);
  for (const holder of holders) window.leave(holder);
  clock.pass(5);
  expect(launched).toHaveLength(101_000);
  expect(late.every(({ place }) => place === 'outside')).toBe(true);
});

test('one whose launch throws holds nobody else up', () => {
  const clock = new TestClock();
  const window = windowOf(4_096, clock);
  const launched: number[] = [];
  for (let name = 0; name < 40; name++) window.enter(ticketOf(name, launched));
  window.enter(
    ticketOf(40, launched, () => {
      throw new Error('launched badly');
    }),
  );
  expect(() => clock.pass(1)).toThrow('launched badly');
  window.enter(ticketOf(41, launched));
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
  const window = new Window(1, (_ms, call) => {
    later = call;
  });
  let inside: Ticket = { place: 'outside', launch: () => true };
  let next: Ticket = { place: 'outside', launch: () => true };
  const before = used();
  window.enter(inside);
  for (let turn = 0; turn < 2_000_000; turn++) {
    window.enter(next);
    window.leave(inside);
    later();
    [inside, next] = [next, inside];
  }
  expect(inside.place).toBe('inside');
  // Kept, each would take 8 bytes.
  expect(used() - before).toBeLessThan(4_000_000);
});
