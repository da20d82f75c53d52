import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  chooseSubprotocol,
  parseRequest,
  parseSocketRequest,
  parseStreamRequest,
} from '../../internal/edge/request.js';
import { ERROR_CODES } from '../../schemas/close-codes.js';

const JOB = '123e4567-e89b-12d3-a456-426614174000';
const EPOCH = 'dn228pdihkh5';
const MAX = Number.MAX_SAFE_INTEGER;

describe('one job', () => {
  test.each<[string, object | null]>([
    ['', null],
    ['x=1&utm_source=mail&=&&&', null],
    ['last_seq=0', { lastSeq: 0, epoch: null }],
    ['last_seq=17', { lastSeq: 17, epoch: null }],
    ['last_seq=0017', { lastSeq: 17, epoch: null }],
    [`last_seq=${MAX}`, { lastSeq: MAX, epoch: null }],
    [`last_seq=17&epoch=${EPOCH}`, { lastSeq: 17, epoch: EPOCH }],
    [`epoch=${EPOCH}&x=%zz&last_seq=%31%37`, { lastSeq: 17, epoch: EPOCH }],
    [`epoch=${EPOCH}`, null],
  ])('?%s', (query, resume) => {
    expect(parseRequest(JOB, query)).toEqual({
      ok: true,
      scope: { kind: 'job', id: JOB, jobTypes: null },
      resume,
    });
  });

  test.each<[string, number]>([
    ['0.1', 0.1],
    ['50', 50],
    ['5', 5],
    ['2.5', 2.5],
    ['0.100000', 0.1],
    [String(0.1 + 0.2), 0.1 + 0.2],
  ])('max_rate=%s', (text, maxRate) => {
    expect(parseRequest(JOB, `max_rate=${text}`)).toMatchObject({ ok: true, resume: null, maxRate });
    const resume = { lastSeq: 3, epoch: null };
    expect(parseRequest(null, `last_seq=3&max_rate=${text}`)).toMatchObject({ ok: true, resume, maxRate });
    const selected = parseSocketRequest(null, `select&max_rate=${text}`);
    expect(selected).toMatchObject({ ok: true, scope: { kind: 'selected' }, maxRate });
    for (const query of [`max_rate=${text}`, `processing_id=a&processing_id=b&max_rate=${text}`]) {
      const stream = parseStreamRequest(null, query, '3.e.s', 2);
      expect(stream).toMatchObject({ ok: true, resume: { lastSeq: 3 }, maxRate });
    }
  });

  test.each([
    '',
    '0',
    '0.09',
    '50.1',
    '51',
    '100',
    '-1',
    '+5',
    '1e1',
    '.5',
    '5.',
    '5.0.0',
    '1e9',
    '0x5',
    ' 5',
    '5,0',
    'NaN',
    'Infinity',
    '٥',
  ])('G8 bad input: max_rate=%j', (text) => {
    expect(parseRequest(JOB, `max_rate=${encodeURIComponent(text)}`)).toMatchObject({
      ok: false,
      code: 'invalid_query',
      message: expect.stringMatching(
        /^max_rate is ".*"; expected 0\.1 to 50: updates a second for each job$/,
      ),
    });
  });

  test('G8 bad input: max_rate given twice', () => {
    const message = 'max_rate is given more than once';
    const expected = { ok: false, code: 'invalid_query', message };
    expect(parseRequest(JOB, 'max_rate=5&max_rate=5')).toEqual(expected);
    expect(parseRequest(null, 'max_rate=5&max_rate=x')).toEqual(expected);
  });

  test.each(['a', 'A_z-9', 'x'.repeat(128), '__proto__'])('the id %s', (id) => {
    expect(parseRequest(id, '')).toMatchObject({ ok: true, scope: { kind: 'job', id } });
  });

  test.each(['', 'a b', 'a.b', 'a/b', 'a%2Db', 'ä', 'a\n', '*', '>', 'x'.repeat(129)])(
    'G8 bad input: the id %j',
    (id) => {
      expect(parseRequest(id, '')).toMatchObject({
        ok: false,
        code: 'invalid_processing_id',
        message: expect.stringMatching(/^processing_id is ".*; expected 1 to 128 of A-Z a-z 0-9 _ -$/),
      });
    },
  );

  test('G8 bad input: a job_type here is a misunderstanding', () => {
    expect(parseRequest(JOB, 'job_type=pdf')).toEqual({
      ok: false,
      code: 'invalid_query',
      message: 'job_type is a filter of the all-jobs endpoint; this one follows one job',
    });
  });
});

describe('all jobs', () => {
  test.each<[string, string[] | null]>([
    ['', null],
    ['job_type=pdf', ['pdf']],
    ['job_type=pdf&job_type=video', ['pdf', 'video']],
    ['job_type=pdf&x=1&job_type=pdf', ['pdf']],
    ['job_type=a.b_C-9', ['a.b_C-9']],
    [`job_type=${'x'.repeat(64)}`, ['x'.repeat(64)]],
  ])('?%s', (query, types) => {
    const jobTypes = types === null ? null : new Set(types);
    expect(parseRequest(null, query)).toEqual({ ok: true, scope: { kind: 'all', jobTypes }, resume: null });
  });

  test('a cursor works here too', () => {
    expect(parseRequest(null, `job_type=pdf&last_seq=5&epoch=${EPOCH}`)).toEqual({
      ok: true,
      scope: { kind: 'all', jobTypes: new Set(['pdf']) },
      resume: { lastSeq: 5, epoch: EPOCH },
    });
  });

  test.each(['', 'a b', 'a+b', 'pdf,video', 'a/b', '%C3%A4', '*', 'x'.repeat(65)])(
    'G8 bad input: the job_type %j',
    (type) => {
      expect(parseRequest(null, `job_type=pdf&job_type=${type}`)).toMatchObject({
        ok: false,
        code: 'invalid_job_type',
        message: expect.stringMatching(/^job_type is ".*; expected 1 to 64 of A-Z a-z 0-9 _ \. -$/),
      });
    },
  );

  test('G8 bad input: 64 types are served, 65 are not', () => {
    const query = (count: number) => Array.from({ length: count }, (_, i) => `job_type=t${i}`).join('&');
    expect(parseRequest(null, query(64))).toMatchObject({ ok: true });
    expect(parseRequest(null, query(65))).toEqual({
      ok: false,
      code: 'invalid_query',
      message: 'job_type is given 65 times; expected at most 64',
    });
  });
});

describe.each([
  ['one job', JOB],
  ['all jobs', null],
])('G8 bad input: on %s', (_name, id) => {
  test.each([
    '',
    '-1',
    '+1',
    '1.0',
    '1e3',
    '0x10',
    ' 1',
    '1 ',
    'NaN',
    'Infinity',
    'null',
    '9007199254740992',
    '99999999999999999',
    '١٢',
    '%00',
  ])('last_seq=%s', (value) => {
    expect(parseRequest(id, `last_seq=${value}`)).toMatchObject({
      ok: false,
      code: 'invalid_last_seq',
      message: expect.stringMatching(/^last_seq is ".*; expected an integer from 0 to 2\^53-1$/),
    });
  });

  test.each(['', 'a b', 'a.b', 'ä', 'x'.repeat(65), '%0A'])('epoch=%s', (value) => {
    expect(parseRequest(id, `last_seq=1&epoch=${value}`)).toMatchObject({
      ok: false,
      code: 'invalid_epoch',
      message: expect.stringMatching(/^epoch is ".*; expected the epoch of a hello frame$/),
    });
  });

  test.each(['last_seq=1&last_seq=1', 'epoch=a&epoch=a', 'last_seq=1&epoch=a&epoch=b'])('?%s', (query) => {
    expect(parseRequest(id, query)).toMatchObject({
      ok: false,
      code: 'invalid_query',
      message: expect.stringMatching(/^(last_seq|epoch) is given more than once$/),
    });
  });

  test('what is shown of a wrong value is short', () => {
    const parsed = parseRequest(id, `last_seq=${'9'.repeat(10_000)}`);
    expect(parsed.ok ? '' : parsed.message).toMatch(/^.{1,150}$/);
  });
});

test('G8 bad input: any path and any query get an answer', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.webQueryParameters(),
    fc.constantFrom('%', '%zz', '%ff', '&'),
  );
  const name = fc.constantFrom('last_seq', 'epoch', 'job_type', 'x', '__proto__', '');
  const query = fc.oneof(
    value,
    fc.array(fc.tuple(name, value)).map((pairs) => pairs.map(([key, text]) => `${key}=${text}`).join('&')),
  );
  fc.assert(
    fc.property(fc.option(fc.string({ unit: 'binary' })), query, (id, text) => {
      const parsed = parseRequest(id, text);
      if (parsed.ok) {
        expect(parsed.scope.kind).toBe(id === null ? 'all' : 'job');
        expect(Number.isSafeInteger(parsed.resume?.lastSeq ?? 0)).toBe(true);
      } else {
        expect(ERROR_CODES[parsed.code]).toBe('bad_request');
        expect(parsed.message).toMatch(/\S/);
      }
    }),
    { numRuns: 1_000 },
  );
});

describe('the subprotocol', () => {
  test.each([
    ['progress.v1', 'progress.v1'],
    ['progress.v1, bearer.xyz', 'progress.v1'],
    ['bearer.xyz, progress.v1', 'progress.v1'],
    ['bearer.xyz,progress.v1,other', 'progress.v1'],
    ['  progress.v1\t', 'progress.v1'],
    ['', ''],
    [',', ''],
    ['progress.v2', ''],
    ['progress.v11', ''],
    ['xprogress.v1', ''],
    ['Progress.V1', ''],
    ['bearer.xyz', ''],
    ['bearer.progress.v1', ''],
    ['progress.v1;q=1', ''],
  ])('of %j: %j', (offered, chosen) => {
    expect(chooseSubprotocol(offered, 'progress.v1')).toBe(chosen);
  });

  test('G7 nobody unauthorised: what is answered never holds any of the offer but our own name', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (names) => {
        expect(['', 'progress.v1']).toContain(chooseSubprotocol(names.join(','), 'progress.v1'));
      }),
    );
  });
});

describe('G8 bad input: jobs that are named by half are not all jobs', () => {
  const REFUSED = { ok: false, code: 'invalid_query' };
  test.each([null, JOB])('over WebSocket without select, and %s in the path', (id) => {
    expect(parseSocketRequest(id, 'processing_id=a')).toMatchObject(REFUSED);
    expect(parseSocketRequest(id, '')).toMatchObject({ ok: true });
  });

  test('as a stream with a list that is empty', () => {
    for (const query of ['select', 'select=&last_seq=3'])
      expect(parseStreamRequest(null, query, '', 4)).toMatchObject(REFUSED);
    expect(parseStreamRequest(null, 'select&processing_id=a', '', 4)).toMatchObject({
      ok: true,
      scope: { kind: 'selected', ids: ['a'] },
    });
    expect(parseStreamRequest(null, '', '', 4)).toMatchObject({ ok: true, scope: { kind: 'all' } });
  });
});
