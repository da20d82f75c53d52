/** Selected jobs under tokens that are renewed and expire, and on an edge that drains. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Frame, WsClient } from '../harness/client.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { startEdgeProcess } from '../harness/edge-process.js';
import { jobId } from '../harness/ids.js';
import { metric } from '../harness/metrics.js';
import { publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { bearer, inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const SELECT = '/ws/upload-progress?select';
const shared = sharedNats();
let edge: LocalEdge;
beforeAll(async () => {
  edge = await startLocalEdge(shared.nats.url, JWT_ENV);
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready' });
});
afterAll(() => edge[Symbol.asyncDispose]());

const token = (claims: Record<string, unknown>) => mint({ sub: 'ada', exp: inSeconds(60), ...claims });
const connect = async (claims: Record<string, unknown>, ...ids: string[]) => {
  const named = ids.map((id) => `&processing_id=${id}`).join('');
  const client = await WsClient.connect(`${edge.ws}${SELECT}${named}`, bearer(await token(claims)));
  await client.next('hello');
  return client;
};
const renew = async (client: WsClient, claims: Record<string, unknown>) => {
  client.send({ type: 'auth', token: await token(claims) });
  await client.until(isOf('auth_ok'));
};
const follow = (client: WsClient, ...ids: string[]) =>
  client.send({ type: 'follow', jobs: ids.map((processing_id) => ({ processing_id })) });
const isOf = (type: string, id?: string) => (frame: Frame) =>
  frame.type === type && (id === undefined || frame.processing_id === id);
const errors = (client: WsClient) =>
  client.frames.filter(isOf('error')).map(({ code, processing_id }) => [code, processing_id]);

test('G7 nobody unauthorised: a renewal with other ids ends the jobs that it does not open, and opens those that it names', async () => {
  const [gone, stays, comes] = [jobId(), jobId(), jobId()];
  await using client = await connect({ jobs: [gone, stays] }, gone, stays);
  await client.until(isOf('following', stays));
  follow(client, comes);
  await client.until(isOf('error', comes));
  await renew(client, { jobs: [stays, comes] });
  follow(client, comes);
  await client.until(isOf('following', comes));
  expect(errors(client)).toEqual([
    ['forbidden', comes],
    ['forbidden', gone],
  ]);
  await publish(shared.nc, gone, { progress: 1 });
  const seqs = [await publish(shared.nc, stays), await publish(shared.nc, comes)];
  await client.updates(2);
  expect(client.seen().map(({ seq }) => seq)).toEqual(seqs);
  follow(client, gone);
  await client.until(isOf('error', gone));
  // A token that opens nothing of all this leaves the connection empty, and it stays.
  await renew(client, { jobs: [jobId()] });
  client.send({ type: 'ping' });
  const ended = (await client.until(isOf('pong'))).filter(isOf('error'));
  expect(new Set(ended.map(({ processing_id }) => processing_id))).toEqual(new Set([stays, comes]));
  expect(await metric(edge.http, 'headway_sessions')).toBe(0);
});

test('G7 nobody unauthorised: a renewal with fewer types ends the jobs of the others; with more types a job begins anew, and misses nothing', async () => {
  const [pdf, video] = [jobId(), jobId()];
  const of = (job_type: string) => ({ job_type });
  await publish(shared.nc, pdf, of('pdf'));
  await publish(shared.nc, video, of('video'));
  await edgeHasRead(edge.http, shared.nc);
  await using client = await connect({ job_types: ['pdf', 'video'] }, pdf, video);
  await client.until(isOf('following', video));
  await renew(client, { job_types: ['pdf'] });
  await client.until(isOf('following', pdf));
  expect(errors(client)).toEqual([['forbidden', video]]);
  expect(client.frames.filter(isOf('reset'))).toMatchObject([{ processing_id: pdf, reason: 'scope' }]);
  await publish(shared.nc, video, of('video'));
  // An event of another type of the same job, which only the wider token opens.
  const before = client.seen().length;
  const seqs = [await publish(shared.nc, pdf, of('pdf'))];
  await client.updates(1);
  await renew(client, { jobs: ['*'] });
  await client.until(isOf('following', pdf));
  follow(client, video);
  await client.until(isOf('following', video));
  seqs.push(await publish(shared.nc, pdf, of('audio')));
  await client.until(({ seq }) => seq === seqs[1]);
  const seen = client.seen().slice(before);
  expect(seen.filter(({ processing_id }) => processing_id === pdf).map(({ seq }) => seq)).toEqual([
    seqs[0],
    seqs[0],
    seqs[1],
  ]);
  // A renewal that opens the same changes nothing.
  const resets = client.frames.filter(isOf('reset')).length;
  await renew(client, { jobs: [pdf, video] });
  const last = await publish(shared.nc, video, of('video'));
  await client.until(({ seq }) => seq === last);
  expect(client.frames.filter(isOf('reset'))).toHaveLength(resets);
});

test('G7 nobody unauthorised: at the expiry the connection is closed with 4401 and all its jobs are over; each goes on from its cursor', async () => {
  const ids = Array.from({ length: 20 }, () => jobId());
  const expires = inSeconds(3);
  await using client = await connect({ jobs: ['*'], exp: expires }, ...ids);
  await client.until(isOf('following', ids.at(-1)));
  let isOver = false;
  void client.closed.then(() => {
    isOver = true;
  });
  const published: number[] = [];
  for (let i = 0; !isOver; i++) published.push(await publish(shared.nc, ids[i % ids.length] as string));
  expect(await client.ended()).toEqual({ code: 4401, reason: 'token_expired' });
  expect(client.frames.at(-1)).toMatchObject({ type: 'error', code: 'token_expired' });
  expect(client.frames.at(-1)).not.toHaveProperty('processing_id');
  await waitFor(async () => (await metric(edge.http, 'headway_sessions')) === 0, { what: 'no job left' });
  await edgeHasRead(edge.http, shared.nc);
  await using back = await connect({ jobs: ['*'] });
  const jobs = ids.map((processing_id) => ({
    processing_id,
    last_seq: client.seen(processing_id).at(-1)?.seq ?? 0,
  }));
  back.send({ type: 'follow', epoch: client.epoch, jobs });
  await back.until(isOf('following', ids.at(-1)));
  const seen = [...client.seen(), ...back.seen()].map(({ seq }) => seq);
  expect(seen.sort((one, other) => one - other)).toEqual(published);
  expect(back.frames.filter(isOf('reset'))).toEqual([]);
});

test('G10 any edge: an edge that drains tells the connection once, serves its jobs until the close, and another one goes on', async () => {
  const ids = Array.from({ length: 20 }, () => jobId());
  const own = await startEdgeProcess({ natsUrl: shared.nats.url, env: { HEADWAY_DRAIN_MS: '1000' } });
  await using client = await WsClient.connect(`${own.ws}${SELECT}`);
  await client.next('hello');
  follow(client, ...ids);
  await client.until(isOf('following', ids.at(-1)));
  const stopped = own.stop();
  await client.until(isOf('draining'));
  const published = [];
  for (const id of ids) published.push(await publish(shared.nc, id));
  await client.updates(ids.length);
  expect(await client.ended()).toEqual({ code: 1012, reason: 'draining' });
  expect(await stopped).toBe(0);
  expect(client.frames.filter(isOf('draining'))).toHaveLength(1);
  for (const id of ids) published.push(await publish(shared.nc, id));
  await edgeHasRead(edge.http, shared.nc);
  await using back = await connect({ jobs: ['*'] });
  const jobs = ids.map((id) => ({ processing_id: id, last_seq: client.seen(id).at(-1)?.seq }));
  back.send({ type: 'follow', epoch: client.epoch, jobs });
  await back.until(isOf('following', ids.at(-1)));
  const seen = [...client.seen(), ...back.seen()].map(({ seq }) => seq);
  expect(seen.sort((one, other) => one - other)).toEqual(published);
});
