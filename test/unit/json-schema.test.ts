import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeEvent, updateFrame } from '../../internal/eventlog/decode.js';
import { frames, parseClientFrame } from '../../internal/session/frames.js';
import { checkClaims, MAX_CLAIMED_JOB_TYPES, MAX_CLAIMED_JOBS } from '../../schemas/claims.js';
import { checkEvent } from '../../schemas/event.js';
import { RESET_REASONS } from '../../schemas/frames.js';
import { jsonSchemaFiles } from '../../schemas/json-schema.js';
import { isRfc3339 } from '../../schemas/text.js';

const FOLDER = new URL('../../schemas/json/', import.meta.url);

type Schema = Record<string, unknown>;
type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function isType(type: unknown, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'null') return value === null;
  if (type === 'object') return isObject(value);
  if (type === 'array') return Array.isArray(value);
  return typeof value === type;
}

/**
 * A reading of JSON Schema that knows the keywords of our files and no others, from its specification and not from
 * the library that the schemas are written with: what a worker's validator in another language makes of them.
 */
function accepts(root: Schema, schema: Schema, value: unknown): boolean {
  const sub = (part: unknown, of = value) => accepts(root, part as Schema, of);
  const number = (holds: (it: number) => boolean) => typeof value !== 'number' || holds(value);
  const string = (holds: (it: string) => boolean) => typeof value !== 'string' || holds(value);
  return Object.entries(schema).every(([keyword, wanted]) => {
    switch (keyword) {
      case '$schema':
      case '$defs':
      case 'title':
      case 'description':
      case 'then':
        return true;
      case '$ref':
        return sub((root.$defs as Fields)[String(wanted).replace('#/$defs/', '')]);
      case 'type':
        return isType(wanted, value);
      case 'const':
        return value === wanted;
      case 'items':
        return !Array.isArray(value) || value.every((item) => sub(wanted, item));
      case 'minItems':
        return !Array.isArray(value) || value.length >= Number(wanted);
      case 'maxItems':
        return !Array.isArray(value) || value.length <= Number(wanted);
      case 'required':
        return !isObject(value) || (wanted as string[]).every((name) => Object.hasOwn(value, name));
      case 'properties':
        return (
          !isObject(value) ||
          Object.entries(wanted as Fields).every(
            ([name, part]) => !Object.hasOwn(value, name) || sub(part, value[name]),
          )
        );
      case 'anyOf':
        return (wanted as Schema[]).some((part) => sub(part));
      case 'oneOf':
        return (wanted as Schema[]).filter((part) => sub(part)).length === 1;
      case 'allOf':
        return (wanted as Schema[]).every((part) => sub(part));
      case 'if':
        return !sub(wanted) || sub(schema.then ?? {});
      case 'minimum':
        return number((it) => it >= Number(wanted));
      case 'maximum':
        return number((it) => it <= Number(wanted));
      case 'exclusiveMinimum':
        return number((it) => it > Number(wanted));
      case 'minLength':
        return string((it) => [...it].length >= Number(wanted));
      case 'maxLength':
        return string((it) => [...it].length <= Number(wanted));
      case 'pattern':
        return string((it) => new RegExp(String(wanted), 'u').test(it));
      case 'format':
        return string((it) => wanted === 'date-time' && isRfc3339(it));
      default:
        throw new Error(`this test does not know the keyword ${keyword}`);
    }
  });
}

/** What the committed file says of a value. */
function accepter(name: string): (value: unknown) => boolean {
  const schema = JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as Schema;
  return (value) => accepts(schema, schema, value);
}

describe('schemas/json', () => {
  test('holds exactly the generated files', () => {
    expect(new Set(readdirSync(FOLDER))).toEqual(new Set(jsonSchemaFiles().keys()));
  });

  test.each([...jsonSchemaFiles()])('%s is as `npm run schemas` makes it', (name, text) => {
    expect(readFileSync(new URL(name, FOLDER), 'utf8')).toBe(text);
  });

  test('nothing of the loader\u2019s own is in them', () => {
    for (const text of jsonSchemaFiles().values()) {
      expect(text).not.toMatch(/HeadwayText|"(env|secret|expected|\$id)":/);
    }
  });
});

const base: Fields = {
  processing_id: 'job-1',
  status: 'processing',
  progress: 50,
  timestamp: '2026-01-31T12:00:00Z',
};

