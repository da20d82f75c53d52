import { NatsError } from 'nats';
import { describe, expect, test } from 'vitest';
import { decodeEvent } from '../../internal/eventlog/decode.js';
import { makeRecord } from '../../internal/eventlog/record.js';
import {
  type StoredMessage,
  type TimeoutOutcome,
  TimeoutWriter,
} from '../../internal/liveness/timeout-writer.js';
import { waitFor } from '../harness/wait.js';

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const eventOf = (id: string, fields: object = {}): object => ({
  processing_id: id,
  status: 'processing',
  progress: 40,
  timestamp: '2026-01-31T12:00:00Z',
  ...fields,
});

/** One subject of a stream, and what goes wrong with it. */
class Stream {
  readonly messages = new Map<string, StoredMessage>();
  readonly writes: Array<{ id: string; behind: number; event: Record<string, unknown> }> = [];
  /** Called before each write is judged. */
  beforeWrite: () => void | Promise<void> = () => undefined;
  beforeLook: () => void | Promise<void> = () => undefined;
  seq = 0;

  put(id: string, body: unknown): number {
    this.messages.set(id, { seq: ++this.seq, subject: `progress.${id}`, data: encode(body) });
    return this.seq;
  }

  async newest(id: string): Promise<StoredMessage | null> {
    await this.beforeLook();
    return this.messages.get(id) ?? null;
  }

  async publish(subject: string, data: Uint8Array, expected: number | undefined): Promise<never> {
    await this.beforeWrite();
    const id = subject.slice('progress.'.length);
    if (this.messages.get(id)?.seq !== expected) throw wrongLastSequence();
    const event = JSON.parse(new TextDecoder().decode(data));
    this.writes.push({ id, behind: expected as number, event });
    return { seq: this.put(id, event) } as never;
  }
}

function wrongLastSequence(): NatsError {
  const error = new NatsError('wrong last sequence', '400');
  error.api_error = { code: 400, err_code: 10071, description: 'wrong last sequence' };
  return error;
}

function start(
  stream: Stream,
  limits: Partial<{ concurrency: number; maxPending: number; perSecond: number }> = {},
) {
  const outcomes: Array<{ id: string; lastSeq: number; outcome: TimeoutOutcome }> = [];
  const failures: string[] = [];
  const clock = { ms: 0 };
  const older = new Map<string, ReturnType<typeof makeRecord>>();
  const timeouts = new TimeoutWriter(
    {
      js: {
        publish: (subject, data, options) =>
          stream.publish(subject, data as Uint8Array, options?.expect?.lastSubjectSequence),
      },
      stream: 'PROGRESS',
      newest: (id) => stream.newest(id),
      lastState: async (id) => older.get(id) ?? null,
    },
    { concurrency: 8, maxPending: 100, perSecond: 1_000, ...limits },
    {
      settled: (id, lastSeq, outcome) => outcomes.push({ id, lastSeq, outcome }),
      failed: (_id, error) => failures.push(error.message),
    },
    { now: () => clock.ms, wallClock: () => Date.parse('2026-01-31T12:05:00Z') },
    { retries: 3, firstMs: 1 },
  );
  return {
    timeouts,
    outcomes,
    failures,
    clock,
    older,
    settled: (count = 1) => waitFor(() => outcomes.length >= count, { what: 'the outcome', everyMs: 1 }),
  };
}

