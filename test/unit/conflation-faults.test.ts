/** A `max_rate` while something else happens: a client that is cut off, a token that changes, a stall, many at once. */
import { describe, expect, test } from 'vitest';
import { makeRecord, type Scope } from '../../internal/eventlog/record.js';
import type { Page } from '../../internal/session/ports.js';
import { all, event, job, settled, types, updates } from './edge-fixture.js';
import { edge, times, told } from './paced-edge.js';

const PAGE = 10;

/** History of one job that stands at 1 to `last`; the edge answers so many pages, and then JetStream is away. */
function behind(last: number, answers: number) {
  const left = { answers };
  const page = (_scope: Scope, after: number): Promise<Page> => {
    if (left.answers-- <= 0) return new Promise(() => {});
    const records = Array.from({ length: PAGE }, (_, index) =>
      makeRecord(event('a'), after + 1 + index, after + index, 0, false),
    );
    return Promise.resolve({
      kind: 'page',
      records,
      cursor: after + PAGE,
      pending: last - after,
      gap: null,
      previous: after + PAGE,
    });
  };
  const core = edge({}, { page });
  core.log.begin('epoch');
  core.log.load(last, 0, event('a'));
  core.log.ready({ head: last, firstSeq: 1, complete: true, neverTrimmed: true });
  const run = async () => {
    for (let i = 0; i < 2 * answers + 4; i++) {
      while (core.turn());
      await settled();
    }
  };
  return { ...core, left, run };
}

describe('while a client reads what it missed', () => {
  test.each([
    ['one job', job('a')],
    ['all jobs', all()],
  ])(
    'G5 stale cursors: of %s, cut off again and again, it gets on with each connection',
    async (_what, scope) => {
      const core = behind(1_000, 0);
      let lastSeq = 1;
      for (let cut = 0; cut < 3; cut++) {
        core.left.answers = 3;
        const { frames, connection } = core.connect(scope, { lastSeq, epoch: 'epoch' }, { maxRate: 0.1 });
        await core.run();
        const last = updates(frames).at(-1);
        expect(last?.seq ?? 0).toBeGreaterThan(lastSeq);
        lastSeq = last?.resume_seq ?? last?.seq ?? 0;
        core.hub.remove(connection);
        connection.closed();
      }
    },
  );

  test('what is due is sent, however long the next page takes', async () => {
    const core = behind(1_000, 3);
    const { frames } = core.connect(job('a'), { lastSeq: 1, epoch: 'epoch' }, { maxRate: 1 });
    await core.run();
    expect(told(frames)).toEqual([[11, 1, 10, undefined]]);
    core.pass(1_010);
    expect(told(frames).slice(1)).toEqual([[31, 11, 20, undefined]]);
  });
});

const expiry = { at: 1e9, text: '2026-01-01T00:00:00Z' };
const onlyX = (scope: Scope) => ({ ok: true, scope: { ...scope, jobTypes: new Set(['x']) } }) as const;
const credentials = {
  expiry,
  warnMs: 0,
  renew: () => Promise.resolve({ kind: 'renewed', expiry, narrow: onlyX } as const),
};

test('a job that turns out to be of a type that the token does not open: what came before is sent first', () => {
  const { publish, connect } = edge();
  const { frames } = connect(job('a', 'x'), null, { maxRate: 0.1 });
  publish(['a', { job_type: 'x' }]);
  publish(['a', { job_type: 'x' }], ['a', { job_type: 'x' }]);
  publish(['a', { job_type: 'y' }]);
  expect(updates(frames).map(({ seq }) => seq)).toEqual([1, 3]);
  expect(frames.at(-1)).toMatchObject({ type: 'error', code: 'forbidden' });
});

test('G7 nobody unauthorised: an event that was held back, and is not shown any more, is not named either', async () => {
  const { connect, publish, pass } = edge();
  const { frames, connection } = connect(job('a'), null, { maxRate: 0.1, credentials });
  publish(['a']);
  publish(['a']);
  connection.receive(JSON.stringify({ type: 'auth', token: 't' }));
  await settled();
  pass(10_010);
  publish(['a', { job_type: 'x' }]);
  expect(updates(frames).map(({ seq, prev_seq }) => [seq, prev_seq])).toEqual([
    [1, 0],
    [3, null],
  ]);
});

