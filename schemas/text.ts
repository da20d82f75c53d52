import { FormatRegistry, Kind, type TSchema, Type, TypeRegistry } from '@sinclair/typebox';
import { codePoints, isRfc3339 } from './formats.js';

export { isRfc3339 };

// JSON Schema counts characters as code points; TypeBox's own maxLength counts UTF-16 units, so that a text of
// emoji would be valid for a worker's validator and invalid here. This kind counts as JSON Schema says.
const KIND = 'HeadwayText';

TypeRegistry.Set<TSchema & { maxLength: number }>(KIND, (schema, value) => {
  if (typeof value !== 'string') return false;
  return value.length <= schema.maxLength || codePoints(value) <= schema.maxLength;
});

/** A string of at most `maxLength` characters (Unicode code points). */
export function Text(maxLength: number, description: string) {
  return Type.Unsafe<string>({ [Kind]: KIND, type: 'string', maxLength, description });
}

FormatRegistry.Set('date-time', isRfc3339);

/**
 * Text by others on one line of a terminal: what the terminal would obey (control characters, escape sequences, marks
 * of direction) and every kind of white space becomes one space.
 */
export const printable = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\s]+/gu, ' ').trim();

/**
 * The text of valid JSON on one line of a terminal. What a terminal would obey is written as an escape, so that the
 * value is the same to the last digit.
 */
export const printableJson = (json: string): string =>
  // Line breaks stand only between the values; a string has them as escapes already.
  json.replace(/[\n\r\t]+/g, ' ').replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );

/**
 * The address that a text is; null when it is none. Not by `URL.canParse`: after some thousands of calls it says of an
 * address with letters such as ü that it is none (Node 20.20 and 22.23; both in V8's fast path).
 */
export function parseUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
