/** One consumer's deliveries, with a connection made of paper: what real servers do only rarely. */
import { type ConsumerInfo, DeliverPolicy, type JetStreamManager, type Msg, type NatsConnection } from 'nats';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ConnectionMonitor, PermissionViolation } from '../../internal/jetstream/connection-monitor.js';
import {
  ConsumerFailure,
  ConsumerLostError,
  type FailureReason,
} from '../../internal/jetstream/consumer-failure.js';
import { DeliveryReader } from '../../internal/jetstream/delivery.js';
import { PullConsumer, type PullLimits } from '../../internal/jetstream/pull-reader.js';

const NEXT = '$JS.API.CONSUMER.MSG.NEXT.S.c';

interface Pull {
  readonly batch: number;
  readonly max_bytes?: number;
  readonly no_wait?: boolean;
  readonly reply: string;
}

interface Scene {
  readonly consumer: PullConsumer;
  /** Delivers the message `seq` as the consumer's number `delivery`. */
  readonly deliver: (seq: number, delivery?: number, size?: number) => void;
  /** Says something about a pull: the last one, where no other is named. */
  readonly status: (code: number, description?: string, pending?: number, pull?: Pull) => void;
  readonly pulls: Pull[];
  readonly refuse: (subject: string) => void;
  readonly loseLink: () => void;
  readonly deleted: string[];
}

const LIMITS: PullLimits = { bytes: 1_000, messages: 100, prefetch: true };

function scene(limits = LIMITS, policy = DeliverPolicy.All): Scene {
  const pulls: Pull[] = [];
  const deleted: string[] = [];
  let callback: (error: null, message: Msg) => void = () => undefined;
  let refused: (refusal: PermissionViolation) => void = () => undefined;
  let lost: () => void = () => undefined;
  const connection = {
    subscribe: (_subject: string, options: { callback: typeof callback }) => {
      callback = options.callback;
      return { unsubscribe: () => undefined };
    },
    publish: (subject: string, body: string, { reply }: { reply: string }) => {
      expect(subject).toBe(NEXT);
      pulls.push({ ...JSON.parse(body), reply });
    },
    isClosed: () => false,
    flush: () => Promise.resolve(),
  } as unknown as NatsConnection;
  const config = { deliver_policy: policy };
  const info = {
    name: 'c',
    num_pending: 10,
    delivered: { stream_seq: 0, consumer_seq: 0 },
    config,
  } as ConsumerInfo;
  const consumers = {
    delete: (_stream: string, name: string) => Promise.resolve(deleted.push(name) > 0),
  };
  const monitor = {
    isConnected: true,
    onLost: (listener: () => void) => {
      lost = listener;
      return () => undefined;
    },
  } as unknown as ConnectionMonitor;
  const onRefused = (listener: typeof refused) => {
    refused = listener;
    return () => undefined;
  };
  const jsm = { consumers } as unknown as JetStreamManager;
  const failure = new ConsumerFailure(monitor);
  const consumer = new PullConsumer(
    { connection, jsm, stream: 'S', monitor, onRefused },
    info,
    limits,
    failure,
  );
  return {
    consumer,
    pulls,
    deleted,
    deliver: (seq, delivery = seq, size = 1) =>
      callback(null, {
        subject: 'progress.a',
        reply: `$JS.ACK.S.c.1.${seq}.${delivery}.1700000000123999999.0`,
        data: new Uint8Array(size),
      } as Msg),
    status: (code, description = '', pending, pull = pulls.at(-1)) =>
      callback(null, {
        subject: pull?.reply ?? '',
        data: new Uint8Array(),
        headers: {
          code,
          description,
          get: (name: string) => (/^Nats-Pending-(Bytes|Messages)$/.test(name) ? String(pending ?? '') : ''),
        },
      } as unknown as Msg),
    refuse: (subject) => refused({ operation: 'publish', subject }),
    loseLink: () => lost(),
  };
}

const seqsOf = (batch: readonly { seq: number }[]): number[] => batch.map(({ seq }) => seq);
const bytesOf = (pulls: readonly Pull[]): (number | undefined)[] => pulls.map((pull) => pull.max_bytes);

