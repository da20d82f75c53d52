/**
 * How long a token lets a connection stay, and what a new one changes. Short tokens live for 3 s, and are
 * warned 2 s ahead, so that an edge may stand still for a while in between.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WsClient } from '../harness/client.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { QUICK_SETTINGS } from '../harness/edge-settings.js';
import { jobId } from '../harness/ids.js';
import { publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import {
  bearer,
  everybodyIsGone,
  inSeconds,
  JWT_ENV,
  KeyHost,
  mint,
  TOKEN_SECRET,
} from '../harness/tokens.js';

import { waitFor } from '../harness/wait.js';

const WS = '/ws/upload-progress';

const shared = sharedNats();
let edge: LocalEdge;

beforeAll(async () => {
  edge = await start(JWT_ENV);
});

afterAll(() => edge[Symbol.asyncDispose]());

const start = (env: Record<string, string>) =>
  startLocalEdge(shared.nats.url, {
    ...QUICK_SETTINGS,
    HEADWAY_TOKEN_WARNING_SECONDS: '2',
    ...env,
  });
const token = (over: Record<string, unknown> = {}) => mint({ sub: 'ada', jobs: ['*'], ...over });
const connect = async (path: string, over?: Record<string, unknown>) => {
  const client = await WsClient.connect(`${edge.ws}${WS}${path}`, bearer(await token(over)));
  await client.next('hello');
  return client;
};
const auth = async (client: WsClient, over?: Record<string, unknown>) =>
  client.send({ type: 'auth', token: await token(over) });
/** Whatever was sent before has come, and a token has begun to be checked. */
const answered = async (client: WsClient) => {
  client.send({ type: 'ping' });
  await client.until(({ type }) => type === 'pong');
};
const count = (client: WsClient, type: string) => client.frames.filter((frame) => frame.type === type).length;

test('G7 nobody unauthorised: token_expiring comes once ahead of time, and at the expiry even a busy job is closed with 4401, with no update after it', async () => {
  const job = jobId();
  const expires = inSeconds(3);
  await using client = await connect(`/${job}`, { exp: expires });
  await client.until(({ type }) => type === 'caught_up');
  let isOver = false;
  void client.closed.then(() => {
    isOver = true;
  });
  let published = 0;
  while (!isOver) {
    await publish(shared.nc, job, { progress: published % 100 });
    published++;
  }
  expect(await client.ended()).toEqual({ code: 4401, reason: 'token_expired' });
  expect(Date.now()).toBeGreaterThanOrEqual(expires * 1_000);
  expect(client.frames.at(-1)).toMatchObject({ type: 'error', code: 'token_expired' });
  expect(client.frames.at(-1)?.message).toMatch(/expired at 20.*; connect again with a new one/);
  expect(count(client, 'error')).toBe(1);
  const warnings = client.frames.filter(({ type }) => type === 'token_expiring');
  expect(warnings).toEqual([{ type: 'token_expiring', expires_at: expect.stringMatching(/Z$/) }]);
  expect(Date.parse(String(warnings[0]?.expires_at))).toBe(Math.floor(expires * 1_000));
  expect(client.seen().length).toBeGreaterThan(10);
  for (const { timestamp } of client.seen()) {
    expect(Date.parse(String(timestamp))).toBeLessThanOrEqual(expires * 1_000);
  }
  // Nothing is lost: the cursor goes on with a new token.
  await using again = await connect(`/${job}?last_seq=${client.cursor}`);
  const last = await publish(shared.nc, job);
  await again.until(({ seq }) => seq === last);
  expect(client.seen().length + again.seen().length).toBe(published + 1);
});

test('a quiet connection is warned and closed as well', async () => {
  await using client = await connect('', { exp: inSeconds(3) });
  await client.until(({ type }) => type === 'token_expiring');
  expect((await client.ended()).code).toBe(4401);
  expect(count(client, 'token_expiring')).toBe(1);
});

test('a new token lets the connection stay, without an answer and without a gap', async () => {
  const job = jobId();
  await using client = await connect(`/${job}`, { exp: inSeconds(3) });
  // The same line of time, without a new token.
  await using control = await connect(`/${job}`, { exp: inSeconds(3) });
  await client.until(({ type }) => type === 'token_expiring');
  await auth(client);
  expect((await control.ended()).code).toBe(4401);
  const seq = await publish(shared.nc, job);
  await client.until((frame) => frame.seq === seq);
  await client.until(({ type }) => type === 'heartbeat');
  expect(count(client, 'token_expiring')).toBe(1);
  expect(count(client, 'error')).toBe(0);
});

