import { setTimeout as delay } from 'node:timers/promises';
import { type ConsumerConfig, DeliverPolicy, ErrorCode, NatsError, type StreamInfo } from 'nats';
import { SUBJECT_FILTER, subjectOf } from '../../schemas/ids.js';
import { NatsAuthError, StreamMissingError, StreamReplacedError } from '../errors/catalogue.js';
import { type Link, LinkLostError } from './link.js';
import { explainRequestError } from './nats-errors.js';
import { Lane, type LaneAccess, LaneLost, type StoredMessage } from './pull-reader.js';
import type { ReadAccess, ReadFrom, ReadObserver, ReadRange } from './read-options.js';
import { linkOf, onRefused, untilAnswered } from './reading-link.js';
import { epochOf, newestSeq, nextSeq } from './stream.js';

export type { StoredMessage } from './pull-reader.js';
export type { ReadAccess, ReadFrom, ReadObserver, ReadRange } from './read-options.js';
export { linkOf } from './reading-link.js';

/** How long the making of a consumer may take, one try after the other. */
const PATIENCE_MS = [2_500, 5_000, 10_000, 20_000, 60_000] as const;
const LOOK_MS = 200;
const RETRY_MS = 100;
const MAX_RETRY_MS = 2_000;

/**
 * Reads stored messages in the order of the stream, in batches, as fast as they are taken and never faster. A lost
 * connection, a lost consumer and a change of leaders are waited for: nothing is left out and nothing comes twice,
 * except what the stream itself lets go meanwhile (`gap`). With `last_per_subject` a job comes again when it has a newer
 * message.
 *
 * @param signal ends the read with the signal's reason, also in the midst of it: half a read is never taken for a whole
 * @throws StreamMissingError, NatsAuthError, JetStreamUnavailableError; StreamReplacedError from a read with an end
 */
