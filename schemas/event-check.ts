import { EVENT_SCHEMA, type EventFields } from './event.generated.js';
import { type Explanation, mistakeIn } from './explain.js';

/** An event is at most this many bytes of UTF-8. PROTOCOL.md, "Events". */
export const EVENT_MAX_BYTES = 64 * 1024;

/**
 * What is wrong with `value` as an event; null when it is one. It says what `checkEvent` of event.ts says, without TypeBox
 * and more slowly. What JSON can hold is never thrown at.
 */
export function mistakeInEvent(value: unknown): Explanation | null {
  return mistakeIn(EVENT_SCHEMA, value) ?? misplacedEnding(value as EventFields);
}

/** What only an end may have, and this event has although it is none; null: nothing. */
export function misplacedEnding(event: EventFields): Explanation | null {
  if (event.result !== undefined && event.status !== 'completed') {
    return {
      path: '/result',
      problem: `comes only with status "completed", and the status is "${event.status}"`,
    };
  }
  if (event.error !== undefined && event.status !== 'error') {
    return { path: '/error', problem: `comes only with status "error", and the status is "${event.status}"` };
  }
  return null;
}
