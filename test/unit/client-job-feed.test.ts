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
const hello = (epoch: string): ServerFrame => ({
  ...{ type: 'hello', protocol: 'progress.v1', session: 's', heartbeat_ms: 15_000, scope: 's' },
  epoch,
});
const reset: ServerFrame = { type: 'reset', reason: 'retention', epoch: 'e2', first_seq: 1, last_seq: 9 };
const end: ServerFrame = { type: 'end', processing_id: 'job-1' };

function feed() {
  const told: string[] = [];
  const follower: FeedFollower = {
    update: ({ seq }, { epoch, scope }, isLinked) =>
      told.push(`${seq}.${epoch}.${scope}${isLinked ? ' linked' : ''}`),
    reset: (reason) => told.push(`reset ${reason}`),
  };
  const job = new JobFeed('job-1', 'e', 0);
  job.followers.add(follower);
  return {
    job,
    told,
    take: (...frames: ServerFrame[]) => frames.map((frame) => job.take(frame)),
    /** Where it is after each of these. */
    places: (...frames: ServerFrame[]) =>
      frames.map((frame) => {
        job.take(frame);
        return job.position && `${job.position.seq}.${job.position.epoch}.${job.position.scope}`;
      }),
  };
}

describe('what has been received of a job', () => {
  test('updates, following and heartbeats move the place; a heartbeat only behind following', () => {
    const { told, places } = feed();
    const frames = [update(3, null), heartbeat(5), following(6), heartbeat(6), heartbeat(9), heartbeat(8)];
    expect(places(...frames, update(12, 3))).toEqual([
      ...['3.e.', '3.e.', '6.e.s', '6.e.s', '9.e.s', '9.e.s', '12.e.s'],
    ]);
    expect(told).toEqual(['3.e.', '12.e.s linked']);
  });

  test('a predecessor that never came: the job is asked for again; the second time at the same place it goes on', () => {
    const { job, told, take } = feed();
    take(update(3, null), following(3));
    expect(take(update(7, 5))).toEqual([true]);
    expect(job.position?.seq).toBe(3);
    expect(job.isFollowing).toBe(false);
    expect(take(update(7, 5))).toEqual([false]);
    expect(told).toEqual(['3.e.', '7.e.s']);
  });

  test('after a reset lower numbers are right, under the epoch that it names, and heartbeats wait', () => {
    const { told, places } = feed();
    expect(places(update(3, null), following(8), reset, heartbeat(9), update(2, 0), following(2))).toEqual([
      ...['3.e.', '8.e.s', null, null, '2.e2.', '2.e2.s'],
    ]);
    expect(told).toEqual(['3.e.', 'reset retention', '2.e2.']);
  });

  test('a hello of another stream makes the place void before its reset comes', () => {
    const { told, places } = feed();
    expect(places(update(3, null), following(3), hello('e'), hello('e2')).slice(1)).toEqual([
      ...['3.e.s', '3.e.s', null],
    ]);
    expect(told.at(-1)).toBe('reset epoch');
  });

  test('what has ended stays as it was, whatever stream there is now', () => {
    const { job, told, take } = feed();
    take(update(3, null), end, hello('e2'));
    expect(told).toEqual(['3.e.']);
    expect([job.isEnded, job.state?.seq, job.position?.epoch]).toEqual([true, 3, 'e']);
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

  test('a heartbeat behind an end says nothing of the job', () => {
    const { places } = feed();
    expect(places(following(1), end, heartbeat(6))).toEqual(['1.e.s', '1.e.s', '1.e.s']);
  });

  test('what is said of its silence counts until its next update, or a reset', () => {
    const { job, take } = feed();
    const stalled: ServerFrame = { type: 'stalled', processing_id: 'job-1', silent_ms: 31_000 };
    take(update(3, null), stalled);
    expect(job.stalled).toBe(stalled);
    take(update(4, 3));
    expect(job.stalled).toBe(null);
    take(stalled, reset);
    expect(job.stalled).toBe(null);
  });
});