export async function* readStored(
  access: ReadAccess,
  range: ReadRange,
  signal: AbortSignal,
  observer: ReadObserver = {},
): AsyncGenerator<readonly StoredMessage[], void, undefined> {
  const reading = new Reading(access, range, signal, observer);
  if (!(await reading.begin())) return;
  let isLost = false;
  let pause = RETRY_MS;
  for (let isFirst = true; ; isFirst = false) {
    let lane: Lane | null = null;
    try {
      lane = await reading.open(isFirst);
      if (isLost) observer.resumed?.();
      isLost = false;
      pause = RETRY_MS;
      for (;;) {
        const batch = await reading.next(lane);
        if (batch.length > 0) yield batch;
        if (await reading.isDone(lane, batch.length === 0)) return;
      }
    } catch (error) {
      signal.throwIfAborted();
      const reason = reading.passing(error, isFirst && lane === null);
      if (!isLost) observer.lost?.(reason);
      isLost = true;
    } finally {
      await lane?.close();
    }
    await delay(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
    pause = Math.min(MAX_RETRY_MS, pause * 2);
  }
}

type Place =
  | { readonly kind: 'seq'; readonly seq: number }
  | { readonly kind: 'time'; readonly ms: number }
  | { readonly kind: 'last' };

/** Where one read stands. */
class Reading {
  readonly #access: ReadAccess;
  readonly #range: ReadRange;
  readonly #signal: AbortSignal;
  readonly #observer: ReadObserver;
  readonly #subject: string;
  readonly #link: Link;
  #place: Place = { kind: 'seq', seq: 1 };
  /** The last sequence that was given out, or below which nothing is wanted. */
  #read = 0;
  /** The last sequence that is wanted; null: there is no end. */
  #end: number | null = null;
  #epoch = '';

  constructor(access: ReadAccess, range: ReadRange, signal: AbortSignal, observer: ReadObserver) {
    this.#access = access;
    this.#range = range;
    this.#signal = signal;
    this.#observer = observer;
    this.#subject = range.id === null ? SUBJECT_FILTER : subjectOf(range.id);
    this.#link = linkOf(access.connection);
  }

  /** Finds both ends. @returns false when nothing lies between them */
  async begin(): Promise<boolean> {
    const { from, until } = this.#range;
    const { connection, jsm, stream } = this.#access;
    const ask = <T>(request: () => Promise<T>): Promise<T> =>
      orAborted(untilAnswered(connection, this.#signal, this.#observer, request), this.#signal);
    const info = await ask(() => jsm.streams.info(stream));
    this.#epoch = epochOf(info);
    this.#place = placeOf(from, info);
    if (this.#place.kind === 'seq') this.#read = this.#place.seq - 1;
    if (from.kind === 'seq') this.#watchGap(info);
    if (until === 'forever') return true;
    // Where its last states end is asked when the consumer has taken them.
    if (this.#place.kind === 'last' && until === 'head') {
      this.#end = Number.MAX_SAFE_INTEGER;
      return info.state.messages > 0;
    }
    const newest = await ask(() => newestSeq(jsm, stream, this.#subject));
    this.#end = until === 'head' ? newest : Math.min(until.seq, newest);
    return this.#end > this.#read;
  }

  async open(isFirst: boolean): Promise<Lane> {
    const { connection, stream } = this.#access;
    await this.#link.up(this.#signal);
    if (!isFirst) await this.#lookAgain();
    const lane = await this.#openLane({
      connection,
      stream,
      link: this.#link,
      onRefused: (refused) => onRefused(connection, refused),
    });
    if (this.#place.kind === 'time') this.#read = Math.max(this.#read, lane.startsAfter);
    // What the consumer took for the last ones lies at or below what is the newest only now.
    if (this.#place.kind === 'last' && this.#end !== null) {
      try {
        this.#end = await this.#newest();
      } catch (error) {
        await lane.close();
        throw error;
      }
    }
    return lane;
  }

  // In a cluster a consumer can be placed on a server that has just died, and then nobody answers: the next try places it
  // anew. To find the last messages of a million jobs takes a server that lives some seconds, too; so the waits grow.
  async #openLane(access: Omit<LaneAccess, 'jsm'>, tries = 0): Promise<Lane> {
    const timeout = PATIENCE_MS[tries] as number;
    const jsm = await access.connection.jetstreamManager({ timeout, checkAPI: false });
    try {
      return await this.#ask(() => Lane.open({ ...access, jsm }, this.#config()));
    } catch (error) {
      const isSlow = error instanceof NatsError && error.code === ErrorCode.Timeout;
      if (isSlow && tries + 1 < PATIENCE_MS.length) return this.#openLane(access, tries + 1);
      throw error;
    }
  }

  /** The next messages; none when none came for a while. */
  async next(lane: Lane): Promise<readonly StoredMessage[]> {
    const taken = await orAborted(lane.take(LOOK_MS), this.#signal);
    const last = taken.at(-1);
    if (last === undefined) return taken;
    const { min, max } = { min: this.#read, max: this.#end ?? Number.MAX_SAFE_INTEGER };
    const place = this.#place;
    this.#read = Math.max(this.#read, last.seq);
    const isWhole =
      (taken[0]?.seq ?? 0) > min &&
      last.seq <= max &&
      !(place.kind === 'time' && (taken[0]?.storedAt ?? 0) < place.ms);
    if (isWhole) return taken;
    return taken.filter(
      ({ seq, storedAt }) =>
        seq > min && seq <= max && (place.kind !== 'time' || storedAt >= Math.floor(place.ms)),
    );
  }

  // "Nothing pending" alone does not end a read: the consumer may stand on a copy of the stream that lags, and the
  // message at the end may be gone by now. So the leader is asked.
  async isDone(lane: Lane, isIdle: boolean): Promise<boolean> {
    if (this.#end === null) return false;
    if (this.#read >= this.#end) return true;
    if (!isIdle && lane.pending > 0) return false;
    if (this.#place.kind === 'last') {
      return (await this.#newest()) <= this.#read || (isIdle && (await this.#ask(() => lane.isDrained())));
    }
    const { jsm, stream } = this.#access;
    const next = await this.#ask(() => nextSeq(jsm, stream, this.#subject, this.#read + 1));
    return next === 0 || next > this.#end;
  }

  /** Why a read was interrupted, if waiting may help. @throws the error, where it would not */
  passing(error: unknown, isAtStart: boolean): string {
    const { connection, stream } = this.#access;
    const server = connection.getServer();
    if (connection.isClosed()) throw explainRequestError(error, stream, server);
    if (error instanceof LaneLost) {
      if (error.isFinal) throw new NatsAuthError(server, error.reason);
      return error.reason;
    }
    if (error instanceof LinkLostError) return error.message;
    const explained = explainRequestError(error, stream, server);
    if (isAtStart || explained instanceof NatsAuthError) throw explained;
    if (explained instanceof StreamMissingError && this.#end === null) return 'the stream is gone';
    if (explained instanceof StreamMissingError || !(error instanceof NatsError)) throw explained;
    return error.message;
  }

  #config(): Partial<ConsumerConfig> {
    const filter = { filter_subject: this.#subject };
    if (this.#place.kind === 'last') return { ...filter, deliver_policy: DeliverPolicy.LastPerSubject };
    if (this.#place.kind === 'time' && this.#read === 0) {
      const opt_start_time = new Date(this.#place.ms).toISOString();
      return { ...filter, deliver_policy: DeliverPolicy.StartTime, opt_start_time };
    }
    return { ...filter, deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: this.#read + 1 };
  }

  // After an interruption the stream may have let go of what was not read yet, or be another one.
  async #lookAgain(): Promise<void> {
    const info = await this.#ask(() => this.#access.jsm.streams.info(this.#access.stream));
    if (epochOf(info) === this.#epoch) {
      if (this.#place.kind === 'seq') this.#watchGap(info);
      return;
    }
    if (this.#end !== null) throw new StreamReplacedError(this.#access.stream);
    this.#epoch = epochOf(info);
    this.#read = 0;
    if (this.#place.kind === 'seq') this.#place = { kind: 'seq', seq: 1 };
    this.#observer.replaced?.();
  }

  #watchGap({ state }: StreamInfo): void {
    const wanted = this.#read + 1;
    if (state.first_seq > wanted && state.last_seq >= wanted) this.#observer.gap?.(wanted, state.first_seq);
  }

  #newest(): Promise<number> {
    return this.#ask(() => newestSeq(this.#access.jsm, this.#access.stream, this.#subject));
  }

  #ask<T>(request: () => Promise<T>): Promise<T> {
    return orAborted(this.#link.during(this.#signal, request), this.#signal);
  }
}

function placeOf(from: ReadFrom, { state }: StreamInfo): Place {
  switch (from.kind) {
    case 'first':
      return { kind: 'seq', seq: 1 };
    case 'seq':
      return { kind: 'seq', seq: Math.max(1, from.seq) };
    case 'time':
      return { kind: 'time', ms: from.ms };
    case 'last_per_subject':
      return { kind: 'last' };
    case 'new':
      return { kind: 'seq', seq: state.last_seq + 1 };
  }
}

/** What the promise gives, or the signal's reason as soon as it is aborted. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // The request has begun already, and may fail when nobody waits for it any more.
  promise.catch(() => undefined);
  signal.throwIfAborted();
  let forget: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    forget = () => signal.removeEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    forget();
  }
}
