import { describe, expect, test } from 'vitest';
import { nextQuery, parseEventsQuery, parseJobsQuery } from '../../internal/edge/job-queries.js';

describe('which piece of a list somebody asks for', () => {
  test('nothing is asked: the first hundred', () => {
    expect(parseEventsQuery('')).toEqual({ ok: true, query: { after: null, epoch: null, limit: 100 } });
    expect(parseJobsQuery('')).toEqual({
      ok: true,
      query: { after: null, epoch: null, limit: 100, jobTypes: null, statuses: null },
    });
  });

  test('what is not ours is ignored, as by every other request', () => {
    expect(parseEventsQuery('after=3&utm_source=mail&status=wrong')).toMatchObject({
      ok: true,
      query: { after: 3 },
    });
  });

  test.each([
    ['after=-1', 'invalid_query', 'after is "-1"; expected an integer from 0 to 2^53-1'],
    ['after=1.5', 'invalid_query', 'after is "1.5"; expected an integer from 0 to 2^53-1'],
    [
      'after=9007199254740992',
      'invalid_query',
      'after is "9007199254740992"; expected an integer from 0 to 2^53-1',
    ],
    ['after=', 'invalid_query', 'after is ""; expected an integer from 0 to 2^53-1'],
    ['limit=0', 'invalid_query', 'limit is "0"; expected an integer from 1 to 1000'],
    ['limit=1001', 'invalid_query', 'limit is "1001"; expected an integer from 1 to 1000'],
    ['limit=all', 'invalid_query', 'limit is "all"; expected an integer from 1 to 1000'],
    ['limit=1&limit=2', 'invalid_query', 'limit is given more than once'],
    ['epoch=a%20b', 'invalid_epoch', 'epoch is "a b"; expected the epoch of an earlier answer'],
  ])('G8 bad input: %s', (query, code, message) => {
    for (const parse of [parseEventsQuery, parseJobsQuery])
      expect(parse(query)).toEqual({ ok: false, code, message });
  });

  test.each([
    ['status=failed', 'invalid_query', 'status is "failed"; expected one of: processing, completed, error'],
    ['job_type=a%20b', 'invalid_job_type', 'job_type is "a b"; expected 1 to 64 of A-Z a-z 0-9 _ . -'],
    [
      Array.from({ length: 65 }, (_, i) => `job_type=t${i}`).join('&'),
      'invalid_query',
      'job_type is given 65 times; expected at most 64',
    ],
  ])('G8 bad input: %s', (query, code, message) => {
    expect(parseJobsQuery(query)).toEqual({ ok: false, code, message });
  });

  test('the next page asks for the same, from the cursor on, and names its epoch', () => {
    const parsed = parseJobsQuery('job_type=pdf&job_type=ocr&status=error&status=completed&limit=7');
    if (!parsed.ok) throw new Error(parsed.message);
    const text = nextQuery(parsed.query, 12, 'dn229rb1zkzl');
    expect(parseJobsQuery(text)).toEqual({
      ok: true,
      query: { ...parsed.query, after: 12, epoch: 'dn229rb1zkzl' },
    });
  });
});
