import { checkEvent, EVENT_MAX_BYTES, type Event, isFinished } from '../../schemas/event.js';
import { idOf } from '../../schemas/ids.js';

/** Why a stored message is not an event; a label of metrics, so a short list. PROTOCOL.md, "Invalid events". */
export type InvalidReason =
  | 'bad_subject'
  | 'too_large'
  | 'not_utf8'
  | 'not_json'
  | 'schema'
  | 'subject_mismatch';

/** A valid event, reduced to what serving it needs. `text` is the JSON object without its opening brace. */
export interface DecodedEvent {
  readonly id: string;
  readonly jobType: string | undefined;
  readonly finished: boolean;
  readonly namesType: boolean;
  readonly text: string;
}

export type Decoded =
  | { readonly ok: true; readonly event: DecodedEvent }
  | {
      readonly ok: false;
      readonly id: string | null;
      readonly reason: InvalidReason;
      readonly detail: string;
    };

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads one stored message as an event. Never throws: what does not fit comes back with the reason.
 * PROTOCOL.md, "Events".
 *
 * @param subject the message's subject, `progress.<processing_id>`
 * @param bytes the message's body
 */
export function decodeEvent(subject: string, bytes: Uint8Array): Decoded {
  const id = idOf(subject);
  if (id === null) {
    return {
      ok: false,
      id: null,
      reason: 'bad_subject',
      detail: 'the subject is not progress.<processing_id>',
    };
  }
  const invalid = (reason: InvalidReason, detail: string): Decoded => ({ ok: false, id, reason, detail });
  if (bytes.byteLength > EVENT_MAX_BYTES) {
    return invalid('too_large', `${bytes.byteLength} bytes; expected at most ${EVENT_MAX_BYTES}`);
  }
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return invalid('not_utf8', 'the body is not UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return invalid('not_json', (error as Error).message);
  }
  const wrong = checkEvent(value);
  if (wrong !== null) return invalid('schema', `${wrong.path || 'the event'} ${wrong.problem}`);
  const event = value as Event;
  if (event.processing_id !== id) {
    return invalid('subject_mismatch', `processing_id is "${event.processing_id}"; the subject says "${id}"`);
  }
  const body = bodyOf(text, event);
  if (body === null) return invalid('schema', 'the event is nested too deeply');
  return {
    ok: true,
    event: {
      // Not cut from the subject: a cut string keeps the whole in memory.
      id: event.processing_id,
      jobType: event.job_type,
      finished: isFinished(event),
      namesType: event.type !== undefined,
      text: body,
    },
  };
}

// The worker's own bytes are passed on, not a re-serialisation, so that numbers beyond JavaScript's precision reach
// the client as they were written. Only an event that uses our names for its own fields has to be written anew.
function bodyOf(text: string, event: Event): string | null {
  const open = text.indexOf('{');
  if (!('seq' in event) && !('prev_seq' in event)) return text.slice(open + 1).trimEnd();
  const { seq: _seq, prev_seq: _prevSeq, ...rest } = event as Event & { seq?: unknown; prev_seq?: unknown };
  try {
    return JSON.stringify(rest).slice(1);
  } catch {
    return null;
  }
}

/** The `progress_update` frame of an event, as text. PROTOCOL.md, "progress_update". */
export function updateFrame(event: DecodedEvent, seq: number, prevSeq: number | null): string {
  const type = event.namesType ? '' : '"type":"progress_update",';
  const frame = `{${type}"seq":${seq},"prev_seq":${prevSeq},${event.text}`;
  // Looking into the text makes V8 join its pieces, and so let go of the body that they were cut from. Sending it would
  // do the same, but most last states are never sent.
  frame.charCodeAt(0);
  return frame;
}
