import { expect, test } from 'vitest';
import { type JobRoutesDeps, routeJobs } from '../../internal/edge/job-routes.js';
import { decodeEvent } from '../../internal/eventlog/decode.js';
import { makeRecord } from '../../internal/eventlog/record.js';
import { waitFor } from '../harness/wait.js';
import { ANSWER, fakeApp, ignore } from './route-fixture.js';

test('G8 bad input: what fails in the moment in which an answer leaves is answered with 500, and ends nothing else', async () => {
  const routes = fakeApp();
  const failures: unknown[] = [];
  routeJobs(routes.app, {
    sockets: { asked: ignore },
    failed: (error: unknown) => failures.push(error),
    guard: {
      checkUpgrade: () => ({ kind: 'pending', pending: { address: '127.0.0.1' } }),
      authorize: async () => ({ ok: false, code: 'forbidden', message: 'no', defect: null, limit: null }),
      release: ignore,
    },
    refused: () => {
      throw new Error('the log is full');
    },
  } as unknown as JobRoutesDeps);
  let status = '';
  const res = {
    ...ANSWER,
    onAborted: ignore,
    writeStatus: (text: string) => {
      status = text;
      return res;
    },
    writeHeader: () => res,
    end: () => res,
  };
  routes.get('/v1/jobs/:id', res);
  await waitFor(() => status !== '', { what: 'an answer' });
  expect(status).toBe('500 Internal Server Error');
  expect(failures).toEqual([new Error('the log is full')]);
});

test('G8 bad input: NDJSON is one event a line, also of workers that write theirs over several lines', async () => {
  const written = { processing_id: 'job', status: 'processing', progress: 1, message: 'a\nb' };
  const frames = ['\n', '\r\n', '\r'].map((end, index) => {
    const event = { ...written, timestamp: '2026-01-31T12:00:00Z' };
    const text = JSON.stringify(event, null, 2).replaceAll('\n', end);
    const decoded = decodeEvent('progress.job', new TextEncoder().encode(text));
    if (!decoded.ok) throw new Error(decoded.detail);
    return makeRecord(decoded.event, index + 1, index, 0).frame;
  });
  const routes = fakeApp();
  routeJobs(routes.app, {
    sockets: { asked: ignore },
    failed: (error: unknown) => {
      throw error;
    },
    guard: {
      checkUpgrade: () => ({ kind: 'pending', pending: { address: '127.0.0.1' } }),
      authorize: (_pending: unknown, scope: unknown) => ({
        ok: true,
        scope,
        requester: 'r',
        credentials: null,
      }),
      expiredAt: () => null,
      release: ignore,
    },
    reads: {
      events: async () => ({ kind: 'page', epoch: 'e', frames, cursor: 3, isEnd: true, completeAfter: 0 }),
    },
  } as unknown as JobRoutesDeps);
  let body: string | null = null;
  const res = {
    ...ANSWER,
    onAborted: ignore,
    writeStatus: () => res,
    writeHeader: () => res,
    end: (text: string) => {
      body = String(text);
      return res;
    },
  };
  routes.get('/v1/jobs/:id/events', res, { accept: 'application/x-ndjson' });
  const lines = await waitFor(() => body?.split(/\r\n|\r|\n/), { what: 'an answer' });
  expect(lines.pop()).toBe('');
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject(
    [1, 2, 3].map((seq) => ({ ...written, seq, prev_seq: seq - 1 })),
  );
});
