import { expect, test } from 'vitest';
import { type JobRoutesDeps, routeJobs } from '../../internal/edge/job-routes.js';
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