describe('the timeout of a job', () => {
  test('is written behind the event that it was judged by', async () => {
    const stream = new Stream();
    const seq = stream.put('a', eventOf('a', { attempt: 2 }));
    const { timeouts, outcomes, settled } = start(stream);
    expect(timeouts.write('a', seq, 30_000)).toBe(true);
    await settled();
    expect(outcomes).toEqual([{ id: 'a', lastSeq: seq, outcome: 'written' }]);
    expect(stream.writes).toMatchObject([
      {
        behind: seq,
        event: {
          attempt: 2,
          progress: 40,
          status: 'error',
          timestamp: '2026-01-31T12:05:00.000Z',
          error: { code: 'timeout', details: { silent_ms: 30_000 } },
        },
      },
    ]);
  });

  test.each([
    ['moved on before the look', (stream: Stream) => void stream.put('a', eventOf('a', { progress: 41 }))],
    ['ended', (stream: Stream) => void stream.put('a', eventOf('a', { status: 'completed', progress: 100 }))],
    [
      'moved on between the look and the write',
      (stream: Stream) => {
        stream.beforeWrite = () => void stream.put('a', eventOf('a', { progress: 41 }));
      },
    ],
    [
      'is in a stream that begins anew',
      (stream: Stream) => {
        stream.seq = 3;
        stream.put('a', eventOf('a'));
      },
    ],
  ])('is not written when the job %s', async (_, happens) => {
    const stream = new Stream();
    stream.seq = 10;
    const seq = stream.put('a', eventOf('a'));
    happens(stream);
    const { timeouts, outcomes, failures, settled } = start(stream);
    timeouts.write('a', seq, 30_000);
    await settled();
    expect(outcomes).toEqual([{ id: 'a', lastSeq: seq, outcome: 'moved' }]);
    expect(stream.writes).toEqual([]);
    expect(failures).toEqual([]);
  });

  test('G6 the end: is never written over an end, whatever the edge believed', async () => {
    const stream = new Stream();
    const seq = stream.put('a', eventOf('a', { status: 'completed', progress: 100 }));
    const { timeouts, outcomes, settled } = start(stream);
    timeouts.write('a', seq, 30_000);
    await settled();
    expect(outcomes).toMatchObject([{ outcome: 'moved' }]);
    expect(stream.writes).toEqual([]);
  });

  test('is not written when the stream keeps nothing of the job', async () => {
    const { timeouts, outcomes, settled } = start(new Stream());
    timeouts.write('a', 4, 30_000);
    await settled();
    expect(outcomes).toEqual([{ id: 'a', lastSeq: 4, outcome: 'gone' }]);
  });

  test('G8 bad input: is written behind messages that are no events', async () => {
    const stream = new Stream();
    const event = eventOf('a', { job_type: 'x' });
    const seq = stream.put('a', event);
    const { timeouts, older, outcomes, settled } = start(stream);
    const decoded = decodeEvent('progress.a', encode(event));
    if (!decoded.ok) throw new Error(decoded.detail);
    older.set('a', makeRecord(decoded.event, seq, null, 0));
    const bad = stream.put('a', 'no event');
    let more = 2;
    stream.beforeWrite = () => {
      if (more-- > 0) stream.put('a', 'no event either');
    };
    timeouts.write('a', seq, 30_000);
    await settled();
    expect(outcomes).toMatchObject([{ outcome: 'written' }]);
    expect(stream.writes).toMatchObject([{ behind: bad + 2, event: { job_type: 'x', status: 'error' } }]);
    expect(stream.writes[0]?.event).not.toHaveProperty('seq');
  });

  test('is not written behind such a message when there was an event between them', async () => {
    const stream = new Stream();
    const seq = stream.put('a', eventOf('a'));
    const next = eventOf('a', { progress: 41 });
    const nextSeq = stream.put('a', next);
    stream.put('a', 'no event');
    const { timeouts, older, outcomes, settled } = start(stream);
    const decoded = decodeEvent('progress.a', encode(next));
    if (!decoded.ok) throw new Error(decoded.detail);
    older.set('a', makeRecord(decoded.event, nextSeq, null, 0));
    timeouts.write('a', seq, 30_000);
    await settled();
    expect(outcomes).toMatchObject([{ outcome: 'moved' }]);
    expect(stream.writes).toEqual([]);
  });
});

test('nothing is written into a stream that lost its end, whatever was read of it before', async () => {
  const stream = new Stream();
  stream.seq = 10;
  const event = eventOf('a');
  const seq = stream.put('a', event);
  const { timeouts, older, outcomes, settled } = start(stream);
  const decoded = decodeEvent('progress.a', encode(event));
  if (!decoded.ok) throw new Error(decoded.detail);
  older.set('a', makeRecord(decoded.event, seq, null, 0));
  stream.seq = 3;
  stream.put('a', 'no event');
  timeouts.write('a', seq, 30_000);
  await settled();
  expect(outcomes).toMatchObject([{ outcome: 'moved' }]);
  expect(stream.writes).toEqual([]);
});

