import { Event } from './event.js';
import { typeSource } from './type-source.js';

/**
 * The text of event.generated.ts: the schema of an event as plain data, and its type, for those who have no TypeBox. That
 * it is the same type as `Event` of event.ts, the compiler checks.
 */
export function eventSource(): string {
  const { $id: _id, title: _title, allOf: _allOf, ...schema } = Event;
  return `// Written by \`npm run schemas\`, from event.ts.
import type { Schema } from './schema.js';

/** An event, by the fields that the protocol names. Others are kept and passed on. */
export interface EventFields ${typeSource(schema)}

/** What an event has to fit, but for what only an end may have: \`misplacedEnding\` of event-check.ts. */
export const EVENT_SCHEMA = ${JSON.stringify(schema, null, 2)} as const satisfies Schema;
`;
}
