import { describe, expect, test } from 'vitest';
import { timeoutEvent } from '../../internal/liveness/timeout-event.js';
import type { Event } from '../../schemas/event.js';
import { lookupConflict } from '../../sdk/worker/conflict-lookup.js';
import {
  type FencingDecision,
  type LastMessage,
  readEvent,
  resolveConflict,
  resolveStart,
} from '../../sdk/worker/fencing.js';
import { parseReply } from '../../sdk/worker/nats-transport.js';
import type { History, Reply } from '../../sdk/worker/ports.js';
import { event } from '../harness/publish.js';

const writer = {
  runId: 'run.',
  msgId: 'run.7.x',
  attempt: 2,
  percent: 40,
  hasBegun: true,
  mayBeStored: false,
  isInDedupWindow: true,
};
const starting = { ...writer, hasBegun: false };
const last = (fields: Record<string, unknown>, msgId = 'another'): LastMessage => ({
  seq: 40,
  msgId,
  event: readEvent('job', Buffer.from(JSON.stringify(event('job', fields)))),
  expected: null,
});
const noEvent: LastMessage = { seq: 40, msgId: '', event: null, expected: null };
/** As an edge writes it. */
const silent = (fields: Record<string, unknown> = {}, msgId = ''): LastMessage =>
  last({ status: 'error', progress: 40, error: { code: 'timeout', retryable: true }, ...fields }, msgId);
const ended = { status: 'completed', progress: 100 };
const send = (attempt: number, expected = 40): FencingDecision => ({ kind: 'send', expected, attempt });
const lost = (reason: string): FencingDecision =>
  ({ kind: 'superseded', reason, seq: 40 }) as FencingDecision;

describe('the first event of a run', () => {
  test.each<[string, LastMessage | null, number | null, FencingDecision]>([
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
    ['the timeout of attempt 3', silent({ attempt: 3 }), null, send(4)],
    ['the timeout of attempt 3', silent({ attempt: 3 }), 3, lost('timeout')],
    ['the timeout of an event without an attempt', silent(), null, send(2)],
  ])('finds %s', (_, found, requested, decision) => {
    expect(
      resolveStart(
        found,
        { ...starting, attempt: requested ?? 1 + Number(found?.msgId.startsWith('run.')) },
        requested,
      ),
    ).toEqual(decision);
  });

  test('that may have been stored, and finds a higher attempt, is told by JetStream whether it was overtaken', () => {
    const first = { ...starting, attempt: 1 };
    const mayBeStored = { ...first, mayBeStored: true };
    expect(resolveStart(last({ attempt: 2 }), mayBeStored, null)).toEqual(send(3));
    expect(resolveStart(last({ attempt: 2 }), mayBeStored, 1)).toEqual(lost('newer_attempt'));
    expect(resolveStart(last({ attempt: 1 }), mayBeStored, null)).toEqual(send(2));
    expect(resolveStart(last({ attempt: 2 }), first, null)).toEqual(send(3));
  });

  test('that may have been stored so long ago that JetStream has forgotten it yields to a higher attempt', () => {
    const mayBeStored = { ...starting, attempt: 1, mayBeStored: true, isInDedupWindow: false };
    expect(resolveStart(last({ attempt: 2 }), mayBeStored, null)).toEqual(lost('newer_attempt'));
    expect(resolveStart(last({ attempt: 1 }), mayBeStored, null)).toEqual(send(2));
  });
});

describe('a later event of attempt 2', () => {
  test.each<[string, LastMessage | null, FencingDecision]>([
    ['nothing: the stream was purged', null, send(2, 0)],
    ['its own message', last({ attempt: 2 }, 'run.7.x'), { kind: 'stored', seq: 40 }],
    ['an earlier message of its own', last({ attempt: 2 }, 'run.6.y'), send(2)],
    ['a newer attempt', last({ attempt: 3 }), lost('newer_attempt')],
    ['the end of a newer attempt', last({ attempt: 3, ...ended }), lost('newer_attempt')],
    ['another worker in its attempt', last({ attempt: 2 }), lost('other_writer')],
    ['an end that another wrote', last({ attempt: 2, ...ended }), lost('finished')],
    ['an end without an attempt', last(ended), lost('finished')],
    ['the timeout of an edge', silent({ attempt: 2 }), send(2)],
    ['the timeout of a newer attempt', silent({ attempt: 3 }), lost('newer_attempt')],
    ['the timeout of an older attempt', silent({ attempt: 1 }), send(2)],
    ['the timeout of an event without an attempt', silent(), send(2)],
    [
      'a timeout that tells of more than was reported',
      silent({ attempt: 2, progress: 41 }),
      lost('other_writer'),
    ],
    ['a worker that failed with that code', silent({ attempt: 2 }, 'another'), lost('timeout')],
    [
      'a timeout that is an end',
      silent({ attempt: 2, error: { code: 'timeout', retryable: false } }),
      lost('timeout'),
    ],
    ['a timeout that is an end, without an attempt', silent({ error: { code: 'timeout' } }), lost('timeout')],
    ['a late event of an older attempt', last({ attempt: 1 }), send(2)],
    ['a late end of an older attempt', last({ attempt: 1, ...ended }), send(2)],
    ['an event without an attempt', last({}), send(2)],
    ['what is no event', noEvent, send(2)],
  ])('finds %s', (_, found, decision) => {
    expect(resolveConflict(found, writer)).toEqual(decision);
  });
});

