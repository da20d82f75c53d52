import type { StreamInfo } from 'nats';
import { idOf, SUBJECT_FILTER } from '../../schemas/ids.js';
import { type DecodedEvent, decodeEvent, type InvalidReason } from '../eventlog/decode.js';
import { isAtLeast } from './connection.js';
import { untilAnswered } from './reading-link.js';
import { storedMessage } from './stream.js';
import { type ReadAccess, type ReadObserver, readStored, type StoredMessage } from './stream-reader.js';

/** Servers before this one can leave subjects out of last_per_subject after messages were deleted. */
const COMPLETE_SINCE = [2, 11, 5] as const;
const PATIENT_MS = 120_000;
/** Jobs that are looked up by themselves, at the same time. */
const LOOK_UPS = 8;

/** The newest valid event of a job. */
export interface LastState {
  readonly seq: number;
  /** ms since 1970. */
  readonly storedAt: number;
  readonly event: DecodedEvent;
}

export interface LastStatesObserver extends ReadObserver {
  /** A job's newest message is not an event; its newest that is one is shown instead, if there is any. */
  invalid?(seq: number, subject: string, reason: InvalidReason, detail: string): void;
  /** So many jobs were read; `total` is about how many there are. */
  read?(jobs: number, total: number): void;
}

/**
 * The last state of every job, those with the oldest ones first, in batches. A job that reports meanwhile may come
 * again with its newer state. Jobs whose newest message is no event, and those that an older server leaves out, come
 * at the end, in no order.
 *
 * @returns the sequence up to which this is everything: whoever follows from the next one on misses nothing
 * @throws as `readStored` does
 */
export async function* readLastStates(
  access: ReadAccess,
  signal: AbortSignal,
  observer: LastStatesObserver = {},
): AsyncGenerator<readonly LastState[], number, undefined> {
  const before = await stateOf(access, signal, observer);
  const isWhole = isAtLeast(access.connection.info?.version ?? '', COMPLETE_SINCE);
  const came = isWhole || (before.num_deleted ?? 0) === 0 ? null : new Set<string>();
  const invalid = new Set<string>();
  let upTo = 0;
  let jobs = 0;
  const range = { id: null, from: { kind: 'last_per_subject' }, until: 'head' } as const;
  for await (const batch of readStored(access, range, signal, observer)) {
    const states: LastState[] = [];
    for (const message of batch) {
      came?.add(message.subject);
      const decoded = decodeEvent(message.subject, message.data);
      if (decoded.ok) {
        states.push({ seq: message.seq, storedAt: message.storedAt, event: decoded.event });
        invalid.delete(message.subject);
      } else {
        observer.invalid?.(message.seq, message.subject, decoded.reason, decoded.detail);
        invalid.add(message.subject);
      }
      upTo = message.seq;
    }
    jobs += batch.length;
    observer.read?.(jobs, Math.max(jobs, before.num_subjects ?? 0));
    yield states;
  }
  const left = came === null ? [] : await leftOut(access, signal, observer, before, came);
  for (const batch of chunks([...invalid, ...left], LOOK_UPS)) {
    const found = await Promise.all(batch.map((subject) => newestValid(access, subject, signal, observer)));
    yield found.filter((state) => state !== null);
  }
  return upTo;
}

/** The newest valid event of a subject; null when it has none. Looks back over whatever is no event. */
export async function newestValid(
  access: ReadAccess,
  subject: string,
  signal: AbortSignal,
  observer: ReadObserver = {},
): Promise<LastState | null> {
  const id = idOf(subject);
  if (id === null) return null;
  const { connection, jsm, stream } = access;
  const newest = await untilAnswered(connection, signal, observer, () =>
    storedMessage(jsm, stream, { last_by_subj: subject }),
  );
  if (newest === null) return null;
  const decoded = decodeEvent(subject, newest.data);
  if (decoded.ok) return { seq: newest.seq, storedAt: newest.time.getTime(), event: decoded.event };
  let last: LastState | null = null;
  for await (const batch of readStored(access, { id, from: { kind: 'first' }, until: 'head' }, signal)) {
    last = batch.reduce((state: LastState | null, message) => stateIn(message) ?? state, last);
  }
  return last;
}

function stateIn({ seq, storedAt, subject, data }: StoredMessage): LastState | null {
  const decoded = decodeEvent(subject, data);
  return decoded.ok ? { seq, storedAt, event: decoded.event } : null;
}

function stateOf(
  { connection, jsm, stream }: ReadAccess,
  signal: AbortSignal,
  observer: ReadObserver,
): Promise<StreamInfo['state']> {
  return untilAnswered(connection, signal, observer, async () => (await jsm.streams.info(stream)).state);
}

// To list half a million subjects takes such a server tens of seconds, so they are counted first.
async function leftOut(
  access: ReadAccess,
  signal: AbortSignal,
  observer: ReadObserver,
  before: StreamInfo['state'],
  came: ReadonlySet<string>,
): Promise<string[]> {
  const after = await stateOf(access, signal, observer);
  const isUntouched = before.first_seq === after.first_seq && before.num_deleted === after.num_deleted;
  if (isUntouched && came.size === after.num_subjects) return [];
  const { connection, stream } = access;
  const jsm = await connection.jetstreamManager({ timeout: PATIENT_MS, checkAPI: false });
  const { state } = await untilAnswered(connection, signal, observer, () =>
    jsm.streams.info(stream, { subjects_filter: SUBJECT_FILTER }),
  );
  return Object.keys(state.subjects ?? {}).filter((subject) => !came.has(subject));
}

function* chunks<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}
