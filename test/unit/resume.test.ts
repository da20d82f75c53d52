/** PROTOCOL.md, "The life of a connection": what a cursor is worth when a session begins. */
import { expect, test } from 'vitest';
import { decideResume, type ResumeDecision, type ResumeInput } from '../../internal/session/resume.js';

const at = (facts: Partial<ResumeInput>): ResumeInput => ({
  resume: null,
  clientEpoch: 'one',
  pendingReset: null,
  epoch: 'one',
  head: 100,
  scope: 'here',
  countAfter: (cursor) => 100 - cursor,
  canSkip: () => false,
  maxReplay: 10,
  ...facts,
});
const resume = (lastSeq: number, epoch: string | null = 'one') => ({ lastSeq, epoch });

test.each<[what: string, facts: Partial<ResumeInput>, opening: ResumeDecision]>([
  ['a fresh client', {}, { kind: 'fresh' }],
  ['a cursor at the head', { resume: resume(100) }, { kind: 'replay', cursor: 100 }],
  ['a cursor before the head', { resume: resume(95) }, { kind: 'replay', cursor: 95 }],
  ['a cursor without an epoch', { resume: resume(95, null) }, { kind: 'replay', cursor: 95 }],
  ['a cursor as far behind as it may be', { resume: resume(90) }, { kind: 'replay', cursor: 90 }],
  ['a cursor further behind', { resume: resume(89) }, { kind: 'reset', reason: 'limit' }],
  [
    'a cursor further behind, where newest states will do',
    { resume: resume(89), canSkip: () => true },
    { kind: 'skip', reason: 'limit', cursor: 89 },
  ],
  [
    'a cursor of which memory does not know how far behind it is',
    { resume: resume(1), countAfter: () => null },
    { kind: 'replay', cursor: 1 },
  ],
  ['a cursor of this scope', { resume: { ...resume(95), scope: 'here' } }, { kind: 'replay', cursor: 95 }],
  [
    'a cursor of another scope',
    { resume: { ...resume(95), scope: 'there' }, canSkip: () => true },
    { kind: 'reset', reason: 'scope' },
  ],
  ['a cursor ahead of the head', { resume: resume(101) }, { kind: 'ahead', cursor: 101 }],
  ['a cursor of another epoch', { resume: resume(95, 'two') }, { kind: 'reset', reason: 'epoch' }],
  ['one of another epoch, and ahead', { resume: resume(101, 'two') }, { kind: 'reset', reason: 'epoch' }],
  ['the log came back in another epoch', { epoch: 'two' }, { kind: 'reset', reason: 'epoch' }],
  [
    'the same, with a cursor of the new one',
    { epoch: 'two', resume: resume(95, 'two') },
    { kind: 'reset', reason: 'epoch' },
  ],
  ['a reset is owed', { pendingReset: 'ahead', resume: resume(95) }, { kind: 'reset', reason: 'ahead' }],
])('G5 stale cursors: %s', (_what, facts, opening) => {
  expect(decideResume(at(facts))).toEqual(opening);
});