test('many who are due at once have their turns: none of them holds up the others', () => {
  const core = edge();
  const clients = Array.from({ length: 100 }, () => core.connect(all(), null, { maxRate: 1 }));
  core.publish(['job-0']);
  const jobs = Array.from({ length: 400 }, (_, index): [string] => [`job-${index}`]);
  core.publish(...jobs);
  const before = core.sent.bytes;
  core.clock.now += 1_010;
  // The event comes before the timer does.
  core.log.append(402, core.clock.now, event('job-0'));
  core.turn();
  core.wake();
  let most = core.sent.bytes - before;
  for (let sent = core.sent.bytes; core.turn(); sent = core.sent.bytes)
    most = Math.max(most, core.sent.bytes - sent);
  expect(core.sent.bytes - before).toBeGreaterThan(4 * 1024 * 1024);
  expect(most).toBeLessThan(1.5 * 1024 * 1024);
  for (const { frames } of clients) expect(told(frames).at(-1)?.[0]).toBe(402);
});

test('who follows all jobs and is woken has its turn before those who catch up', () => {
  const core = edge({}, {}, 1e8);
  const { frames } = core.connect(all(), null, { maxRate: 1, requester: 'one address' });
  core.publish(['a']);
  core.publish(...times(3_000, 'a'));
  for (let i = 0; i < 50; i++)
    core.connect(all(), { lastSeq: 1, epoch: 'epoch' }, { requester: 'one address' });
  core.clock.now += 1_010;
  core.wake();
  for (let turns = 0; turns < 2; turns++) core.turn();
  expect(told(frames).at(-1)?.[0]).toBe(3_001);
});

test('all jobs: a stall is told behind what was held back, however much that is, if it still is one', () => {
  const { publish, connect, hub, pass } = edge({}, {}, 1e8);
  const { frames } = connect(all(), null, {
    maxRate: 0.1,
    stalledFor: (id) => (id === 'a' ? 1_000 : null),
  });
  publish(['a']);
  publish(...times(10_000, 'a'));
  hub.stalled('a', 1_000);
  hub.stalled('b', 1_000);
  expect(types(frames).at(-1)).toBe('progress_update');
  pass(10_010);
  expect(types(frames).slice(-2)).toEqual(['progress_update', 'stalled']);
  expect(frames.at(-1)).toMatchObject({ processing_id: 'a' });
  expect(told(frames).at(-1)?.[0]).toBe(10_001);
});

describe('what a client must see change', () => {
  const phaseOf = (fields: object) => event('a', fields).phase;

  test('a step with an empty name is another than none', () => {
    expect(phaseOf({ step: { name: '' }, job_type: 'x' })).not.toBe(phaseOf({ job_type: 'x' }));
    expect(phaseOf({ step: { name: '' } })).not.toBe(phaseOf({}));
    expect(phaseOf({ step: { index: 1 } })).toBe(phaseOf({}));
  });

  test('G9 memory: the name of a step that each event has another of is counted', () => {
    const bytesOf = (name: string) => {
      const { bytes, frame } = makeRecord(event('a', { step: { name } }), 1, 0, 0);
      return bytes - frame.length;
    };
    expect(bytesOf('x'.repeat(256)) - bytesOf('x')).toBe(255);
  });
});

test('a window that overflows again and again takes no more than its share of a turn', () => {
  const core = edge({}, {}, 1e8);
  const { session, frames } = core.connect(all(), null, { maxRate: 0.1 });
  core.publish(['a']);
  core.publish(...Array.from({ length: 4_000 }, (_, index): [string] => [`job-${index}`]));
  core.clock.now += 10_010;
  expect(session.woken()).toBeLessThan(256 * 1024);
  while (core.turn());
  expect(told(frames).at(-1)?.[0]).toBe(4_001);
});

test('all jobs: an event that comes when it is time does not wait for the timer as well', () => {
  const core = edge();
  const { frames } = core.connect(all(), null, { maxRate: 1 });
  core.publish(['a']);
  core.publish(['a']);
  core.clock.now += 1_000;
  core.publish(['a']);
  expect(told(frames).at(-1)).toEqual([3, 1, 2, undefined]);
});
