import { FormatRegistry, Kind, type TSchema, Type, TypeRegistry } from '@sinclair/typebox';

// JSON Schema counts characters as code points; TypeBox's own maxLength counts UTF-16 units, so that a text of
// emoji would be valid for a worker's validator and invalid here. This kind counts as JSON Schema says.
const KIND = 'HeadwayText';

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

TypeRegistry.Set<TSchema & { maxLength: number }>(KIND, (schema, value) => {
  if (typeof value !== 'string') return false;
  return value.length <= schema.maxLength || codePoints(value) <= schema.maxLength;
});

/** A string of at most `maxLength` characters (Unicode code points). */
export function Text(maxLength: number, description: string) {
  return Type.Unsafe<string>({ [Kind]: KIND, type: 'string', maxLength, description });
}

const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(\.\d+)?([Zz]|[+-](\d{2}):(\d{2}))$/;

// The calendar comes round every 400 years. Date takes the years from 0 to 99 for those of another century.
const daysInMonth = (year: number, month: number): number =>
  new Date(Date.UTC(2_000 + (year % 400), month, 0)).getUTCDate();

/** Whether `text` is a date and time as RFC 3339 writes it, with a day that exists. A leap second is one. */
export function isRfc3339(text: string): boolean {
  const parts = RFC3339.exec(text);
  if (parts === null) return false;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const offsetHour = Number(parts[9] ?? 0);
  const offsetMinute = Number(parts[10] ?? 0);
  return (
    month >= 1 &&
    month <= 12 &&
    day >= 1 &&
    day <= daysInMonth(year, month) &&
    hour <= 23 &&
    minute <= 59 &&
    second <= 60 &&
    offsetHour <= 23 &&
    offsetMinute <= 59
  );
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
