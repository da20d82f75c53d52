import type { StreamInfo } from 'nats';
import { idOf } from '../../schemas/ids.js';
import { type DecodedEvent, decodeEvent, type InvalidReason } from '../eventlog/decode.js';
import { isAtLeast } from '../server-version.js';

import { untilAnswered } from './connection-monitor.js';
import { type ReadAccess, type ReadObserver, readStored, type StoredMessage } from './read-stored.js';
import { ALL_SUBJECTS, lastMessage } from './stream.js';

/** Servers before this one can leave subjects out of last_per_subject after messages were deleted. */
const COMPLETE_SINCE = '2.11.5';
const PATIENT_MS = 120_000;
/** Jobs that are looked up by themselves, at the same time. */
const LOOK_UPS = 8;

type StreamState = StreamInfo['state'];

/** The newest valid event of a job. */
export interface LastState {
  readonly seq: number;
  /** ms since 1970. */
  readonly storedAt: number;
  readonly event: DecodedEvent;
}

export type InvalidListener = (seq: number, subject: string, reason: InvalidReason, detail: string) => void;

/** Decodes the newest messages of subjects, and remembers which jobs have to be looked up by themselves. */
export class LastStateCollector {
  readonly #before: StreamState;
  readonly #invalidSeen: InvalidListener;
  /** Subjects whose newest message is no event. */
  readonly #invalid = new Set<string>();
  /** The subjects that came, where the server may leave some out; null where it does not. */
  readonly #came: Set<string> | null;

  /**
   * @param version the server's
   * @param before the stream's state as of a moment before the reading began
   */
  constructor(version: string | undefined, before: StreamState, invalid: InvalidListener = () => undefined) {
    this.#before = before;
    this.#invalidSeen = invalid;
    const isWhole = isAtLeast(version ?? '', COMPLETE_SINCE) || (before.num_deleted ?? 0) === 0;
    this.#came = isWhole ? null : new Set();
  }

  /** @returns the state; null when the message is no event */
  take({ seq, subject, storedAt, data }: StoredMessage): LastState | null {
    this.#came?.add(subject);
    const decoded = decodeEvent(subject, data);
    if (decoded.ok) {
      this.#invalid.delete(subject);
      return { seq, storedAt, event: decoded.event };
    }
    this.#invalidSeen(seq, subject, decoded.reason, decoded.detail);
    if (decoded.id !== null) this.#invalid.add(subject);
    return null;
  }

  /**
   * The subjects of jobs whose newest event has to be looked for.
   * @param after the stream's state as of a moment after the last of them came
   * @param list lists the stream's subjects, which may take an old server tens of seconds
   */
  async left(after: StreamState, list: () => Promise<Iterable<string>>): Promise<string[]> {
    const came = this.#came;
    if (came === null) return [...this.#invalid];
    const before = this.#before;
    const isUntouched = before.first_seq === after.first_seq && before.num_deleted === after.num_deleted;
    if (isUntouched && came.size === after.num_subjects) return [...this.#invalid];
    const left = [...(await list())].filter((subject) => !came.has(subject) && idOf(subject) !== null);
    return [...this.#invalid, ...left];
  }
}

export interface LastStatesObserver extends ReadObserver {
  /** A job's newest message is not an event; its newest that is one is shown instead, if there is any. */
  invalid?: InvalidListener;
  /** So many jobs were read; `total` is about how many there are. */
  read?(jobs: number, total: number): void;
}

/**
 * The last state of every job, those with the oldest ones first, in batches. A job that reports meanwhile may come
 * again with its newer state. Jobs whose newest message is no event, and those that an older server leaves out, come
 * at the end, in no order. What is on no job's subject is told as invalid.
 *
 * @returns the sequence up to which this is everything: whoever follows from the next one on misses nothing
 * @throws as `readStored` does
 */
export async function* readLastStates(
  access: ReadAccess,
  signal: AbortSignal,
  observer: LastStatesObserver = {},
): AsyncGenerator<readonly LastState[], number, undefined> {
  const { connection, stream } = access;
  const ask = <T>(request: () => Promise<T>): Promise<T> =>
    untilAnswered(connection, signal, observer, request);
  const stateNow = async (): Promise<StreamState> => (await ask(() => access.jsm.streams.info(stream))).state;
  const before = await stateNow();
  const collector = new LastStateCollector(connection.info?.version, before, (...what) =>
    observer.invalid?.(...what),
  );
  let upTo = 0;
  let jobs = 0;
  const range = { id: null, from: { kind: 'last_per_subject' }, until: 'head' } as const;
  for await (const batch of readStored(access, range, signal, observer)) {
    const states = batch.map((message) => collector.take(message)).filter((state) => state !== null);
    upTo = Math.max(upTo, batch.at(-1)?.seq ?? 0);
    jobs += batch.length;
    observer.read?.(jobs, Math.max(jobs, before.num_subjects ?? 0));
    yield states;
  }
  const left = await collector.left(await stateNow(), async () => {
    const jsm = await connection.jetstreamManager({ timeout: PATIENT_MS, checkAPI: false });
    const { state } = await ask(() => jsm.streams.info(stream, { subjects_filter: ALL_SUBJECTS }));
    return Object.keys(state.subjects ?? {});
  });
  for (const batch of chunks(left, LOOK_UPS)) {
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
  const newest = await untilAnswered(connection, signal, observer, () => lastMessage(jsm, stream, subject));
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

function* chunks<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}
