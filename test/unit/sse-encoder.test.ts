import { describe, expect, test } from 'vitest';
import { resumeOfEventId, SseEncoder } from '../../internal/edge/sse-encoder.js';

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
    expect(resumeOfEventId('17.dn229rb1zkzl.x6Yp0bN2Qc1dTq9A')).toEqual({
      lastSeq: 17,
      epoch: 'dn229rb1zkzl',
      scope: 'x6Yp0bN2Qc1dTq9A',
    });
    for (const wrong of [
      '17',
      '17.e',
      '17..s',
      '-1.e.s',
      '9007199254740992.e.s',
      '1.e.s.t',
      'x.e.s',
      '1.e .s',
      '',
    ])
      expect(resumeOfEventId(wrong)).toBeNull();
  });
});