/** Values at and around every limit of the contract, in every field. */
const SPECIMENS: Readonly<Record<string, readonly unknown[]>> = {
  processing_id: ['a', 'a'.repeat(128), 'a'.repeat(129), 'a.b', 'a\n', '-_'],
  status: ['processing', 'completed', 'error', 'done'],
  progress: [0, 100, -1, 100.5, 33.3],
  timestamp: ['2016-12-31T23:59:60Z', '2026-02-29T00:00:00Z', '2026-01-31', '2026-01-31t00:00:00.5+01:00'],
  type: ['progress_update', 'update'],
  message: ['x'.repeat(4096), 'x'.repeat(4097), '😀'.repeat(4096), '😀'.repeat(4097), '\ud83d'.repeat(4096)],
  job_type: ['pdf.ocr', 'a'.repeat(64), 'a'.repeat(65), 'a b'],
  attempt: [1, 0, 1.5, 2 ** 53 - 1, 2 ** 53],
  step: [
    { name: 'x'.repeat(256) },
    { name: '😀'.repeat(257) },
    { index: 0, total: -1 },
    { index: 1.5 },
    { x: 1 },
  ],
  indeterminate: [false, 'false'],
  eta_seconds: [0, -0.5, 1e9],
  stall_after_seconds: [0, 0.001, -1],
  timeout_seconds: [0, 0.001, -1],
  result: [0],
  error: [
    {},
    { code: 'x'.repeat(129) },
    { message: 'x'.repeat(4097) },
    { retryable: 1 },
    { details: null, x: 1 },
  ],
  note: ['unknown'],
};
const ANY = [null, true, 1, '', 'text', [], {}, [base], { processing_id: 'x' }];

describe('event.schema.json says what the edge says', () => {
  const schema = accepter('event.schema.json');
  const agree = (value: unknown) => {
    const result = checkEvent(value);
    expect({ value, accepted: schema(value) }).toEqual({ value, accepted: result === null });
  };

  test.each(ANY)('of %j', agree);

  test.each(Object.entries(SPECIMENS))('of every kind of %s', (field, specimens) => {
    const results = new Set<boolean>();
    for (const status of ['processing', 'completed', 'error']) {
      for (const value of [...specimens, ...ANY]) {
        const event = { ...base, status, [field]: value };
        agree(event);
        results.add(schema(event));
      }
    }
    // A field that may be anything is the only one of which nothing is refused.
    expect(results).toEqual(new Set(field === 'note' ? [true] : [true, false]));
  });

  test.each(Object.keys(base))('when %s is missing', (field) => {
    const { [field]: _left, ...rest } = base;
    agree(rest);
    expect(schema(rest)).toBe(false);
  });

  test('of any fields together', () => {
    const field = fc
      .constantFrom(...Object.keys(SPECIMENS))
      .chain((name) =>
        fc.tuple(fc.constant(name), fc.oneof(fc.constantFrom(...(SPECIMENS[name] ?? [])), fc.jsonValue())),
      );
    fc.assert(
      fc.property(fc.array(field, { maxLength: 5 }), (fields) =>
        agree({ ...base, ...Object.fromEntries(fields) }),
      ),
      { numRuns: 500 },
    );
  });
});

describe('server-frames.schema.json takes what an edge sends', () => {
  const schema = accepter('server-frames.schema.json');
  const sent: [type: string, text: string][] = [
    ['hello', frames.hello('dn228pdihkh5', 'AxqJSB5HlqD7', 15_000, 'x6Yp0bN2Qc1dTq9A')],
    ...RESET_REASONS.map((reason): [string, string] => ['reset', frames.reset(reason, 'abc', 0, 9)]),
    ['caught_up', frames.caughtUp(0)],
    ['heartbeat', frames.heartbeat(5, 'ok')],
    ['heartbeat', frames.heartbeat(5, 'away')],
    ['token_expiring', frames.tokenExpiring('2026-01-31T13:00:00.000Z')],
    ['draining', frames.draining(5_000)],
    ['end', frames.end()],
    ['error', frames.error('invalid_frame', 'the frame is not JSON')],
    ['pong', frames.pong()],
  ];
  test.each(sent)('%s: %s', (type, text) => {
    const frame: unknown = JSON.parse(text);
    expect(frame).toMatchObject({ type });
    expect(schema(frame)).toBe(true);
  });

  test.each([0, 3, null])('progress_update with prev_seq %s', (prevSeq) => {
    const body = { ...base, status: 'completed', result: { pages: 3 }, note: [1] };
    const decoded = decodeEvent('progress.job-1', new TextEncoder().encode(JSON.stringify(body)));
    if (!decoded.ok) throw new Error(decoded.detail);
    const frame = JSON.parse(updateFrame(decoded.event, 7, prevSeq)) as Fields;
    expect(schema(frame)).toBe(true);
    expect(schema({ ...frame, seq: 0 })).toBe(false);
    expect(schema({ ...frame, prev_seq: -1 })).toBe(false);
    expect(schema({ ...frame, status: 'done' })).toBe(false);
  });

  test.each([{}, { type: 'unknown' }, { type: 'end', x: 1 }, { type: 'error', code: 'x', message: 'y' }, []])(
    'and tells frames apart: %j',
    (value) => {
      expect(schema(value)).toBe('x' in value);
    },
  );
});

