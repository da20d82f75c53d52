import { firstMismatch, type Mismatch, type Schema } from './schema.js';

/** Where a value breaks its schema (a JSON Pointer, '' for the whole) and how. */
export interface Explanation {
  readonly path: string;
  readonly problem: string;
}

// Tokens in the one form that they have here: base64url of a JSON object, and what follows it.
const TOKEN = /eyJ[\w-]{6,}(?:\.[\w-]*)*/g;
// Control and format characters, and line separators: what a terminal obeys, or what hides or turns around other text.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const MAX_SHOWN = 60;

/**
 * Text of unknown origin as an error message may hold it: on one line, what does not print as an escape of JSON, and
 * `[token]` for each token.
 * @param most the characters to keep; what is longer ends with three dots
 */
export function excerpt(text: string, most: number): string {
  // Looked at before it is cut, so that half a token is not shown, but no more of it than could matter.
  const clean = text
    .slice(0, 16 * most)
    .replace(TOKEN, '[token]')
    .replace(UNPRINTABLE, (sign) =>
      [...Array(sign.length).keys()]
        .map((at) => `\\u${sign.charCodeAt(at).toString(16).padStart(4, '0')}`)
        .join(''),
    );
  return clean.length > most ? `${clean.slice(0, most - 3).toWellFormed()}...` : clean;
}

/** A value as an error message may show it: short, on one line, without tokens. */
export function show(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    // Nested more deeply than the stack reaches, where String() would throw as well.
    text = Array.isArray(value) ? '[...]' : typeof value === 'object' ? '{...}' : String(value);
  }
  return excerpt(text, MAX_SHOWN);
}

/** What a schema asks for, in words. */
export function expectation(schema: Schema): string {
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

/** A compiled check of TypeBox, as far as it is needed here. */
interface Check {
  Errors(value: unknown): { First(): Mismatch | undefined };
}

/** The first thing that is wrong with `value`. Call it only when the check has failed. */
export function explain(check: Check, value: unknown): Explanation {
  const first = check.Errors(value).First();
  return first === undefined ? { path: '', problem: 'does not fit' } : explanationOf(first);
}

/** The first thing that is wrong with `value`, in the words of `explain`; null: it fits. Needs no compiled check. */
export function mistakeIn(schema: Schema, value: unknown): Explanation | null {
  const first = firstMismatch(schema, value);
  return first === null ? null : explanationOf(first);
}

function explanationOf({ path, schema, value }: Mismatch): Explanation {
  const wanted = expectation(schema);
  const problem =
    value === undefined ? `is missing; expected ${wanted}` : `is ${show(value)}; expected ${wanted}`;
  return { path, problem };
}
