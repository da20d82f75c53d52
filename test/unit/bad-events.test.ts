/** The contract of an event against one hostile message each: refused with the reason, or passed on as it was written. */
import { describe, expect, test } from 'vitest';
import { decodeEvent, updateFrame } from '../../internal/eventlog/decode.js';
import type { HostileEvent } from '../harness/bad-event.js';
import { HOSTILE_EVENTS } from '../harness/bad-events.js';

const JOB = 'job-1';

const asBytes = (body: string | Uint8Array): Uint8Array =>
  typeof body === 'string' ? new TextEncoder().encode(body) : body;
const decode = ({ body }: HostileEvent) => decodeEvent(`progress.${JOB}`, asBytes(body(JOB)));
const cases = (wanted: 'taken' | 'refused') =>
  HOSTILE_EVENTS.filter(({ outcome }) => (outcome === 'taken') === (wanted === 'taken')).map(
    (one) => [one.name, one] as const,
  );

test('the hostile events have names of their own', () => {
  const names = HOSTILE_EVENTS.map(({ name }) => name);
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
});

describe('G8 bad input: refused, with the reason and a detail that fits into a log line', () => {
  test.each(cases('refused'))('%s', (_name, hostile) => {
    const decoded = decode(hostile);
    expect(decoded).toMatchObject({ ok: false, id: JOB, reason: hostile.outcome });
    const detail = decoded.ok ? '' : decoded.detail;
    expect(detail).toMatch(/\S/);
    expect(detail.length).toBeLessThan(400);
  });
});

describe('G8 bad input: odd, but an event: its text is passed on, and seq, prev_seq and type are ours', () => {
  test.each(cases('taken'))('%s', (_name, hostile) => {
    const decoded = decode(hostile);
    if (!decoded.ok) throw new Error(`refused as ${decoded.reason}: ${decoded.detail}`);
    const frame = updateFrame(decoded.event, 7, 3);
    const text = new TextDecoder().decode(asBytes(hostile.body(JOB))).trim();
    const members = hostile.passedOn?.(JOB) ?? text.slice(1);
    const type = decoded.event.hasType ? '' : '"type":"progress_update",';
    expect(frame === `{${type}"seq":7,"prev_seq":3,${members}`, frame.slice(0, 300)).toBe(true);

    // A browser reads what was checked: the fields that decide what the event is are those of the frame.
    const read = JSON.parse(frame) as Record<string, unknown> & { error?: { retryable?: boolean } };
    expect([read.type, read.seq, read.prev_seq]).toEqual(['progress_update', 7, 3]);
    expect([read.processing_id, read.job_type]).toEqual([JOB, decoded.event.jobType]);
    const isEnd = read.status === 'completed' || (read.status === 'error' && read.error?.retryable !== true);
    expect(decoded.event.finished).toBe(isEnd);
    expect(Buffer.byteLength(frame)).toBeLessThan(asBytes(hostile.body(JOB)).byteLength + 100);
  });

  test('none of them changed what every object inherits', () => {
    for (const hostile of HOSTILE_EVENTS) decode(hostile);
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(({} as Record<string, unknown>).isAdmin).toBeUndefined();
  });
});
