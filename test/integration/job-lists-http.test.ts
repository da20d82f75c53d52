/** `GET /v1/jobs` and `GET /v1/jobs/{id}/events`: lists over HTTP, page by page, from memory and from JetStream. */

import { TypeCompiler } from '@sinclair/typebox/compiler';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EventsPage, JobsPage, Problem } from '../../schemas/http.js';
import { edgeHasRead } from '../harness/edge-head.js';
import { type LocalEdge, startLocalEdge } from '../harness/edge-in-process.js';
import { LinkedEdge } from '../harness/linked-edge.js';
import { startNats } from '../harness/nats-server.js';
import { connectNats, deleteStreams, publish } from '../harness/publish.js';
import { sharedNats } from '../harness/shared-nats.js';
import { bearer, inSeconds, JWT_ENV, mint } from '../harness/tokens.js';
import { waitFor } from '../harness/wait.js';

const LISTED = 'https://app.example.com';
const isEventsPage = TypeCompiler.Compile(EventsPage);
const isJobsPage = TypeCompiler.Compile(JobsPage);
const isProblem = TypeCompiler.Compile(Problem);

interface Update {
  readonly seq: number;
  readonly prev_seq: number | null;
  readonly processing_id: string;
}
interface Page {
  readonly events?: Update[];
  readonly jobs?: Update[];
  readonly cursor: number;
  readonly next: string | null;
  readonly epoch: string;
  readonly complete_after?: number;
}

/** Follows `next` to the end, as a caller would. */
async function walk(http: string, path: string, init: RequestInit = {}): Promise<Page[]> {
  const pages: Page[] = [];
  for (let next: string | null = path; next !== null; next = pages.at(-1)?.next ?? null) {
    const response: Response = await fetch(new URL(next, http), init);
    expect(response.status).toBe(200);
    const page = (await response.json()) as Page;
    expect((page.jobs === undefined ? isEventsPage : isJobsPage).Check(page)).toBe(true);
    const link = response.headers.get('link');
    expect(link).toBe(page.next === null ? null : `<${page.next}>; rel="next"`);
    pages.push(page);
  }
  return pages;
}
const updates = (pages: readonly Page[]): Update[] => pages.flatMap((page) => page.events ?? page.jobs ?? []);

const shared = sharedNats();
let edge: LocalEdge;

beforeAll(async () => {
  edge = await startLocalEdge(shared.nats.url, { ...JWT_ENV, HEADWAY_ALLOWED_ORIGINS: LISTED });
  await waitFor(() => edge.edge.isReady(), { what: 'the edge to be ready' });
  for (let i = 1; i <= 5; i++) {
    await publish(shared.nc, 'pdf', { job_type: 'pdf', progress: i });
    await publish(shared.nc, 'ocr', { job_type: 'ocr', progress: i });
  }
  await publish(shared.nc, 'pdf', { job_type: 'pdf', status: 'completed', progress: 100 });
  await publish(shared.nc, 'bad', { job_type: 'pdf', status: 'error', error: { message: 'damaged' } });
  await publish(shared.nc, 'again', { job_type: 'ocr', status: 'error', error: { retryable: true } });
  await publish(shared.nc, 'untyped', {});
  await edgeHasRead(edge.http, shared.nc);
});
afterAll(() => edge[Symbol.asyncDispose]());

const token = (claims: Record<string, unknown>) => mint({ exp: inSeconds(60), ...claims });
async function ask(
  path: string,
  claims: Record<string, unknown> | null,
  headers: Record<string, string> = {},
  method = 'GET',
) {
  const authorization = claims === null ? {} : bearer(await token(claims)).headers;
  return await fetch(`${edge.http}${path}`, { method, headers: { ...authorization, ...headers } });
}
const everything = async () => bearer(await token({ jobs: ['*'] }));