test.each<[string, () => Promise<string>, number, RegExp]>([
  ['of another subject', () => token({ sub: 'bob' }), 4403, /another subject/],
  ['of no subject', () => token({ sub: undefined }), 4403, /another subject/],
  ['that opens nothing of it', () => token({ jobs: ['else'] }), 4403, /does not open what/],
  ['of another secret', () => mint({ sub: 'ada', jobs: ['*'] }, `${TOKEN_SECRET}x`), 4401, /signature/],
  ['that has expired', () => token({ exp: inSeconds(-1) }), 4401, /expired/],
  ['that is no token', () => Promise.resolve('letmein'), 4401, /not a signed JWT/],
])(
  'G7 nobody unauthorised: a new token %s ends the connection, and nothing is sent after it',
  async (_, made, code, message) => {
    const job = jobId();
    await using client = await connect(`/${job}`);
    const text = await made();
    client.send({ type: 'auth', token: text });
    expect((await client.ended()).code).toBe(code);
    expect(client.frames.at(-1)).toMatchObject({ type: 'error', message: expect.stringMatching(message) });
    expect(JSON.stringify(client.frames)).not.toContain(text);
  },
);

test('G7 nobody unauthorised: a narrower token narrows at once, and a wider one does not widen', async () => {
  const [a, b] = [jobId('a'), jobId('b')];
  await using client = await connect('');
  await client.until(({ type }) => type === 'caught_up');
  const round = async () => {
    await publish(shared.nc, b, { job_type: 'rb' });
    const seq = await publish(shared.nc, a, { job_type: 'ra' });
    await client.until((frame) => frame.seq === seq);
  };
  await round();
  expect(client.seen(b)).toHaveLength(1);
  await auth(client, { job_types: ['ra'], jobs: undefined });
  // Nothing tells when the token has been checked but that its type alone comes.
  const isNarrowed = async () => {
    const before = client.seen(b).length;
    await round();
    return client.seen(b).length === before;
  };
  await waitFor(isNarrowed, { what: 'the narrower token to hold' });
  const seen = { a: client.seen(a).length, b: client.seen(b).length };
  await round();
  await auth(client);
  await answered(client);
  await round();
  await round();
  expect(client.seen(a)).toHaveLength(seen.a + 3);
  expect(client.seen(b)).toHaveLength(seen.b);
});

test('G7 nobody unauthorised: a new token that opens the job by another type ends the connection at once', async () => {
  const job = jobId();
  await publish(shared.nc, job, { job_type: 'ra' });
  await using client = await connect(`/${job}`);
  await client.updates(1);
  await auth(client, { jobs: undefined, job_types: ['rb'] });
  expect((await client.ended()).code).toBe(4403);
});

test('while a new token cannot be checked the old one holds, until it expires', async () => {
  await using keys = await KeyHost.start('hold');
  await using open = await start({ ...JWT_ENV, ...keys.env, HEADWAY_AUTH_TIMEOUT_MS: '200' });
  const job = jobId();
  const old = await token({ exp: inSeconds(3) });
  await using client = await WsClient.connect(`${open.ws}${WS}/${job}`, bearer(old));
  client.send({ type: 'auth', token: await keys.mint({ sub: 'ada', jobs: ['*'] }) });
  await client.until(({ type }) => type === 'token_expiring');
  const seq = await publish(shared.nc, job);
  await client.until((frame) => frame.seq === seq);
  expect(await client.ended()).toEqual({ code: 4401, reason: 'token_expired' });
});

test('G8 bad input: many auth frames at once: the newest counts, too many are cut, and the edge goes on', async () => {
  // The first bad one ends the connection, unless too many have come by then.
  await using many = await connect('');
  for (let i = 0; i < 200; i++) many.send({ type: 'auth', token: `bad-${i}` });
  const { code } = await many.ended();
  expect([4401, 4429]).toContain(code);
  await using good = await connect('', { exp: inSeconds(3) });
  const tokens = await Promise.all(Array.from({ length: 20 }, () => token()));
  for (const text of tokens) good.send({ type: 'auth', token: text });
  await using control = await connect('', { exp: inSeconds(3) });
  expect((await control.ended()).code).toBe(4401);
  await answered(good);
  expect(count(good, 'error')).toBe(0);
});

test('G4 slow readers: one whose token expires gets what was sent before, and then the reason; he counts no more at once', async () => {
  const job = jobId();
  await using client = await connect(`/${job}`, { exp: inSeconds(2.5) });
  await client.until(({ type }) => type === 'caught_up');
  client.pauseReading();
  const message = 'x'.repeat(4_000);
  const details = Array.from({ length: 14 }, () => message);
  const seqs: number[] = [];
  for (let i = 0; i < 300; i++) seqs.push(await publish(shared.nc, job, { details }));
  await everybodyIsGone(edge.http);
  client.resumeReading();
  expect(await client.ended()).toEqual({ code: 4401, reason: 'token_expired' });
  const seen = client.seen().map(({ seq }) => seq);
  expect(seen).toEqual(seqs.slice(0, seen.length));
  expect(seen.length).toBeLessThan(seqs.length);
  expect(client.frames.at(-1)).toMatchObject({ type: 'error', code: 'token_expired' });
});
