import { expect, test } from 'vitest';
import { EventLog, type LogListener } from '../../internal/eventlog/log.js';
import { makeRecord } from '../../internal/eventlog/record.js';
import { event } from './edge-fixture.js';

const WHOLE = { firstSeq: 1, complete: true, neverTrimmed: true };

/** A log, and what its two listeners heard: who, what, and what the log said meanwhile. */
function listened() {
  const heard: string[] = [];
  const told = (name: string): LogListener => {
    const hear = (what: string) =>
      heard.push(`${name}: ${what}; ready ${log.isReady}, head ${log.head}, last of a ${log.last('a')?.seq}`);
    return {
      restarting: (reset) => hear(`restarting ${reset}`),
      loaded: ({ id, seq }) => hear(`loaded ${id} ${seq}`),
      ready: () => hear('ready'),
      appended: (record) => hear(`appended ${record?.seq ?? null}`),
      gone: (jobs) => hear(`gone ${jobs.map(({ id }) => id)}`),
    };
  };
  const log = new EventLog({ tailBytes: 1e6, lastStateBytes: 1e6 });
  log.setListeners([told('first'), told('second')]);
  return { log, take: () => heard.splice(0) };
}

/** What both heard, one after the other. */
const both = (what: string) => [`first: ${what}`, `second: ${what}`];

test('a log tells of a beginning before it empties memory, when nobody may start from it any more', () => {
  const { log, take } = listened();
  log.begin('epoch');
  expect(take()).toEqual(both('restarting null; ready false, head 0, last of a undefined'));
  log.load(3, 0, event('a'));
  expect(take()).toEqual(both('loaded a 3; ready false, head 0, last of a 3'));
  log.ready({ head: 3, ...WHOLE });
  expect(take()).toEqual(both('ready; ready true, head 3, last of a 3'));

  log.begin('epoch', 'ahead');
  expect(take()).toEqual(both('restarting ahead; ready false, head 3, last of a 3'));
  expect(log.last('a')).toBeUndefined();
});

test('a log tells of each message when it is there, in order, the first listener first', () => {
  const { log, take } = listened();
  log.begin('epoch');
  log.ready({ head: 0, ...WHOLE });
  take();
  log.append(1, 0, event('a'));
  log.append(2, 0, null);
  // It was read before.
  log.append(2, 0, event('a'));
  expect(take()).toEqual([
    ...both('appended 1; ready true, head 1, last of a 1'),
    ...both('appended null; ready true, head 2, last of a 1'),
  ]);
});

test('a log tells of jobs that left when they are gone, and of nothing where none did', () => {
  const { log, take } = listened();
  log.begin('epoch');
  log.ready({ head: 0, ...WHOLE });
  for (const [at, id] of ['a', 'b', 'c'].entries()) log.append(at + 1, 0, event(id));
  take();
  log.trim({ firstSeq: 2, lastSeq: 3 }, 0);
  log.trim({ firstSeq: 2, lastSeq: 3 }, 0);
  log.drop(['b', 'unknown'], 3, 0);
  log.drop(['b'], 3, 0);
  expect(take()).toEqual([
    ...both('gone a; ready true, head 3, last of a undefined'),
    ...both('gone b; ready true, head 3, last of a undefined'),
  ]);
});

test('a state that is read back is one of the loaded before the log is ready, and no news after', () => {
  const { log, take } = listened();
  log.begin('epoch');
  take();
  log.restore(makeRecord(event('a'), 1, null, 0));
  expect(take()).toEqual(both('loaded a 1; ready false, head 0, last of a 1'));
  log.ready({ head: 2, ...WHOLE });
  take();
  log.restore(makeRecord(event('b'), 2, null, 0));
  expect(log.last('b')?.seq).toBe(2);
  expect(take()).toEqual([]);
});

test('G2 state first: an older state does not take the place of a newer one that was evicted', () => {
  const log = new EventLog({ tailBytes: 1e6, lastStateBytes: 1_000 });
  log.begin('epoch');
  log.load(20, 0, event('a'));
  for (const [at, id] of ['b', 'c', 'd', 'e'].entries()) log.load(21 + at, 0, event(id));
  expect(log.last('a')).toBeUndefined();
  log.load(10, 0, event('a'));
  expect(log.last('a')).toBeUndefined();
  log.ready({ head: 24, ...WHOLE });
  expect(log.append(25, 0, event('a'))?.prevSeq).toBe(20);
});
