import { describe, expect, test } from 'vitest';
import {
  judgeConflict,
  judgeStart,
  type LastMessage,
  readEvent,
  type Verdict,
} from '../../sdk/worker/fencing.js';
import { parseReply, type Reply } from '../../sdk/worker/reply.js';
import { event } from '../harness/publish.js';

const writer = { runId: 'run.', msgId: 'run.7.x', attempt: 2, isUnsure: false };
const last = (fields: Record<string, unknown>, msgId = 'another'): LastMessage => ({
  seq: 40,
  msgId,
  event: readEvent(JSON.stringify(event('job', fields))),
});
const noEvent: LastMessage = { seq: 40, msgId: '', event: null };
const ended = { status: 'completed', progress: 100 };
const send = (attempt: number, expected = 40): Verdict => ({ kind: 'send', expected, attempt });
const lost = (reason: string): Verdict => ({ kind: 'superseded', reason, seq: 40 }) as Verdict;

describe('the first event of a run', () => {
  test.each<[string, LastMessage | null, number | null, Verdict]>([
    ['no event', null, null, send(1, 0)],
    ['no event', null, 7, send(7, 0)],
    ['its own message', last({}, 'run.7.x'), null, { kind: 'stored', seq: 40 }],
    ['an earlier message of its own', last({ attempt: 2 }, 'run.6.y'), null, send(2)],
    ['another worker in attempt 3', last({ attempt: 3 }), null, send(4)],
    ['another worker in attempt 3', last({ attempt: 3 }), 4, send(4)],
    ['another worker in attempt 3', last({ attempt: 3 }), 3, lost('other_writer')],
    ['another worker in attempt 3', last({ attempt: 3 }), 2, lost('newer_attempt')],
    ['an end of attempt 3', last({ attempt: 3, ...ended }), null, send(4)],
    ['an end of attempt 3', last({ attempt: 3, ...ended }), 3, lost('finished')],
    [
      'a failure that may be tried again',
      last({ status: 'error', attempt: 3, error: { retryable: true } }),
      null,
      send(4),
    ],
    ['an event without an attempt', last({ message: 'queued' }), null, send(1)],
    ['an event without an attempt', last({ message: 'queued' }), 1, send(1)],
    ['an end without an attempt', last(ended), null, send(2)],
    ['an end without an attempt', last(ended), 1, lost('finished')],
    ['what is no event', noEvent, null, send(1)],
  ])('finds %s', (_, found, requested, verdict) => {
    expect(
      judgeStart(
        found,
        { ...writer, attempt: requested ?? 1 + Number(found?.msgId.startsWith('run.')) },
        requested,
      ),
    ).toEqual(verdict);
  });

  test('that may have been stored, and finds a higher attempt, has been overtaken', () => {
    const first = { ...writer, attempt: 1 };
    expect(judgeStart(last({ attempt: 2 }), { ...first, isUnsure: true }, null)).toEqual(
      lost('newer_attempt'),
    );
    expect(judgeStart(last({ attempt: 1 }), { ...first, isUnsure: true }, null)).toEqual(send(2));
    expect(judgeStart(last({ attempt: 2 }), first, null)).toEqual(send(3));
  });
});

describe('a later event of attempt 2', () => {
  test.each<[string, LastMessage | null, Verdict]>([
    ['nothing: the stream was purged', null, send(2, 0)],
    ['its own message', last({ attempt: 2 }, 'run.7.x'), { kind: 'stored', seq: 40 }],
    ['an earlier message of its own', last({ attempt: 2 }, 'run.6.y'), send(2)],
    ['a newer attempt', last({ attempt: 3 }), lost('newer_attempt')],
    ['the end of a newer attempt', last({ attempt: 3, ...ended }), lost('newer_attempt')],
    ['another worker in its attempt', last({ attempt: 2 }), lost('other_writer')],
    ['an end that another wrote', last({ attempt: 2, ...ended }), lost('finished')],
    ['an end without an attempt', last(ended), lost('finished')],
    [
      'the time-out of an edge',
      last({ status: 'error', attempt: 2, error: { code: 'timeout' } }),
      lost('timeout'),
    ],
    [
      'the time-out of an edge, without an attempt',
      last({ status: 'error', error: { code: 'timeout' } }),
      lost('timeout'),
    ],
    ['a late event of an older attempt', last({ attempt: 1 }), send(2)],
    ['a late end of an older attempt', last({ attempt: 1, ...ended }), send(2)],
    ['an event without an attempt', last({}), send(2)],
    ['what is no event', noEvent, send(2)],
  ])('finds %s', (_, found, verdict) => {
    expect(judgeConflict(found, writer)).toEqual(verdict);
  });
});

describe('what JetStream answers', () => {
  const error = (code: number, err_code: number, description = 'x'): string =>
    JSON.stringify({ error: { code, err_code, description }, stream: 'PROGRESS', seq: 0 });
  test.each<[string, number, string, Partial<Reply>]>([
    ['an acknowledgement', 0, '{"stream":"PROGRESS","seq":7}', { kind: 'stored', seq: 7, duplicate: false }],
    [
      'a duplicate',
      0,
      '{"stream":"P","seq":7,"duplicate":true}',
      { kind: 'stored', seq: 7, duplicate: true },
    ],
    [
      'a duplicate of what is on its way',
      0,
      '{"stream":"P","seq":0,"duplicate":true}',
      { kind: 'busy', unsure: true },
    ],
    ['another last event', 0, error(400, 10071, 'wrong last sequence: 17'), { kind: 'conflict', last: 17 }],
    ['no last event', 0, error(400, 10071, 'wrong last sequence: 0'), { kind: 'conflict', last: 0 }],
    [
      'another last event, unnamed',
      0,
      error(400, 10071, 'wrong last sequence'),
      { kind: 'conflict', last: null },
    ],
    ['another event on its way', 0, error(400, 10164, 'wrong last sequence'), { kind: 'busy', unsure: true }],
    ['the same event on its way', 0, error(409, 10158), { kind: 'busy', unsure: true }],
    ['too many requests', 0, error(429, 10167), { kind: 'busy', unsure: false }],
    ['no leader', 0, error(503, 10008), { kind: 'busy', unsure: false }],
    ['nobody', 503, '', { kind: 'busy', unsure: false }],
    ['too large', 0, error(400, 10054), { kind: 'too_large' }],
    [
      'another refusal',
      0,
      error(400, 10077, 'maximum bytes exceeded'),
      { kind: 'refused', detail: '10077 maximum bytes exceeded' },
    ],
    ['nonsense', 0, 'nonsense', { kind: 'busy', unsure: true }],
    ['null', 0, 'null', { kind: 'busy', unsure: true }],
  ])('%s', (_, status, text, reply) => {
    expect(parseReply(status, text)).toMatchObject(reply);
  });
});
