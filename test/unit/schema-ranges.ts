/** The ranges of a schema in the words that the documents use. */
import type { TSchema } from '@sinclair/typebox';

/** A number as the documents write it. */
export const count = (value: number): string =>
  value === Number.MAX_SAFE_INTEGER ? '2^53-1' : value.toLocaleString('en-US');

/** @param literal writes a constant */
export function ranges(schema: TSchema, literal: (value: unknown) => string): string[] {
  if (Array.isArray(schema.anyOf)) return (schema.anyOf as TSchema[]).flatMap((one) => ranges(one, literal));
  if (schema.const !== undefined) return [`\`${literal(schema.const)}\``];
  if (schema.type === 'array') {
    const { items, minItems, maxItems } = schema as TSchema & { items: TSchema };
    if (items.const !== undefined) return [`\`["${items.const}"]\``];
    return [`${count(Number(minItems))} to ${count(Number(maxItems))}`, ...ranges(items, literal)];
  }
  if (schema.type === 'null') return ['`null`'];
  if (schema.type === 'integer' || schema.type === 'number') {
    const { minimum, maximum, exclusiveMinimum } = schema as Record<string, number | undefined>;
    if (exclusiveMinimum !== undefined) return [`above ${count(exclusiveMinimum)}`];
    if (minimum === undefined) return [];
    return [maximum === undefined ? `from ${count(minimum)}` : `${count(minimum)} to ${count(maximum)}`];
  }
  if (schema.format === 'date-time') return ['RFC 3339'];
  if (schema.pattern !== undefined) {
    const [, characters, least, most] = /^\^\[(.+)\]\{(\d+),(\d+)\}\$$/.exec(String(schema.pattern)) ?? [];
    if (characters === undefined) return [String(schema.expected)];
    return [`${least} to ${most} of \`${characters.match(/\w-\w|./g)?.join(' ')}\``];
  }
  const { minLength, maxLength } = schema as Record<string, number | undefined>;
  if (minLength !== undefined && maxLength !== undefined) {
    return [`${count(minLength)} to ${count(maxLength)} characters`];
  }
  if (maxLength !== undefined) return [`at most ${count(maxLength)} characters`];
  if (minLength !== undefined) return [`at least ${count(minLength)} character`];
  return [];
}