describe('the events of a job', () => {
  test.each([1, 2, 6, 1000])('G1 order: every event once, in order, by pages of %i', async (limit) => {
    const pages = await walk(edge.http, `/v1/jobs/pdf/events?limit=${limit}`, await everything());
    expect(updates(pages).map(({ seq }) => seq)).toEqual([1, 3, 5, 7, 9, 11]);
    expect(updates(pages).map(({ prev_seq }) => prev_seq)).toEqual([0, 1, 3, 5, 7, 9]);
    for (const page of pages) expect((page.events ?? []).length).toBeLessThanOrEqual(limit);
  });

  test('only what lies behind a cursor, and nothing behind the newest', async () => {
    const [page] = await walk(edge.http, '/v1/jobs/pdf/events?after=7', await everything());
    expect(page?.events?.map(({ seq }) => seq)).toEqual([9, 11]);
    const [rest] = await walk(edge.http, `/v1/jobs/pdf/events?after=${page?.cursor}`, await everything());
    expect(rest).toMatchObject({ events: [], next: null });
  });

  test('as lines, for whoever reads them one by one', async () => {
    const response = await ask(
      '/v1/jobs/pdf/events?limit=4',
      { jobs: ['pdf'] },
      { accept: 'application/x-ndjson' },
    );
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    expect(response.headers.get('link')).toMatch(
      /^<\/v1\/jobs\/pdf\/events\?after=7&epoch=\w+&limit=4>; rel="next"$/,
    );
    const lines = (await response.text()).trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as Update).seq)).toEqual([1, 3, 5, 7]);
  });

  test.each([
    ['of another stream', 'after=3&epoch=another', 'epoch'],
    ['ahead of the stream', 'after=1000000', 'ahead'],
  ])('G5 stale cursors: one %s is never silently wrong', async (_what, query, reason) => {
    const response = await ask(`/v1/jobs/pdf/events?${query}`, { jobs: ['*'] });
    expect(response.status).toBe(410);
    const problem = await response.json();
    expect(isProblem.Check(problem)).toBe(true);
    expect(problem).toMatchObject({ code: 'stale_cursor', reason, first_seq: 1, epoch: expect.any(String) });
  });

  test.each<[string, string, Record<string, unknown> | null, number, string]>([
    ['no token', 'pdf', null, 401, 'unauthorized'],
    ['another job', 'pdf', { jobs: ['ocr'] }, 403, 'forbidden'],
    ['another type', 'ocr', { job_types: ['pdf'] }, 403, 'forbidden'],
    ['a job whose type is not known, by type', 'untyped', { job_types: ['pdf'] }, 404, 'no_event'],
    ['a job that does not exist', 'nothing', { jobs: ['*'] }, 404, 'no_event'],
    ['no id of a job', 'a.b', { jobs: ['*'] }, 400, 'invalid_processing_id'],
    ['no limit', 'pdf/events?limit=0', { jobs: ['*'] }, 400, 'invalid_query'],
  ])('G7 nobody unauthorised, G8 bad input: %s', async (_what, id, claims, status, code) => {
    const response = await ask(`/v1/jobs/${id.includes('/') ? id : `${id}/events`}`, claims);
    expect(response.status).toBe(status);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ status, code });
    expect(text).not.toMatch(/"seq"/);
  });
});

describe('the list of jobs', () => {
  const ids = (pages: readonly Page[]) => updates(pages).map(({ processing_id }) => processing_id);

  test.each([1, 2, 1000])(
    'the last state of every job, in the order of their seq, by pages of %i',
    async (limit) => {
      const pages = await walk(edge.http, `/v1/jobs?limit=${limit}`, await everything());
      expect(ids(pages)).toEqual(['ocr', 'pdf', 'bad', 'again', 'untyped']);
      expect(pages.at(-1)?.complete_after).toBe(0);
    },
  );

  test.each([
    ['job_type=pdf', ['pdf', 'bad']],
    ['job_type=pdf&job_type=ocr', ['ocr', 'pdf', 'bad', 'again']],
    ['status=error', ['bad', 'again']],
    ['status=completed&status=processing', ['ocr', 'pdf', 'untyped']],
    ['status=completed&job_type=ocr', []],
    ['after=11', ['bad', 'again', 'untyped']],
  ])('filtered: %s', async (query, expected) => {
    expect(ids(await walk(edge.http, `/v1/jobs?${query}&limit=1`, await everything()))).toEqual(expected);
  });

  test.each<[string, Record<string, unknown> | null, number, string]>([
    ['', null, 401, 'unauthorized'],
    ['', { jobs: ['pdf'] }, 403, 'forbidden'],
    ['?job_type=ocr', { job_types: ['pdf'] }, 403, 'forbidden'],
    ['?status=gone', { jobs: ['*'] }, 400, 'invalid_query'],
  ])('G7 nobody unauthorised, G8 bad input: /v1/jobs%s with %j', async (query, claims, status, code) => {
    const response = await ask(`/v1/jobs${query}`, claims);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ status, code });
  });

  test('G7 nobody unauthorised: a token that opens types lists these alone', async () => {
    const pages = await walk(edge.http, '/v1/jobs', bearer(await token({ job_types: ['ocr'] })));
    expect(ids(pages)).toEqual(['ocr', 'again']);
  });

  test('G5 stale cursors: one of another stream, or ahead of it', async () => {
    for (const query of ['after=3&epoch=another', 'after=1000000'])
      expect((await ask(`/v1/jobs?${query}`, { jobs: ['*'] })).status).toBe(410);
  });
});