test('a later event of attempt 1 goes on behind a timeout without an attempt', () => {
  expect(resolveConflict(silent(), { ...writer, attempt: 1 })).toEqual(send(1));
});

test('the real timeout of an edge is one, whatever the event before it', () => {
  for (const fields of [
    { attempt: 2, progress: 40 },
    { attempt: 2, progress: 40, own: 'x'.repeat(65_000) },
  ]) {
    const text = timeoutEvent(event('job', fields) as unknown as Event, 61_234, new Date().toISOString());
    const found = readEvent('job', Buffer.from(text));
    expect(found?.attempt).toBe(2);
    expect(resolveConflict({ ...noEvent, event: found }, writer)).toEqual(send(2));
    expect(resolveConflict({ ...noEvent, event: found }, { ...writer, attempt: 1 })).toEqual(
      lost('newer_attempt'),
    );
  }
});

test('what is no event of the job is none: of another job, too large, or not UTF-8', () => {
  const body = Buffer.from(JSON.stringify(event('job')));
  expect(readEvent('job', body)).toMatchObject({ processing_id: 'job' });
  expect(readEvent('another', body)).toBeNull();
  expect(readEvent('job', Buffer.concat([body, Buffer.alloc(65_536, ' ')]))).toBeNull();
  expect(readEvent('job', Buffer.from(JSON.stringify(event('job', { x: '\u00e9' })), 'latin1'))).toBeNull();
});

describe('what precedes the newest message', () => {
  /** A job's messages, as a worker that may read all of them finds them. */
  const historyOf = (messages: LastMessage[], mayLook = true): History => ({
    last: async () => ({ kind: 'read', last: messages.at(-1) ?? null }),
    range: async (_, from, before, limit) =>
      mayLook
        ? {
            kind: 'read',
            messages: messages.filter(({ seq }) => from <= seq && seq < before).slice(0, limit),
          }
        : { kind: 'forbidden', detail: 'no', subjects: ['all'], isCertain: true },
  });
  const at = (seq: number, message: LastMessage): LastMessage => ({ ...message, seq });
  const about = { processingId: 'job', reportedSeq: 40, expected: 30, writer };
  const own = at(30, last({ attempt: 2 }, 'run.6.y'));

  test.each<[string, LastMessage[], FencingDecision]>([
    ['only its own', [own, noEvent], send(2)],
    [
      'another worker in its attempt',
      [own, at(35, last({ attempt: 2 })), silent({ attempt: 2 })],
      lost('other_writer'),
    ],
    [
      'its own lost acknowledgement',
      [own, at(35, last({ attempt: 2 }, 'run.7.x')), silent({ attempt: 2 })],
      { kind: 'stored', seq: 40 },
    ],
    ['a newer attempt', [own, at(35, last({ attempt: 3 })), at(36, noEvent), noEvent], lost('newer_attempt')],
    ['an end', [own, at(35, last({ attempt: 2, ...ended })), noEvent], lost('finished')],
    ['a timeout', [own, at(35, silent({ attempt: 2 })), noEvent], send(2)],
    [
      'another worker under a timeout',
      [own, at(34, last({ attempt: 2 })), at(35, silent({ attempt: 2 })), noEvent],
      lost('other_writer'),
    ],
    [
      'an older copy of the stream',
      [at(10, last({ attempt: 3 })), at(12, noEvent)],
      { ...lost('newer_attempt'), seq: 12 } as FencingDecision,
    ],
  ])('a later event finds %s', async (_, messages, decision) => {
    const found = await lookupConflict(historyOf(messages), about);
    expect(found.kind === 'read' && resolveConflict(found.last, writer)).toEqual(decision);
  });

  test('what may not be looked at counts as hidden; a timeout speaks for itself, and so does what follows at once', async () => {
    expect(await lookupConflict(historyOf([own, noEvent], false), about)).toMatchObject({ kind: 'hidden' });
    expect(await lookupConflict(historyOf([own, silent({ attempt: 2 })], false), about)).toMatchObject({
      kind: 'read',
      last: { seq: 40, event: { attempt: 2 } },
    });
    expect(await lookupConflict(historyOf([own, at(31, noEvent)], false), about)).toMatchObject({
      kind: 'read',
    });
  });

  test('a first event finds the last attempt under what is no event, and its own under a timeout', async () => {
    const first = { ...starting, attempt: 1 };
    const began = { ...about, expected: 0, writer: first };
    const under = await lookupConflict(
      historyOf([at(5, last({ attempt: 7, ...ended })), at(6, noEvent), noEvent]),
      began,
    );
    expect(under.kind === 'read' && resolveStart(under.last, first, null)).toEqual(send(8));
    const stored = [at(5, last({ attempt: 1 }, 'run.7.x')), silent({ attempt: 1 })];
    const mayBeStored = { ...first, mayBeStored: true };
    const mine = await lookupConflict(historyOf(stored), { ...began, writer: mayBeStored });
    expect(mine.kind === 'read' && resolveStart(mine.last, mayBeStored, 1)).toEqual({
      kind: 'stored',
      seq: 40,
    });
  });
});

