import type { TSchema } from '@sinclair/typebox';
import { Event } from './event.js';

/**
 * The text of event.generated.ts: the schema of an event as plain data, and its type, for those who have no TypeBox. That
 * it is the same type as `Event` of event.ts, the compiler checks.
 */
export function eventSource(): string {
  const { $id: _id, title: _title, allOf: _allOf, ...schema } = Event;
  return `// Written by \`npm run schemas\`, from event.ts.
import type { Schema } from './schema.js';

/** An event, by the fields that the protocol names. Others are kept and passed on. */
export interface EventFields ${typeOf(schema, '')}

/** What an event has to fit, but for what only an end may have: \`misplacedEnding\` of event-check.ts. */
export const EVENT_SCHEMA = ${JSON.stringify(schema, null, 2)} as const satisfies Schema;
`;
}

function typeOf(schema: TSchema, indent: string): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (Array.isArray(schema.anyOf)) return schema.anyOf.map((one) => typeOf(one, indent)).join(' | ');
  switch (schema.type) {
    case 'object':
      return membersOf(schema, indent);
    case 'integer':
      return 'number';
    case 'string':
    case 'number':
    case 'boolean':
      return schema.type;
    case undefined:
      return 'unknown';
    default:
      throw new Error(`no field of an event has the type ${schema.type}`);
  }
}

function membersOf(schema: TSchema, indent: string): string {
  const inner = `${indent}  `;
  const required = new Set(schema.required as string[] | undefined);
  const members = Object.entries(schema.properties as Record<string, TSchema>).map(
    ([name, member]) => `${inner}${name}${required.has(name) ? '' : '?'}: ${typeOf(member, inner)};\n`,
  );
  return `{\n${members.join('')}${indent}}`;
}
