/** One consumer's deliveries, with a connection made of paper: what real servers do only rarely. */
import type { ConsumerInfo, JetStreamManager, Msg, NatsConnection } from 'nats';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { NatsRefusal } from '../../internal/jetstream/connection.js';
import type { Link } from '../../internal/jetstream/link.js';
import { Lane, LaneLost } from '../../internal/jetstream/pull-reader.js';

const NEXT = '$JS.API.CONSUMER.MSG.NEXT.S.c';

interface Scene {
  readonly lane: Lane;
  /** Delivers the message `seq` as the consumer's number `delivery`. */
  readonly deliver: (seq: number, delivery?: number, size?: number) => void;
  /** Says something about a pull. */
  readonly status: (code: number, description?: string, pendingMessages?: number) => void;
  readonly pulls: { batch: number; max_bytes?: number }[];
  readonly refuse: (subject: string) => void;
  readonly loseLink: () => void;
  readonly deleted: string[];
}

async function scene(): Promise<Scene> {
  const pulls: Scene['pulls'] = [];
  const deleted: string[] = [];
  let callback: (error: null, message: Msg) => void = () => undefined;
  let refused: (refusal: NatsRefusal) => void = () => undefined;
  let lost: () => void = () => undefined;
  const connection = {
    subscribe: (_subject: string, options: { callback: typeof callback }) => {
      callback = options.callback;
      return { unsubscribe: () => undefined };
    },
    publish: (subject: string, body: string) => {
      expect(subject).toBe(NEXT);
      pulls.push(JSON.parse(body));
    },
    isClosed: () => false,
    flush: () => Promise.resolve(),
  } as unknown as NatsConnection;
  const info = { name: 'c', num_pending: 10, delivered: { stream_seq: 0, consumer_seq: 0 } } as ConsumerInfo;
  const consumers = {
    add: () => Promise.resolve(info),
    delete: (_stream: string, name: string) => Promise.resolve(deleted.push(name) > 0),
  };
  const link = {
    isUp: true,
    onLost: (listener: () => void) => {
      lost = listener;
      return () => undefined;
    },
  } as unknown as Link;
  const onRefused = (listener: typeof refused) => {
    refused = listener;
    return () => undefined;
  };
  const jsm = { consumers } as unknown as JetStreamManager;
  const lane = await Lane.open({ connection, jsm, stream: 'S', link, onRefused }, {});
  return {
    lane,
    pulls,
    deleted,
    deliver: (seq, delivery = seq, size = 1) =>
      callback(null, {
        subject: 'progress.a',
        reply: `$JS.ACK.S.c.1.${seq}.${delivery}.1700000000000000000.0`,
        data: new Uint8Array(size),
      } as Msg),
    status: (code, description = '', pendingMessages) =>
      callback(null, {
        subject: '_INBOX.x',
        data: new Uint8Array(),
        headers: {
          code,
          description,
          get: (name: string) => (name === 'Nats-Pending-Messages' ? String(pendingMessages ?? '') : ''),
        },
      } as unknown as Msg),
    refuse: (subject) => refused({ operation: 'publish', subject }),
    loseLink: () => lost(),
  };
}

const seqsOf = (batch: readonly { seq: number }[]): number[] => batch.map(({ seq }) => seq);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a lane', () => {
  test('G1 order: gives out what came before a message that was lost on its way, and nothing after it', async () => {
    const { lane, deliver } = await scene();
    deliver(1);
    deliver(2);
    deliver(4, 4);
    deliver(5, 5);
    expect(seqsOf(await lane.take(10))).toEqual([1, 2]);
    await expect(lane.take(10)).rejects.toThrow(LaneLost);
  });

  test('takes a sequence that is missing, but was delivered in turn, for deleted', async () => {
    const { lane, deliver } = await scene();
    deliver(1, 1);
    deliver(9, 2);
    expect(seqsOf(await lane.take(10))).toEqual([1, 9]);
    await lane.close();
  });

  test('G9 memory: asks for no more while enough is on its way, or lies there', async () => {
    const { lane, pulls, deliver, status } = await scene();
    const takes = async () => {
      const taking = lane.take(10);
      await vi.advanceTimersByTimeAsync(20);
      return await taking;
    };
    for (let at = 0; at < 20; at++) expect(await takes()).toEqual([]);
    expect(pulls).toHaveLength(1);
    const batch = pulls[0]?.batch ?? 0;
    for (let seq = 1; seq <= batch; seq++) deliver(seq);
    // Nothing was taken, so nothing is asked for, also when the pull ends.
    status(408, 'Request Timeout', 0);
    expect(pulls).toHaveLength(1);
    expect(await takes()).toHaveLength(batch);
    expect(pulls).toHaveLength(2);
    await lane.close();
  });

  test('asks for a message by itself that is larger than a pull may bring', async () => {
    const { lane, pulls, deliver, status } = await scene();
    void lane.take(10);
    await vi.advanceTimersByTimeAsync(20);
    status(409, 'Message Size Exceeds MaxBytes', pulls[0]?.batch);
    expect(pulls[1]).toMatchObject({ batch: 1 });
    expect(pulls[1]).not.toHaveProperty('max_bytes');
    deliver(1, 1, 9_000_000);
    expect(seqsOf(await lane.take(10))).toEqual([1]);
    expect(pulls.at(-1)).toHaveProperty('max_bytes');
    await lane.close();
  });

  test.each<[what: string, happen: (scene: Scene) => unknown, reason: RegExp, isFinal?: boolean]>([
    ['the consumer is deleted', ({ status }) => status(409, 'Consumer Deleted'), /consumer deleted/],
    ['its leader changes', ({ status }) => status(409, 'Leadership Change'), /leadership change/],
    ['nobody has it any more', ({ status }) => status(503), /it is gone/],
    ['the connection is lost', ({ loseLink }) => loseLink(), /connection to NATS was lost/],
    ['no heartbeat comes', () => vi.advanceTimersByTimeAsync(6_000), /no heartbeat/],
    ['NATS does not permit it', ({ refuse }) => refuse(NEXT), /does not permit/, true],
  ])('is lost when %s', async (_what, happen, reason, isFinal = false) => {
    const all = await scene();
    const taking = all.lane.take(60_000).catch((error: unknown) => error);
    await happen(all);
    const error = await taking;
    expect(error).toBeInstanceOf(LaneLost);
    expect(error).toMatchObject({ reason: expect.stringMatching(reason), isFinal });
    await all.lane.close();
    expect(all.deleted).toEqual(['c']);
  });

  test('is not lost while heartbeats come, for another subject, or while nothing is asked for', async () => {
    const { lane, status, refuse, deliver } = await scene();
    await vi.advanceTimersByTimeAsync(20_000);
    deliver(1);
    expect(seqsOf(await lane.take(10))).toEqual([1]);
    for (let at = 0; at < 20; at++) {
      await vi.advanceTimersByTimeAsync(1_000);
      status(100, 'Idle Heartbeat');
    }
    refuse('something.else');
    deliver(2);
    expect(seqsOf(await lane.take(10))).toEqual([2]);
    await lane.close();
  });
});
