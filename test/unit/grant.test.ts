import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Grant, narrow } from '../../internal/auth/grant.js';
import { inScope, type Scope } from '../../internal/eventlog/record.js';

type Listed = 'all' | readonly string[];
const set = (listed: Listed) => (listed === 'all' ? listed : new Set(listed));
const grant = (jobs: Listed, jobTypes: Listed): Grant => ({
  subject: null,
  jobs: set(jobs),
  jobTypes: set(jobTypes),
  expiresAt: 0,
});
const job = (id: string, types: readonly string[] | null = null): Scope => ({
  kind: 'job',
  id,
  jobTypes: types && new Set(types),
});
const all = (types: readonly string[] | null = null): Scope => ({
  kind: 'all',
  jobTypes: types && new Set(types),
});

describe('G7 nobody unauthorised: a token opens', () => {
  test.each<[what: string, Grant, asked: Scope, opened: Scope]>([
    ['a job that it lists', grant(['a', 'b'], []), job('a'), job('a')],
    ['any job, with jobs *', grant('all', []), job('a'), job('a')],
    ['any job, with job_types *', grant([], 'all'), job('a'), job('a')],
    ['a job that it lists, also events of other types', grant(['a'], ['pdf']), job('a'), job('a')],
    [
      'of another job the events of its types',
      grant(['a'], ['pdf', 'txt']),
      job('b'),
      job('b', ['pdf', 'txt']),
    ],
    ['of any job the events of its types', grant([], ['pdf']), job('b'), job('b', ['pdf'])],
    [
      'of types that were asked for those that it lists',
      grant([], ['pdf']),
      job('b', ['pdf', 'txt']),
      job('b', ['pdf']),
    ],
    ['all jobs, with jobs *', grant('all', []), all(), all()],
    ['all jobs, with job_types *', grant([], 'all'), all(), all()],
    ['the filter as it is, with jobs *', grant('all', []), all(['pdf']), all(['pdf'])],
    ['the filter as it is, with jobs * and other types', grant('all', ['txt']), all(['pdf']), all(['pdf'])],
    ['the filter as it is, with job_types *', grant(['a'], 'all'), all(['pdf']), all(['pdf'])],
    ['of all jobs those of its types', grant([], ['pdf', 'txt']), all(), all(['pdf', 'txt'])],
    ['of a filter what it lists', grant([], ['pdf', 'txt']), all(['pdf', 'doc']), all(['pdf'])],
  ])('%s', (_, granted, asked, scope) => {
    expect(narrow(granted, asked)).toEqual({ ok: true, scope });
  });

  test.each<[what: string, Grant, asked: Scope, message: RegExp]>([
    ['a job that it does not list', grant(['a'], []), job('b'), /jobs do not list it/],
    ['a job of which it has neither id nor types', grant(['a'], ['pdf']), job('b', ['txt']), /neither/],
    ['a job whose id is that of a type', grant([], ['pdf']), job('pdf', []), /neither/],
    ['all jobs, when it lists jobs only', grant(['a', 'b'], []), all(), /jobs \["\*"\]/],
    ['a filter, when it lists jobs only', grant(['a'], []), all(['pdf']), /jobs \["\*"\]/],
    ['a filter of other types', grant(['a'], ['pdf']), all(['txt']), /none of the job types/],
    ['anything, when it is empty', grant([], []), all(), /jobs \["\*"\]/],
  ])('but not %s', (_, granted, asked, message) => {
    expect(narrow(granted, asked)).toEqual({ ok: false, message: expect.stringMatching(message) });
  });

  test('exactly the records that were asked for and whose job or type it lists, from the all-jobs endpoint only by type', () => {
    const name = fc.constantFrom('a', 'b', 'c', '*');
    const names = fc.uniqueArray(name, { maxLength: 3 });
    const listed = fc.oneof(fc.constant('all' as const), names);
    const types = fc.option(names);
    const scope = fc.oneof(
      fc.tuple(name, types).map(([id, of]) => job(id, of)),
      types.map(all),
    );
    const record = fc.record({ id: name, jobType: fc.option(name, { nil: undefined }) });
    fc.assert(
      fc.property(listed, listed, scope, record, (jobs, jobTypes, asked, { id, jobType }) => {
        const entry = { id, ...(jobType !== undefined && { jobType }) } as Parameters<typeof inScope>[1];
        const narrowed = narrow(grant(jobs, jobTypes), asked);
        const byJob = jobs === 'all' || (asked.kind === 'job' && jobs.includes(id));
        const byType = jobTypes === 'all' || (jobType !== undefined && jobTypes.includes(jobType));
        const opened = narrowed.ok && inScope(narrowed.scope, entry);
        expect(opened).toBe(inScope(asked, entry) && (byJob || byType));
      }),
      { numRuns: 5_000 },
    );
  });
});
