import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AckTracker } from '../../internal/cli/commands/replay/ack-tracker.js';
import { commandOf, keysOf } from '../../internal/cli/commands/replay/keys.js';
import { faster, parseSpeed, showSpeed, slower } from '../../internal/cli/commands/replay/pacer.js';

describe('a speed', () => {
  test.each([
    ['0.5x', 0.5],
    ['1x', 1],
    ['10', 10],
    ['0.001', 0.001],
    ['max', Number.POSITIVE_INFINITY],
  ])('%s is one', (text, speed) => {
    expect(parseSpeed(text)).toBe(speed);
  });

  test.each([
    '',
    '0',
    '0x',
    '-1',
    'x',
    '1xx',
    '1 x',
    '1e3',
    'Infinity',
    'NaN',
    '.5',
    '5.',
    '0x10',
    '9999999',
    'MAX',
  ])('%j is none', (text) => {
    expect(parseSpeed(text)).toBe(null);
  });

  test('goes up and down in steps that are written as they are read, and stops at the ends', () => {
    let speed = 1;
    const go = (change: (speed: number) => number): number => {
      speed = change(speed);
      return speed;
    };
    const up = Array.from({ length: 12 }, () => showSpeed(go(faster)));
    expect(up.slice(0, 3)).toEqual(['2x', '5x', '10x']);
    expect(up.at(-1)).toBe('max');
    const down = Array.from({ length: 20 }, () => go(slower));
    for (const one of down) expect(parseSpeed(showSpeed(one))).toBe(one);
    expect(down.at(-1)).toBe(0.1);
    expect(slower(0.01)).toBe(0.01);
    expect(slower(3)).toBe(2);
  });
});

test('keys, also as terminals send them', () => {
  expect([' ', 'n', '\u001b[C', '\u001bOC', '+', '=', '-', 'q', 'Q'].map(commandOf)).toEqual([
    'pause',
    'step',
    'step',
    'step',
    'faster',
    'faster',
    'slower',
    'quit',
    'quit',
  ]);
  expect(['', 'x', '\u001b', '\u001b[D', '\r'].map(commandOf)).toEqual([null, null, null, null, null]);
});

test('keys that come at once are keys one after the other', () => {
  expect(keysOf('++ n\u001b[C\u001b[1;5Cq\u001bOC')).toEqual([
    '+',
    '+',
    ' ',
    'n',
    '\u001b[C',
    '\u001b[1;5C',
    'q',
    '\u001bOC',
  ]);
  expect(keysOf('')).toEqual([]);
  expect(keysOf('\u001b')).toEqual(['\u001b']);
});

const step = fc.oneof(
  fc.record({ kind: fc.constant('show' as const), count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ kind: fc.constant('take' as const), count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ kind: fc.constantFrom('settle' as const, 'again' as const) }),
);

test('a place is never moved past what was shown, and reaches it when every receipt is here', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 60 }),
      fc.array(step, { maxLength: 60 }),
      (places, program) => {
        const seqs = places.sort((a, b) => a - b);
        const ledger = new AckTracker<number>(0);
        let shown = 0;
        let taken = 0;
        for (const one of program) {
          if (one.kind === 'show') {
            const next = seqs.slice(shown, shown + one.count);
            shown += next.length;
            if (next.length > 0) ledger.show(next.at(-1) ?? 0, next.length);
          } else if (one.kind === 'take') {
            for (const seq of seqs.slice(taken, taken + one.count)) ledger.take(seq, seq);
            taken = Math.min(seqs.length, taken + one.count);
          } else if (one.kind === 'again') {
            for (const seq of seqs.slice(0, taken).reverse()) ledger.take(seq, seq);
          } else {
            const settled = ledger.settle();
            if (settled !== null) expect(settled.seq).toBe(settled.receipt);
          }
          expect(ledger.placed).toBeLessThanOrEqual(seqs[shown - 1] ?? 0);
          // What a crash would show twice is never said to be less than it is.
          expect(ledger.unplaced).toBeGreaterThanOrEqual(
            seqs.slice(0, shown).filter((seq) => seq > ledger.placed).length,
          );
        }
        for (const seq of seqs) ledger.take(seq, seq);
        ledger.show(seqs.at(-1) ?? 0, seqs.length - shown);
        ledger.settle();
        expect(ledger.placed).toBe(seqs.at(-1));
        expect(ledger.unplaced).toBe(0);
        expect(ledger.held).toBe(0);
      },
    ),
  );
});
