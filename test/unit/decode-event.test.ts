import { describe, expect, test } from 'vitest';
import {
  type Decoded,
  type DecodedEvent,
  decodeEvent,
  type InvalidReason,
  updateFrame,
} from '../../internal/eventlog/decode.js';

type Fields = Record<string, unknown>;

const JOB = 'job-1';
const MAX_BYTES = 65_536;
const BIG = '123456789012345678901234567890';

/** A valid event with `fields` over it; undefined removes one. */
const event = (fields: Fields = {}): Fields => ({
  processing_id: JOB,
  status: 'processing',
  progress: 50,
  timestamp: '2026-01-31T12:00:00Z',
  ...fields,
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const decodeText = (text: string, id = JOB): Decoded => decodeEvent(`progress.${id}`, bytes(text));
const decode = (fields: Fields, id = JOB): Decoded => decodeText(JSON.stringify(event(fields)), id);

function valid(decoded: Decoded): DecodedEvent {
  if (!decoded.ok) throw new Error(`refused as ${decoded.reason}: ${decoded.detail}`);
  return decoded.event;
}

/** The frame's text and what a client reads from it. */
function frameOf(decoded: Decoded, seq = 7, prevSeq: number | null = 3): { text: string; json: Fields } {
  const text = updateFrame(valid(decoded), seq, prevSeq);
  return { text, json: JSON.parse(text) as Fields };
}

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

/** An event of exactly so many bytes. */
function ofSize(size: number): Uint8Array {
  const empty = bytes(JSON.stringify(event({ padding: '' }))).byteLength;
  return bytes(JSON.stringify(event({ padding: 'x'.repeat(size - empty) })));
}

describe('G8 bad input: a subject that names no job', () => {
  test.each([
    'progress',
    'progress.',
    'progress.a.b',
    'progress.>',
    'progress.a b',
    'progress.ä',
    'progress.job-1\n',
    `progress.${'a'.repeat(129)}`,
    'PROGRESS.job-1',
    'other.job-1',
    '',
  ])('%j', (subject) => {
    expect(decodeEvent(subject, bytes(JSON.stringify(event())))).toEqual({
      ok: false,
      id: null,
      reason: 'bad_subject',
      detail: 'the subject is not progress.<processing_id>',
    });
  });
});

describe('G8 bad input: a body that is no JSON text', () => {
  const valid = JSON.stringify(event());
  const bodies: [name: string, body: string | number[], reason: InvalidReason][] = [
    ['empty', '', 'not_json'],
    ['only spaces', '  \n', 'not_json'],
    ['plain words', 'halfway there', 'not_json'],
    ['cut off', valid.slice(0, -1), 'not_json'],
    ['two events', valid + valid, 'not_json'],
    ['a comma too many', valid.replace('}', ',}'), 'not_json'],
    ['single quotes', valid.replaceAll('"', "'"), 'not_json'],
    ['NaN', valid.replace(':50', ':NaN'), 'not_json'],
    ['a comment', `/* 50 % */${valid}`, 'not_json'],
    ['a raw line break in a text', valid.replace(JOB, 'job\n1'), 'not_json'],
    ['a NUL behind it', `${valid}\0`, 'not_json'],
    ['a no-break space before it', `\u00a0${valid}`, 'not_json'],
    ['two byte order marks', `\ufeff\ufeff${valid}`, 'not_json'],
    ['Latin-1', [0x22, 0xe4, 0x22], 'not_utf8'],
    ['a lone continuation byte', [0x22, 0x80, 0x22], 'not_utf8'],
    ['an overlong encoding', [0x22, 0xc0, 0x80, 0x22], 'not_utf8'],
    ['an encoded surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22], 'not_utf8'],
    ['a character cut off at the end', [0x22, 0xf0, 0x9f, 0x98], 'not_utf8'],
    ['UTF-16', [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00], 'not_utf8'],
  ];
  test.each(bodies)('%s', (_name, body, reason) => {
    const decoded = decodeEvent(
      `progress.${JOB}`,
      typeof body === 'string' ? bytes(body) : Uint8Array.from(body),
    );
    expect(decoded).toMatchObject({ ok: false, id: JOB, reason, detail: expect.stringMatching(/\S/) });
  });

  test.each(['null', 'true', '1', '"text"', '[]', `[${valid}]`])('JSON, but no object: %s', (body) => {
    expect(decodeText(body)).toMatchObject({
      ok: false,
      id: JOB,
      reason: 'schema',
      detail: expect.stringMatching(/^the event is .+; expected an object$/),
    });
  });
});

describe('G8 bad input: a field that breaks the contract is named, with what was expected', () => {
  const required = ['processing_id', 'status', 'progress', 'timestamp'];
  test.each(required)('%s is missing', (field) => {
    expect(decode({ [field]: undefined })).toMatchObject({
      ok: false,
      reason: 'schema',
      detail: expect.stringMatching(new RegExp(`^/${field} is missing; expected \\S`)),
    });
  });

  const id129 = 'a'.repeat(129);
  const cases: [path: string, fields: Fields][] = [
    ...[null, 1, '', 'a.b', 'a b', 'a/b', 'ä', 'a\n', id129].map((processing_id): [string, Fields] => [
      '/processing_id',
      { processing_id },
    ]),
    ...[null, 1, '', 'done', 'Completed', 'processing ', ['processing']].map((status): [string, Fields] => [
      '/status',
      { status },
    ]),
    ...[null, '50', -0.1, 100.1, true, [50]].map((progress): [string, Fields] => ['/progress', { progress }]),
    ...[
      null,
      1_769_860_800,
      '',
      'now',
      '2026-01-31',
      '2026-01-31T12:00:00',
      '2026-01-31T12:00Z',
      '2026-13-01T12:00:00Z',
      '2026-00-10T12:00:00Z',
      '2026-02-29T12:00:00Z',
      '2026-04-31T12:00:00Z',
      '2026-01-31T24:00:00Z',
      '2026-01-31T12:60:00Z',
      '2026-01-31T12:00:61Z',
      '2026-01-31T12:00:00+24:00',
      '2026-01-31T12:00:00+01:60',
      '2026-01-31T12:00:00+0100',
      '2026-01-31T12:00:00.Z',
      '2026-01-31T12:00:00Z\n',
      'Sat, 31 Jan 2026 12:00:00 GMT',
    ].map((timestamp): [string, Fields] => ['/timestamp', { timestamp }]),
    ['/type', { type: null }],
    ['/type', { type: 'progress' }],
    ['/message', { message: null }],
    ['/message', { message: 5 }],
    ['/message', { message: 'x'.repeat(4097) }],
    ['/message', { message: '😀'.repeat(4097) }],
    ['/job_type', { job_type: null }],
    ['/job_type', { job_type: '' }],
    ['/job_type', { job_type: 'a b' }],
    ['/job_type', { job_type: 'x'.repeat(65) }],
    ['/attempt', { attempt: 0 }],
    ['/attempt', { attempt: 1.5 }],
    ['/attempt', { attempt: '1' }],
    ['/attempt', { attempt: 2 ** 53 }],
    ['/step', { step: null }],
    ['/step', { step: 'one' }],
    ['/step', { step: [] }],
    ['/step/name', { step: { name: 1 } }],
    ['/step/name', { step: { name: 'x'.repeat(257) } }],
    ['/step/index', { step: { index: -1 } }],
    ['/step/index', { step: { index: 1.5 } }],
    ['/step/total', { step: { total: '3' } }],
    ['/indeterminate', { indeterminate: 'true' }],
    ['/indeterminate', { indeterminate: null }],
    ['/eta_seconds', { eta_seconds: -1 }],
    ['/eta_seconds', { eta_seconds: '5' }],
    ['/stall_after_seconds', { stall_after_seconds: 0 }],
    ['/stall_after_seconds', { stall_after_seconds: null }],
    ['/timeout_seconds', { timeout_seconds: 0 }],
    ['/timeout_seconds', { timeout_seconds: [] }],
    ['/error', { status: 'error', error: null }],
    ['/error', { status: 'error', error: 'boom' }],
    ['/error', { status: 'error', error: [] }],
    ['/error/code', { status: 'error', error: { code: 500 } }],
    ['/error/code', { status: 'error', error: { code: 'x'.repeat(129) } }],
    ['/error/message', { status: 'error', error: { message: null } }],
    ['/error/message', { status: 'error', error: { message: 'x'.repeat(4097) } }],
    ['/error/retryable', { status: 'error', error: { retryable: 'yes' } }],
  ];
  const named = cases.map(([path, fields]) => [JSON.stringify(fields).slice(0, 60), path, fields] as const);
  test.each(named)('%s', (_name, path, fields) => {
    const decoded = decode(fields);
    expect(decoded).toMatchObject({ ok: false, id: JOB, reason: 'schema' });
    const detail = decoded.ok ? '' : decoded.detail;
    expect(detail.slice(0, path.length + 4)).toBe(`${path} is `);
    expect(detail).toMatch(/; expected \S/);
    expect(detail.length).toBeLessThan(300);
  });

  test.each([
    ['/progress is 101; expected a number from 0 to 100', { progress: 101 }],
    ['/status is "done"; expected "processing" or "completed" or "error"', { status: 'done' }],
    ['/attempt is 0; expected an integer from 1', { attempt: 0 }],
    ['/result comes only with status "completed", and the status is "processing"', { result: null }],
    ['/result comes only with status "completed", and the status is "error"', { status: 'error', result: 1 }],
    ['/error comes only with status "error", and the status is "processing"', { error: {} }],
    [
      '/error comes only with status "error", and the status is "completed"',
      { status: 'completed', error: {} },
    ],
  ])('says: %s', (detail, fields) => {
    expect(decode(fields)).toEqual({ ok: false, id: JOB, reason: 'schema', detail });
  });

  test('a number beyond what JSON numbers can hold is refused, not passed on as something else', () => {
    const text = JSON.stringify(event({ eta_seconds: 1 })).replace('"eta_seconds":1', '"eta_seconds":1e999');
    expect(decodeText(text)).toMatchObject({ ok: false, reason: 'schema' });
  });

  test("another job's event", () => {
    expect(decode({}, 'job-2')).toEqual({
      ok: false,
      id: 'job-2',
      reason: 'subject_mismatch',
      detail: 'processing_id is "job-1"; the subject says "job-2"',
    });
  });

  test('65,536 bytes fit, one more does not', () => {
    expect(valid(decodeEvent(`progress.${JOB}`, ofSize(MAX_BYTES))).id).toBe(JOB);
    expect(decodeEvent(`progress.${JOB}`, ofSize(MAX_BYTES + 1))).toEqual({
      ok: false,
      id: JOB,
      reason: 'too_large',
      detail: '65537 bytes; expected at most 65536',
    });
  });
});

describe('an event that keeps the contract', () => {
  const accepted: [name: string, fields: Fields][] = [
    ['only what is required', {}],
    ['with type', { type: 'progress_update' }],
    ['progress 0', { progress: 0 }],
    ['progress 100', { progress: 100 }],
    ['a fraction of a percent', { progress: 33.333333 }],
    ['4,096 letters', { message: 'x'.repeat(4096) }],
    ['4,096 emoji', { message: '😀'.repeat(4096) }],
    ['an empty message', { message: '' }],
    ['a message with every awkward character', { message: '\0\n\t"\\/\u2028\u2029\ud83d\ude00\ufeff' }],
    ['a lone surrogate', { message: 'broken \ud83d here' }],
    ['a job_type of 64', { job_type: 'a'.repeat(64) }],
    ['a job_type with dots', { job_type: 'pdf.ocr_v-2' }],
    ['attempt 2', { attempt: 2 }],
    ['the highest attempt', { attempt: Number.MAX_SAFE_INTEGER }],
    ['a step', { step: { name: 'OCR', index: 2, total: 5 } }],
    ['an empty step with a field of its own', { step: { note: null } }],
    ['indeterminate', { indeterminate: true }],
    ['times', { eta_seconds: 0, stall_after_seconds: 0.5, timeout_seconds: 3600 }],
    ['completed without a result', { status: 'completed', progress: 100 }],
    ['completed with null', { status: 'completed', result: null }],
    ['completed with false', { status: 'completed', result: false }],
    ['completed with a tree', { status: 'completed', result: { pages: [{ n: 1 }], name: 'ä' } }],
    ['an error without a word', { status: 'error' }],
    ['an error', { status: 'error', error: { code: 'E1', message: 'no', retryable: false, details: [1] } }],
    [
      'unknown fields',
      { tenant: 'a', nested: { deep: [null] }, '': 0, 'a b': 1, constructor: 1, toString: 2 },
    ],
    ['fields named like ours', { epoch: 'x', cursor: 1, session: 's', SEQ: 1, 'seq ': 2 }],
  ];
  test.each(accepted)('%s', (_name, fields) => {
    const frame = frameOf(decode(fields));
    expect(frame.json).toEqual({ ...event(fields), type: 'progress_update', seq: 7, prev_seq: 3 });
  });

  test.each([
    '2026-01-31T12:00:00Z',
    '2026-01-31t12:00:00z',
    '2026-01-31 12:00:00Z',
    '2026-01-31T12:00:00.123456789Z',
    '2026-01-31T12:00:00+05:30',
    '2026-01-31T12:00:00-00:00',
    '2024-02-29T00:00:00Z',
    '2000-02-29T00:00:00Z',
    '2016-12-31T23:59:60Z',
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59Z',
  ])('the timestamp %s', (timestamp) => {
    expect(frameOf(decode({ timestamp })).json).toMatchObject({ timestamp });
  });

  test.each([
    'a',
    'A-Z_0',
    'x'.repeat(128),
    '123e4567-e89b-12d3-a456-426614174000',
    '__proto__',
    'constructor',
  ])('the processing_id %s', (id) => {
    expect(valid(decode({ processing_id: id }, id)).id).toBe(id);
  });

  test.each<[boolean, Fields]>([
    [false, {}],
    [false, { progress: 100 }],
    [true, { status: 'completed' }],
    [true, { status: 'error' }],
    [true, { status: 'error', error: {} }],
    [true, { status: 'error', error: { retryable: false } }],
    [false, { status: 'error', error: { retryable: true } }],
  ])('finished is %s for %j', (finished, fields) => {
    expect(valid(decode(fields)).finished).toBe(finished);
  });

  test.each([
    ['pretty-printed', JSON.stringify(event(), null, 2)],
    ['with CRLF and tabs', JSON.stringify(event(), null, '\t').replaceAll('\n', '\r\n')],
    ['behind a byte order mark', `\ufeff${JSON.stringify(event())}`],
    ['with white space around it', ` \t\r\n${JSON.stringify(event())} \t\r\n`],
    ['with escaped names', JSON.stringify(event()).replace('"status"', '"\\u0073tatus"')],
    [
      'with a name twice, of which JSON takes the last',
      JSON.stringify(event()).replace('{', '{"progress":-1,'),
    ],
  ])('a body %s', (_name, text) => {
    const frame = frameOf(decodeText(text));
    expect(frame.json).toEqual({ ...event(), type: 'progress_update', seq: 7, prev_seq: 3 });
  });

  test('an escaped lone surrogate stays what it was', () => {
    const frame = frameOf(decodeText(JSON.stringify(event({ message: 'X' })).replace('"X"', '"\\ud83d"')));
    expect(frame.json).toMatchObject({ message: '\ud83d' });
    expect(frame.text).toContain('\\ud83d');
  });

  test('numbers keep every digit', () => {
    const result = `{"id":${BIG},"price":0.10000000000000000000001,"zero":-0,"exp":1e400}`;
    const text = JSON.stringify(event({ status: 'completed', result: 'R' })).replace('"R"', result);
    expect(frameOf(decodeText(text)).text).toContain(`"result":${result}`);
  });

  test.each<[string, Fields]>([
    ['seq', { seq: 99 }],
    ['prev_seq', { prev_seq: 98 }],
    ['folded', { folded: 97 }],
    ['resume_seq', { resume_seq: 96 }],
    ['both, of other types', { seq: 'mine', prev_seq: { deep: [1] }, type: 'progress_update' }],
  ])("the log's own %s wins over the event's field of that name", (_name, fields) => {
    const frame = frameOf(decode({ ...fields, kept: [1] }));
    expect(frame.json).toEqual({ ...event({ kept: [1] }), type: 'progress_update', seq: 7, prev_seq: 3 });
    expect(frame.text.match(/"seq"/g)).toHaveLength(1);
    expect(frame.text.match(/"prev_seq"/g)).toHaveLength(1);
  });

  test('the same for a name that hides behind an escape', () => {
    const text = JSON.stringify(event({ seq: 99 })).replace('"seq"', '"s\\u0065q"');
    const { text: frame, json } = frameOf(decodeText(text));
    expect(json).toMatchObject({ seq: 7 });
    expect(frame).not.toContain('99');
  });

  test.each(['', '"seq":1,'])('a field named __proto__ stays a field (%s)', (own) => {
    const text = JSON.stringify(event()).replace('{', `{${own}"__proto__":{"seq":5,"admin":true},`);
    const { json } = frameOf(decodeText(text));
    expect(Object.getOwnPropertyDescriptor(json, '__proto__')?.value).toEqual({ seq: 5, admin: true });
    expect(json).toMatchObject({ seq: 7, prev_seq: 3 });
    expect(({} as Fields).admin).toBeUndefined();
  });

  test('nesting up to the limit is passed on as it came', () => {
    const deep = nested(63);
    const text = JSON.stringify(event({ status: 'completed', result: 'R' })).replace('"R"', deep);
    const frame = frameOf(decodeText(text));
    expect(frame.text).toContain(`"result":${deep}`);
  });

  test('deep nesting beside an own seq is refused with a reason or written anew, and never throws', () => {
    for (const depth of [10, 63, 64, 1_000, 5_000, 10_000, 32_000]) {
      const text = JSON.stringify(event({ seq: 1, note: 'R' })).replace('"R"', nested(depth));
      const decoded = decodeText(text);
      if (decoded.ok) expect(frameOf(decoded).json).toMatchObject({ seq: 7, processing_id: JOB });
      else expect(decoded).toMatchObject({ reason: 'too_deep', detail: expect.stringMatching(/64 levels/) });
      expect(decoded.ok).toBe(depth <= 63);
    }
  });

  test.each([
    [1, 0],
    [7, null],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 1],
  ])('a frame says seq %d and prev_seq %s', (seq, prevSeq) => {
    expect(frameOf(decode({}), seq, prevSeq).json).toMatchObject({ seq, prev_seq: prevSeq });
  });
});
