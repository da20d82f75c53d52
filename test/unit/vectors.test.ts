import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeEvent } from '../../internal/eventlog/decode.js';
import { checkEvent, Event } from '../../schemas/event.js';

// What these files hold is for SDKs in every language: sdk/python/tests/test_vectors.py runs them, too. A vector whose
// `pad_to` is given has spaces behind its body, to that many bytes.
interface Vector {
  readonly name: string;
  readonly subject: string;
  readonly body?: string;
  readonly base64?: string;
  readonly pad_to?: number;
  readonly valid: boolean;
  readonly reason?: string;
  /** Where a body breaks the schema, as a JSON Pointer. */
  readonly path?: string;
}

const FOLDER = new URL('../../schemas/vectors/', import.meta.url);
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
const vectorsOf = (file: string) => JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Vector[];
const all = files.flatMap(vectorsOf);

function bytesOf({ body, base64, pad_to = 0 }: Vector): Uint8Array {
  const bytes = body === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(body);
  return Buffer.concat([bytes, Buffer.alloc(Math.max(0, pad_to - bytes.length), ' ')]);
}

describe.each(files)('G8 bad input: the shared vectors of %s', (file) => {
  test.each(vectorsOf(file))('$name', (vector) => {
    const decoded = decodeEvent(vector.subject, bytesOf(vector));
    expect(decoded.ok ? 'valid' : decoded.reason).toBe(vector.valid ? 'valid' : vector.reason);
  });
});

/** The places in an event that the schema names: '/progress', '/step/index'. */
function places(schema: { readonly properties?: object }, path = ''): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => [
    `${path}/${name}`,
    ...places(inner as { properties?: object }, `${path}/${name}`),
  ]);
}

function has(value: unknown, place: string): boolean {
  const [, name = '', ...rest] = place.split('/');
  if (typeof value !== 'object' || value === null || !(name in value)) return false;
  return rest.length === 0 || has((value as Record<string, unknown>)[name], `/${rest.join('/')}`);
}

describe('the shared vectors', () => {
  test('each has a name of its own, exactly one body, and a reason if it is not valid', () => {
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    for (const { name, body, base64, valid, reason, path } of all) {
      expect((body === undefined) !== (base64 === undefined), name).toBe(true);
      expect(reason === undefined, name).toBe(valid);
      expect(path === undefined, name).toBe(reason !== 'schema');
    }
  });

  test('a path is where the schema breaks', () => {
    for (const { name, body = '', path } of all.filter((vector) => vector.reason === 'schema')) {
      expect(checkEvent(JSON.parse(body))?.path, name).toBe(path);
    }
  });

  test.each(places(Event))('%s is there in a valid vector, and is wrong in another', (place) => {
    const isThere = all.some(
      ({ valid, body }) => valid && body !== undefined && has(JSON.parse(body), place),
    );
    expect(isThere, 'valid').toBe(true);
    // Any JSON fits there.
    if (place === '/error/details') return;
    expect(
      all.some(({ path }) => path === place),
      'wrong',
    ).toBe(true);
  });

  test('every reason is there', () => {
    const reasons = new Set(all.flatMap(({ reason }) => (reason === undefined ? [] : [reason])));
    expect([...reasons].sort()).toEqual(
      ['bad_subject', 'not_json', 'not_utf8', 'schema', 'subject_mismatch', 'too_deep', 'too_large'].sort(),
    );
  });
});
