import { describe, expect, test } from 'vitest';
import { makeRecord } from '../../internal/eventlog/record.js';
import type { JointPosition, Narrow } from '../../internal/session/ports.js';
import type { ServerFrame } from '../../schemas/frames.js';
import { event, pureEdge, settled, types, updates } from './edge-fixture.js';

/** An edge that has read three jobs: a at 1 and 4, b at 2, c at 3, which is finished. */
function edge(wallClock = () => 0) {
  const made = pureEdge({ wallClock });
  made.log.setEpoch('epoch');
  made.log.begin('epoch');
  made.log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
  made.log.append(1, 0, event('a', { progress: 1 }));
  made.log.append(2, 0, event('b'));
  made.log.append(3, 0, event('c', { status: 'completed', progress: 100 }));
  made.log.append(4, 0, event('a', { progress: 2 }));
  while (made.turn());
  return made;
}
const run = async (made: ReturnType<typeof pureEdge>) => {
  for (let i = 0; i < 5; i++) {
    while (made.turn());
    await settled();
  }
};
const of = (frames: readonly ServerFrame[], id: string) =>
  frames.filter((frame) => 'processing_id' in frame && frame.processing_id === id);

describe('jobs that a client names', () => {
  test('G2 state first: hello, and of each job its last state and then following', async () => {
    const made = edge();
    const { frames, send } = made.select(['b']);
    expect(types(frames)).toEqual(['hello', 'progress_update', 'following']);
    send({ type: 'follow', jobs: [{ processing_id: 'a' }] });
    await run(made);
    expect(of(frames, 'a')).toMatchObject([
      { type: 'progress_update', seq: 4 },
      { type: 'following', cursor: 4 },
    ]);
  });

  test('G1 order: each job goes on from its own cursor, and what is new comes to those that follow it', async () => {
    const made = edge();
    const { frames, send } = made.select();
    send({
      type: 'follow',
      epoch: 'epoch',
      jobs: [
        { processing_id: 'a', last_seq: 1 },
        { processing_id: 'b', last_seq: 2 },
      ],
    });
    made.log.append(5, 0, event('b', { progress: 50 }));
    made.log.append(6, 0, event('other'));
    await run(made);
    expect(updates(frames).map(({ seq, prev_seq }) => [seq, prev_seq])).toEqual([
      [4, 1],
      [5, 2],
    ]);
    expect(types(frames)).not.toContain('reset');
  });

  test('G6 the end: of one job it concerns that job alone', async () => {
    const made = edge();
    const { frames, socket, connection } = made.select(['a', 'c']);
    expect(of(frames, 'c').map(({ type }) => type)).toEqual(['progress_update', 'following', 'end']);
    expect(socket.closed).toBeNull();
    expect([...connection.sessions]).toHaveLength(1);
    made.log.append(5, 0, event('a', { status: 'completed', progress: 100 }));
    await run(made);
    expect(of(frames, 'a').at(-1)).toMatchObject({ type: 'end' });
    expect([[...made.hub.countStates()], socket.closed]).toEqual([[], null]);
  });

  test('G5 stale cursors: one job is reset, and the others go on', async () => {
    const made = edge();
    const { frames, send } = made.select(['b']);
    send({ type: 'follow', epoch: 'another', jobs: [{ processing_id: 'a', last_seq: 1 }] });
    await run(made);
    expect(of(frames, 'a')).toMatchObject([
      { type: 'reset', reason: 'epoch', epoch: 'epoch' },
      { type: 'progress_update', seq: 4 },
      { type: 'following', cursor: 4 },
    ]);
    expect(of(frames, 'b').map(({ type }) => type)).toEqual(['progress_update', 'following']);
  });

  test('G7 nobody unauthorised, G8 bad input: a refusal names its job, and the connection stays', async () => {
    const made = edge();
    const { frames, send, socket } = made.select(['a'], null, {
      maxJobs: 2,
      narrow: (scope) =>
        scope.kind === 'job' && scope.id === 'b'
          ? { ok: false, message: 'not this one' }
          : { ok: true, scope },
    });
    send({ type: 'follow', jobs: ['b', 'a.b', 'd', 'e'].map((processing_id) => ({ processing_id })) });
    await run(made);
    expect(frames.filter(({ type }) => type === 'error')).toMatchObject([
      { processing_id: 'b', code: 'forbidden' },
      { processing_id: 'a.b', code: 'invalid_processing_id' },
      { processing_id: 'e', code: 'too_many_jobs' },
    ]);
    expect(of(frames, 'd').map(({ type }) => type)).toEqual(['following']);
    expect(socket.closed).toBeNull();
  });

  test('G9 memory: a client that does not read and goes on to name jobs that it may not follow is closed', async () => {
    const made = edge();
    const { frames, send, socket } = made.select(['a'], null, { maxJobs: 10 });
    socket.fullAfter = 0;
    const wrong = (count: number) => Array.from({ length: count }, () => ({ processing_id: '!' }));
    send({ type: 'follow', jobs: wrong(10) });
    expect(socket.closed).toBeNull();
    // Who reads again begins anew.
    socket.fullAfter = Number.POSITIVE_INFINITY;
    send({ type: 'follow', jobs: wrong(10) });
    socket.fullAfter = 0;
    send({ type: 'follow', jobs: [...wrong(100), { processing_id: 'b' }] });
    await run(made);
    expect(socket.closed).toBe(4429);
    expect(frames.at(-1)).toMatchObject({ type: 'error', code: 'too_many_frames' });
    expect(frames.filter(({ type }) => type === 'error')).toHaveLength(31);
    expect([...made.hub.countStates()]).toEqual([]);
  });

  test('G9 memory: of a connection that is closed while it names jobs nothing is left', async () => {
    let now = 0;
    const made = pureEdge({ wallClock: () => now });
    const { connection, send, socket } = made.select([], null, {
      credentials: {
        expiry: { at: 10, text: 'then' },
        warnMs: 0,
        renew: () => Promise.resolve({ kind: 'unknown' }),
      },
      narrow: (scope) => {
        now = 20;
        return { ok: true, scope };
      },
    });
    send({ type: 'follow', jobs: [{ processing_id: 'a' }, { processing_id: 'b' }, { processing_id: 'c' }] });
    expect(socket.closed).toBe(4401);
    expect([...connection.sessions]).toEqual([]);
  });

  test('G6 the end, G9 memory: whoever is refused a job takes it from nobody else', async () => {
    const made = pureEdge({
      wallClock: () => 0,
      lastStateBytes: 3_000,
      tailBytes: 1_000,
      history: {
        page: () =>
          Promise.resolve({ kind: 'page', records: [], cursor: 2, pending: 0, gap: null, previous: null }),
      },
    });
    made.log.begin('epoch');
    made.log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
    made.log.append(1, 0, event('a'));
    const slow = made.select(['a'], null, { fullAfter: 3 });
    made.log.append(2, 0, event('a', { status: 'completed', progress: 100 }));
    const refused = made.select([], null, { hasReadCapacity: () => false });
    refused.send({ type: 'follow', jobs: [{ processing_id: 'a' }] });
    expect(refused.frames.at(-1)).toMatchObject({ type: 'error', code: 'overloaded' });
    for (let seq = 3; seq < 60; seq++) made.log.append(seq, 0, event(`other${seq}`));
    expect(made.log.last('a')?.seq).toBe(2);
    slow.socket.fullAfter = Number.POSITIVE_INFINITY;
    slow.connection.drained();
    await run(made);
    expect(of(slow.frames, 'a').at(-1)).toMatchObject({ type: 'end' });
  });

  test('G9 memory: a connection that is closed while it begins its jobs keeps none of them in memory', () => {
    let now = 0;
    const made = pureEdge({ wallClock: () => now, lastStateBytes: 3_000, tailBytes: 1_000 });
    made.log.begin('epoch');
    made.log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
    const ids = ['a', 'b', 'c'];
    for (const [index, id] of ids.entries()) made.log.append(index + 1, 0, event(id));
    const { socket } = made.select(ids, null, {
      credentials: {
        expiry: { at: 10, text: 'then' },
        warnMs: 0,
        renew: () => Promise.resolve({ kind: 'unknown' }),
      },
      hasReadCapacity: () => {
        now = 20;
        return true;
      },
    });
    expect(socket.closed).toBe(4401);
    for (let seq = 4; seq < 60; seq++) made.log.append(seq, 0, event(`other${seq}`));
    expect(ids.filter((id) => made.log.last(id) !== undefined)).toEqual([]);
  });

  test('G1 order, G5 stale cursors: a job of a stream waits until reads have room, and is owed what happens meanwhile', async () => {
    for (const [epoch, reset, reason] of [
      ['epoch', 'ahead', 'ahead'],
      ['next', null, 'epoch'],
      [null, null, null],
    ] as const) {
      let hasRoom = false;
      const made = edge();
      const fixed = { scopeName: 'both', anew: new Set<string>(), over: new Set<string>() };
      const resume = { lastSeq: 1, epoch: 'epoch', scope: 'both' };
      const { frames, socket, connection } = made.select(['a', 'b'], resume, {
        fixed,
        hasReadCapacity: () => hasRoom,
      });
      made.log.append(5, 0, event('a', { progress: 7 }));
      await run(made);
      expect([types(frames), socket.closed]).toEqual([['hello'], null]);
      expect(connection.position()).toMatchObject({ cursor: 1, marks: ['follows', 'follows'] });
      if (epoch !== null) {
        made.log.begin(epoch, reset);
        made.log.load(5, 0, event('a', { progress: 7 }));
        made.log.ready({ head: 5, firstSeq: 1, complete: true, neverTrimmed: true });
        await run(made);
        expect(types(frames)).toEqual(['hello']);
      }
      hasRoom = true;
      made.hub.tick(1, 'ok');
      await run(made);
      expect(of(frames, 'a').map(({ type }) => type)).toEqual([
        reason === null ? 'progress_update' : 'reset',
        'progress_update',
        'following',
      ]);
      expect(frames.flatMap((frame) => (frame.type === 'reset' ? [frame.reason] : []))).toEqual(
        reason === null ? [] : [reason, reason],
      );
      connection.closed();
      expect([...made.hub.countStates()]).toEqual([]);
    }
  });

  test.each([
    ['', {}],
    [', at whatever rate', { maxRate: 1 }],
  ])(
    'G1 order: the cursor of all jobs does not fall back to where the state of one stands in the stream%s',
    async (_how, rate) => {
      const made = pureEdge({ wallClock: () => 0 });
      made.log.begin('epoch');
      const cursors: (number | undefined)[] = [];
      let position: () => JointPosition | null = () => null;
      const { connection, frames } = made.select(['new', 'old'], null, {
        ...rate,
        fixed: { scopeName: 'both', anew: new Set(), over: new Set() },
        onSend: () => cursors.push(position()?.cursor),
      });
      position = () => connection.position();
      made.log.load(1, 0, event('old'));
      cursors.length = 0;
      made.log.ready({ head: 9, firstSeq: 1, complete: true, neverTrimmed: true });
      await run(made);
      expect(types(frames).slice(1)).toEqual(['following', 'progress_update', 'following']);
      expect(cursors).toEqual([9, 9, 9]);
    },
  );

  test('G1 order: a state that was read before the job left the stream, and waits for the socket, is not its state', async () => {
    const answers = [makeRecord(event('a'), 1, null, 0), null];
    let reads = 0;
    const made = pureEdge({
      wallClock: () => 0,
      tailBytes: 300,
      history: { lastState: () => Promise.resolve(answers[reads++] ?? null) },
    });
    made.log.begin('epoch');
    made.log.ready({ head: 0, firstSeq: 1, complete: false, neverTrimmed: true });
    const { frames, socket, connection } = made.select(['a']);
    socket.fullAfter = 0;
    await run(made);
    made.log.append(1, 0, event('a'));
    made.log.append(2, 0, event('a', { progress: 2 }));
    made.log.append(3, 0, event('b'));
    made.log.drop(['a'], 3, 0);
    made.log.append(4, 0, event('b'));
    socket.fullAfter = Number.POSITIVE_INFINITY;
    connection.drained();
    await run(made);
    expect(of(frames, 'a')).toMatchObject([{ type: 'following', cursor: 4 }]);
    made.log.append(5, 0, event('a', { progress: 3 }));
    await run(made);
    expect(updates(frames).map(({ seq, prev_seq }) => [seq, prev_seq])).toEqual([[5, null]]);
  });

  test('G5 stale cursors, G6 the end: that a job has ended in one stream says nothing of it in the next', async () => {
    const made = edge();
    const fixed = { scopeName: 'both', anew: new Set<string>(), over: new Set<string>() };
    const { frames, connection } = made.select(['a', 'c'], null, { fixed });
    expect(of(frames, 'c').at(-1)).toMatchObject({ type: 'end' });
    expect(connection.position()).toMatchObject({ epoch: 'epoch', marks: ['follows', 'over'] });
    made.log.begin('next');
    expect(connection.position()).toMatchObject({ epoch: 'epoch', marks: ['follows', 'over'] });
    made.log.load(1, 0, event('c'));
    made.log.ready({ head: 1, firstSeq: 1, complete: true, neverTrimmed: true });
    await run(made);
    expect(connection.position()).toMatchObject({ epoch: 'next', marks: ['follows', 'anew'] });
    made.log.append(2, 0, event('a', { status: 'completed', progress: 100 }));
    await run(made);
    expect(connection.position()).toMatchObject({ epoch: 'next', marks: ['over', 'anew'] });
  });

  test('herds: who names many jobs, or reads on with many, has a share of a turn, and the others have theirs', async () => {
    const made = pureEdge({ wallClock: () => 0, tailBytes: 100e6, limits: { watermarkBytes: 1e6 } });
    made.log.begin('epoch');
    made.log.ready({ head: 0, firstSeq: 1, complete: true, neverTrimmed: true });
    const ids = Array.from({ length: 64 }, (_, index) => `job${index}`);
    const extra = { note: 'y'.repeat(60_000) };
    let seq = 0;
    const report = () => {
      for (const id of ids) made.log.append(++seq, 0, event(id, { extra }));
    };
    report();
    const share = 128 * 1024 + 2 * 65_536;
    const named = made.select([], null, { requester: 'one' });
    named.send({ type: 'follow', jobs: ids.map((processing_id) => ({ processing_id })) });
    expect(made.sent.bytes).toBeLessThan(share);
    await run(made);
    expect(named.frames.filter(({ type }) => type === 'following')).toHaveLength(ids.length);
    made.sent.bytes = 0;
    const inAddress = made.select(ids, { lastSeq: seq, epoch: 'epoch' }, { requester: 'two' });
    await run(made);
    inAddress.socket.fullAfter = named.socket.fullAfter = 0;
    report();
    await run(made);
    inAddress.socket.fullAfter = named.socket.fullAfter = Number.POSITIVE_INFINITY;
    made.sent.bytes = 0;
    inAddress.connection.drained();
    expect(made.sent.bytes).toBeLessThan(share);
    await run(made);
    expect(updates(inAddress.frames)).toHaveLength(ids.length);
    made.sent.bytes = 0;
    made.select(ids);
    expect(made.sent.bytes).toBeLessThan(share);
  });

  test('what is followed no longer is sent no more, and can be followed again', async () => {
    const made = edge();
    const { frames, send } = made.select(['a', 'b']);
    send({ type: 'unfollow', jobs: ['a', 'nothing'] });
    made.log.append(5, 0, event('a', { progress: 3 }));
    await run(made);
    expect(updates(frames).map(({ seq }) => seq)).toEqual([4, 2]);
    send({ type: 'follow', epoch: 'epoch', jobs: [{ processing_id: 'a', last_seq: 4 }] });
    await run(made);
    expect(updates(frames).map(({ seq }) => seq)).toEqual([4, 2, 5]);
  });

  test('G1 order: what was under way of a job that is followed again comes before its follow_ok, the answer behind it, also on a full socket', async () => {
    const made = edge();
    const { frames, send, socket, connection } = made.select(['a', 'b']);
    socket.fullAfter = 0;
    made.log.append(5, 0, event('a', { progress: 3 }));
    send({ type: 'follow', ack: true, epoch: 'epoch', jobs: [{ processing_id: 'a', last_seq: 4 }] });
    send({ type: 'follow', jobs: [{ processing_id: 'b' }] });
    await run(made);
    expect(frames.at(-1)).toEqual({ type: 'follow_ok' });
    const before = frames.length;
    socket.fullAfter = Number.POSITIVE_INFINITY;
    connection.drained();
    await run(made);
    expect(frames.slice(before)).toMatchObject([
      { type: 'progress_update', processing_id: 'a', seq: 5 },
      { type: 'following', processing_id: 'a' },
      { type: 'progress_update', processing_id: 'b' },
      { type: 'following', processing_id: 'b' },
    ]);
  });

  test('a refusal comes behind the answer to its follow', async () => {
    const made = edge();
    const { frames, send } = made.select([]);
    send({ type: 'follow', ack: true, jobs: [{ processing_id: 'not good' }] });
    expect(frames.slice(-2)).toMatchObject([
      { type: 'follow_ok' },
      { type: 'error', processing_id: 'not good' },
    ]);
  });

  test('G9 memory: who asks for answers and does not read them is cut', async () => {
    const made = edge();
    const { frames, send, socket } = made.select([]);
    socket.fullAfter = 0;
    for (let i = 0; i < 1_000; i++) send({ type: 'follow', ack: true, jobs: [{ processing_id: 'a' }] });
    expect(frames.at(-1)).toMatchObject({ type: 'error', code: 'too_many_frames' });
    expect(frames.length).toBeLessThan(300);
  });

  test('one number of a heartbeat resumes them all', async () => {
    const made = edge();
    const first = made.select(['a', 'b']);
    made.log.append(5, 0, event('b', { progress: 50 }));
    await run(made);
    made.hub.tick(1e9, 'ok');
    const heartbeat = first.frames.at(-1);
    expect(heartbeat).toMatchObject({ type: 'heartbeat', cursor: 5 });
    first.connection.closed();
    made.hub.remove(first.connection);
    made.log.append(6, 0, event('a', { progress: 60 }));
    made.log.append(7, 0, event('b', { progress: 70 }));
    const back = made.select(['a', 'b'], { lastSeq: 5, epoch: 'epoch' });
    await run(made);
    expect(updates(back.frames).map(({ seq, prev_seq }) => [seq, prev_seq])).toEqual([
      [6, 4],
      [7, 5],
    ]);
  });

  test('the log begins anew: of the same epoch each goes on, of another each is reset', async () => {
    const made = edge();
    const { frames } = made.select(['a', 'b']);
    made.log.begin('next');
    made.log.load(1, 0, event('a', { progress: 9 }));
    made.log.ready({ head: 1, firstSeq: 1, complete: true, neverTrimmed: true });
    await run(made);
    expect(of(frames, 'a').slice(2)).toMatchObject([
      { type: 'reset', reason: 'epoch', epoch: 'next' },
      { type: 'progress_update', seq: 1 },
      { type: 'following', cursor: 1 },
    ]);
    expect(of(frames, 'b').slice(2)).toMatchObject([{ type: 'reset' }, { type: 'following', cursor: 1 }]);
  });

  test('G4 slow readers, G6 the end: of a socket that takes little each job has its share, however much the first one reports', async () => {
    const made = edge();
    const { frames, socket, connection } = made.select(['a', 'b', 'x']);
    socket.fullAfter = frames.length;
    made.log.append(5, 0, event('b', { status: 'completed', progress: 100 }));
    for (let seq = 6; seq < 12; seq++) {
      made.log.append(seq, 0, event('a', { progress: seq }));
      await run(made);
      socket.fullAfter = frames.length + 1;
      connection.drained();
    }
    expect(of(frames, 'b').at(-1)).toMatchObject({ type: 'end' });
    socket.fullAfter = Number.POSITIVE_INFINITY;
    connection.drained();
    await run(made);
    expect(updates(of(frames, 'a')).map(({ seq }) => seq)).toEqual([4, 6, 7, 8, 9, 10, 11]);
  });

  test('G4 slow readers: a socket that is full gets no more of any job, and goes on with each where it stood', async () => {
    const made = edge();
    const { frames, socket, connection } = made.select(['a', 'b'], null, { fullAfter: 2 });
    expect(types(frames)).toEqual(['hello', 'progress_update']);
    made.log.append(5, 0, event('a', { progress: 3 }));
    made.log.append(6, 0, event('b', { progress: 4 }));
    await run(made);
    expect(frames).toHaveLength(2);
    socket.fullAfter = Number.POSITIVE_INFINITY;
    connection.drained();
    await run(made);
    expect(updates(frames).map(({ seq }) => seq)).toEqual([4, 5, 6]);
  });
});

