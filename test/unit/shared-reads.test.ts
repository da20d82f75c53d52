import { describe, expect, test } from 'vitest';
import { EventLog } from '../../internal/eventlog/log.js';
import { makeRecord } from '../../internal/eventlog/record.js';
import { Hub } from '../../internal/session/hub.js';
import { all, event, job, pureEdge, updates } from './edge-fixture.js';

const WALL = 1_750_000_000_000;
const LOADED = { head: 0, firstSeq: 1, complete: true, neverTrimmed: true };

function edge() {
  const core = pureEdge({ wallClock: () => WALL });
  core.log.begin('epoch');
  core.log.ready(LOADED);
  return core;
}

describe('what several clients read alike', () => {
  test.each([
    { name: 'of one job', scope: job('a') },
    { name: 'of all jobs', scope: all() },
    { name: 'of the jobs of a type', scope: all('render') },
  ])('$name is made into bytes once, and each gets it', ({ scope }) => {
    const { log, connect, turn, sent } = edge();
    // One object, as of clients of one token that was narrowed once, or an equal one for each.
    const clients = Array.from({ length: 5 }, () => connect({ ...scope }));
    for (let seq = 1; seq <= 3; seq++) log.append(seq, WALL, event('a', { job_type: 'render', note: 'é' }));
    while (turn());
    for (const { frames } of clients)
      expect(updates(frames)).toMatchObject([1, 2, 3].map((seq) => ({ seq, prev_seq: seq - 1, note: 'é' })));
    expect(sent.encoded.size).toBe(3);
  });

  test('of several jobs, by clients that come one behind the other, is made into bytes once', () => {
    const { log, connect, sent } = edge();
    const ids = ['a', 'b', 'c', 'd'];
    for (let seq = 1; seq <= 8; seq++) log.append(seq, WALL, event(ids[(seq - 1) % 4] as string));
    const clients = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3].map((at) => ({
      at,
      ...connect(job(ids[at] as string), { lastSeq: 0, epoch: 'epoch' }),
    }));
    for (const { at, frames } of clients)
      expect(updates(frames)).toMatchObject([1 + at, 5 + at].map((seq) => ({ seq })));
    expect(sent.encoded.size).toBe(8);
  });

  test('and those bytes hold while other jobs report', () => {
    const { log, connect, sent } = edge();
    for (let seq = 1; seq <= 3; seq++) log.append(seq, WALL, event('a'));
    const resume = { lastSeq: 0, epoch: 'epoch' };
    for (let seq = 4; seq <= 8; seq++) {
      const { frames } = connect(job('a'), resume);
      expect(updates(frames)).toMatchObject([1, 2, 3].map((own) => ({ seq: own })));
      log.append(seq, WALL, event('b'));
    }
    expect(sent.encoded.size).toBe(3);
    // Of its own job there is more to read.
    log.append(9, WALL, event('a'));
    expect(updates(connect(job('a'), resume).frames)).toMatchObject([1, 2, 3, 9].map((seq) => ({ seq })));
  });

  test('a single client is sent the text: nobody makes bytes for it', () => {
    const { log, connect, turn, sent } = edge();
    const { frames } = connect(job('a'));
    log.append(1, WALL, event('a'));
    while (turn());
    expect(updates(frames)).toHaveLength(1);
    expect(sent.encoded.size).toBe(0);
  });

  test('an update that one client gets in other words is made for that one alone', () => {
    const { log, connect, turn } = edge();
    log.append(1, WALL, event('a', { job_type: 'render' }));
    const [plain, filtered] = [connect(job('a')), connect(job('a', 'render'))];
    while (turn());
    log.append(2, WALL, event('a', { job_type: 'other' }));
    log.append(3, WALL, event('a', { job_type: 'render' }));
    while (turn());
    expect(updates(plain.frames).at(-1)).toMatchObject({ seq: 3, prev_seq: 2 });
    expect(updates(filtered.frames).at(-1)).toMatchObject({ seq: 3, prev_seq: null });
  });
});

