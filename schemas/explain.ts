import type { TSchema } from '@sinclair/typebox';
import type { TypeCheck } from '@sinclair/typebox/compiler';

/** Where a value breaks its schema (a JSON Pointer, '' for the whole) and how. */
export interface Explanation {
  readonly path: string;
  readonly problem: string;
}

/** A value as an error message may show it: short, on one line. */
export function show(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    // Nested more deeply than the stack reaches, where String() would throw as well.
    text = Array.isArray(value) ? '[...]' : typeof value === 'object' ? '{...}' : String(value);
  }
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** What a schema asks for, in words. */
export function expectation(schema: TSchema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (Array.isArray(schema.anyOf)) return schema.anyOf.map(expectation).join(' or ');
  if (schema.format === 'date-time') return 'a date and time as in RFC 3339, such as 2026-01-31T12:00:00Z';
  if (schema.pattern !== undefined) return `text that matches ${schema.pattern}`;
  if (schema.maxLength !== undefined) return `text of at most ${schema.maxLength} characters`;
  if (schema.type === 'integer' || schema.type === 'number') {
    const noun = schema.type === 'integer' ? 'an integer' : 'a number';
    if (schema.exclusiveMinimum !== undefined) return `${noun} above ${schema.exclusiveMinimum}`;
    const { minimum, maximum } = schema;
    const open = maximum === undefined || maximum === Number.MAX_SAFE_INTEGER;
    if (minimum !== undefined)
      return open ? `${noun} from ${minimum}` : `${noun} from ${minimum} to ${maximum}`;
    return noun;
  }
  if (schema.type === 'boolean') return 'true or false';
  return schema.type === 'object' ? 'an object' : `a value of type ${schema.type}`;
}

/** The first thing that is wrong with `value`. Call it only when the check has failed. */
export function explain(check: TypeCheck<TSchema>, value: unknown): Explanation {
  const first = check.Errors(value).First();
  if (first === undefined) return { path: '', problem: 'does not fit' };
  const wanted = expectation(first.schema);
  return first.value === undefined
    ? { path: first.path, problem: `is missing; expected ${wanted}` }
    : { path: first.path, problem: `is ${show(first.value)}; expected ${wanted}` };
}
