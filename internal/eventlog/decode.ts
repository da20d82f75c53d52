import { checkEvent, EVENT_MAX_BYTES, type Event, isFinished } from '../../schemas/event.js';
import { excerpt } from '../../schemas/explain.js';
import { idOf } from '../../schemas/ids.js';
import { isTooDeep, MAX_LEVELS } from '../../schemas/nesting.js';

/** Why a stored message is not an event; a label of metrics, so a short list. PROTOCOL.md, "Invalid events". */
export type InvalidReason =
  | 'bad_subject'
  | 'too_large'
  | 'not_utf8'
  | 'not_json'
  | 'too_deep'
  | 'schema'
  | 'subject_mismatch';

/** What the silence of a job that runs means: after how much it is stalled, or dead. undefined: its event does not say. */
export interface LivenessPolicy {
  readonly stallAfterSeconds: number | undefined;
  readonly timeoutSeconds: number | undefined;
  /** undefined: its event names none. */
  readonly attempt: number | undefined;
}

/** Shared by the many events that say nothing of it. */
const NO_POLICY: LivenessPolicy = {
  stallAfterSeconds: undefined,
  timeoutSeconds: undefined,
  attempt: undefined,
};
/** The most usual attempt. */
const NO_POLICY_AT_FIRST: LivenessPolicy = { ...NO_POLICY, attempt: 1 };

/** A valid event, reduced to what serving it needs. `json` is the worker's own text: one JSON object, with nothing around it. */
export interface DecodedEvent {
  readonly id: string;
  readonly jobType: string | undefined;
  readonly status: Event['status'];
  readonly finished: boolean;
  /** null: the job does not run (it has ended, or waits for its next attempt), so its silence means nothing. */
  readonly policy: LivenessPolicy | null;
  readonly hasType: boolean;
  readonly json: string;
  /** What a client must see change: status, attempt, step and type in one text, the same one for equal ones. */
  readonly phase: string;
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
  if (id === null) return invalid(id, 'bad_subject', 'the subject is not progress.<processing_id>');
  if (bytes.byteLength > EVENT_MAX_BYTES) {
    return invalid(id, 'too_large', `${bytes.byteLength} bytes; expected at most ${EVENT_MAX_BYTES}`);
  }
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return invalid(id, 'not_utf8', 'the body is not UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // V8 repeats a piece of the text.
    return invalid(id, 'not_json', excerpt((error as Error).message, 200));
  }
  if (isTooDeep(text)) {
    return invalid(id, 'too_deep', `the event is nested more than ${MAX_LEVELS} levels deep`);
  }
  const problem = problemOf(value);
  if (problem !== null) return invalid(id, 'schema', problem);
  const event = value as Event;
  if (event.processing_id !== id) {
    return invalid(
      id,
      'subject_mismatch',
      `processing_id is "${event.processing_id}"; the subject says "${id}"`,
    );
  }
  return {
    ok: true,
    event: {
      // Not cut from the subject: a cut string keeps the whole in memory.
      id: event.processing_id,
      jobType: event.job_type,
      status: STATUS[event.status],
      finished: isFinished(event),
      policy: policyOf(event),
      hasType: event.type !== undefined,
      json: objectIn(text, event),
      phase: phaseOf(event),
    },
  };
}

function invalid(id: string | null, reason: InvalidReason, detail: string): Decoded {
  return { ok: false, id, reason, detail };
}

// One text for all events, not a piece of each one's own.
const STATUS: { readonly [S in Event['status']]: S } = {
  processing: 'processing',
  completed: 'completed',
  error: 'error',
};

/** The most phases that are shared. Then it begins anew. */
const MAX_PHASES = 4_096;
const phases = new Map<string, string>();
/** The phase of the event before, and what it was made of: of many events in a row it is the same. */
const newest: {
  state: string;
  attempt: number | undefined;
  jobType: string | undefined;
  step: string | undefined;
  phase: string;
} = { state: '', attempt: undefined, jobType: undefined, step: undefined, phase: '' };

