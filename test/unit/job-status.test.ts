/** What commands say of a job by its last event. */
import { describe, expect, test } from 'vitest';
import { displayStatus, isSilent, lastHeardAt } from '../../internal/cli/reads/job-status.js';
import type { Event } from '../../schemas/event.js';

const MINUTE = 60_000;
const job = (event: Partial<Event>, storedAt = 0) => ({
  event: { processing_id: 'a', status: 'processing', progress: 1, timestamp: '', ...event } as Event,
  storedAt,
});
const TIMED_OUT = job(
  { status: 'error', error: { code: 'timeout', retryable: true, details: { silent_ms: 10 * MINUTE } } },
  60 * MINUTE,
);

describe('the word for a job', () => {
  test.each<[what: string, event: Partial<Event>, now: number, word: string]>([
    ['runs and spoke lately', {}, 5 * MINUTE, 'processing'],
    ['runs and is silent for over five minutes', {}, 5 * MINUTE + 1, 'stalled'],
    ['runs and is silent for longer than it said', { stall_after_seconds: 2 }, 2_001, 'stalled'],
    ['runs and may be silent for an hour', { stall_after_seconds: 3_600 }, 59 * MINUTE, 'processing'],
    ['is done, long ago', { status: 'completed' }, 1e12, 'completed'],
    ['failed for good, long ago', { status: 'error' }, 1e12, 'error'],
    ['failed and may be tried again', { status: 'error', error: { retryable: true } }, 1_000, 'retrying'],
    ['failed and was not tried again', { status: 'error', error: { retryable: true } }, 1e9, 'stalled'],
  ])('that %s', (_what, event, now, word) => {
    expect(displayStatus(job(event), now)).toBe(word);
  });

  test("an edge's timeout is no sign of the worker: its silence goes on through it", () => {
    expect(lastHeardAt(TIMED_OUT)).toBe(50 * MINUTE);
    expect(displayStatus(TIMED_OUT, 60 * MINUTE)).toBe('stalled');
    // A worker's own error that is only called so.
    const own = job({ status: 'error', error: { code: 'timeout', retryable: true } }, 60 * MINUTE);
    expect(displayStatus(own, 61 * MINUTE)).toBe('retrying');
  });

  test('what a job may be silent for can be said by who asks', () => {
    expect(isSilent(job({ stall_after_seconds: 3_600 }), 2_000, 1_000)).toBe(true);
    expect(isSilent(job({ status: 'completed' }), 2_000, 1_000)).toBe(false);
  });
});
