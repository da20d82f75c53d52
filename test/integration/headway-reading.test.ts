/** `readStored` and `readLastStates`: whole, in order, and not stopped by what happens to NATS meanwhile. */
import type { NatsConnection } from 'nats';
import { describe, expect, test } from 'vitest';
import { readLastStates } from '../../internal/jetstream/last-states.js';
import {
  type ReadAccess,
  type ReadFrom,
  type ReadRange,
  readStored,
  type StoredMessage,
} from '../../internal/jetstream/read-stored.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import {
  connectNats,
  createStream,
  deleteStreams,
  event,
  publish,
  publishAll,
  publishRaw,
  storedEvents,
} from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

const STREAM = 'PROGRESS';
const never = new AbortController().signal;

async function accessTo(connection: NatsConnection): Promise<ReadAccess> {
  const jsm = await connection.jetstreamManager({ checkAPI: false });
  return { connection, jsm, js: connection.jetstream(), stream: STREAM };
}

async function scene(changes: Parameters<typeof createStream>[2] = {}) {
  const nats = await startNats();
  const nc = await connectNats(nats.url);
  await createStream(nc, STREAM, changes);
  const access = await accessTo(nc);
  const close = async () => {
    await nc.close();
    await nats[Symbol.asyncDispose]();
  };
  return { nats, nc, access, [Symbol.asyncDispose]: close };
}

async function seqs(access: ReadAccess, range: ReadRange, signal = never): Promise<number[]> {
  const found: number[] = [];
  for await (const batch of readStored(access, range, signal)) found.push(...batch.map(({ seq }) => seq));
  return found;
}

const many = (count: number, jobs: number, more: Record<string, unknown> = {}) =>
  Array.from({ length: count }, (_, at) => event(`job-${at % jobs}`, { progress: at % 100, ...more }));

const consumersOf = async ({ jsm }: ReadAccess): Promise<number> =>
  (await jsm.streams.info(STREAM)).state.consumer_count;