describe('client-frames.schema.json says what the edge says', () => {
  const schema = accepter('client-frames.schema.json');
  test.each([
    { type: 'ping' },
    { type: 'ping', id: 7 },
    { type: 'auth', token: 'abc' },
    { type: 'auth', token: 'x'.repeat(8192) },
    { type: 'auth', token: 'x'.repeat(8193) },
    { type: 'auth', token: '' },
    { type: 'auth', token: 1 },
    { type: 'auth' },
    { type: 'pong' },
    { token: 'abc' },
    {},
    [],
    null,
    'ping',
  ])('of %j', (value) => {
    expect(schema(value)).toBe(parseClientFrame(JSON.stringify(value), 16_384).ok);
  });
});

describe('claims.schema.json says what the edge says', () => {
  const schema = accepter('claims.schema.json');
  const claims = { exp: 1_769_864_400, jobs: ['*'] };
  const many = (count: number) => Array.from({ length: count }, (_, index) => `id-${index}`);
  const lists = [['*'], ['a'], ['*', 'a'], ['a', '*'], ['**'], [], ['a b'], ['a.b'], [1], 'a', null, {}];
  const specimens: Readonly<Record<string, readonly unknown[]>> = {
    exp: [0, 1.5, -1, 8_640_000_000_000, 8_640_000_000_001, '1769864400', null],
    nbf: [0, -1, 1.5, '0', null],
    iat: [0, -1, 1.5, '0', null],
    sub: ['', 'ada', 'x'.repeat(256), 'x'.repeat(257), '😀'.repeat(256), 1, null],
    jobs: [
      ...lists,
      ['a'.repeat(128)],
      ['a'.repeat(129)],
      many(MAX_CLAIMED_JOBS),
      many(MAX_CLAIMED_JOBS + 1),
    ],
    job_types: [...lists, ['a'.repeat(65)], many(MAX_CLAIMED_JOB_TYPES), many(MAX_CLAIMED_JOB_TYPES + 1)],
  };

  test.each(Object.entries(specimens))('of every kind of %s', (claim, values) => {
    const results = values.map((value) => {
      const accepted = schema({ ...claims, [claim]: value });
      expect({ value, accepted }).toEqual({ value, accepted: checkClaims({ ...claims, [claim]: value }).ok });
      return accepted;
    });
    expect(new Set(results)).toEqual(new Set([true, false]));
  });

  test.each([
    [claims, true],
    [{ ...claims, iss: 1, aud: ['x'], name: 'Ada' }, true],
    [{ exp: claims.exp, job_types: ['pdf.ocr'] }, true],
    [{ exp: claims.exp }, false],
    [{ jobs: ['*'] }, false],
    [null, false],
    [[], false],
    ['text', false],
  ])('of %j', (value, expected) => {
    expect([schema(value), checkClaims(value).ok]).toEqual([expected, expected]);
  });
});

test('close-codes.json and config.schema.json are JSON that other languages can read', () => {
  const read = (name: string) => JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as Fields;
  expect(read('close-codes.json')).toMatchObject({
    close_codes: expect.arrayContaining([
      expect.objectContaining({ code: 4401, action: 'retry_with_new_token' }),
    ]),
    error_codes: { invalid_last_seq: 'bad_request' },
  });
  expect(read('config.schema.json')).toMatchObject({
    properties: { HEADWAY_PORT: { type: 'integer', default: 8080, minimum: 0, maximum: 65_535 } },
  });
});
