/** What a progress bar says of a job, and in which words. */
import { describe, expect, test } from 'vitest';
import { describeJob, viewOf } from '../../sdk/client/progress-view.js';
import type { JobSnapshot, ProgressUpdate } from '../../sdk/client/types.js';
import { NEW_JOB, updateOf } from '../harness/fake-progress-client.js';

const open = (fields: Partial<ProgressUpdate>, changes: Partial<JobSnapshot> = {}): JobSnapshot => ({
  ...NEW_JOB,
  connection: 'open',
  isCurrent: true,
  state: updateOf('a', fields),
  ...changes,
});
const lost = { code: 'timeout', message: 'the worker is gone', retryable: true };
const stalled = { type: 'stalled', processing_id: 'a', silent_ms: 30_400 } as const;

describe('what is shown of a job', () => {
  test.each<[name: string, snapshot: JobSnapshot, condition: string, percent: number | null, text: string]>([
    ['nothing yet', NEW_JOB, 'waiting', null, 'Waiting for the first update'],
    ['runs', open({ progress: 42.7, message: 'Page 3' }), 'processing', 42.7, '42 %, Page 3'],
    ['nearly done', open({ progress: 99.9 }), 'processing', 99.9, '99 %'],
    ['how far is not known', open({ progress: 5, indeterminate: true }), 'processing', null, 'Running'],
    ['silent', open({ progress: 1 }, { stalled }), 'stalled', 1, '1 %, No news for over 30 s'],
    [
      'cut off',
      open({ progress: 1, message: 'x' }, { connection: 'waiting', stalled }),
      'reconnecting',
      1,
      '1 %, Reconnecting, x',
    ],
    [
      'comes back',
      open({ progress: 1 }, { connection: 'connecting' }),
      'reconnecting',
      1,
      '1 %, Reconnecting',
    ],
    ['cannot connect', { ...NEW_JOB, connection: 'waiting' }, 'reconnecting', null, 'Reconnecting'],
    [
      'failed, not for good',
      open({ status: 'error', progress: 9, error: lost }),
      'retrying',
      9,
      '9 %, Failed, may be tried again, the worker is gone',
    ],
    [
      'nobody tries again',
      open({ status: 'error', progress: 9, error: lost }, { isEnded: true }),
      'failed',
      9,
      'Failed, the worker is gone',
    ],
    ['failed', open({ status: 'error', message: 'no disk' }), 'failed', 0, 'Failed, no disk'],
    [
      'done, and cut off',
      open({ status: 'completed', progress: 100, indeterminate: true }, { connection: 'waiting' }),
      'completed',
      100,
      'Completed',
    ],
    [
      'refused',
      { ...NEW_JOB, connection: 'closed', error: new Error('this token does not open it') },
      'refused',
      null,
      'No longer updated, this token does not open it',
    ],
    [
      'refused after its end',
      open({ status: 'completed' }, { error: new Error('x') }),
      'completed',
      0,
      'Completed',
    ],
  ])('%s', (_name, snapshot, condition, percent, text) => {
    expect(viewOf(snapshot)).toMatchObject({ condition, percent });
    expect(describeJob(snapshot)).toBe(text);
  });

  test('it is busy while newer news are to come, and not after the end', () => {
    expect(viewOf(NEW_JOB).isBusy).toBe(true);
    expect(viewOf(open({})).isBusy).toBe(false);
    expect(viewOf(open({}, { isCurrent: false })).isBusy).toBe(true);
    expect(viewOf(open({ status: 'completed' }, { isCurrent: false })).isBusy).toBe(false);
    expect(viewOf({ ...NEW_JOB, error: new Error('refused') }).isBusy).toBe(false);
  });
});
