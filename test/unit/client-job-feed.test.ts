import { describe, expect, test } from 'vitest';
import type { ServerFrame } from '../../schemas/frames.js';
import { type FeedFollower, JobFeed } from '../../sdk/client/job-feed.js';

const update = (seq: number, prev_seq: number | null): ServerFrame => ({
  type: 'progress_update',
  seq,
  prev_seq,
  processing_id: 'job-1',
  status: 'processing',
  progress: seq,
  timestamp: '2026-01-31T12:00:00Z',
});
const following = (cursor: number): ServerFrame => ({
  type: 'following',
  processing_id: 'job-1',
  cursor,
  scope: 's',
});
const heartbeat = (cursor: number): ServerFrame => ({ type: 'heartbeat', cursor, feed: 'ok' });
const reset: ServerFrame = { type: 'reset', reason: 'retention', epoch: 'e2', first_seq: 1, last_seq: 9 };
const end: ServerFrame = { type: 'end', processing_id: 'job-1' };

function feed() {
  const told: string[] = [];
  const follower: FeedFollower = {
    isEmpty: false,
    update: ({ seq }, { epoch, scope }, isLinked) =>
      told.push(`${seq}.${epoch}.${scope}${isLinked ? ' linked' : ''}`),
    advanceTo: ({ seq }) => told.push(`to ${seq}`),
    reset: (reason) => told.push(`reset ${reason}`),
    stall: ({ silent_ms }) => told.push(`stalled ${silent_ms}`),
    end: (state) => told.push(`end ${state?.seq}`),
    fail: ({ name }) => told.push(name),
  };
  const job = new JobFeed('job-1');
  job.followers.add(follower);
  job.greeted('e');
  return { job, told, take: (...frames: ServerFrame[]) => frames.map((frame) => job.take(frame)) };
}

describe('what has been received of a job', () => {
  test('updates, following and heartbeats move the place; a heartbeat only behind following', () => {
    const { job, told, take } = feed();
    take(update(3, null), heartbeat(5), following(6), heartbeat(6), heartbeat(9), update(12, 3));
    expect(told).toEqual(['3.e.', 'to 6', 'to 9', '12.e.s linked']);
    expect(job.position).toEqual({ seq: 12, epoch: 'e', scope: 's' });
  });

  test('a predecessor that never came: the job is asked for again; the second time at the same place it goes on', () => {
    const { job, told, take } = feed();
    take(update(3, null), following(3));
    expect(take(update(7, 5))).toEqual(['ask']);
    expect(job.position?.seq).toBe(3);
    expect(job.isFollowing).toBe(false);
    expect(take(update(7, 5))).toEqual([undefined]);
    expect(told).toEqual(['3.e.', 'to 3', '7.e.s']);
  });

  test('after a reset lower numbers are right, under the epoch that it names, and heartbeats wait', () => {
    const { job, told, take } = feed();
    take(update(3, null), following(8), reset, heartbeat(9), update(2, 0), following(2));
    expect(told).toEqual(['3.e.', 'to 8', 'reset retention', '2.e2.', 'to 2']);
    expect(job.position).toEqual({ seq: 2, epoch: 'e2', scope: 's' });
  });

  test('a hello of another stream makes the place void before its reset comes', () => {
    const { job, told, take } = feed();
    take(update(3, null), following(3));
    job.greeted('e2');
    expect(job.position).toBe(null);
    expect(told.at(-1)).toBe('reset epoch');
  });

  test('what has ended stays as it was, whatever stream there is now', () => {
    const { job, told, take } = feed();
    take(update(3, null), end);
    job.greeted('e2');
    expect(told).toEqual(['3.e.', 'end 3']);
    expect(job.state?.seq).toBe(3);
  });

  test('who wants older events makes the edge be asked again; who wants less does not', () => {
    const { job, take } = feed();
    take(update(3, null), following(8));
    expect(job.rewind({ seq: 8, epoch: 'e', scope: 's' })).toBe(false);
    expect(job.rewind({ seq: 1, epoch: 'other', scope: 's' })).toBe(false);
    expect(job.rewind({ seq: 1, epoch: 'e', scope: 's' })).toBe(true);
    expect(job.position?.seq).toBe(1);
    expect(job.isFollowing).toBe(false);
    // The newest state is still the newest.
    take(update(2, null));
    expect(job.state?.seq).toBe(3);
  });

  test('G6 the end: one whose last state is not known is asked for, and is none of the updates', () => {
    const { job, told, take } = feed();
    job.restore({ seq: 5, epoch: 'e', scope: 's' }, null);
    expect(take(end)).toEqual(['ask']);
    expect(job.position).toBe(null);
    const last = { ...update(5, null), status: 'completed' } as ServerFrame;
    expect(take(last, following(8), end)).toEqual([undefined, undefined, 'over']);
    expect(told).toEqual(['end 5']);
  });

  test('a heartbeat between an end and the state that is asked for says nothing of the job', () => {
    const { job, told, take } = feed();
    take(following(1), end, heartbeat(6));
    expect(told).toEqual(['to 1']);
    expect(take(update(6, null))).toEqual(['ask']);
    expect(job.position?.seq).toBe(1);
  });

  test('a job that goes on after its end is followed from where it was', () => {
    const { job, told, take } = feed();
    job.restore({ seq: 5, epoch: 'e', scope: 's' }, null);
    expect(take(end, update(9, null))).toEqual(['ask', 'ask']);
    expect(job.position?.seq).toBe(5);
    take(update(7, 5), update(9, 7), following(9));
    expect(told).toEqual(['7.e. linked', '9.e. linked', 'to 9']);
  });

  test.each(['overloaded', 'internal'] as const)(
    'an edge that cannot take it now (%s) is asked again from the same place',
    (code) => {
      const { job, told, take } = feed();
      take(update(3, null), following(6));
      const refusal = { type: 'error', code, message: 'not now', processing_id: 'job-1' } as const;
      expect(take(refusal, heartbeat(9))).toEqual(['ask_later', undefined]);
      expect(told).toEqual(['3.e.', 'to 6']);
      expect([job.isEnded, job.position?.seq]).toEqual([false, 6]);
    },
  );

  test('a refusal ends it, with an error of its kind', () => {
    const { job, told, take } = feed();
    const refusal = { type: 'error', code: 'forbidden', message: 'no', processing_id: 'job-1' } as const;
    expect(take(refusal)).toEqual(['over']);
    expect(told).toEqual(['ForbiddenError']);
    expect(job.isEnded).toBe(true);
  });
});