describe('how much of a history is read', () => {
  /** Counts what a worker asks for. */
  const counted = (messages: readonly LastMessage[]) => {
    const count = { questions: 0, messages: 0 };
    const history: History = {
      last: async () => ({ kind: 'read', last: messages.at(-1) ?? null }),
      range: async (_, from, before, limit) => {
        const found = messages.filter(({ seq }) => from <= seq && seq < before).slice(0, limit);
        count.questions += 1;
        count.messages += found.length;
        return { kind: 'read', messages: found };
      },
    };
    return { count, history };
  };
  const first = { ...starting, attempt: 1 };
  const query = { processingId: 'job', reportedSeq: null, expected: 0, writer: first };
  const at = (seq: number, fields: Record<string, unknown>, expected: number | null = null): LastMessage => ({
    ...last(fields, expected === null ? '' : 'worker'),
    seq,
    expected,
  });

  test('a lonely "queued" of a new job costs one question, wherever in the stream it stands', async () => {
    const { count, history } = counted([at(10_000_000, { message: 'queued' })]);
    expect(await lookupConflict(history, query)).toMatchObject({ kind: 'read', last: { event: null } });
    expect(count).toEqual({ questions: 1, messages: 0 });
  });

  test('G6 the end: far before a nameless event the newest worker is found, and not all of its history is read', async () => {
    const worker = Array.from({ length: 900 }, (_, i) => at(i + 1, { attempt: 7 }, i));
    const { count, history } = counted([...worker, at(5_000_000, { message: 'queued' })]);
    const found = await lookupConflict(history, query);
    expect(found).toMatchObject({ kind: 'read', last: { seq: 5_000_000, event: { attempt: 7 } } });
    expect(count.questions).toBeLessThan(20);
  });

  test('G9 memory: of a history without an end the newest 1,000 messages or so count, and no more are read', async () => {
    const raw = Array.from({ length: 20_000 }, (_, i) => at(i + 1, { attempt: i === 100 ? 50 : 3 }));
    const { count, history } = counted(raw);
    expect(await lookupConflict(history, query)).toMatchObject({
      kind: 'read',
      last: { event: { attempt: 3 } },
    });
    expect(count.messages).toBeLessThanOrEqual(1_001);
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
      { kind: 'busy', mayBeStored: true },
    ],
    ['another last event', 0, error(400, 10071, 'wrong last sequence: 17'), { kind: 'conflict', last: 17 }],
    ['no last event', 0, error(400, 10071, 'wrong last sequence: 0'), { kind: 'conflict', last: 0 }],
    [
      'another last event, unnamed',
      0,
      error(400, 10071, 'wrong last sequence'),
      { kind: 'conflict', last: null },
    ],
    [
      'another event on its way',
      0,
      error(400, 10164, 'wrong last sequence'),
      { kind: 'busy', mayBeStored: true },
    ],
    ['the same event on its way', 0, error(409, 10158), { kind: 'busy', mayBeStored: true }],
    ['too many requests', 0, error(429, 10167), { kind: 'busy', mayBeStored: false }],
    ['no leader', 0, error(503, 10008), { kind: 'busy', mayBeStored: false }],
    ['nobody', 503, '', { kind: 'busy', mayBeStored: false }],
    ['too large', 0, error(400, 10054), { kind: 'too_large' }],
    [
      'a stream that is full',
      0,
      error(503, 10077, 'maximum bytes exceeded'),
      {
        kind: 'busy',
        mayBeStored: false,
        obstacle: 'storage_full',
        detail: 'storage is full: the stream takes no more (10077 maximum bytes exceeded)',
      },
    ],
    [
      'a server that is full',
      0,
      error(503, 10023, 'insufficient resources'),
      { kind: 'busy', obstacle: 'storage_full', detail: 'storage is full (10023 insufficient resources)' },
    ],
    [
      'another error of the store',
      0,
      error(503, 10077, 'disk broken'),
      { kind: 'busy', detail: '10077 disk broken', obstacle: undefined },
    ],
    ['another refusal', 0, error(400, 10109, 'x'), { kind: 'refused', detail: '10109 x' }],
    ['nonsense', 0, 'nonsense', { kind: 'busy', mayBeStored: true }],
    ['null', 0, 'null', { kind: 'busy', mayBeStored: true }],
  ])('%s', (_, status, text, reply) => {
    expect(parseReply(status, text)).toMatchObject(reply);
  });
});