/** Somebody follows these jobs, and so does somebody else. */
function followed(log: EventLog, ...ids: string[]): EventLog {
  for (const id of [...ids, ...ids]) log.watch(id);
  return log;
}

describe('a read of the log', () => {
  function log() {
    const made = followed(new EventLog({ tailBytes: 1e6, lastStateBytes: 1e6 }), 'a', 'b', 'c');
    made.begin('epoch');
    made.ready(LOADED);
    return made;
  }

  test('of a job that one client alone follows is not kept', () => {
    const made = log();
    made.append(1, WALL, event('a'));
    const first = made.read(job('a'), 0, 1e6);
    expect(made.read(job('a'), 0, 1e6)).toBe(first);
    made.unwatch('a');
    const alone = made.read(job('a'), 0, 1e6);
    expect(alone).not.toBe(first);
    expect(alone).toEqual({ ...first, encoded: null });
  });

  test('is the same answer until the log changes', () => {
    const made = log();
    made.append(1, WALL, event('a'));
    const first = made.read(job('a'), 0, 1e6);
    expect(made.read(job('a'), 0, 1e6)).toBe(first);
    expect(made.read(job('a'), 1, 1e6)).toMatchObject({ kind: 'head', cursor: 1 });
    expect(made.read(job('a'), 0, 1e6)).toBe(first);
    expect(made.read(job('b'), 0, 1e6)).toMatchObject({ kind: 'head' });
    expect(made.read(all(), 0, 1e6)).toMatchObject({ kind: 'records', cursor: 1 });
    expect(made.read(all('render'), 0, 1e6)).toMatchObject({ kind: 'records', records: [] });
  });

  test('is kept for each job, and of what is read alike after others were appended the bytes are kept', () => {
    const made = log();
    for (let seq = 1; seq <= 4; seq++) made.append(seq, WALL, event(seq % 2 === 0 ? 'a' : 'b'));
    const [a, b] = [made.read(job('a'), 0, 1e6), made.read(job('b'), 0, 1e6)];
    expect(made.read(job('a'), 0, 1e6)).toBe(a);
    expect(made.read(job('b'), 0, 1e6)).toBe(b);
    const { encoded } = a as { encoded: unknown };
    made.append(5, WALL, event('b'));
    expect(made.read(job('a'), 0, 1e6)).toMatchObject({
      records: [{ seq: 2 }, { seq: 4 }],
      head: { cursor: 5 },
    });
    expect((made.read(job('a'), 0, 1e6) as { encoded: unknown }).encoded).toBe(encoded);
    expect(made.read(job('b'), 0, 1e6)).toMatchObject({ records: [{ seq: 1 }, { seq: 3 }, { seq: 5 }] });
    expect((made.read(job('b'), 0, 1e6) as { encoded: unknown }).encoded).not.toBe(
      (b as { encoded: unknown }).encoded,
    );
  });

  test('G9 memory is bounded: reads of many jobs are let go, and are right when they are read again', () => {
    const made = new EventLog({ tailBytes: 1e9, lastStateBytes: 1e9 });
    made.begin('epoch');
    made.ready(LOADED);
    const note = 'x'.repeat(60_000);
    for (let seq = 1; seq <= 300; seq++) {
      followed(made, `job-${seq}`);
      made.append(seq, WALL, event(`job-${seq}`, { note }));
    }
    const first = made.read(job('job-1'), 0, 1e6);
    expect(made.read(job('job-1'), 0, 1e6)).toBe(first);
    for (let seq = 2; seq <= 300; seq++)
      expect(made.read(job(`job-${seq}`), 0, 1e6)).toMatchObject({ records: [{ seq }] });
    const again = made.read(job('job-1'), 0, 1e6);
    expect(again).not.toBe(first);
    expect(again).toMatchObject({ kind: 'records', records: [{ seq: 1 }], cursor: 1 });
  });

  test('finds what was appended since', () => {
    const made = log();
    expect(made.read(job('a'), 0, 1e6)).toMatchObject({ kind: 'head', cursor: 0 });
    made.append(1, WALL, event('a'));
    expect(made.read(job('a'), 0, 1e6)).toMatchObject({ kind: 'records', cursor: 1 });
    made.append(2, WALL, null);
    expect(made.read(job('a'), 1, 1e6)).toMatchObject({ kind: 'head', cursor: 2 });
  });

  test('says what is known of a job since another has left', () => {
    const made = followed(new EventLog({ tailBytes: 1e6, lastStateBytes: 1e6 }), 'a', 'b', 'c');
    made.begin('epoch');
    made.ready({ ...LOADED, head: 10 });
    made.append(11, WALL, event('b'));
    expect(made.read(job('c'), 5, 1e6)).toMatchObject({ kind: 'head', cursor: 11 });
    made.drop(['b'], 11, 0);
    // A job that memory does not know may have had events.
    expect(made.read(job('c'), 5, 1e6)).toEqual({ kind: 'out_of_range' });
  });

  test('finds what was read back, and nothing of another load', () => {
    const made = followed(new EventLog({ tailBytes: 1e6, lastStateBytes: 1e6 }), 'a', 'b', 'c');
    made.begin('epoch');
    made.ready({ ...LOADED, head: 10 });
    expect(made.read(job('a'), 3, 1e6)).toMatchObject({ kind: 'head', cursor: 10 });
    made.restore(makeRecord(event('a'), 7, 3, WALL));
    expect(made.read(job('a'), 3, 1e6)).toMatchObject({ kind: 'records', cursor: 7 });
    made.begin('epoch');
    expect(made.read(job('a'), 3, 1e6)).toEqual({ kind: 'out_of_range' });
  });

  test('of the last moment of a load says nothing of the next one', () => {
    const made = followed(new EventLog({ tailBytes: 1e6, lastStateBytes: 1e6 }), 'a', 'b', 'c');
    const seen: string[] = [];
    made.begin('epoch');
    made.ready({ ...LOADED, head: 10 });
    made.append(11, WALL, event('a'));
    made.setListeners([{ restarting: () => seen.push(made.read(job('a'), 3, 1e6).kind) }]);
    made.begin('epoch');
    expect(seen).toEqual(['records']);
    expect(made.read(job('a'), 3, 1e6)).toEqual({ kind: 'out_of_range' });
  });

  test('says that the head lies behind what it brings, and only then', () => {
    const made = log();
    for (let seq = 1; seq <= 3; seq++) made.append(seq, WALL, event('a'));
    made.append(4, WALL, event('b'));
    for (const scope of [job('a'), all()]) {
      expect(made.read(scope, 0, 1)).toMatchObject({ kind: 'records', cursor: 1, head: null });
      expect(made.read(scope, 0, 1e6)).toMatchObject({
        kind: 'records',
        head: { kind: 'head', cursor: 4, gap: null },
      });
    }
    // Of what was deleted unread a job has to be looked up first.
    made.append(9, WALL, event('b'));
    expect(made.read(job('b'), 8, 1e6)).toMatchObject({ head: { cursor: 9 } });
    expect(made.read(all(), 4, 1e6)).toMatchObject({ gap: { after: 4, before: 9 }, head: { gap: null } });
  });
});

test('the clock is read once for all that is sent in one turn', () => {
  const log = new EventLog({ tailBytes: 1e6, lastStateBytes: 1e6 });
  let clock = 0;
  const flushes: (() => void)[] = [];
  const timer = { now: () => ++clock, later: () => () => undefined };
  const hub = new Hub(log, (flush) => flushes.push(flush), timer);
  const before = hub.now();
  expect(hub.now()).toBe(before + 1);
  const seen: number[] = [];
  log.markFlushed = () => {
    for (let times = 0; times < 3; times++) seen.push(hub.now());
  };
  hub.appended(null);
  flushes[0]?.();
  expect(new Set(seen)).toEqual(new Set([before + 2]));
  expect(hub.now()).toBe(before + 3);
});
