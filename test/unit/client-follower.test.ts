import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ClosedError, EdgeError } from '../../sdk/client/errors.js';
import { Follower } from '../../sdk/client/follower.js';
import { JobFeed } from '../../sdk/client/job-feed.js';
import { limits } from '../../sdk/client/loop.js';
import type { ConnectionState, Job, JobOptions, ProgressUpdate } from '../../sdk/client/types.js';
import type { Platform, Position } from '../../sdk/client/wire.js';
import { settled } from '../model/page.js';
import { TestClock } from './test-clock.js';

const at = (seq: number): Position => ({ seq, epoch: 'e', scope: 's' });
const update = (seq: number): ProgressUpdate => ({
  type: 'progress_update',
  seq,
  prev_seq: seq - 1,
  processing_id: 'job-1',
  status: 'processing',
  progress: seq,
  timestamp: '2026-01-31T12:00:00Z',
});

function follower(options: JobOptions = {}) {
  const clock = new TestClock();
  const feeds = { leave: vi.fn(), rewind: vi.fn(), moved: vi.fn() };
  const owner = { platform: clock as unknown as Platform, handles: new Set<Job>(), ...feeds };
  const job: Follower = new Follower('job-1', owner, options);
  const feed = new JobFeed('job-1', 'e', 0);
  const give = (...seqs: number[]) => {
    for (const seq of seqs) job.update(update(seq), at(seq), true);
  };
  const connected = (state: ConnectionState) => job.sync(feed, state, false);
  return { job, owner, clock, give, connected };
}

describe('handlers', () => {
  test('the cursor moves behind the handlers, and not before', () => {
    const { job, give } = follower();
    const cursors: (string | null)[] = [];
    job.addEventListener('update', () => cursors.push(job.cursor));
    give(1, 2);
    expect(cursors).toEqual([null, '1.e.s']);
    expect(job.cursor).toBe('2.e.s');
  });

  test('one that closes in the middle of a batch gets no more of it; the cursor is what it was given last', () => {
    const { job, owner, give } = follower();
    const seqs: number[] = [];
    job.addEventListener('update', ({ detail }) => {
      seqs.push(detail.seq);
      if (detail.seq === 2) job.close();
    });
    give(1, 2, 3, 4);
    expect(seqs).toEqual([1, 2]);
    expect(job.cursor).toBe('2.e.s');
    expect(owner.leave).toHaveBeenCalledTimes(1);
  });

  test('what was taken does not come again', () => {
    const { job, give } = follower({ after: '2.e.s' });
    const seqs: number[] = [];
    job.addEventListener('update', ({ detail }) => seqs.push(detail.seq));
    give(1, 2, 3, 3, 2, 4);
    expect(seqs).toEqual([3, 4]);
  });

  test('a cursor of another stream, scope or future is reset', () => {
    for (const [after, reason] of [
      ['9.other.s', 'epoch'],
      ['9.e.other', 'scope'],
      ['9.e.s', 'ahead'],
    ] as const) {
      const { job } = follower({ after });
      const resets: unknown[] = [];
      job.addEventListener('reset', ({ detail }) => resets.push(detail));
      job.advanceTo(at(3));
      expect(resets).toEqual([{ reason }]);
      expect(job.getSnapshot().continuity).toEqual({ kind: 'reset', reason });
    }
  });

  test('an edge that is a little behind takes nothing back', () => {
    const { job, give } = follower();
    const resets: unknown[] = [];
    job.addEventListener('reset', ({ detail }) => resets.push(detail));
    give(7);
    job.advanceTo(at(21));
    job.advanceTo(at(19));
    expect(resets).toEqual([]);
    expect(job.cursor).toBe('21.e.s');
  });

  test('what is no cursor is explained', () => {
    expect(() => follower({ after: 'nonsense' })).toThrow(/after is "nonsense"; expected a cursor/);
  });
});