describe('whoever asks again', () => {
  test.each(['/v1/jobs/pdf', '/v1/jobs/pdf/events', '/v1/jobs'])(
    'gets 304 for %s while nothing has changed',
    async (path) => {
      const first = await ask(path, { jobs: ['*'] });
      const etag = first.headers.get('etag') ?? '';
      expect(etag).toMatch(/^"[\w-]{22}"$/);
      expect(first.headers.get('cache-control')).toBe('private, no-cache');
      for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
        const again = await ask(path, { jobs: ['*'] }, { 'if-none-match': known });
        expect(again.status).toBe(304);
        expect(again.headers.get('etag')).toBe(etag);
        expect(await again.text()).toBe('');
      }
      expect((await ask(path, { jobs: ['*'] }, { 'if-none-match': '"other"' })).status).toBe(200);
      expect((await ask(path, null, { 'if-none-match': etag })).status).toBe(401);
      const head = await ask(path, { jobs: ['*'] }, {}, 'HEAD');
      expect(head.headers.get('etag')).toBe(etag);
    },
  );

  test.each(['/v1/jobs', '/v1/jobs/pdf', '/v1/jobs/pdf/events', '/sse/upload-progress/pdf'])(
    'G8 bad input: %s says which methods it serves',
    async (path) => {
      for (const method of ['POST', 'DELETE', ...(path.startsWith('/sse') ? ['HEAD'] : [])]) {
        const response = await ask(path, { jobs: ['*'] }, {}, method);
        expect(response.status).toBe(405);
        expect(response.headers.get('allow')).toMatch(/^GET, (HEAD, )?OPTIONS$/);
        if (method !== 'HEAD') expect(await response.json()).toMatchObject({ code: 'method_not_allowed' });
      }
    },
  );

  test('a page of a listed origin may read what it needs', async () => {
    const response = await ask('/v1/jobs?limit=1', { jobs: ['*'] }, { origin: LISTED });
    expect(response.headers.get('access-control-allow-origin')).toBe(LISTED);
    expect(response.headers.get('access-control-expose-headers')).toBe('ETag, Link, Retry-After');
    const preflight = await ask('/v1/jobs', null, { origin: LISTED }, 'OPTIONS');
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-headers')).toBe(
      'Authorization, If-None-Match, Last-Event-ID',
    );
  });
});

test('G5 stale cursors: lines whose way on is another one are not the same answer', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using one = await startLocalEdge(own.url);
  await waitFor(() => one.edge.isReady(), { what: 'the edge to be ready' });
  const sameAsBefore = { timestamp: '2026-01-01T00:00:00Z' };
  const ask = async (etag: string) => {
    for (const id of ['a', 'b']) await publish(worker, id, sameAsBefore);
    await edgeHasRead(one.http, worker);
    const headers = { accept: 'application/x-ndjson', 'if-none-match': etag };
    const response = await fetch(`${one.http}/v1/jobs?limit=1`, { headers });
    return { status: response.status, text: await response.text(), headers: response.headers };
  };
  const first = await ask('"none"');
  await deleteStreams(worker, own);
  const epoch = /epoch=\w+/.exec(first.headers.get('link') ?? '')?.[0] ?? '';
  const isNew = async () => {
    const response = await fetch(`${one.http}/v1/jobs?${epoch}`);
    return response.status === 410 && one.edge.isReady();
  };
  await waitFor(isNew, { what: 'the new stream' });
  const second = await ask(first.headers.get('etag') ?? '');
  expect(second.headers.get('link')).not.toBe(first.headers.get('link'));
  expect(second).toMatchObject({ status: 200, text: first.text });
}, 60_000);

