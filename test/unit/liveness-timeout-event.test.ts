import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeEvent } from '../../internal/eventlog/decode.js';
import { timeoutEvent } from '../../internal/liveness/timeout-event.js';
import { checkEvent, EVENT_MAX_BYTES, type Event, isFinished } from '../../schemas/event.js';

const AT = '2026-01-31T12:05:00.000Z';
const LAST: Event = {
  processing_id: 'job-1',
  status: 'processing',
  progress: 42.5,
  timestamp: '2026-01-31T12:00:00Z',
};
const written = (last: object, silentMs = 300_049): Record<string, unknown> =>
  JSON.parse(timeoutEvent({ ...LAST, ...last }, silentMs, AT));

describe('the event that says that a job timed out', () => {
  test('holds where the job stood, and all that its worker told of it', () => {
    const state = {
      type: 'progress_update',
      job_type: 'pdf.words',
      attempt: 3,
      step: { name: 'read', index: 6, total: 14 },
      timeout_seconds: 300,
      pages_with_images: 2,
    } as const;
    expect(written(state)).toEqual({
      processing_id: 'job-1',
      progress: 42.5,
      ...state,
      status: 'error',
      timestamp: AT,
      error: {
        code: 'timeout',
        message: 'The job gave no sign of life for 300 s',
        retryable: true,
        details: { silent_ms: 300_049 },
      },
    });
  });

  test('leaves out what was true only while the job ran, and what an edge had added', () => {
    const event = written({ message: 'Reading', eta_seconds: 9, indeterminate: true, seq: 7, prev_seq: 5 });
    expect(Object.keys(event)).toEqual(['processing_id', 'status', 'progress', 'timestamp', 'error']);
  });

  test('is not the end: an edge cannot tell a dead worker from one that is cut off', () => {
    expect(isFinished(written({}) as unknown as Event)).toBe(false);
  });

  test('tells short silences, too', () => {
    const message = (ms: number): unknown => (written({}, ms).error as { message: string }).message;
    expect([message(1), message(1_500), message(86_400_000)]).toEqual([
      'The job gave no sign of life for 0 s',
      'The job gave no sign of life for 1.5 s',
      'The job gave no sign of life for 86400 s',
    ]);
  });

  test.each([
    ['is too large', { job_type: 'a.b', attempt: 2, note: 'x'.repeat(EVENT_MAX_BYTES - 200) }],
    [
      'is too large in bytes, not in characters',
      { job_type: 'a.b', attempt: 2, note: 'ä'.repeat(EVENT_MAX_BYTES / 2 - 100) },
    ],
    ['is nested too deeply', { job_type: 'a.b', attempt: 2, note: nested(30_000) }],
  ])('names the job only, where the rest %s', (_, fields) => {
    const event = written(fields);
    expect(Object.keys(event)).toEqual([
      'processing_id',
      'job_type',
      'attempt',
      'progress',
      'status',
      'timestamp',
      'error',
    ]);
    expect(event).toMatchObject({ job_type: 'a.b', attempt: 2, status: 'error' });
  });
});

test('whatever event a job stopped at, what is written is an event of that job', () => {
  const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,128}$/);
  const optional = {
    type: fc.constant('progress_update'),
    message: fc.string({ unit: 'binary' }),
    job_type: fc.stringMatching(/^[A-Za-z0-9_.-]{1,64}$/),
    attempt: fc.integer({ min: 1 }),
    step: fc.record({ name: fc.string(), index: fc.nat(), more: fc.jsonValue() }, { requiredKeys: [] }),
    eta_seconds: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
    stall_after_seconds: fc.double({ min: 5e-324, noNaN: true, noDefaultInfinity: true }),
    timeout_seconds: fc.double({ min: 5e-324, noNaN: true, noDefaultInfinity: true }),
    own: fc.jsonValue(),
    seq: fc.jsonValue(),
    ['__proto__']: fc.jsonValue(),
  };
  fc.assert(
    fc.property(
      fc.record({ id, progress: fc.double({ min: 0, max: 100, noNaN: true }) }),
      fc.record(optional, { requiredKeys: [] }),
      fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 5 }),
      fc.nat({ max: 2 ** 31 }),
      ({ id: processing_id, progress }, fields, others, silentMs) => {
        const last = { ...others, ...fields, ...LAST, processing_id, progress };
        delete (last as Record<string, unknown>).result;
        delete (last as Record<string, unknown>).error;
        fc.pre(checkEvent(last) === null);
        const text = timeoutEvent(last, silentMs, AT);
        expect(decodeEvent(`progress.${processing_id}`, new TextEncoder().encode(text))).toMatchObject({
          ok: true,
          event: { id: processing_id, finished: false },
        });
        expect(JSON.parse(text)).toMatchObject({ progress: Object.is(progress, -0) ? 0 : progress });
      },
    ),
    { numRuns: 500 },
  );
});

function nested(depth: number): unknown {
  return JSON.parse('['.repeat(depth) + ']'.repeat(depth));
}
