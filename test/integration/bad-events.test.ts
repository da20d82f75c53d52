/** Every hostile message of the table on a real stream, among valid events: nobody but operators notices. */
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { HOSTILE_EVENTS } from '../harness/bad-events.js';
import { type Frame, WsClient } from '../harness/client.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { type EdgeProcess, startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metricByLabel } from '../harness/metrics.js';
import { type NatsServer, startNats } from '../harness/nats-server.js';
import { connectNats, publish, publishRaw } from '../harness/publish.js';
import { waitFor } from '../harness/wait.js';

const LOG_LINE = 'a stored message is not an event';
const LINES_PER_WINDOW = 10;
const WINDOW_MS = 10_000;

interface Place {
  readonly seq: number;
  readonly job: string;
}

let nats: NatsServer;
let nc: NatsConnection & AsyncDisposable;
/** It was there when it all came. */
let old: EdgeProcess;
/** It started afterwards. */
let young: EdgeProcess;
let oldPid = 0;
/** One job for each hostile message, and one of valid events between them. */
const between = jobId('between');
const jobs = HOSTILE_EVENTS.map(() => jobId('hostile'));
/** What clients are owed, in order: the valid events, and the hostile ones that are events. */
const owed: Place[] = [];
const refused: (Place & { reason: string })[] = [];
let live: WsClient;
let liveOnOne: WsClient;
let startedAt = 0;

const caughtUp = ({ type }: Frame) => type === 'caught_up';
const ofJob = (places: readonly Place[], job: string) => places.filter((one) => one.job === job);
const places = (client: WsClient): Place[] =>
  client.seen().map(({ seq, processing_id }) => ({ seq, job: processing_id }));

const countedBy = (edge: EdgeProcess): Promise<Record<string, number>> =>
  metricByLabel(edge.http, 'headway_events_invalid_total');

beforeAll(async () => {
  nats = await startNats();
  nc = await connectNats(nats.url);
  startedAt = performance.now();
  old = await startEdgeProcess({ natsUrl: nats.url });
  oldPid = old.pid;
  live = await WsClient.connect(`${old.ws}/ws/upload-progress`);
  liveOnOne = await WsClient.connect(`${old.ws}/ws/upload-progress/${between}`);
  await live.until(caughtUp);
  await liveOnOne.until(caughtUp);
  const valid = async () => owed.push({ seq: await publish(nc, between), job: between });
  await valid();
  for (const [index, { body, outcome }] of HOSTILE_EVENTS.entries()) {
    const job = String(jobs[index]);
    // A hostile job is one that had a valid state before.
    owed.push({ seq: await publish(nc, job, { progress: 1 }), job });
    const seq = await publishRaw(nc, `progress.${job}`, body(job));
    if (outcome === 'taken') owed.push({ seq, job });
    else refused.push({ seq, job, reason: outcome });
    // One in the middle of the job that somebody watches, too.
    if (outcome !== 'taken') {
      refused.push({
        seq: await publishRaw(nc, `progress.${between}`, body(between)),
        job: between,
        reason: outcome,
      });
    }
    await valid();
  }
  young = await startEdgeProcess({ natsUrl: nats.url });
});
afterAll(async () => {
  for (const client of [live, liveOnOne]) await client?.[Symbol.asyncDispose]();
  await young?.[Symbol.asyncDispose]();
  await old?.[Symbol.asyncDispose]();
  await nc?.[Symbol.asyncDispose]();
  await nats?.[Symbol.asyncDispose]();
});

test('G8 bad input: live clients get every valid event and nothing of the others', async () => {
  await live.updates(owed.length);
  await liveOnOne.updates(ofJob(owed, between).length);
  expect(places(live)).toEqual(owed);
  expect(places(liveOnOne)).toEqual(ofJob(owed, between));
  const seqs = ofJob(owed, between).map(({ seq }) => seq);
  expect(liveOnOne.seen().map(({ prev_seq }) => prev_seq)).toEqual([0, ...seqs.slice(0, -1)]);
  expect(live.frames.filter(({ type }) => type === '(unreadable)')).toEqual([]);
  expect(old.pid).toBe(oldPid);
});

test('G8 bad input: each is counted by its reason', async () => {
  await edgeHasRead(old.http, nc);
  const expected: Record<string, number> = {};
  for (const { reason } of refused) expected[reason] = (expected[reason] ?? 0) + 1;
  expect(await countedBy(old)).toEqual(expected);
  expect(Object.keys(expected)).toHaveLength(6);
});

test('G8 bad input: they are logged at a bounded rate, each line with its seq and its job, and none writes a line of its own', async () => {
  await waitFor(() => old.logged(LOG_LINE).length >= LINES_PER_WINDOW, { what: 'the first lines' });
  const lines = old.logged(LOG_LINE);
  const windows = Math.ceil((performance.now() - startedAt) / WINDOW_MS);
  expect(lines.length).toBeLessThanOrEqual(LINES_PER_WINDOW * (windows + 1));
  const known = new Map(refused.map((one) => [one.seq, one]));
  for (const { seq, subject, reason, detail } of lines) {
    expect({ subject, reason }).toEqual({
      subject: `progress.${known.get(Number(seq))?.job}`,
      reason: known.get(Number(seq))?.reason,
    });
    expect(detail).toMatch(/\S/);
  }
  for (const line of old.output().split('\n')) {
    expect(() => JSON.parse(line), line.slice(0, 300)).not.toThrow();
    expect(line.length).toBeLessThan(2_000);
  }
  expect(old.logged('forged')).toEqual([]);
});

test('G8 bad input: an edge that starts over a stream full of them is ready, and serves the same from JetStream', async () => {
  await using all = await WsClient.connect(`${young.ws}/ws/upload-progress?last_seq=0`);
  await using one = await WsClient.connect(`${young.ws}/ws/upload-progress/${between}?last_seq=0`);
  await all.until(caughtUp, { timeoutMs: 20_000 });
  await one.until(caughtUp, { timeoutMs: 20_000 });
  expect(all.frames.map(({ type }) => type)).not.toContain('reset');
  expect(places(all)).toEqual(owed);
  expect(places(one)).toEqual(ofJob(owed, between));
  expect(young.logged('a read failed, trying again')).toEqual([]);
});

test('G8 bad input: a job whose newest message is one of them shows its newest event, on both edges', async () => {
  const read = async (edge: EdgeProcess): Promise<Place[]> => {
    await using client = await WsClient.connect(`${edge.ws}/ws/upload-progress`);
    await client.until(caughtUp);
    return places(client).sort((a, b) => a.seq - b.seq);
  };
  const newest = [between, ...jobs].flatMap((job) => ofJob(owed, job).slice(-1));
  const expected = newest.sort((a, b) => a.seq - b.seq);
  expect(await read(old)).toEqual(expected);
  expect(await read(young)).toEqual(expected);
});

test('G8 bad input: afterwards a new event reaches everybody', async () => {
  await using fresh = await WsClient.connect(`${young.ws}/ws/upload-progress/${between}`);
  await fresh.until(caughtUp);
  const seq = await publish(nc, between, { progress: 99 });
  expect((await fresh.updates(1))[0]?.seq).toBe(seq);
  await liveOnOne.until((frame) => frame.seq === seq);
});