// Few phases come again and again, in millions of last states.
function phaseOf(event: Event): string {
  const { status, attempt, job_type: jobType } = event;
  // An error that may be tried again is another one than an end.
  const state = status === 'error' && isFinished(event) ? 'failed' : STATUS[status];
  const step = event.step?.name;
  if (
    newest.jobType === jobType &&
    newest.step === step &&
    newest.attempt === attempt &&
    newest.state === state
  )
    return newest.phase;
  newest.state = state;
  newest.attempt = attempt;
  newest.jobType = jobType;
  newest.step = step;
  newest.phase = shared(
    attempt === undefined && step === undefined && jobType === undefined
      ? state
      : `${state}\n${attempt ?? ''}\n${jobType ?? ''}${step === undefined ? '' : `\n${step}`}`,
  );
  return newest.phase;
}

function shared(phase: string): string {
  const known = phases.get(phase);
  if (known !== undefined) return known;
  // Those that come again are soon known again, also behind thousands that came once.
  if (phases.size >= MAX_PHASES) phases.clear();
  phases.set(phase, phase);
  return phase;
}

function policyOf({ status, stall_after_seconds, timeout_seconds, attempt }: Event): LivenessPolicy | null {
  if (status !== 'processing') return null;
  if (stall_after_seconds === undefined && timeout_seconds === undefined) {
    if (attempt === undefined) return NO_POLICY;
    if (attempt === 1) return NO_POLICY_AT_FIRST;
  }
  return { stallAfterSeconds: stall_after_seconds, timeoutSeconds: timeout_seconds, attempt };
}

// Whatever throws here would end the feed of every edge, again at each start, for as long as the message is kept.
function problemOf(value: unknown): string | null {
  try {
    const wrong = checkEvent(value);
    return wrong === null ? null : `${wrong.path || 'the event'} ${wrong.problem}`;
  } catch (error) {
    return `the event cannot be checked (${excerpt((error as Error).message, 200)})`;
  }
}

// The worker's own text is passed on, not a re-serialisation, so that numbers beyond JavaScript's precision reach the
// client as they were written. Only members that have our names are cut out of it.
function objectIn(text: string, event: Event): string {
  const hasOurs = 'seq' in event || 'prev_seq' in event || 'folded' in event || 'resume_seq' in event;
  if (hasOurs) return stripReserved(text, text.indexOf('{') + 1);
  const isBare = text.charCodeAt(0) === OPEN && text.charCodeAt(text.length - 1) === CLOSE;
  return isBare ? text : joined(`{${text.trim().slice(1)}`);
}

// Looking into a text makes V8 join its pieces, and so let go of what they were cut from: that stays in memory else, and
// nobody counts it. What is seen there must matter: a look that nobody uses is left out of optimised code (Node 22 and later).
function joined(text: string): string {
  if (text.charCodeAt(0) !== OPEN) throw new TypeError('a JSON object does not begin with {');
  return text;
}

const OPEN = 0x7b; // {
const CLOSE = 0x7d; // }

/** The members of a JSON object without those of our names. `text` must be valid JSON; the members begin at `start`. */
function stripReserved(text: string, start: number): string {
  const kept: string[] = [];
  let memberAt = start;
  let name: string | null = null;
  let depth = 0;
  for (let at = start; depth >= 0; at++) {
    switch (text[at]) {
      case '"': {
        const end = stringEnd(text, at);
        // An escape may hide one of our names.
        name ??= JSON.parse(text.slice(at, end)) as string;
        at = end - 1;
        break;
      }
      case '{':
      case '[':
        depth++;
        break;
      case '}':
      case ']':
        depth--;
        if (depth < 0 && !isOurs(name)) kept.push(text.slice(memberAt, at));
        break;
      case ',':
        if (depth > 0) break;
        if (!isOurs(name)) kept.push(text.slice(memberAt, at));
        memberAt = at + 1;
        name = null;
        break;
    }
  }
  return `{${kept.join(',')}}`;
}

const OURS: ReadonlySet<string | null> = new Set(['seq', 'prev_seq', 'folded', 'resume_seq']);

const isOurs = (name: string | null): boolean => OURS.has(name);

/** The index behind the string whose opening quote stands at `at`. */
function stringEnd(text: string, at: number): number {
  let end = at + 1;
  while (text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  return end + 1;
}

/** The `progress_update` frame of an event, as text. PROTOCOL.md, "progress_update". */
export function updateFrame(
  { json, hasType }: Pick<DecodedEvent, 'json' | 'hasType'>,
  seq: number,
  prevSeq: number | null,
): string {
  const type = hasType ? '' : '"type":"progress_update",';
  return joined(`{${type}"seq":${seq},"prev_seq":${prevSeq},${json.slice(1)}`);
}
