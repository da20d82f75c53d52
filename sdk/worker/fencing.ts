import { checkEvent, EVENT_MAX_BYTES, type Event } from '../../schemas/event.js';
import { isTooDeep } from '../../schemas/nesting.js';
import type { SupersededReason } from './errors.js';

/** The newest message of a job, as the stream has it. */
export interface LastMessage {
  readonly seq: number;
  /** Its `Nats-Msg-Id`, '' without one. */
  readonly msgId: string;
  /** null: it is no event, and nobody is shown it. */
  readonly event: Event | null;
  /**
   * The sequence that its writer expected the message before it to have, as its header says (0: none); null: it was
   * written without a condition.
   */
  readonly expected: number | null;
}

/** Who asks. */
export interface Writer {
  /** Begins each of this run's message ids, and nobody else's. */
  readonly runId: string;
  /** The id of the message that was refused. */
  readonly msgId: string;
  readonly attempt: number;
  /** Where its job is: none of its events said more. */
  readonly percent: number;
  /** Whether an event of this run is stored. */
  readonly hasBegun: boolean;
  /** A try of this message may have been stored. */
  readonly mayBeStored: boolean;
  /** If it was, JetStream still knows its id, and does not store it again. */
  readonly isInDedupWindow: boolean;
}

/** What to do with an event that was refused because the subject's last message is not the expected one. */
export type FencingDecision =
  /** It is stored after all, as the last one. */
  | { readonly kind: 'stored'; readonly seq: number }
  /** Nobody stands in the way: send it again, and expect `seq` to be the last. */
  | { readonly kind: 'send'; readonly expected: number; readonly attempt: number }
  /** The job belongs to somebody else. */
  | { readonly kind: 'superseded'; readonly reason: SupersededReason; readonly seq: number };

/** The code of the error that an edge writes for a job which fell silent. */
const TIMEOUT_CODE = 'timeout';
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Reads a job's stored message as an event; null when it is none. Never throws. */
export function readEvent(processingId: string, body: Uint8Array): Event | null {
  if (body.length > EVENT_MAX_BYTES) return null;
  try {
    const text = utf8.decode(body);
    const value: unknown = JSON.parse(text);
    if (isTooDeep(text) || checkEvent(value) !== null) return null;
    const event = value as Event;
    return event.processing_id === processingId ? event : null;
  } catch {
    return null;
  }
}

/**
 * Whether a message tells by itself how high the attempts of its job are, so that nothing beneath it need be read. What
 * was written under an id and a condition was written by somebody who knew what stands beneath. Everybody else may write
 * any attempt at any time, or none; and the time-out of an edge, which has no id, repeats what it found.
 */
export function isConclusive(message: LastMessage, writer: Writer): boolean {
  if (isOurs(message, writer)) return true;
  const attempt = message.event?.attempt;
  if (attempt === undefined) return false;
  if (writer.hasBegun && attempt > writer.attempt) return true;
  return message.msgId !== '' && message.expected !== null;
}

/**
 * Who has the job, by its messages: the one that holds the highest attempt, and what of that attempt counts most. What
 * names no attempt belongs to the highest before it, and only an end changes anything by that.
 * @param messages from the oldest to the newest, at least one
 * @param floor the attempt that stands beneath them; 0: nothing does, as far as is known
 * @returns with the sequence of the newest one, and with `event` null where none of them says whose the job is
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
    // A time-out says that this attempt fell silent, and not whose it is; and what follows an end does not undo it.
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
  // Another worker counts on from what it finds. So if ours was stored, and the job then taken, his is the higher one;
  // but ours was only a guess, and a job that was tried twice before has a higher one as well. Sent under the id that it
  // has, JetStream tells the one from the other.
  const isTaken = writer.mayBeStored && !writer.isInDedupWindow && before > writer.attempt;
  const attempt = requested ?? (isTaken ? writer.attempt : before + 1);
  if (attempt > before) return { kind: 'send', expected: last.seq, attempt };
  const reason = attempt < before ? 'newer_attempt' : reasonOf(last.event);
  return { kind: 'superseded', reason, seq: last.seq };
}

/** For every later event of a run. */
export function resolveConflict(last: LastMessage | null, writer: Writer): FencingDecision {
  const { attempt } = writer;
  // Purged, expired, or the stream was made anew: there is nobody to be written over.
  if (last === null) return { kind: 'send', expected: 0, attempt };
  if (last.msgId === writer.msgId) return { kind: 'stored', seq: last.seq };
  if (isOurs(last, writer)) return { kind: 'send', expected: last.seq, attempt };
  const isTimeout = isTimeoutOfEdge(last);
  // An end that names no attempt is the end of this one. A time-out is none: it is of what somebody wrote without one.
  const theirs = last.event?.attempt ?? (hasEnded(last.event) && !isTimeout ? attempt : 0);
  if (theirs > attempt) return { kind: 'superseded', reason: 'newer_attempt', seq: last.seq };
  // What belongs to an older attempt, or to none, came late.
  if (theirs < attempt) return { kind: 'send', expected: last.seq, attempt };
  // An edge took us for dead. It tells where the job was, so by a higher percent it speaks of somebody else's event.
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

/** The end of its attempt; an edge's time-out is none, because its worker may come back. */
const isEnd = (message: LastMessage | null): boolean =>
  message !== null && hasEnded(message.event) && !isTimeoutOfEdge(message);

// Whoever accepts a job may write "queued" without an attempt; that takes no attempt away. An end without one is the
// end of the first.
function attemptOf(event: Event | null): number {
  if (event === null) return 0;
  return event.attempt ?? (event.status === 'processing' ? 0 : 1);
}

const hasEnded = (event: Event | null): boolean => event !== null && event.status !== 'processing';

function reasonOf(event: Event | null): SupersededReason {
  if (!hasEnded(event)) return 'other_writer';
  return event?.error?.code === TIMEOUT_CODE ? 'timeout' : 'finished';
}

// An edge gives it no id, and a worker gives one to whatever he writes: what has one is the end of somebody's attempt.
const isTimeoutOfEdge = ({ event, msgId }: LastMessage): boolean =>
  msgId === '' && event?.error?.code === TIMEOUT_CODE && event.error.retryable === true;