describe('a read', () => {
  test('gives what is stored, all of it, in order, with subject, time and body, and leaves no consumer', async () => {
    await using world = await scene();
    const { nc, access } = world;
    const before = Date.now() - 1_000;
    await publishAll(nc, many(5_000, 7));
    const got: StoredMessage[] = [];
    for await (const batch of readStored(
      access,
      { id: null, from: { kind: 'first' }, until: 'head' },
      never,
    )) {
      got.push(...batch);
    }
    const stored = await storedEvents(nc, STREAM);
    expect(got.map(({ seq, subject }) => ({ seq, subject }))).toEqual(
      stored.map(({ seq, subject }) => ({ seq, subject })),
    );
    expect(got.map(({ data }) => JSON.parse(Buffer.from(data).toString()))).toEqual(
      stored.map(({ json }) => json),
    );
    for (const { storedAt } of got) {
      expect(storedAt).toBeGreaterThan(before);
      expect(storedAt).toBeLessThan(Date.now() + 1_000);
    }
    await waitFor(async () => (await consumersOf(access)) === 0, { what: 'the consumer to be removed' });
  });

  test('of one job gives nothing of others; from, until and time bound it', async () => {
    await using world = await scene();
    const { nc, access } = world;
    await publishAll(nc, many(30, 3));
    const own = (await storedEvents(nc, STREAM, 'job-1')).map(({ seq }) => seq);
    const from = (seq: number): ReadFrom => ({ kind: 'seq', seq });
    const first: ReadFrom = { kind: 'first' };
    expect(await seqs(access, { id: 'job-1', from: first, until: 'head' })).toEqual(own);
    expect(await seqs(access, { id: null, from: from(28), until: 'head' })).toEqual([28, 29, 30]);
    expect(await seqs(access, { id: null, from: from(5), until: { seq: 7 } })).toEqual([5, 6, 7]);
    expect(await seqs(access, { id: 'job-1', from: from(4), until: { seq: 9 } })).toEqual(
      own.filter((seq) => seq >= 4 && seq <= 9),
    );
    const third = await access.jsm.streams.getMessage(STREAM, { seq: 3 });
    const times = await Promise.all(
      Array.from({ length: 30 }, async (_, at) => {
        const { seq, time } = await access.jsm.streams.getMessage(STREAM, { seq: at + 1 });
        return { seq, ms: time.getTime() };
      }),
    );
    const since = third.time.getTime();
    const later = times.filter(({ ms }) => ms >= since).map(({ seq }) => seq);
    expect(await seqs(access, { id: null, from: { kind: 'time', ms: since }, until: 'head' })).toEqual(later);
  });

  test.each<[what: string, range: ReadRange]>([
    ['of an unknown job', { id: 'nobody', from: { kind: 'first' }, until: 'head' }],
    ['from above the head', { id: null, from: { kind: 'seq', seq: 1_000 }, until: 'head' }],
    [
      'from above the head to a place above it',
      { id: null, from: { kind: 'seq', seq: 900 }, until: { seq: 950 } },
    ],
    ['of what is new, to the head', { id: null, from: { kind: 'new' }, until: 'head' }],
    ['from a time to come', { id: null, from: { kind: 'time', ms: Date.now() + 3_600_000 }, until: 'head' }],
    ['to below its beginning', { id: null, from: { kind: 'seq', seq: 3 }, until: { seq: 2 } }],
  ])('%s ends at once with nothing', async (_what, range) => {
    await using world = await scene();
    await publishAll(world.nc, many(5, 2));
    expect(await seqs(world.access, range)).toEqual([]);
  });

  test('of an empty stream ends at once, and a place above the head counts as the head', async () => {
    await using world = await scene();
    const { nc, access } = world;
    expect(await seqs(access, { id: null, from: { kind: 'first' }, until: 'head' })).toEqual([]);
    expect(await seqs(access, { id: null, from: { kind: 'last_per_subject' }, until: 'head' })).toEqual([]);
    await publish(nc, 'a');
    expect(await seqs(access, { id: null, from: { kind: 'first' }, until: { seq: 99 } })).toEqual([1]);
  });

  test('ends although the message at its end was deleted after it began', async () => {
    await using world = await scene({ max_msgs_per_subject: -1 });
    const { nc, access } = world;
    await publishAll(nc, many(6_000, 3));
    const found: number[] = [];
    for await (const batch of readStored(
      access,
      { id: null, from: { kind: 'first' }, until: 'head' },
      never,
    )) {
      if (found.length === 0) await access.jsm.streams.purge(STREAM, { seq: 6_001 });
      found.push(...batch.map(({ seq }) => seq));
    }
    expect(found.length).toBeLessThan(6_000);
    expect(found).toEqual(found.map((_, at) => at + 1));
  });

  test('says that what it was asked for is not kept any more', async () => {
    await using world = await scene();
    const { nc, access } = world;
    await publishAll(nc, many(20, 2));
    await access.jsm.streams.purge(STREAM, { seq: 11 });
    const gaps: [number, number][] = [];
    const gap = (asked: number, first: number) => gaps.push([asked, first]);
    const read = readStored(access, { id: null, from: { kind: 'seq', seq: 4 }, until: 'head' }, never, {
      gap,
    });
    const found: number[] = [];
    for await (const batch of read) found.push(...batch.map(({ seq }) => seq));
    expect({ gaps, first: found[0], last: found.at(-1) }).toEqual({ gaps: [[4, 11]], first: 11, last: 20 });
  });

  test('without an end gives what comes, at once, and ends with the reason of its signal', async () => {
    await using world = await scene();
    const { nc, access } = world;
    await publish(nc, 'old');
    const stop = new AbortController();
    const found: number[] = [];
    const reading = (async () => {
      const range: ReadRange = { id: null, from: { kind: 'new' }, until: 'forever' };
      for await (const batch of readStored(access, range, stop.signal))
        found.push(...batch.map(({ seq }) => seq));
    })();
    await waitFor(async () => (await consumersOf(access)) === 1, { what: 'the consumer' });
    for (let at = 0; at < 3; at++) {
      const seq = await publish(nc, 'new');
      await waitFor(() => found.at(-1) === seq, { what: `seq ${seq}` });
    }
    expect(found).toEqual([2, 3, 4]);
    stop.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    await waitFor(async () => (await consumersOf(access)) === 0, { what: 'the consumer to be removed' });
  });

  test('G9 memory: fetches no more than is taken, also of large messages', async () => {
    await using world = await scene({ max_msgs_per_subject: -1 });
    const { nc, access } = world;
    await publishAll(nc, many(1_500, 3, { result: 'x'.repeat(30_000), status: 'completed' }), 200);
    const read = readStored(access, { id: null, from: { kind: 'first' }, until: 'head' }, never);
    const first = await read.next();
    let bytes = 0;
    let messages = first.done === true ? 0 : first.value.length;
    // Nobody asks for more: what is open now comes in, and then it stays at that.
    const delivered = async () =>
      (await access.jsm.consumers.list(STREAM).next())[0]?.delivered.consumer_seq ?? 0;
    let last = -1;
    await waitFor(
      async () => {
        const now = await delivered();
        const isSteady = now === last;
        last = now;
        return isSteady;
      },
      { what: 'the deliveries to pause', everyMs: 300 },
    );
    expect(last * 30_000).toBeLessThan(14 * 1024 * 1024);
    for await (const batch of read) {
      const size = batch.reduce((sum, { data }) => sum + data.byteLength, 0);
      bytes = Math.max(bytes, size);
      messages += batch.length;
    }
    expect(messages).toBe(1_500);
    expect(bytes).toBeLessThan(10 * 1024 * 1024);
  });

  test('a message that is larger than all that is asked for at once comes, too', async () => {
    await using nats = await startNats({ config: 'max_payload: 8388608' });
    await using nc = await connectNats(nats.url);
    await createStream(nc, STREAM);
    await publish(nc, 'a');
    await publishRaw(nc, 'progress.big', new Uint8Array(6_000_000));
    await publish(nc, 'a');
    expect(await seqs(await accessTo(nc), { id: null, from: { kind: 'first' }, until: 'head' })).toEqual([
      1, 2, 3,
    ]);
  });
});

