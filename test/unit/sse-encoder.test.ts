import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeMarks,
  eventIdOf,
  JointEncoder,
  positionOfEventId,
  SseEncoder,
} from '../../internal/edge/sse-encoder.js';

import type { JobMark, JointPosition } from '../../internal/session/ports.js';

const HELLO =
  '{"type":"hello","protocol":"progress.v1","epoch":"e1","session":"s","heartbeat_ms":1000,"scope":"all"}';
const started = (resume: ConstructorParameters<typeof SseEncoder>[0] = null): SseEncoder => {
  const encoder = new SseEncoder(resume);
  encoder.encode(HELLO);
  return encoder;
};

describe('frames as server-sent events', () => {
  test('an update is one event, and its id is the whole cursor', () => {
    const frame = '{"type":"progress_update","seq":17,"prev_seq":12,"processing_id":"job-1"}';
    expect(started().encode(frame)).toBe(`id: 17.e1.all\ndata: ${frame}\n\n`);
  });

  test('G5 stale cursors: an update that others have yet to come behind moves the id no further than it says', () => {
    const frame = '{"type":"progress_update","seq":17,"prev_seq":null,"folded":3,"resume_seq":14,"a":1}';
    expect(started().encode(frame)).toBe(`id: 14.e1.all\ndata: ${frame}\n\n`);
    const single = '{"seq":18,"prev_seq":3,"resume_seq":14,"type":"progress_update"}';
    expect(started().encode(single)).toMatch(/^id: 14\.e1\.all\n/);
    const folded = '{"type":"progress_update","seq":19,"prev_seq":3,"folded":2,"b":"\\"resume_seq\\":1,"}';
    expect(started().encode(folded)).toMatch(/^id: 19\.e1\.all\n/);
  });

  test('an update whose worker named its type itself', () => {
    const frame = '{"seq":17,"prev_seq":12,"type":"progress_update"}';
    expect(started().encode(frame)).toBe(`id: 17.e1.all\ndata: ${frame}\n\n`);
  });

  test('G8 bad input: line breaks of a worker break no event, whichever they are', () => {
    const frame = '{"type":"progress_update","seq":3,"prev_seq":0,\n"a":1,\r\n"id":"9",\r"data":2}';
    expect(started().encode(frame)).toBe(
      'id: 3.e1.all\ndata: {"type":"progress_update","seq":3,"prev_seq":0,\ndata: "a":1,\ndata: "id":"9",\ndata: "data":2}\n\n',
    );
  });

  test('G5 stale cursors: a heartbeat moves the cursor only between caught_up and a reset', () => {
    const encoder = started();
    const heartbeat = '{"type":"heartbeat","cursor":21,"feed":"ok"}';
    expect(encoder.encode(heartbeat)).toBe(`: ${heartbeat}\n\n`);
    expect(encoder.encode('{"type":"caught_up","cursor":20}')).toMatch(/^id: 20\.e1\.all\n/);
    expect(encoder.encode(heartbeat)).toBe(`: ${heartbeat}\nid: 21.e1.all\n\n`);
    const reset = '{"type":"reset","reason":"epoch","epoch":"e2","first_seq":1,"last_seq":5}';
    expect(encoder.encode(reset)).toBe(`id\ndata: ${reset}\n\n`);
    expect(encoder.encode(heartbeat)).toBe(`: ${heartbeat}\n\n`);
    expect(encoder.encode('{"type":"progress_update","seq":2,"prev_seq":null}')).toMatch(/^id: 2\.e2\.all\n/);
  });

  test.each([
    ['the same', { lastSeq: 4, epoch: 'e1', scope: 'all' }, ''],
    ['another epoch', { lastSeq: 4, epoch: 'e0', scope: 'all' }, 'id\n'],
    ['another scope', { lastSeq: 4, epoch: 'e1', scope: 'odd' }, 'id\n'],
    ['it does not say', { lastSeq: 4, epoch: null }, ''],
    ['a fresh one', null, ''],
  ])(
    'G5 stale cursors: hello makes the browser forget what means nothing any more: %s',
    (_what, resume, id) => {
      expect(new SseEncoder(resume).encode(HELLO)).toBe(`${id}data: ${HELLO}\n\n`);
    },
  );

  test('an id says what a client would come back with', () => {
    expect(positionOfEventId('17.dn229rb1zkzl.x6Yp0bN2Qc1dTq9A')).toEqual({
      resume: { lastSeq: 17, epoch: 'dn229rb1zkzl', scope: 'x6Yp0bN2Qc1dTq9A' },
      marks: '',
    });
    for (const wrong of [
      '17',
      '17.e',
      '17..s',
      '-1.e.s',
      '9007199254740992.e.s',
      '1.e.s.t.u',
      '1.e.s.+',
      'x.e.s',
      '1.e .s',
      '',
    ])
      expect(positionOfEventId(wrong)).toBeNull();
  });
});

