import type { EventFields } from '../../schemas/event.generated.js';
import { EVENT_MAX_BYTES, mistakeInEvent } from '../../schemas/event-check.js';
import { isTooDeep } from '../../schemas/nesting.js';
import type { SupersededReason } from './errors.js';

/** A job's newest message in the stream. */
export interface LastMessage {
  readonly seq: number;
  /** Its `Nats-Msg-Id`, '' without one. */
  readonly msgId: string;
  /** null: it is no valid event. */
  readonly event: EventFields | null;
  /**
   * The sequence that its header `Nats-Expected-Last-Subject-Sequence` names (0: none); null: it was written without
   * this condition.
   */
  readonly expected: number | null;
}

/** The run whose message was rejected. */
export interface Writer {
  /** The prefix of this run's message ids, and of no other's. */
  readonly runId: string;
  /** The id of the message that was rejected. */
  readonly msgId: string;
  readonly attempt: number;
  /** The highest percent of its events. */
  readonly percent: number;
  /** Whether an event of this run is stored. */
  readonly hasBegun: boolean;
  /** A try of this message may be stored. */
  readonly mayBeStored: boolean;
  /** If it is, JetStream still detects the duplicate id, and does not store it again. */
  readonly isInDedupWindow: boolean;
}

/** What to do with an event that was rejected because the subject's last message is not the expected one. */
export type FencingDecision =
  /** It is stored already, as the last one. */
  | { readonly kind: 'stored'; readonly seq: number }
  /** No conflict: send it again, on the condition that `expected` is the last sequence. */
  | { readonly kind: 'send'; readonly expected: number; readonly attempt: number }
  /** Another worker has the job. */
  | { readonly kind: 'superseded'; readonly reason: SupersededReason; readonly seq: number };

/** The error code that an edge writes for a job that timed out. */
const TIMEOUT_CODE = 'timeout';
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Reads a stored message as an event of the job; null when it is none. Never throws. */
export function readEvent(processingId: string, body: Uint8Array): EventFields | null {
  if (body.length > EVENT_MAX_BYTES) return null;
  try {
    const text = utf8.decode(body);
    const value: unknown = JSON.parse(text);
    if (isTooDeep(text) || mistakeInEvent(value) !== null) return null;
    const event = value as EventFields;
    return event.processing_id === processingId ? event : null;
  } catch {
    return null;
  }
}

/**
 * Whether a message alone tells how high the attempts of its job are, so that earlier ones need not be read. A message
 * with an id and a condition comes from a writer that knew the events before it. Other publishers may write any attempt
 * at any time, or none. The timeout event of an edge, which has no id, repeats the attempt that it found.
 */
export function isConclusive(message: LastMessage, writer: Writer): boolean {
  if (isOurs(message, writer)) return true;
  const attempt = message.event?.attempt;
  if (attempt === undefined) return false;
  if (writer.hasBegun && attempt > writer.attempt) return true;
  return message.msgId !== '' && message.expected !== null;
}

/**
 * The message that tells who has the job: one of the highest attempt, and the one of that attempt that counts most. An
 * event without an attempt belongs to the highest attempt before it, and matters only if it is terminal.
 * @param messages from the oldest to the newest, at least one
 * @param floor the attempt before them; 0: none is known
 * @returns with the sequence of the newest one; `event` is null where none of them tells who has the job
 */
export function currentClaim(messages: readonly LastMessage[], writer: Writer, floor: number): LastMessage {
  let highest = floor;
  let claim: LastMessage | null = null;
  for (const message of messages) {
    const { event } = message;
    if (event === null) continue;
    const isTimeout = isTimeoutOfEdge(message);
    const isNameless = event.attempt === undefined;
    if (isNameless && (event.status === 'processing' || (isTimeout && (highest > 0 || writer.hasBegun))))
      continue;
    const attempt = event.attempt ?? (highest || (writer.hasBegun ? writer.attempt : 1));
    if (attempt < highest) continue;
    const isBesideClaim = claim !== null && attempt === highest;
    highest = attempt;
    // A timeout says that this attempt fell silent, not whose it is. And nothing after a terminal event undoes it.
    if (isBesideClaim && isTimeout && (writer.hasBegun || isOurs(claim, writer))) continue;
    if (isBesideClaim && isEnd(claim) && (isTimeout || event.status === 'processing')) continue;
    claim = { ...message, event: { ...event, attempt } };
  }
  const seq = messages.at(-1)?.seq ?? 0;
  return claim === null ? { seq, msgId: '', event: null, expected: null } : { ...claim, seq };
}

