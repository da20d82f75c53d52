/** `GET /v1/jobs/{id}`: a job's last state over HTTP, for whom the token and the origin allow it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { edgeHasRead } from '../harness/edge-head.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { metric } from '../harness/metrics.js';
import { startNats } from '../harness/nats-server.js';
import { startTcpProxy } from '../harness/proxy.js';
import { connectNats, publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { bearer, inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const LISTED = 'https://app.example.com';

const shared = sharedNats();
let edge: LocalEdge;

beforeAll(async () => {
  edge = await startLocalEdge(shared.nats.url, { ...JWT_ENV, HEADWAY_ALLOWED_ORIGINS: LISTED });
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready' });
  await publish(shared.nc, 'pdf', { job_type: 'pdf', progress: 10 });
  await publish(shared.nc, 'pdf', { job_type: 'pdf', progress: 20 });
  await publish(shared.nc, 'ocr', { job_type: 'ocr', progress: 30 });
  await publish(shared.nc, 'untyped', { progress: 40 });
  await edgeHasRead(edge.http, shared.nc);
});
afterAll(() => edge[Symbol.asyncDispose]());

const token = (claims: Record<string, unknown>) => mint({ exp: inSeconds(60), ...claims });
async function ask(
  id: string,
  claims: Record<string, unknown> | null,
  headers: Record<string, string> = {},
  method = 'GET',
) {
  const authorization = claims === null ? {} : bearer(await token(claims)).headers;
  return await fetch(`${edge.http}/v1/jobs/${id}`, { method, headers: { ...authorization, ...headers } });
}

describe('what a token opens', () => {
  test('the last state, as a progress_update', async () => {
    const response = await ask('pdf', { jobs: ['pdf'] });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.json()).toMatchObject({
      type: 'progress_update',
      processing_id: 'pdf',
      progress: 20,
      seq: 2,
      prev_seq: 1,
    });
  });

  test.each<[string, string, Record<string, unknown> | null, number, string]>([
    ['no token', 'pdf', null, 401, 'unauthorized'],
    ['expired', 'pdf', { jobs: ['*'], exp: 1 }, 401, 'token_expired'],
    ['another job', 'pdf', { jobs: ['ocr'] }, 403, 'forbidden'],
    ['another type', 'ocr', { job_types: ['pdf'] }, 403, 'forbidden'],
    ['a job whose type is not known, by type', 'untyped', { job_types: ['pdf'] }, 404, 'no_event'],
    ['a job that does not exist, by type', 'nothing', { job_types: ['pdf'] }, 404, 'no_event'],
    ['a job that does not exist', 'nothing', { jobs: ['*'] }, 404, 'no_event'],
    ['no id of a job', 'a.b', { jobs: ['*'] }, 400, 'invalid_processing_id'],
  ])('G7 nobody unauthorised: %s', async (_what, id, claims, status, code) => {
    const response = await ask(id, claims);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ status, code });
    expect(text).not.toMatch(/progress"|"seq"/);
    if (status === 401) expect(response.headers.get('www-authenticate')).toBe('Bearer');
  });

  test('a caller without a token is told what HTTP takes, and nothing of subprotocols', async () => {
    const { detail } = (await (await ask('pdf', null)).json()) as { detail: string };
    expect(detail).toMatch(/Authorization: Bearer <token>/);
    expect(detail).not.toMatch(/subprotocol/);
  });

  test.each<[string, string, Record<string, unknown> | null]>([
    ['a state', 'pdf', { jobs: ['pdf'] }],
    ['no event', 'nothing', { jobs: ['*'] }],
    ['no token', 'pdf', null],
    ['another job', 'pdf', { jobs: ['ocr'] }],
    ['no id of a job', 'a.b', { jobs: ['*'] }],
  ])('HEAD answers as GET does, without the body: %s', async (_what, id, claims) => {
    const [get, head] = [await ask(id, claims), await ask(id, claims, {}, 'HEAD')];
    expect(head.status).toBe(get.status);
    for (const name of ['content-type', 'cache-control', 'etag', 'www-authenticate'])
      expect(head.headers.get(name)).toBe(get.headers.get(name));
    expect(await head.text()).toBe('');
  });

  test('by type, without naming an event that may have been kept back', async () => {
    const response = await ask('pdf', { job_types: ['pdf'] });
    expect(await response.json()).toMatchObject({ seq: 2, prev_seq: null });
  });

  test('G9 memory: whoever asked is counted out again', async () => {
    await ask('pdf', { jobs: ['*'] });
    await waitFor(async () => (await metric(edge.http, 'headway_connections_unauthenticated')) === 0, {
      what: 'nobody',
    });
  });
});

describe('pages of other origins', () => {
  test('a listed one may ask, and read answers and refusals', async () => {
    for (const claims of [{ jobs: ['*'] }, null]) {
      const response = await ask('pdf', claims, { origin: LISTED });
      expect(response.headers.get('access-control-allow-origin')).toBe(LISTED);
      expect(response.headers.get('vary')).toBe('Origin');
    }
    const preflight = await fetch(`${edge.http}/v1/jobs/pdf`, {
      method: 'OPTIONS',
      headers: { origin: LISTED, 'access-control-request-method': 'GET' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe(LISTED);
    expect(preflight.headers.get('access-control-allow-headers')).toBe(
      'Authorization, If-None-Match, Last-Event-ID',
    );
  });

  test('G7 nobody unauthorised: any other is refused, whatever its token, and may not read why', async () => {
    const response = await ask('pdf', { jobs: ['*'] }, { origin: 'https://evil.example.com' });
    expect(response.status).toBe(403);
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
    expect(await response.json()).toMatchObject({ code: 'forbidden_origin' });
    const preflight = await fetch(`${edge.http}/v1/jobs/pdf`, {
      method: 'OPTIONS',
      headers: { origin: 'https://evil.example.com' },
    });
    expect(preflight.status).toBe(403);
    expect(preflight.headers.get('access-control-allow-origin')).toBeNull();
  });
});

test('a job that memory has let go is read, and while NATS is away the answer is 503 in bounded time', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using small = await startLocalEdge(own.url, {
    HEADWAY_TAIL_BYTES: '65536',
    HEADWAY_LAST_STATE_BYTES: '65536',
  });
  await publish(worker, 'early', { status: 'completed', progress: 100 });
  for (let i = 0; i < 200; i++) await publish(worker, `other-${i}`, { message: 'x'.repeat(3_000) });
  await edgeHasRead(small.http, worker);
  const response = await fetch(`${small.http}/v1/jobs/early`);
  expect(await response.json()).toMatchObject({ processing_id: 'early', seq: 1 });
  await own.kill();
  const late = await fetch(`${small.http}/v1/jobs/nobody-knows`);
  expect(late.status).toBe(503);
  expect(late.headers.get('retry-after')).toBe('1');
  await own.start();
}, 60_000);

test('G7 nobody unauthorised: a token that expires while JetStream is slow opens nothing', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using monitor = await startTcpProxy(own.port);
  await using small = await startLocalEdge(`nats://127.0.0.1:${monitor.port}`, {
    ...JWT_ENV,
    HEADWAY_TAIL_BYTES: '65536',
    HEADWAY_LAST_STATE_BYTES: '65536',
  });
  await publish(worker, 'early', { job_type: 'pdf', status: 'completed', progress: 100 });
  for (let i = 0; i < 200; i++) await publish(worker, `other-${i}`, { message: 'x'.repeat(3_000) });
  await edgeHasRead(small.http, worker);
  const ask = async (id: string, claims: Record<string, unknown>, expiresIn: number) =>
    await fetch(`${small.http}/v1/jobs/${id}`, bearer(await mint({ exp: inSeconds(expiresIn), ...claims })));
  expect((await ask('early', { jobs: ['*'] }, 60)).status).toBe(200);
  monitor.stall();
  // A state, a refusal by its type, and that there is none: each says something of a job.
  const asked = [
    ask('early', { jobs: ['*'] }, 1),
    ask('early', { job_types: ['ocr'] }, 1),
    ask('none', { jobs: ['*'] }, 1),
  ];
  const isOver = inSeconds(1.1) * 1_000;
  await waitFor(() => Date.now() > isOver, { what: 'the tokens to expire' });
  monitor.flow();
  for (const response of await Promise.all(asked)) {
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ code: 'token_expired' });
  }
});
