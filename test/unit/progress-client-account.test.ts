/** The judge of the client's scenarios finds what a client may do wrong. */
import { expect, test } from 'vitest';
import { faultsOf } from '../harness/progress-client/account.js';
import type { Told } from '../harness/progress-client/recorder.js';

const STORED = [3, 7, 8, 12].map((seq) => ({ seq, progress: seq, status: 'processing' }));
const told = (...all: (number | 'reset')[]): Told[] =>
  all.map((one) =>
    one === 'reset'
      ? { handle: 'h', what: 'reset', why: 'retention' }
      : { handle: 'h', what: 'update', seq: one, progress: one, status: 'processing' },
  );

test.each([
  ['everything', told(3, 7, 8, 12), 0, []],
  ['a cursor', told(8, 12), 7, []],
  ['a handle that came late', told(8, 12), null, []],
  ['a reset', told(3, 'reset', 8, 12), 0, []],
  ['one lost', told(3, 8, 12), 0, ['missing before 8: 1']],
  ['the first lost', told(7, 8, 12), 0, ['missing before 7: 1']],
  ['one twice', told(3, 7, 7, 8, 12), 0, ['7 was shown again']],
  ['out of order', told(3, 8, 7, 8, 12), 0, ['missing before 8: 1', '7 was shown again']],
  ['the end lost', told(3, 7), 0, ['missing at the end: 2']],
  ['nothing behind a reset', told(3, 'reset'), 0, ['nothing was shown']],
  [
    'one that was never stored',
    told(3, 7, 9, 8, 12).slice(0, 3),
    7,
    expect.arrayContaining(['9 was never stored']),
  ],
])('%s', (_what, all, begin, faults) => {
  expect(faultsOf(all, STORED, begin)).toEqual(faults);
});

test('another content under a right number', () => {
  const changed = told(3, 7, 8, 12).map((one) => (one.seq === 8 ? { ...one, progress: 50 } : one));
  expect(faultsOf(changed, STORED)).toEqual(['8 was shown as another']);
});