describe('frames of several jobs as server-sent events', () => {
  const UPDATE = '{"type":"progress_update","seq":17,"prev_seq":12,"processing_id":"job-1"}';
  const at = (cursor: number, ...marks: JobMark[]): JointPosition => ({ epoch: 'e1', cursor, marks });

  test('the id stands behind the frames, and only where it has moved', () => {
    let position: JointPosition | null = at(16, 'follows');
    const encoder = new JointEncoder(null, 'all', () => position);
    expect(encoder.encode(HELLO)).toBe(`data: ${HELLO}\n\n`);
    expect(encoder.encode(UPDATE)).toBe(`data: ${UPDATE}\n\n`);
    position = at(17, 'follows');
    expect([encoder.position(), encoder.position()]).toEqual(['id: 17.e1.all\n\n', '']);
    position = null;
    expect(encoder.position()).toBe('');
  });

  test('G5 stale cursors: a reset carries the id, or makes the browser forget it', () => {
    const reset = '{"type":"reset","reason":"epoch","epoch":"e2","first_seq":1,"last_seq":5}';
    let position = at(9, 'anew', 'follows');
    const encoder = new JointEncoder({ lastSeq: 4, epoch: 'e1', scope: 'all' }, 'all', () => position);
    expect(encoder.encode(HELLO)).toBe(`data: ${HELLO}\n\n`);
    expect(encoder.encode(reset)).toBe(`id: 9.e1.all.AQ\ndata: ${reset}\n\n`);
    position = at(0, 'anew', 'anew');
    expect(encoder.encode(reset)).toBe(`id\ndata: ${reset}\n\n`);
    const heartbeat = '{"type":"heartbeat","cursor":21,"feed":"ok"}';
    expect(encoder.encode(heartbeat)).toBe(`: ${heartbeat}\n\n`);
  });

  test.each([
    ['another epoch', { lastSeq: 4, epoch: 'e0', scope: 'all' }],
    ['another scope', { lastSeq: 4, epoch: 'e1', scope: 'odd' }],
  ])('G5 stale cursors: hello makes the browser forget what means nothing any more: %s', (_what, resume) => {
    expect(new JointEncoder(resume, 'all', () => null).encode(HELLO)).toBe(`id\ndata: ${HELLO}\n\n`);
  });

  test('G8 bad input: an id says the same when it comes back; what nobody wrote is no id, or says something', () => {
    const mark = fc.constantFrom<JobMark>('follows', 'anew', 'over');
    fc.assert(
      fc.property(fc.array(mark, { minLength: 1, maxLength: 256 }), fc.nat(), (marks, cursor) => {
        fc.pre(marks.some((one) => one !== 'anew'));
        const back = positionOfEventId(eventIdOf({ epoch: 'e1', cursor, marks }, 'all'));
        expect(back?.resume).toEqual({ lastSeq: cursor, epoch: 'e1', scope: 'all' });
        expect(decodeMarks(back?.marks ?? '', marks.length)).toEqual(marks);
      }),
    );
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 256 }), (text, jobs) => {
        expect(decodeMarks(text, jobs)).toHaveLength(jobs);
      }),
    );
    expect(eventIdOf(at(0, 'anew'), 'all')).toBe('');
  });
});