describe('jobs that a client names at once, and one cursor for all of them', () => {
  const FIXED = { scopeName: 'these', anew: new Set<string>(), over: new Set<string>() };
  const NOT_B: Narrow = (scope) =>
    scope.kind === 'job' && scope.id === 'b' ? { ok: false, message: 'not this one' } : { ok: true, scope };

  test('G1 order: it is the lowest of those that are followed, and says which are over', async () => {
    const made = edge();
    const { connection, frames } = made.select(['c', 'a', 'b'], null, { fixed: FIXED, narrow: NOT_B });
    expect(of(frames, 'b')).toMatchObject([{ type: 'error', code: 'forbidden' }]);
    expect(connection.position()).toEqual({ epoch: 'epoch', cursor: 4, marks: ['follows', 'over', 'over'] });
    made.log.append(5, 0, event('other'));
    await run(made);
    expect(connection.position()).toMatchObject({ cursor: 5 });
  });

  test('G1 order: in the midst of a turn it covers no event that is still to be sent', async () => {
    const made = edge();
    const seen: unknown[] = [];
    let isOpen = false;
    const { connection } = made.select(['a', 'b'], null, {
      fixed: FIXED,
      onSend: ({ type }) => {
        if (isOpen && type === 'progress_update') seen.push(connection.position()?.cursor);
      },
    });
    isOpen = true;
    made.log.append(5, 0, event('a', { progress: 3 }));
    made.log.append(6, 0, event('b', { progress: 4 }));
    await run(made);
    expect(seen).toEqual([4, 6]);
    expect(connection.position()?.cursor).toBe(6);
  });

  test('G5 stale cursors: a job that is reset has none from its frame on, until its state was sent', async () => {
    const made = edge();
    const seen: unknown[] = [];
    const { connection } = made.select(['a', 'b'], null, {
      fixed: FIXED,
      onSend: ({ type }) => {
        if (type === 'reset') seen.push(connection.position());
      },
    });
    made.log.begin('next');
    made.log.load(1, 0, event('a', { progress: 9 }));
    made.log.ready({ head: 1, firstSeq: 1, complete: true, neverTrimmed: true });
    await run(made);
    expect(seen).toEqual([
      { epoch: 'epoch', cursor: 4, marks: ['anew', 'follows'] },
      { epoch: 'next', cursor: 1, marks: ['follows', 'anew'] },
    ]);
    expect(connection.position()).toEqual({ epoch: 'next', cursor: 1, marks: ['follows', 'follows'] });
  });

  test('G6 the end: what was told to be over is not followed again, and behind the last one the way is closed', async () => {
    const made = edge();
    const resume = { lastSeq: 4, epoch: 'epoch', scope: 'these' };
    const fixed = { ...FIXED, over: new Set(['c']) };
    const { frames, socket, connection } = made.select(['a', 'c'], resume, { fixed });
    expect(types(frames)).toEqual(['hello', 'following']);
    made.log.append(5, 0, event('a', { status: 'completed', progress: 100 }));
    await run(made);
    expect(types(frames).slice(2)).toEqual(['progress_update', 'end']);
    expect(socket.closed).toBe(1000);
    expect(connection.position()?.marks).toEqual(['over', 'over']);
    // In another stream these are other jobs.
    const other = made.select(['a', 'c'], { ...resume, epoch: 'before' }, { fixed });
    expect(of(other.frames, 'c').map(({ type }) => type)).toEqual([
      'reset',
      'progress_update',
      'following',
      'end',
    ]);
  });

  test('G7 nobody unauthorised, G1 order: an update that the end of the token held back is not covered', async () => {
    let now = 0;
    const made = edge(() => now);
    const { connection, frames } = made.select(['a', 'b'], null, {
      fixed: FIXED,
      credentials: {
        expiry: { at: 1_000, text: 'then' },
        warnMs: 1,
        renew: async () => ({ kind: 'unknown' }),
      },
    });
    now = 2_000;
    made.log.append(5, 0, event('a', { progress: 3 }));
    await run(made);
    expect(frames.at(-1)).toMatchObject({ type: 'error', code: 'token_expired' });
    expect(connection.position()).toBeNull();
  });

  test('the scope of the whole connection brings each job back to its cursor; another one is a reset of each', async () => {
    const made = edge();
    const resume = { lastSeq: 1, epoch: 'epoch', scope: 'selected' };
    const { frames } = made.select(['a', 'b'], resume);
    await run(made);
    expect(types(frames)).not.toContain('reset');
    expect(updates(frames).map(({ seq, prev_seq }) => [seq, prev_seq])).toEqual([
      [4, 1],
      [2, 0],
    ]);
    const other = made.select(['a', 'b'], { ...resume, scope: 'another' });
    expect(other.frames.filter(({ type }) => type === 'reset')).toMatchObject([
      { reason: 'scope', processing_id: 'a' },
      { reason: 'scope', processing_id: 'b' },
    ]);
  });
});

test('a client that follows one scope is told that it cannot choose', () => {
  const made = edge();
  const { connection, frames, socket } = made.connect({ kind: 'job', id: 'a', jobTypes: null });
  connection.receive(JSON.stringify({ type: 'follow', jobs: [{ processing_id: 'b' }] }));
  expect(frames.at(-1)).toMatchObject({ type: 'error', code: 'unknown_frame' });
  expect(socket.closed).toBe(4400);
});
