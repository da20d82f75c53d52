import { expect, test } from 'vitest';
import { problem } from '../../internal/edge/http-response.js';
import { withoutThrow } from '../../internal/edge/routing.js';

test('G8 bad input: a handler that throws does not reach the library, and what it was given is told', () => {
  const failures: unknown[] = [];
  const handler = withoutThrow(
    (name: string, times: number) => {
      if (times > 1) throw new Error(`${name} failed`);
    },
    (error, given) => failures.push((error as Error).message, given),
  );
  handler('once', 1);
  expect(failures).toEqual([]);
  handler('twice', 2);
  expect(failures).toEqual(['twice failed', ['twice', 2]]);
});

test('an error over HTTP says when to try again only where that is known', () => {
  expect(problem(503, 'overloaded', 'no room', 3)).toEqual({
    status: 503,
    contentType: 'application/problem+json',
    body: `${JSON.stringify({ type: 'about:blank', title: 'Service Unavailable', status: 503, code: 'overloaded', detail: 'no room' })}\n`,
    headers: { 'retry-after': '3' },
  });
  expect(problem(404, 'not_found', 'nothing here')).not.toHaveProperty('headers');
});
