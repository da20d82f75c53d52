/** The check of events without TypeBox, which a worker's package holds, against the edge's own: the same answer in the same words. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Static, TSchema } from '@sinclair/typebox';
import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { EVENT_SCHEMA, type EventFields } from '../../schemas/event.generated.js';
import { checkEvent, Event } from '../../schemas/event.js';
import { mistakeInEvent } from '../../schemas/event-check.js';
import { eventSource } from '../../schemas/event-source.js';
import { mistakeIn } from '../../schemas/explain.js';
import { isTooDeep } from '../../schemas/nesting.js';
import { firstMismatch, type Schema } from '../../schemas/schema.js';

const RUNS = Number(process.env.HEADWAY_PROPERTY_RUNS ?? 1_000);
const SEED = process.env.HEADWAY_PROPERTY_SEED;
const CHECKS = { numRuns: RUNS, ...(SEED !== undefined && { seed: Number(SEED) }) };

type Fields = Record<string, unknown>;
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const VECTORS = new URL('../../schemas/vectors/', import.meta.url);
const texts = readdirSync(VECTORS)
  .flatMap((name) => JSON.parse(readFileSync(new URL(name, VECTORS), 'utf8')) as { body?: string }[])
  .flatMap(({ body }) => (body !== undefined && isJson(body) ? [body] : []));
const bodies = texts.map((text) => JSON.parse(text) as unknown);
// The others are deeper than the stack of what writes JSON.
const shallow = bodies.filter((_, index) => !isTooDeep(texts[index] ?? ''));

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const COMPLETE: Fields = {
  processing_id: 'job-1',
  status: 'error',
  progress: 50,
  timestamp: '2026-01-31T12:00:00.5+01:00',
  type: 'progress_update',
  message: 'Page 7',
  job_type: 'pdf.words',
  attempt: 2,
  step: { name: 'read', index: 7, total: 14 },
  indeterminate: false,
  eta_seconds: 0,
  stall_after_seconds: 1,
  timeout_seconds: 0.5,
  error: { code: 'x', message: 'y', retryable: true, details: [1] },
};

/** The values at and just beyond each limit that a schema has. */
function edges(schema: TSchema): unknown[] {
  const { minimum, maximum, exclusiveMinimum, maxLength } = schema as Record<string, number | undefined>;
  const numbers = [minimum, maximum, exclusiveMinimum].flatMap((limit) =>
    limit === undefined ? [] : [limit - 1, limit - 0.5, limit, limit + 0.5, limit + 1],
  );
  const lengths = maxLength === undefined ? [] : [maxLength, maxLength + 1];
  return [...numbers, ...lengths.flatMap((length) => ['x'.repeat(length), '😀'.repeat(length)])];
}

const LIMITS = [Event, Event.properties.step, Event.properties.error]
  .flatMap((schema) => Object.values(schema.properties as Record<string, TSchema>))
  .flatMap(edges);
const ODD = [
  ...LIMITS,
  ...[
    '',
    'a.b',
    'a\n',
    'x'.repeat(65),
    'x'.repeat(129),
    '2026-02-30T00:00:00Z',
    '2016-12-31t23:59:60z',
    'error',
  ],
  ...['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln', '\u202e\u0007', '\ud83d'],
  ...[null, true, false, {}, [], [COMPLETE], 2 ** 53, -0, 1e-300],
];
const value = fc.oneof(fc.constantFrom(...ODD), fc.jsonValue());
const NAMES = [...Object.keys(Event.properties), 'note', '__proto__', 'toString'];

/** Changes one place of an event: another value, or none. */
const mutation = fc.record({
  name: fc.constantFrom(...NAMES),
  inner: fc.option(fc.constantFrom('name', 'index', 'total', 'code', 'message', 'retryable', 'details')),
  value: fc.option(value, { nil: undefined }),
});

function mutate(
  event: unknown,
  { name, inner, value }: { name: string; inner: string | null; value: unknown },
) {
  if (!isObject(event)) return event;
  const member = event[name];
  const put = inner !== null && isObject(member) ? { ...member, [inner]: value } : value;
  // As it comes over the wire: what is undefined is not there.
  return JSON.parse(JSON.stringify({ ...event, [name]: put })) as unknown;
}

const event = fc
  .tuple(fc.constantFrom(COMPLETE, ...shallow), fc.array(mutation, { maxLength: 4 }))
  .map(([first, changes]) => changes.reduce(mutate, first));

describe('G8 bad input: a worker says of an event what an edge says, in the same words', () => {
  test.each(bodies.map((body, index) => [index, body]))('of the shared vector %i', (_index, body) => {
    expect(mistakeInEvent(body)).toEqual(checkEvent(body));
  });

  test('of events with anything in any place', () => {
    const problems = new Set<string>();
    fc.assert(
      fc.property(fc.oneof({ weight: 9, arbitrary: event }, value), (given) => {
        const wrong = checkEvent(given);
        expect(mistakeInEvent(given)).toEqual(wrong);
        problems.add(wrong?.path ?? 'none');
      }),
      CHECKS,
    );
    // Programs that are all valid, or all wrong in one place, would prove nothing.
    for (const path of ['none', '', '/progress', '/step/index', '/error/code', '/result']) {
      expect(problems, path).toContain(path);
    }
  });
});

describe('event.generated.ts', () => {
  test('is as `npm run schemas` makes it', () => {
    expect(readFileSync(new URL('../../schemas/event.generated.ts', import.meta.url), 'utf8')).toBe(
      eventSource(),
    );
  });

  test('has the type of the schema it is made from', () => {
    expectTypeOf<EventFields>().toEqualTypeOf<Static<typeof Event>>();
  });

  test('uses no keyword that its check does not know', () => {
    const known = new Set([
      ...['description', 'type', 'const', 'anyOf', 'properties', 'required', 'pattern', 'format'],
      ...['maxLength', 'minimum', 'maximum', 'exclusiveMinimum'],
    ]);
    const look = (schema: Schema): void => {
      expect(Object.keys(schema).filter((keyword) => !known.has(keyword))).toEqual([]);
      for (const inner of [...Object.values(schema.properties ?? {}), ...(schema.anyOf ?? [])]) look(inner);
    };
    look(EVENT_SCHEMA);
  });
});

describe('firstMismatch', () => {
  const schema: Schema = {
    type: 'object',
    required: ['id'],
    properties: { count: { type: 'integer', minimum: 0 }, id: { type: 'string' }, any: {} },
  };

  test('tells first what is missing, then what is wrong', () => {
    expect(mistakeIn(schema, { count: -1 })).toEqual({
      path: '/id',
      problem: 'is missing; expected a value of type string',
    });
    expect(mistakeIn(schema, { count: -1, id: 1 })?.path).toBe('/count');
    expect(mistakeIn(schema, { count: undefined, id: 'a', any: () => {}, more: 1 })).toBeNull();
  });

  test.each([null, undefined, 1, 'a', [], new Date(), new Uint8Array()])(
    'does not take %s for an object',
    (given) => {
      expect(firstMismatch(schema, given)).toEqual({ path: '', schema, value: given });
    },
  );

  test('takes members that are inherited', () => {
    expect(firstMismatch(schema, Object.create({ id: 'a' }))).toBeNull();
  });
});