/**
 * For the first event of a run.
 * @param requested the attempt that the author asked for; null takes the one after the last
 */
export function resolveStart(
  last: LastMessage | null,
  writer: Writer,
  requested: number | null,
): FencingDecision {
  if (last === null) return { kind: 'send', expected: 0, attempt: requested ?? 1 };
  if (last.msgId === writer.msgId) return { kind: 'stored', seq: last.seq };
  if (isOurs(last, writer)) return { kind: 'send', expected: last.seq, attempt: writer.attempt };
  const before = attemptOf(last.event);
  // Another worker counts up from what it finds. So if ours was stored and the job was then taken, the other attempt is
  // higher. But ours was only a guess, and a job that ran twice before has a higher one, too. Sending under the same
  // message id lets JetStream tell these cases apart.
  const isTaken = writer.mayBeStored && !writer.isInDedupWindow && before > writer.attempt;
  const attempt = requested ?? (isTaken ? writer.attempt : before + 1);
  if (attempt > before) return { kind: 'send', expected: last.seq, attempt };
  const reason = attempt < before ? 'newer_attempt' : reasonOf(last.event);
  return { kind: 'superseded', reason, seq: last.seq };
}

/** For every later event of a run. */
export function resolveConflict(last: LastMessage | null, writer: Writer): FencingDecision {
  const { attempt } = writer;
  // Purged, expired, or the stream was created again: there is nothing to overwrite.
  if (last === null) return { kind: 'send', expected: 0, attempt };
  if (last.msgId === writer.msgId) return { kind: 'stored', seq: last.seq };
  if (isOurs(last, writer)) return { kind: 'send', expected: last.seq, attempt };
  const isTimeout = isTimeoutOfEdge(last);
  // A terminal event without an attempt ends this one. A timeout without one does not: it is about an event without one.
  const theirs = last.event?.attempt ?? (hasEnded(last.event) && !isTimeout ? attempt : 0);
  if (theirs > attempt) return { kind: 'superseded', reason: 'newer_attempt', seq: last.seq };
  // An event of an older attempt, or of none, came late.
  if (theirs < attempt) return { kind: 'send', expected: last.seq, attempt };
  // An edge timed us out. It repeats the percent of the last event, so a higher one comes from another writer.
  if (isTimeout && (last.event?.progress ?? 0) <= writer.percent) {
    return { kind: 'send', expected: last.seq, attempt };
  }
  return {
    kind: 'superseded',
    reason: isTimeout ? 'other_writer' : reasonOf(last.event),
    seq: last.seq,
  };
}

const isOurs = (last: LastMessage | null, writer: Writer): boolean =>
  last?.msgId.startsWith(writer.runId) === true;

/** Whether it ends its attempt. The timeout of an edge does not, because the worker may come back. */
const isEnd = (message: LastMessage | null): boolean =>
  message !== null && hasEnded(message.event) && !isTimeoutOfEdge(message);

// A queue may write "queued" without an attempt; that uses no attempt. A terminal event without one ends the first.
function attemptOf(event: EventFields | null): number {
  if (event === null) return 0;
  return event.attempt ?? (event.status === 'processing' ? 0 : 1);
}

const hasEnded = (event: EventFields | null): boolean => event !== null && event.status !== 'processing';

function reasonOf(event: EventFields | null): SupersededReason {
  if (!hasEnded(event)) return 'other_writer';
  return event?.error?.code === TIMEOUT_CODE ? 'timeout' : 'finished';
}

// An edge sets no message id, but a worker always does: an error with an id ends an attempt.
const isTimeoutOfEdge = ({ event, msgId }: LastMessage): boolean =>
  msgId === '' && event?.error?.code === TIMEOUT_CODE && event.error.retryable === true;