/** What comes within a moment of the fake clock. */
async function soon(consumer: PullConsumer): Promise<number[]> {
  const taking = consumer.take(10);
  await vi.advanceTimersByTimeAsync(20);
  return seqsOf(await taking);
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('what JetStream says of a message', () => {
  const told = { seq: 1_234_567, deliverySequence: 89, storedAt: 1_700_000_000_123, pending: 42 };

  test.each([
    ['$JS.ACK.S.consumer.1.1234567.89.1700000000123999999.42', told],
    ['$JS.ACK.hub.ACCOUNT.S.consumer.1.1234567.89.1700000000123999999.42.random', told],
    ['$JS.ACK.hub.ACCOUNT.S.consumer.1.1234567.89.1700000000123999999.42', told],
    ['_INBOX.abc', null],
    [undefined, null],
  ])('%s', (reply, expected) => {
    const reader = new DeliveryReader();
    // The second one is read by what was learned of the first.
    for (let i = 0; i < 2; i++) expect(reader.read(reply)).toEqual(expected);
  });
});

describe('a consumer that is pulled from', () => {
  test('G1 order: gives out what came before a message that was lost on its way, and nothing after it', async () => {
    const { consumer, deliver } = scene();
    deliver(1);
    deliver(2);
    deliver(4, 4);
    deliver(5, 5);
    expect(seqsOf(await consumer.take(10))).toEqual([1, 2]);
    await expect(consumer.take(10)).rejects.toThrow(ConsumerLostError);
    consumer.close();
  });

  test('takes a sequence that is missing, but was delivered in turn, for deleted', async () => {
    const { consumer, deliver } = scene();
    deliver(1, 1);
    deliver(9, 2);
    expect(seqsOf(await consumer.take(10))).toEqual([1, 9]);
    consumer.close();
  });

  test('what arrives in one turn of the event loop comes as one batch, stored at a whole millisecond', async () => {
    const { consumer, deliver } = scene();
    const taking = consumer.take(Number.POSITIVE_INFINITY);
    for (let seq = 1; seq <= 50; seq++) deliver(seq);
    const batch = await taking;
    expect(seqsOf(batch)).toHaveLength(50);
    // By division the nanoseconds would be rounded to the next one.
    expect(batch[0]?.storedAt).toBe(1_700_000_000_123);
    consumer.close();
  });

  test('G9 memory: asks for no more bytes than its limit, on their way or waiting here', async () => {
    const { consumer, pulls, deliver, status } = scene();
    expect(await soon(consumer)).toEqual([]);
    expect(pulls).toMatchObject([{ batch: 100, max_bytes: 500, no_wait: true }, { max_bytes: 500 }]);
    status(404, 'No Messages', undefined, pulls[0]);
    expect(bytesOf(pulls)).toEqual([500, 500, 500]);
    for (let at = 0; at < 5; at++) expect(await soon(consumer)).toEqual([]);
    expect(pulls).toHaveLength(3);
    // Nothing is taken, so nothing is asked for, also when the pulls end.
    for (let seq = 1; seq <= 9; seq++) deliver(seq, seq, 100);
    status(409, 'Message Size Exceeds MaxBytes', 50, pulls[1]);
    status(409, 'Message Size Exceeds MaxBytes', 50, pulls[2]);
    expect(pulls).toHaveLength(3);
    expect(await soon(consumer)).toHaveLength(9);
    expect(bytesOf(pulls)).toEqual([500, 500, 500, 500]);
    consumer.close();
  });

  test('pulls that end without a word, with the last of their bytes, are over', async () => {
    const { consumer, pulls, deliver, status } = scene();
    const taking = soon(consumer);
    status(404, 'No Messages');
    await taking;
    expect(bytesOf(pulls)).toEqual([500, 500, 500]);
    for (let seq = 1; seq <= 20; seq++) deliver(seq, seq, 50);
    // No heartbeat is due, as nothing was asked for.
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await soon(consumer)).toHaveLength(20);
    expect(bytesOf(pulls)).toEqual([500, 500, 500, 500]);
    deliver(21);
    expect(await soon(consumer)).toEqual([21]);
    consumer.close();
  });

  test('asks for a message by itself that is larger than a pull may bring, when the other pulls have ended', async () => {
    const { consumer, pulls, deliver, status } = scene();
    void consumer.take(10);
    await vi.advanceTimersByTimeAsync(20);
    void consumer.take(10);
    await vi.advanceTimersByTimeAsync(20);
    expect(pulls).toHaveLength(2);
    status(409, 'Message Size Exceeds MaxBytes', 500, pulls[0]);
    expect(pulls).toHaveLength(2);
    status(409, 'Message Size Exceeds MaxBytes', 500, pulls[1]);
    expect(pulls[2]).toMatchObject({ batch: 1 });
    expect(pulls[2]).not.toHaveProperty('max_bytes');
    deliver(1, 1, 9_000_000);
    expect(await soon(consumer)).toEqual([1]);
    expect(pulls.at(-1)).toHaveProperty('max_bytes');
    consumer.close();
  });

  test('a consumer of last messages is asked for a number of them, and by bytes when it has brought them all', async () => {
    const limits = { bytes: 1_000_000, messages: 100, prefetch: true };
    const { consumer, pulls, deliver } = scene(limits, DeliverPolicy.LastPerSubject);
    await soon(consumer);
    // As many as there is room for if all are large.
    expect(pulls.map(({ batch, max_bytes }) => [batch, max_bytes])).toEqual([
      [7, undefined],
      [7, undefined],
    ]);
    for (let seq = 1; seq <= 14; seq++) deliver(seq, seq, 1_000);
    expect(await soon(consumer)).toHaveLength(14);
    expect(pulls.slice(2).map(({ batch }) => batch)).toEqual([9]);
    consumer.limitByBytes();
    for (let seq = 15; seq <= 22; seq++) deliver(seq, seq, 1_000);
    expect(await soon(consumer)).toHaveLength(8);
    expect(pulls).toHaveLength(3);
    deliver(23);
    expect(await soon(consumer)).toEqual([23]);
    expect(bytesOf(pulls.slice(3))).toEqual([500_000]);
    consumer.close();
  });

  test('pulls that were filled without a word are over as well when the others end with nothing owed', async () => {
    const limits = { bytes: 1_000_000, messages: 100, prefetch: true };
    const { consumer, pulls, deliver, status } = scene(limits, DeliverPolicy.LastPerSubject);
    await soon(consumer);
    for (let seq = 1; seq <= 10; seq++) deliver(seq, seq, 1_000);
    await soon(consumer);
    const asked = pulls.map(({ batch }) => batch);
    expect(asked).toEqual([7, 7, 8]);
    consumer.limitByBytes();
    // The server says nothing of the first one, which it has filled.
    status(408, 'Request Timeout', 4, pulls[1]);
    status(408, 'Request Timeout', 8, pulls[2]);
    expect(bytesOf(pulls.slice(3))).toEqual([500_000]);
    consumer.close();
  });

  test('without prefetch asks once for each batch, and gives what the stream held then', async () => {
    const { consumer, pulls, deliver, status } = scene({ ...LIMITS, prefetch: false });
    const taking = consumer.take(1_000);
    deliver(1, 1, 400);
    status(409, 'Message Size Exceeds MaxBytes', 600);
    expect(seqsOf(await taking)).toEqual([1]);
    expect(pulls).toMatchObject([{ batch: 100, max_bytes: 1_000, no_wait: true }]);
    const next = consumer.take(1_000);
    status(409, 'Message Size Exceeds MaxBytes', 1_000);
    expect(pulls[2]).toMatchObject({ batch: 1, no_wait: true });
    deliver(2, 2, 5_000);
    expect(seqsOf(await next)).toEqual([2]);
    const last = consumer.take(1_000);
    status(404, 'No Messages');
    expect(await last).toEqual([]);
    expect(pulls).toHaveLength(4);
    consumer.close();
  });

  test('tells when NATS has answered a pull: it may permit everything else', async () => {
    const { consumer, status } = scene();
    const taking = consumer.take(Number.POSITIVE_INFINITY);
    expect(consumer.hasAnswered).toBe(false);
    status(404, 'No Messages');
    expect(await taking).toEqual([]);
    expect(consumer.hasAnswered).toBe(true);
    consumer.close();
  });

  test.each<[what: string, happen: (scene: Scene) => unknown, reason: FailureReason, detail: RegExp]>([
    [
      'the consumer is deleted',
      ({ status }) => status(409, 'Consumer Deleted'),
      'consumer_deleted',
      /consumer deleted/,
    ],
    [
      'its leader changes',
      ({ status }) => status(409, 'Leadership Change'),
      'pull_refused',
      /leadership change/,
    ],
    ['nobody has it any more', ({ status }) => status(503), 'no_responders', /is gone/],
    ['the connection is lost', ({ loseLink }) => loseLink(), 'disconnected', /connection to NATS was lost/],
    ['no heartbeat comes', () => vi.advanceTimersByTimeAsync(6_000), 'heartbeats_missed', /no heartbeat/],
    ['NATS does not permit it', ({ refuse }) => refuse(NEXT), 'not_permitted', /does not permit/],
  ])('is lost when %s', async (_what, happen, reason, detail) => {
    const all = scene();
    const taking = all.consumer.take(60_000).catch((error: unknown) => error);
    await happen(all);
    const error = await taking;
    expect(error).toBeInstanceOf(ConsumerLostError);
    expect(error).toMatchObject({ reason, message: expect.stringMatching(detail) });
    await all.consumer.remove();
    expect(all.deleted).toEqual(['c']);
  });

  test('is not lost while heartbeats come, for another subject, or while nothing is asked for', async () => {
    const { consumer, status, refuse, deliver } = scene();
    await vi.advanceTimersByTimeAsync(20_000);
    deliver(1);
    expect(seqsOf(await consumer.take(10))).toEqual([1]);
    for (let at = 0; at < 20; at++) {
      await vi.advanceTimersByTimeAsync(1_000);
      status(100, 'Idle Heartbeat');
    }
    refuse('something.else');
    deliver(2);
    expect(seqsOf(await consumer.take(10))).toEqual([2]);
    consumer.close();
  });
});
