/** What the edge claims of a job's history has to be proved by what the stream still holds. */
import type { JetStreamManager, MsgRequest, NatsConnection, StreamConfig } from 'nats';
import { expect, test, vi } from 'vitest';
import { StreamMismatchError } from '../../internal/errors.js';
import { monitorOf } from '../../internal/jetstream/connection-monitor.js';
import { type HistoryAccess, readPage } from '../../internal/jetstream/history-page.js';
import { epochOf } from '../../internal/jetstream/stream.js';
import { WsClient } from '../harness/client.js';
import { startLocalEdge } from '../harness/edge-in-process.js';
import { compareVersions } from '../harness/nats-binary.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, createStream, publish, publishRaw } from '../harness/publish.js';
import { replayed } from '../harness/replayed.js';
import { type ConnectedNats, natsWithStream } from '../harness/shared-nats.js';

const STREAM = 'PROGRESS';

/** As `replayed`, with the job of each update. */
const replay = (ws: string, path: string) =>
  replayed(ws, path, ({ processing_id, seq }) => `${processing_id} ${seq}`);

/** A stream with an interior hole, from 2 to 4, and a job that is finished at 7 and has an invalid message at 8. */
async function holesAndAnInvalidNewest(): Promise<ConnectedNats & AsyncDisposable> {
  const world = await natsWithStream({ max_msgs_per_subject: 2 });
  const { nc } = world;
  await publish(nc, 'first');
  for (let i = 0; i < 5; i++) await publish(nc, 'busy');
  await publish(nc, 'job', { status: 'completed', progress: 100 });
  await publishRaw(nc, 'progress.job', 'no event');
  return world;
}

test('G2 state first, G6 the end: a job whose newest message is invalid shows its newest valid state and its end, holes or not', async () => {
  await using world = await holesAndAnInvalidNewest();
  await using edge = await startLocalEdge(world.nats.url);
  await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress/job`);
  await client.next('hello');
  expect(await client.next()).toMatchObject({ type: 'progress_update', seq: 7, status: 'completed' });
  expect(await client.next()).toEqual({ type: 'caught_up', cursor: 8 });
  expect(await client.next()).toEqual({ type: 'end' });
  expect(await client.closed).toMatchObject({ code: 1000 });
});

test('G2 state first: the same for all jobs', async () => {
  await using world = await holesAndAnInvalidNewest();
  await using edge = await startLocalEdge(world.nats.url);
  expect(await replay(edge.ws, '')).toEqual(['first 1', 'busy 6', 'job 7', 'caught_up 8']);
});

test('G2 state first: a job of which only invalid messages are kept has no state, and its watcher is not left waiting', async () => {
  await using world = await natsWithStream({ max_msgs_per_subject: 2 });
  const { nc, nats } = world;
  for (let i = 0; i < 4; i++) await publish(nc, 'busy');
  await publish(nc, 'job');
  for (let i = 0; i < 2; i++) await publishRaw(nc, 'progress.job', 'no event');
  await using edge = await startLocalEdge(nats.url);
  expect(await replay(edge.ws, '/job')).toEqual(['caught_up 7']);
  expect(await replay(edge.ws, '')).toEqual(['busy 4', 'caught_up 7']);
});

/** The API as `readPage` uses it; `meanwhile` happens between the reading of the page and the first look back. */
function interrupted(jsm: JetStreamManager, meanwhile: () => Promise<void>): JetStreamManager {
  let looks = 0;
  const getMessage = async (stream: string, query: MsgRequest) => {
    if (++looks === 1) await meanwhile();
    return jsm.streams.getMessage(stream, query);
  };
  const streams = { info: jsm.streams.info.bind(jsm.streams), getMessage };
  return { streams, consumers: jsm.consumers } as unknown as JetStreamManager;
}

/** What `readPage` reads by. */
async function pageAccess(nc: NatsConnection, meanwhile: () => Promise<void>): Promise<HistoryAccess> {
  const jsm = await nc.jetstreamManager();
  const epoch = epochOf(await jsm.streams.info(STREAM));
  return {
    connection: nc,
    jsm: interrupted(jsm, meanwhile),
    stream: STREAM,
    monitor: monitorOf(nc),
    onRefused: () => () => undefined,
    epoch: () => epoch,
  };
}

/** Reads a page of 200 kept events while `more` events of the job come and trim as many of them. */
async function pageWhileTrimmed(first: number, after: number, more: number) {
  await using world = await natsWithStream({ max_msgs_per_subject: 200 });
  const { nc } = world;
  for (let seq = 1; seq < first; seq++) await publish(nc, 'other');
  const burst = async (count: number) => {
    for (let i = 0; i < count; i++) await publish(nc, 'job');
  };
  await burst(200);
  const access = await pageAccess(nc, () => burst(more));
  const page = await readPage(access, { kind: 'job', id: 'job', jobTypes: null }, after);
  return page.kind === 'refused' ? page.reason : page.records.map(({ seq }) => seq);
}

const between = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test('G1 order, G5 stale cursors: a job that is trimmed while its page is read is refused, also when the event at the cursor was read', async () => {
  expect(await pageWhileTrimmed(1, 1, 190)).toBe('retention');
});

test('G1 order, G5 stale cursors: a job that is trimmed while its page is read from the start is refused', async () => {
  expect(await pageWhileTrimmed(3, 1, 190)).toBe('retention');
});

test('G1 order: a job that goes on while its page is read, and is not trimmed, is given whole', async () => {
  await using world = await natsWithStream({ max_msgs_per_subject: 1_000 });
  const { nc } = world;
  for (let i = 0; i < 200; i++) await publish(nc, 'job');
  const access = await pageAccess(nc, async () => {
    for (let i = 0; i < 10; i++) await publish(nc, 'job');
  });
  const page = await readPage(access, { kind: 'job', id: 'job', jobTypes: null }, 1);
  if (page.kind === 'refused') throw new Error(page.reason);
  const seqs = page.records.map(({ seq }) => seq);
  expect(seqs).toEqual(between(2, seqs.length + 1));
  expect(page.records.map(({ prevSeq }) => prevSeq)).toEqual(between(1, seqs.length));
  expect(seqs.length).toBeGreaterThanOrEqual(199);
});

test('G5 stale cursors: a stream whose messages may have a time to live of their own is refused at start-up', async ({
  skip,
}) => {
  await using nats = await startNats();
  skip(
    compareVersions(nats.version, '2.11') < 0,
    `nats-server ${nats.version} has no such streams; 2.11 does`,
  );
  await using nc = await connectNats(nats.url);
  await createStream(nc, STREAM, { allow_msg_ttl: true } as Partial<StreamConfig>);
  const started = startLocalEdge(nats.url);
  await expect(started).rejects.toBeInstanceOf(StreamMismatchError);
  await expect(started).rejects.toThrow('allow_msg_ttl is true; it should be false');
});

test('heartbeats: an edge goes on with them when the wall clock steps back by an hour', async () => {
  await using world = await natsWithStream();
  await using edge = await startLocalEdge(world.nats.url, { HEADWAY_HEARTBEAT_MS: '200' });
  await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress/job`);
  await client.until(({ type }) => type === 'heartbeat');
  const now = Date.now;
  const clock = vi.spyOn(Date, 'now').mockImplementation(() => now() - 3_600_000);
  try {
    for (let i = 0; i < 3; i++) await client.until(({ type }) => type === 'heartbeat');
  } finally {
    clock.mockRestore();
  }
});
