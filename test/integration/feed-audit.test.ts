/** Whether an edge follows is not its consumer's word: the stream itself is looked at, its end and its settings. */
import type { JetStreamManager, NatsConnection, StreamConfig } from 'nats';
import { expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { uniqueId } from '../harness/ids.js';
import { publishToLiteral } from '../harness/literal-subject.js';
import { metric } from '../harness/metrics.js';
import { compareVersions } from '../harness/nats-binary.js';
import { publish } from '../harness/publish.js';
import { connectedNats } from '../harness/shared-nats.js';
import { waitFor } from '../harness/wait.js';

const STREAM = 'PROGRESS';
const ALL = '/ws/upload-progress';

async function readiness({ http }: LocalEdge): Promise<{ ready: boolean; detail: string }> {
  return (await (await fetch(`${http}/readyz`)).json()) as { ready: boolean; detail: string };
}

const lost = (edge: LocalEdge, reason: string): Promise<number> =>
  metric(edge.http, `headway_feed_lost_total{reason="${reason}"}`, 0);

async function ready(edge: LocalEdge): Promise<void> {
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready', timeoutMs: 20_000 });
}

/** A client that was shown everything so far. */
async function caughtUp(edge: LocalEdge, path: string): Promise<WsClient> {
  const client = await WsClient.connect(`${edge.ws}${path}`);
  await client.until(({ type }) => type === 'caught_up');
  return client;
}

const SOON = { timeoutMs: 15_000 };

test('G3 faults: the edge’s consumer is paused; the edge says that it is behind, and goes on', async ({
  skip,
}) => {
  await using world = await connectedNats({ stream: {} });
  const { nats, nc } = world;
  skip(compareVersions(nats.version, '2.11') < 0, `nats-server ${nats.version} pauses no consumers`);
  const edgeId = uniqueId('paused');
  await using edge = await startLocalEdge(nats.url, { HEADWAY_EDGE_ID: edgeId });
  await ready(edge);
  await using client = await caughtUp(edge, ALL);
  const until = JSON.stringify({ pause_until: new Date(Date.now() + 600_000).toISOString() });
  await nc.request(`$JS.API.CONSUMER.PAUSE.${STREAM}.edge-${edgeId}`, until);
  const seq = await publish(nc, 'a');
  const behind = waitFor(async () => (await metric(edge.http, 'headway_feed_lag_events')) > 0, {
    what: 'the lag in the metrics',
    ...SOON,
  });
  await client.until(({ type, seq: shown }) => type === 'progress_update' && shown === seq, SOON);
  await behind;
  expect(await lost(edge, 'stalled')).toBe(1);
  await ready(edge);
  await waitFor(async () => (await metric(edge.http, 'headway_feed_lag_events')) === 0, {
    what: 'no lag in the metrics',
  });
  expect(await metric(edge.http, 'headway_feed_lag_seconds')).toBe(0);
});

/** An edge that follows, and clients that were shown all of it, when its consumer is edited. */
async function withEdited(
  edit: object,
  act: (scene: {
    nc: NatsConnection;
    jsm: JetStreamManager;
    edge: LocalEdge;
    one: WsClient;
    all: WsClient;
  }) => Promise<void>,
): Promise<void> {
  await using world = await connectedNats({ stream: {} });
  const { nats, nc, jsm } = world;
  const edgeId = uniqueId('edited');
  await publish(nc, 'a', { progress: 1 });
  await using edge = await startLocalEdge(nats.url, { HEADWAY_EDGE_ID: edgeId });
  await ready(edge);
  await using one = await caughtUp(edge, `${ALL}/a`);
  await using all = await caughtUp(edge, ALL);
  await jsm.consumers.update(STREAM, `edge-${edgeId}`, edit);
  await act({ nc, jsm, edge, one, all });
  await ready(edge);
}

/** What a client is told next, heartbeats left out. */
async function news(client: WsClient): Promise<unknown[]> {
  const last = (await client.until(({ type }) => type !== 'heartbeat', SOON)).at(-1);
  return [last?.type, last?.seq];
}

const OTHERS_ONLY = { filter_subject: 'progress.other' };

test('G3 faults: the edge’s consumer leaves out what is stored; that is noticed before anybody is shown what follows', () =>
  withEdited(OTHERS_ONLY, async ({ nc, edge, one, all }) => {
    const hidden = await publish(nc, 'a', { progress: 2 });
    const shown = await publish(nc, 'other');
    expect(await news(one)).toEqual(['progress_update', hidden]);
    expect(await news(all)).toEqual(['progress_update', hidden]);
    expect(await news(all)).toEqual(['progress_update', shown]);
    expect(await lost(edge, 'sequence_gap')).toBe(1);
  }));

test('G3 faults: right behind a gap that is one, the edge’s consumer leaves out what is stored; nobody is left without it', () =>
  withEdited(OTHERS_ONLY, async ({ nc, jsm, edge, all }) => {
    await jsm.streams.deleteMessage(STREAM, await publish(nc, 'deleted'));
    await publish(nc, 'other');
    const hidden = await publish(nc, 'a', { progress: 2 });
    await publish(nc, 'other');
    await all.until(({ type, seq }) => type === 'progress_update' && seq === hidden, SOON);
    // Two gaps that follow one another at once are not both asked about: then the audit finds the second.
    expect((await lost(edge, 'consumer_changed')) + (await lost(edge, 'sequence_gap'))).toBe(1);
  }));

test('G3 faults: the edge’s consumer delivers no bodies any more; nobody is left without them', () =>
  withEdited({ headers_only: true }, async ({ nc, edge, all }) => {
    const hidden = await publish(nc, 'a', { progress: 2 });
    await publish(nc, 'other');
    await all.until(({ type, seq }) => type === 'progress_update' && seq === hidden, SOON);
    expect(await lost(edge, 'consumer_changed')).toBe(1);
    await ready(edge);
    await using fresh = await WsClient.connect(`${edge.ws}${ALL}/a`);
    expect((await fresh.updates(1))[0]?.seq).toBe(hidden);
  }));

test('G3 faults: an edge whose pulls are forbidden never says that it follows', async () => {
  const config = `
    authorization {
      users: [
        { user: all, password: all }
        { user: edge, password: edge, permissions: { publish: { deny: "$JS.API.CONSUMER.MSG.NEXT.>" } } }
      ]
    }`;
  await using world = await connectedNats({
    server: { config },
    connection: { user: 'all', pass: 'all' },
    stream: {},
  });
  await publish(world.nc, 'a');
  await using edge = await startLocalEdge(world.nats.url.replace('//', '//edge:edge@'));
  const details = new Set<string>();
  await waitFor(
    async () => {
      const { ready: isReady, detail } = await readiness(edge);
      details.add(`${isReady} ${detail}`);
      return (await lost(edge, 'not_permitted')) >= 5;
    },
    { what: 'five tries', ...SOON, everyMs: 5 },
  );
  expect([...details]).toEqual(['false loading the last states']);
});

test('a stream whose end was purged or deleted is no stream that an edge is behind', async () => {
  await using world = await connectedNats({ stream: {} });
  const { nats, nc, jsm } = world;
  await publish(nc, 'a');
  await using edge = await startLocalEdge(nats.url);
  await ready(edge);
  let looks = 0;
  nc.subscribe(`$JS.API.STREAM.INFO.${STREAM}`, { callback: () => looks++ });
  await publish(nc, 'b');
  await jsm.streams.purge(STREAM);
  await jsm.streams.deleteMessage(STREAM, await publish(nc, 'c'));
  const before = looks;
  await waitFor(() => looks >= before + 4, { what: 'four looks', ...SOON });
  expect(await metric(edge.http, 'headway_feed_lag_events')).toBe(0);
  expect(await lost(edge, 'stalled')).toBe(0);
});

test.each<[field: string, since: string, change: Record<string, unknown>, back: Record<string, unknown>]>([
  ['allow_rollup_hdrs', '2.10', { allow_rollup_hdrs: true }, { allow_rollup_hdrs: false }],
  [
    'subject_transform',
    '2.10',
    { subject_transform: { src: 'progress.*', dest: 'elsewhere.{{wildcard(1)}}' } },
    { subject_transform: undefined },
  ],
])(
  'G5 stale cursors: %s is changed under a running edge: it says so, and when it is put right everybody starts anew',
  async (field, since, change, back) => {
    await using world = await connectedNats({ stream: {} });
    const { nats, nc, jsm } = world;
    if (compareVersions(nats.version, since) < 0) return;
    await publish(nc, 'a');
    await using edge = await startLocalEdge(nats.url, { HEADWAY_HEARTBEAT_MS: '200' });
    await ready(edge);
    await using client = await caughtUp(edge, `${ALL}/a`);
    const { config } = await jsm.streams.info(STREAM);
    await jsm.streams.update(STREAM, { ...config, ...change } as Partial<StreamConfig>);
    await client.until(({ type, feed }) => type === 'heartbeat' && feed === 'away', SOON);
    await waitFor(async () => (await readiness(edge)).detail.endsWith(`: ${field}`), {
      what: `/readyz to name ${field}`,
    });
    expect(await lost(edge, 'stream_changed')).toBe(1);
    const jsmRaw = await nc.request(
      `$JS.API.STREAM.UPDATE.${STREAM}`,
      JSON.stringify({ ...config, ...back }),
    );
    expect(jsmRaw.json()).not.toHaveProperty('error');
    await client.until(({ type, reason }) => type === 'reset' && reason === 'ahead', SOON);
    await client.until(({ type }) => type === 'caught_up');
    await ready(edge);
    const seq = await publish(nc, 'a');
    await client.until(({ type, seq: shown }) => type === 'progress_update' && shown === seq);
  },
);

test('jobs that the stream lets go leave memory, are told to who follows all, and are not found any more', async () => {
  await using world = await connectedNats({ stream: {} });
  const { nats, nc, jsm } = world;
  for (const id of ['front', 'purged', 'kept']) await publish(nc, id);
  await using edge = await startLocalEdge(nats.url);
  await ready(edge);
  await using client = await caughtUp(edge, ALL);
  const status = async (id: string) => (await fetch(`${edge.http}/v1/jobs/${id}`)).status;
  expect(await status('purged')).toBe(200);
  await jsm.streams.purge(STREAM, { filter: 'progress.purged' });
  await client.until(({ type, processing_id: id }) => type === 'gone' && id === 'purged', SOON);
  expect(await status('purged')).toBe(404);
  await jsm.streams.purge(STREAM, { seq: 2 });
  await client.until(({ type, processing_id: id }) => type === 'gone' && id === 'front', SOON);
  expect(await status('front')).toBe(404);
  expect(await status('kept')).toBe(200);
  expect(await metric(edge.http, 'headway_jobs')).toBe(1);
});

test('G1 order: a message on a subject that is a pattern is passed over, and is no gap', async () => {
  await using world = await connectedNats({ stream: {} });
  const { nats, nc } = world;
  await publish(nc, 'a', { progress: 1 });
  await publishToLiteral(nats.port, 'progress.>', '{}');
  await using edge = await startLocalEdge(nats.url);
  await ready(edge);
  await using client = await caughtUp(edge, ALL);
  const seqs: number[] = [];
  for (let progress = 2; progress < 12; progress++) {
    await publishToLiteral(nats.port, progress % 2 === 0 ? 'progress.>' : 'progress.*', '{}');
    seqs.push(await publish(nc, 'a', { progress }));
  }
  const shown: unknown[] = [];
  while (shown.length < seqs.length) {
    const frame = await client.next();
    if (frame.type !== 'heartbeat') shown.push(frame.type === 'progress_update' ? frame.seq : frame);
  }
  expect(shown).toEqual(seqs);
  const named = await metric(edge.http, 'headway_events_invalid_total{reason="bad_subject"}', 0);
  expect(named).toBeGreaterThanOrEqual(10);
});

test('a job whose newest event was deleted is found by its older ones, also by a server that has lost sight of them', async () => {
  await using world = await connectedNats({ stream: {} });
  const { nats, nc, jsm } = world;
  await publish(nc, 'other');
  // So little memory that all but a few jobs have to be asked for.
  await using edge = await startLocalEdge(nats.url, {
    HEADWAY_TAIL_BYTES: '65536',
    HEADWAY_LAST_STATE_BYTES: '65536',
  });
  await ready(edge);
  const kept = await publish(nc, 'job', { progress: 1 });
  const deleted = await publish(nc, 'job', { progress: 2, status: 'completed' });
  await jsm.streams.deleteMessage(STREAM, deleted);
  let newest = 0;
  for (let at = 0; at < 400; at++) newest = await publish(nc, `filler-${at}`, { padding: 'x'.repeat(1_000) });
  await waitFor(async () => (await metric(edge.http, 'headway_log_head_seq')) === newest, {
    what: 'the head',
  });
  const answer = await fetch(`${edge.http}/v1/jobs/job`);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ seq: kept });
});