describe('a write that fails', () => {
  test('is tried again, and told of', async () => {
    const stream = new Stream();
    const seq = stream.put('a', eventOf('a'));
    let failing = 2;
    stream.beforeWrite = () => {
      if (failing-- > 0) throw new NatsError('TIMEOUT', 'TIMEOUT');
    };
    const { timeouts, outcomes, failures, settled } = start(stream);
    timeouts.write('a', seq, 30_000);
    await settled();
    expect(outcomes).toMatchObject([{ outcome: 'written' }]);
    expect(failures).toEqual(['TIMEOUT', 'TIMEOUT']);
    expect(stream.writes).toHaveLength(1);
  });

  test('but was stored all the same, is not written twice', async () => {
    const stream = new Stream();
    const seq = stream.put('a', eventOf('a'));
    const { timeouts, outcomes, settled } = start(stream);
    const publish = stream.publish.bind(stream);
    stream.publish = async (...args) => {
      await publish(...args);
      throw new NatsError('TIMEOUT', 'TIMEOUT');
    };
    timeouts.write('a', seq, 30_000);
    await settled();
    expect(outcomes).toMatchObject([{ outcome: 'moved' }]);
    expect(stream.writes).toHaveLength(1);
  });

  test('again and again is given up after a few tries, and does not throw', async () => {
    const stream = new Stream();
    const seq = stream.put('a', eventOf('a'));
    stream.beforeLook = () => {
      throw new NatsError('503', '503');
    };
    const { timeouts, outcomes, failures, settled } = start(stream);
    timeouts.write('a', seq, 30_000);
    await settled();
    expect(outcomes).toEqual([{ id: 'a', lastSeq: seq, outcome: 'failed' }]);
    expect(failures).toHaveLength(4);
    expect(timeouts.pending).toBe(0);
  });

  test('because more and more that is no event comes, is left for later', async () => {
    const stream = new Stream();
    const event = eventOf('a');
    const seq = stream.put('a', event);
    const { timeouts, older, outcomes, failures, settled } = start(stream);
    const decoded = decodeEvent('progress.a', encode(event));
    if (!decoded.ok) throw new Error(decoded.detail);
    older.set('a', makeRecord(decoded.event, seq, null, 0));
    stream.beforeWrite = () => void stream.put('a', 'no event');
    timeouts.write('a', seq, 30_000);
    await settled();
    expect(outcomes).toMatchObject([{ outcome: 'failed' }]);
    expect(failures).toEqual([]);
    expect(stream.writes).toEqual([]);
  });

  test('for want of a permission is given up at once', async () => {
    const stream = new Stream();
    const seq = stream.put('a', eventOf('a'));
    stream.beforeWrite = () => {
      throw new NatsError('Permissions Violation for Publish to "progress.a"', 'PERMISSIONS_VIOLATION');
    };
    const { timeouts, outcomes, failures, settled } = start(stream);
    timeouts.write('a', seq, 30_000);
    await settled();
    expect(outcomes).toMatchObject([{ outcome: 'failed' }]);
    expect(failures).toHaveLength(1);
  });
});

describe('many at once', () => {
  test('run a few at a time, and only so many wait', async () => {
    const stream = new Stream();
    const open: Array<() => void> = [];
    stream.beforeWrite = () => new Promise<void>((resolve) => void open.push(resolve));
    const seqs = Array.from({ length: 20 }, (_, n) => stream.put(`job-${n}`, eventOf(`job-${n}`)));
    const { timeouts, outcomes } = start(stream, { concurrency: 3, maxPending: 10 });
    const taken = seqs.map((seq, n) => timeouts.write(`job-${n}`, seq, 1_000));
    expect(taken.filter(Boolean)).toHaveLength(10);
    for (let done = 0; done < 10; done++) {
      await waitFor(() => open.length === Math.min(3, 10 - done), { what: 'the writes at once', everyMs: 1 });
      open.shift()?.();
      await waitFor(() => outcomes.length === done + 1, { what: 'the outcome', everyMs: 1 });
    }
    expect(timeouts.pending).toBe(0);
    expect(timeouts.write('job-19', seqs[19] as number, 1_000)).toBe(true);
    timeouts.stop();
  });

  test('begin only so many in a second', async () => {
    const stream = new Stream();
    const seq = stream.put('a', eventOf('a'));
    const { timeouts, clock, settled } = start(stream, { perSecond: 5 });
    const begin = (): number =>
      Array.from({ length: 20 }, () => timeouts.write('a', seq, 1_000)).filter(Boolean).length;
    expect(begin()).toBe(5);
    clock.ms = 999;
    expect(begin()).toBe(0);
    clock.ms = 1_000;
    expect(begin()).toBe(5);
    await settled(10);
    expect(stream.writes).toHaveLength(1);
  });

  test('stop with the edge: nothing is begun, nothing is told', async () => {
    const stream = new Stream();
    const looks: Array<() => void> = [];
    stream.beforeLook = () => new Promise<void>((resolve) => void looks.push(resolve));
    for (const id of ['a', 'b']) stream.put(id, eventOf(id));
    const { timeouts, outcomes } = start(stream, { concurrency: 1 });
    timeouts.write('a', 1, 1_000);
    timeouts.write('b', 2, 1_000);
    await waitFor(() => looks.length === 1, { what: 'the first look', everyMs: 1 });
    timeouts.stop();
    expect(timeouts.write('a', 1, 1_000)).toBe(false);
    looks[0]?.();
    await waitFor(() => timeouts.pending === 0, { what: 'the end of what was under way', everyMs: 1 });
    expect(looks).toHaveLength(1);
    expect(outcomes).toEqual([]);
    expect(stream.writes).toEqual([]);
  });
});