describe('G3 faults: a read goes on, with nothing left out and nothing twice', () => {
  const FAULTS: [what: string, happen: (nats: NatsServer, access: ReadAccess) => Promise<void>][] = [
    [
      'its consumer is deleted',
      async (_nats, { jsm }) => {
        for (const { name } of await jsm.consumers.list(STREAM).next())
          await jsm.consumers.delete(STREAM, name);
      },
    ],
    ['the server is restarted', (nats) => nats.restart()],
    ['the server is killed with -9 and restarted', (nats) => nats.restart('kill')],
    ['the connection is cut', (_nats, { connection }) => connection.reconnect()],
  ];

  test.each(FAULTS)('%s', async (_what, happen) => {
    await using world = await scene({ max_msgs_per_subject: -1 });
    const { nats, nc, access } = world;
    await publishAll(nc, many(20_000, 5));
    const told: string[] = [];
    const observer = { lost: () => told.push('lost'), resumed: () => told.push('resumed') };
    const found: number[] = [];
    const range: ReadRange = { id: null, from: { kind: 'first' }, until: 'head' };
    for await (const batch of readStored(access, range, never, observer)) {
      if (found.length === 0) await happen(nats, access);
      found.push(...batch.map(({ seq }) => seq));
    }
    expect(found).toEqual(Array.from({ length: 20_000 }, (_, at) => at + 1));
    expect(told.slice(0, 2)).toEqual(['lost', 'resumed']);
  });

  test.each<[what: string, from: ReadFrom]>([
    ['it finds its ends', { kind: 'first' }],
    ['it finds the last states', { kind: 'last_per_subject' }],
  ])('the connection is cut before %s', async (_what, from) => {
    await using world = await scene();
    const { nc, access } = world;
    await publishAll(nc, many(10, 5));
    const told: string[] = [];
    const observer = { lost: () => told.push('lost'), resumed: () => told.push('resumed') };
    // Cut with the request on its way.
    let isCut = false;
    const info: typeof access.jsm.streams.info = async (...args) => {
      const answer = access.jsm.streams.info(...args);
      if (!isCut) void nc.reconnect();
      isCut = true;
      return await answer;
    };
    const streams = Object.assign(Object.create(access.jsm.streams) as object, { info });
    const jsm = Object.assign(Object.create(access.jsm) as object, { streams });
    const struck = { ...access, jsm } as ReadAccess;
    const found: number[] = [];
    const reads =
      from.kind === 'first'
        ? readStored(struck, { id: null, from, until: 'head' }, never, observer)
        : readLastStates(struck, never, observer);
    for await (const batch of reads)
      found.push(...(batch as readonly { seq: number }[]).map(({ seq }) => seq));
    expect(found).toEqual(from.kind === 'first' ? [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] : [6, 7, 8, 9, 10]);
    expect(told).toEqual(['lost', 'resumed']);
  });

  test.each(FAULTS)('%s while it waits for what comes', async (_what, happen) => {
    await using world = await scene();
    const { nats, nc, access } = world;
    await publish(nc, 'a');
    const stop = new AbortController();
    const found: number[] = [];
    const reading = (async () => {
      const range: ReadRange = { id: null, from: { kind: 'first' }, until: 'forever' };
      for await (const batch of readStored(access, range, stop.signal))
        found.push(...batch.map(({ seq }) => seq));
    })();
    await waitFor(() => found.length === 1, { what: 'the first' });
    await happen(nats, access);
    // By a connection of its own: what is published while one is lost is dropped in silence.
    await using publisher = await connectNats(nats.url);
    await publish(publisher, 'a');
    const newest = await publish(publisher, 'b');
    await waitFor(() => found.at(-1) === newest, { what: 'the newest', timeoutMs: 20_000 });
    expect(found).toEqual((await storedEvents(nc, STREAM)).map(({ seq }) => seq));
    stop.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
  });

  test('a stream that is made anew ends a read that has an end, and is gone on with by one that has none', async () => {
    await using world = await scene();
    const { nats, nc, access } = world;
    await publishAll(nc, many(9_000, 20));
    const remake = async () => {
      await deleteStreams(nc, nats);
      await createStream(nc, STREAM);
      await publish(nc, 'new');
    };
    const finite = (async () => {
      let isFirst = true;
      for await (const _ of readStored(access, { id: null, from: { kind: 'first' }, until: 'head' }, never)) {
        if (isFirst) await remake();
        isFirst = false;
      }
    })();
    await expect(finite).rejects.toThrow(/was deleted and made again/);

    const stop = new AbortController();
    let replaced = 0;
    const found: string[] = [];
    const endless = (async () => {
      const range: ReadRange = { id: null, from: { kind: 'first' }, until: 'forever' };
      const read = readStored(access, range, stop.signal, { replaced: () => replaced++ });
      for await (const batch of read) found.push(...batch.map(({ seq, subject }) => `${seq} ${subject}`));
    })();
    await waitFor(() => found.length === 1, { what: 'the first' });
    await remake();
    await waitFor(() => found.length === 2, { what: 'the first of the new stream', timeoutMs: 20_000 });
    expect({ found, replaced }).toEqual({ found: ['1 progress.new', '1 progress.new'], replaced: 1 });
    stop.abort(new Error('enough'));
    await expect(endless).rejects.toThrow('enough');
  });
});