test('G10 any edge: a cursor from another edge is good on one that is behind', async () => {
  await using linked = await LinkedEdge.start(['job']);
  // The stream is ahead of this edge for as long.
  linked.link.delay(1_000, 'down');
  const seq = await publish(linked.world.nc, 'job', { progress: 50 });
  for (const path of ['/v1/jobs', '/v1/jobs/job/events']) {
    const [page] = await walk(linked.edge.http, `${path}?after=${seq}`);
    expect(page).toMatchObject({ cursor: seq, next: null });
    expect(updates(page === undefined ? [] : [page])).toEqual([]);
  }
});

test('G1 order, G9 memory: what memory has let go is read from JetStream, events and states alike', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using small = await startLocalEdge(own.url, {
    HEADWAY_TAIL_BYTES: '65536',
    HEADWAY_LAST_STATE_BYTES: '65536',
  });
  const message = 'x'.repeat(3_000);
  for (let i = 0; i < 120; i++) {
    await publish(worker, 'long', { progress: i % 100, message });
    await publish(worker, `other-${i}`, { message });
  }
  await edgeHasRead(small.http, worker);
  const events = updates(await walk(small.http, '/v1/jobs/long/events?limit=50'));
  expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: 120 }, (_, i) => 2 * i + 1));
  for (const [index, { prev_seq }] of events.entries())
    expect([null, index === 0 ? 0 : 2 * index - 1]).toContain(prev_seq);
  const jobs = updates(await walk(small.http, '/v1/jobs?limit=30'));
  expect(new Set(jobs.map(({ processing_id }) => processing_id))).toEqual(
    new Set(['long', ...Array.from({ length: 120 }, (_, i) => `other-${i}`)]),
  );
  expect(jobs).toHaveLength(121);
  expect(jobs.map(({ seq }) => seq)).toEqual(jobs.map(({ seq }) => seq).sort((a, b) => a - b));
}, 60_000);

test('G5 stale cursors: events that left the stream are never left out in silence, and without a cursor what is kept is shown', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using first = await startLocalEdge(own.url);
  await waitFor(() => first.edge.isReady(), { what: 'the first edge to be ready' });
  for (let i = 0; i < 10; i++) {
    await publish(worker, 'long', { progress: i });
    await publish(worker, 'other', { progress: i });
  }
  await edgeHasRead(first.http, worker);
  const jsm = await worker.jetstreamManager();
  await jsm.streams.purge('PROGRESS', { filter: 'progress.long', keep: 4 });
  // One that has read it all itself, and one that begins now.
  await using second = await startLocalEdge(own.url);
  await waitFor(() => second.edge.isReady(), { what: 'the second edge to be ready' });
  for (const http of [first.http, second.http]) {
    const kept = updates(await walk(http, '/v1/jobs/long/events?limit=3')).map(({ seq }) => seq);
    expect(kept.slice(-4)).toEqual([13, 15, 17, 19]);
    const behind = await fetch(`${http}/v1/jobs/long/events?after=3`);
    if (http === second.http) {
      expect(behind.status).toBe(410);
      expect(await behind.json()).toMatchObject({ code: 'stale_cursor', reason: 'retention' });
    } else expect(await behind.json()).toMatchObject({ events: [{ seq: 5 }, {}, {}, {}, {}, {}, {}, {}] });
  }
}, 60_000);

test('while NATS is away the answer is 503 in bounded time, and what memory knows is answered', async () => {
  await using own = await startNats();
  await using worker = await connectNats(own.url);
  await using small = await startLocalEdge(own.url, { HEADWAY_TAIL_BYTES: '65536' });
  for (let i = 0; i < 60; i++) await publish(worker, 'long', { message: 'x'.repeat(3_000) });
  await edgeHasRead(small.http, worker);
  await own.kill();
  const late = await fetch(`${small.http}/v1/jobs/long/events`);
  expect(late.status).toBe(503);
  expect(late.headers.get('retry-after')).toBe('1');
  const known = await fetch(`${small.http}/v1/jobs/long/events?after=58`);
  expect(((await known.json()) as Page).events?.map(({ seq }) => seq)).toEqual([59, 60]);
  await own.start();
}, 60_000);