describe('a loop', () => {
  test('takes what it asks for, each once; the cursor is behind it, whatever handlers were given', async () => {
    const { job, give } = follower();
    const loop = job[Symbol.asyncIterator]();
    give(1, 2);
    expect(job.cursor).toBe(null);
    expect((await loop.next()).value.seq).toBe(1);
    expect(job.cursor).toBe('1.e.s');
    job.advanceTo(at(10));
    expect(job.cursor).toBe('1.e.s');
    expect((await loop.next()).value.seq).toBe(2);
    expect(job.cursor).toBe('10.e.s');
  });

  test('one that begins late begins with what is shown', async () => {
    const { job, give } = follower();
    give(1, 2);
    const loop = job[Symbol.asyncIterator]();
    expect((await loop.next()).value.seq).toBe(2);
  });

  test('one that begins late behind a cursor asks for what came since', async () => {
    const { job, owner, give } = follower({ after: '5.e.s' });
    give(6, 7);
    const loop = job[Symbol.asyncIterator]();
    void loop.next();
    await vi.waitFor(() => expect(owner.rewind).toHaveBeenCalled());
    expect(job.looped?.seq).toBe(5);
  });

  test('one that does not ask is bounded, and gets the rest when it asks; also behind the end', async () => {
    const { job, owner, give } = follower();
    const seqs: number[] = [];
    const loop = job[Symbol.asyncIterator]();
    const all = Array.from({ length: limits.queued + 10 }, (_, i) => i + 1);
    give(...all);
    job.end(update(all.length));
    expect(owner.leave).not.toHaveBeenCalled();
    owner.rewind.mockImplementation(() => {
      give(...all.filter((seq) => seq > (job.looped?.seq ?? 0)));
      job.end(update(all.length));
    });
    for (;;) {
      const { done, value } = await loop.next();
      if (done) break;
      seqs.push(value.seq);
    }
    expect(seqs).toEqual(all);
    expect(owner.rewind).toHaveBeenCalledTimes(1);
    expect(owner.leave).toHaveBeenCalledTimes(1);
  });

  test('one that begins behind the end gets what it wanted from its cursor on, and then the end', async () => {
    const { job, owner, give } = follower({ after: '5.e.s' });
    give(6, 7);
    job.end(update(7));
    owner.rewind.mockImplementation(() => {
      give(6, 7);
      job.end(update(7));
    });
    const seqs: number[] = [];
    for await (const { seq } of job) seqs.push(seq);
    expect(seqs).toEqual([6, 7]);
    expect(job.getSnapshot()).toMatchObject({ isEnded: true, state: { seq: 7 } });
  });

  test('one that was cut short is told what ends it before it has the rest, also behind the end', async () => {
    const { job, give, connected } = follower();
    const loop = job[Symbol.asyncIterator]();
    give(...Array.from({ length: limits.queued + 10 }, (_, i) => i + 1));
    job.end(update(limits.queued + 10));
    connected('waiting');
    expect(job.getSnapshot()).toMatchObject({ connection: 'closed', isCurrent: true });
    job.fail(new EdgeError('forbidden', 'no'));
    for (let seq = 1; seq <= limits.queued; seq++) expect((await loop.next()).value.seq).toBe(seq);
    await expect(loop.next()).rejects.toThrow('no');
  });

  test('one that is left closes the job', async () => {
    const { job, owner, give } = follower();
    give(1, 2);
    for await (const { seq } of job) if (seq === 2) break;
    expect(owner.leave).toHaveBeenCalledTimes(1);
    expect(job.cursor).toBe('2.e.s');
    await expect(job.done).rejects.toBeInstanceOf(ClosedError);
  });

  test('what ends it is thrown behind what had come', async () => {
    const { job, give } = follower();
    const loop = job[Symbol.asyncIterator]();
    give(1);
    job.fail(new EdgeError('forbidden', 'no'));
    expect((await loop.next()).value.seq).toBe(1);
    await expect(loop.next()).rejects.toThrow('no');
    expect(await loop.next()).toEqual({ done: true, value: undefined });
  });
});

describe('a store', () => {
  test('one that throws is reported, and the others are told all the same', () => {
    const { job, clock, give } = follower();
    // What a listener throws is thrown there, by Node's EventTarget.
    const report = vi.spyOn(process, 'nextTick').mockImplementation((run) => expect(run).toThrow('mine'));
    onTestFinished(() => report.mockRestore());
    const told = vi.fn();
    job.subscribe(() => {
      throw new Error('mine');
    });
    job.subscribe(told);
    give(1);
    clock.pass(0);
    expect(told).toHaveBeenCalledTimes(1);
    expect(report).toHaveBeenCalledTimes(1);
  });

  test('a snapshot is the same object until something changes, and those who watch are told once a turn', async () => {
    const { job, clock, give, connected } = follower();
    const told = vi.fn();
    const stop = job.subscribe(told);
    const before = job.getSnapshot();
    expect(job.getSnapshot()).toBe(before);
    give(1, 2, 3);
    expect(told).not.toHaveBeenCalled();
    clock.pass(0);
    expect(told).toHaveBeenCalledTimes(1);
    const after = job.getSnapshot();
    expect(after).not.toBe(before);
    expect(after).toMatchObject({ state: { seq: 3 }, continuity: { kind: 'proven' } });
    connected('idle');
    job.advanceTo(at(3));
    expect(job.getSnapshot()).toBe(after);
    stop();
    give(4);
    clock.pass(0);
    expect(told).toHaveBeenCalledTimes(1);
  });

  test('an update that does not name its predecessor is no proof', () => {
    const { job, give } = follower();
    give(1);
    job.update(update(2), at(2), false);
    give(3);
    expect(job.getSnapshot().continuity).toEqual({ kind: 'unknown' });
  });
});

describe('the end', () => {
  test('done has the last state, and nothing comes after', async () => {
    const { job, give } = follower();
    const ended = vi.fn();
    job.addEventListener('end', ({ detail }) => ended(detail?.seq));
    give(1);
    job.end(update(1));
    job.end(update(1));
    give(2);
    expect(ended.mock.calls).toEqual([[1]]);
    expect((await job.done).seq).toBe(1);
    expect(job.getSnapshot()).toMatchObject({
      isEnded: true,
      isCurrent: true,
      error: null,
      state: { seq: 1 },
    });
  });

  test('a signal closes it, also one that was aborted before', async () => {
    const control = new AbortController();
    const { job } = follower({ signal: control.signal });
    control.abort();
    await expect(job.done).rejects.toBeInstanceOf(ClosedError);
    const { job: late } = follower({ signal: control.signal });
    await settled();
    await expect(late.done).rejects.toBeInstanceOf(ClosedError);
  });
});