describe('the last states', () => {
  async function lastStates(access: ReadAccess): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    for await (const batch of readLastStates(access, never)) {
      for (const {
        seq,
        event: { id },
      } of batch)
        found.set(id, seq);
    }
    return found;
  }

  // A pull that is limited by bytes makes a server lose the message that it has no room for.
  test('are complete although they are larger than what is asked for at once', async () => {
    await using world = await scene();
    const { nc, access } = world;
    const padding = 'x'.repeat(50_000);
    const events = Array.from({ length: 400 }, (_, at) => event(`job-${at}`, { padding }));
    const seqs = await publishAll(nc, events, 100);
    const found = await lastStates(access);
    expect([...found.values()].sort((one, other) => one - other)).toEqual(
      seqs.sort((one, other) => one - other),
    );
  });

  test('are complete although newest events were deleted, which older servers stumble over', async () => {
    await using world = await scene();
    const { nc, access } = world;
    const newest = new Map<string, number>();
    for (let round = 0; round < 3; round++) {
      for (let job = 0; job < 30; job++) {
        const before = newest.get(`job-${job}`);
        const seq = await publish(nc, `job-${job}`);
        if (round === 2 && job % 3 === 0 && before !== undefined)
          await access.jsm.streams.deleteMessage(STREAM, seq);
        else newest.set(`job-${job}`, seq);
      }
    }
    expect(await lastStates(access)).toEqual(newest);
  });

  test('are complete although the newest event of one of two jobs was deleted', async () => {
    await using world = await scene();
    const { nc, access } = world;
    await publish(nc, 'first', { progress: 1 });
    const kept = await publish(nc, 'first', { progress: 2 });
    const other = await publish(nc, 'other');
    await access.jsm.streams.deleteMessage(STREAM, await publish(nc, 'first', { progress: 3 }));
    expect(await lastStates(access)).toEqual(
      new Map([
        ['first', kept],
        ['other', other],
      ]),
    );
  });

  test('of a job whose newest messages are junk are its newest event; a job of junk has none', async () => {
    await using world = await scene();
    const { nc, access } = world;
    const good = await publish(nc, 'a');
    await publishRaw(nc, 'progress.a', 'junk');
    await publishRaw(nc, 'progress.a', '{}');
    await publishRaw(nc, 'progress.junk', 'junk');
    const other = await publish(nc, 'b');
    expect(await lastStates(access)).toEqual(
      new Map([
        ['a', good],
        ['b', other],
      ]),
    );
  });
});
