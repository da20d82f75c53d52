import { expect, test } from 'vitest';
import { type JobRoutesDeps, routeJobs } from '../../internal/edge/job-routes.js';
import type { App, HttpRequest, HttpResponse } from '../../internal/edge/uws.js';
import { waitFor } from '../harness/wait.js';

type Handler = (res: HttpResponse, req: HttpRequest) => void;

test('G8 bad input: what fails in the moment in which an answer leaves is answered with 500, and ends nothing else', async () => {
  const handlers = new Map<string, Handler>();
  const ignore = () => undefined;
  const app = {
    options: ignore,
    head: ignore,
    any: ignore,
    get: (path: string, handler: Handler) => handlers.set(path, handler),
  } as unknown as App;
  const failures: unknown[] = [];
  routeJobs(app, {
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
    onAborted: ignore,
    cork: (write: () => void) => write(),
    getRemoteAddress: () => new Uint8Array([127, 0, 0, 1]).buffer,
    writeStatus: (text: string) => {
      status = text;
      return res;
    },
    writeHeader: () => res,
    end: () => res,
  };
  const req = {
    forEach: ignore,
    getHeader: () => '',
    getParameter: () => 'job',
    getQuery: () => '',
    getMethod: () => 'get',
    getUrl: () => '/v1/jobs/job',
  };
  handlers.get('/v1/jobs/:id')?.(res as unknown as HttpResponse, req as unknown as HttpRequest);
  await waitFor(() => status !== '', { what: 'an answer' });
  expect(status).toBe('500 Internal Server Error');
  expect(failures).toEqual([new Error('the log is full')]);
});
