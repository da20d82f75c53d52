import { setTimeout as delay } from 'node:timers/promises';
import type { ConsumerConfig, ConsumerInfo, StreamInfo } from 'nats';
import { subjectOf } from '../../schemas/ids.js';
import { untilAborted } from '../async.js';
import { NatsAuthError, StreamNotFoundError, StreamRecreatedError } from '../errors.js';
import {
  ConnectionLostError,
  type ConnectionMonitor,
  monitorOf,
  onPermissionError,
  untilAnswered,
} from './connection-monitor.js';
import { ConsumerLostError } from './consumer-failure.js';
import { explainRequestError, requestFailure } from './nats-errors.js';
import { addConsumer, type PullLimits, type StoredMessage } from './pull-reader.js';
import type { ReadAccess, ReadFrom, ReadObserver, ReadRange } from './read-options.js';
import { epochOf } from './stream.js';
import { isLate, type ReadEnd, type StartPlace, StreamReader } from './stream-reader.js';

export type { StoredMessage } from './pull-reader.js';
export type { ReadAccess, ReadFrom, ReadObserver, ReadRange } from './read-options.js';

/**
 * How long the making of a consumer may take, one try after the other. A cluster of nats-server 2.10 that has lost a server
 * places nearly every second consumer on it, so many tries are short; some are long, for a stream of a million jobs.
 */
const PATIENCE_MS = [
  2_500, 2_500, 5_000, 2_500, 2_500, 10_000, 2_500, 2_500, 5_000, 2_500, 20_000, 2_500, 60_000,
] as const;
const RETRY_MS = 100;
const MAX_RETRY_MS = 2_000;
const LEAST_PULL_BYTES = 256 * 1024;
const PULL: PullLimits = { bytes: 8 * 1024 * 1024, messages: 2_000, prefetch: true };

/**
 * Reads stored messages in the order of the stream, in batches, as fast as they are taken and never faster. A lost
 * connection, a lost consumer and a change of leaders are waited for: nothing is left out and nothing comes twice,
 * except what the stream itself lets go meanwhile (`gap`). With `last_per_subject` a job comes again when it has a newer
 * message. Without a job's id all comes that the stream holds, also what is on no job's subject.
 *
 * @param signal ends the read with the signal's reason, also in the midst of it: half a read is never taken for a whole
 * @throws StreamNotFoundError, NatsAuthError, JetStreamUnavailableError; StreamRecreatedError from a read with an end
 */
export async function* readStored(
  access: ReadAccess,
  range: ReadRange,
  signal: AbortSignal,
  observer: ReadObserver = {},
): AsyncGenerator<readonly StoredMessage[], void, undefined> {
  const read = new StoredRead(access, range, signal, observer);
  const reader = await read.begin();
  if (reader === null) return;
  let isLost = false;
  let hasOpened = false;
  let pause = RETRY_MS;
  for (let isFirst = true; ; isFirst = false) {
    try {
      await read.open(reader, isFirst);
      hasOpened = true;
      if (isLost) observer.resumed?.();
      isLost = false;
      pause = RETRY_MS;
      for (;;) {
        const batch = await untilAborted(reader.next(), signal);
        if (batch.length > 0) yield batch;
        if (await reader.isAtEnd()) return;
      }
    } catch (error) {
      signal.throwIfAborted();
      const reason = read.passing(error, isFirst && !hasOpened);
      if (!isLost) observer.lost?.(reason);
      isLost = true;
    } finally {
      await reader.remove();
    }
    await delay(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
    pause = Math.min(MAX_RETRY_MS, pause * 2);
  }
}

/** What one read knows of its stream, beside its place. */
class StoredRead {
  readonly #access: ReadAccess;
  readonly #range: ReadRange;
  readonly #signal: AbortSignal;
  readonly #observer: ReadObserver;
  readonly #monitor: ConnectionMonitor;
  #epoch = '';

  constructor(access: ReadAccess, range: ReadRange, signal: AbortSignal, observer: ReadObserver) {
    this.#access = access;
    this.#range = range;
    this.#signal = signal;
    this.#observer = observer;
    this.#monitor = monitorOf(access.connection);
  }

  /** Finds both ends. @returns null when nothing lies between them */
  async begin(): Promise<StreamReader | null> {
    const { id, from, until } = this.#range;
    const { connection, jsm, stream } = this.#access;
    const question = untilAnswered(connection, this.#signal, this.#observer, () => jsm.streams.info(stream));
    const info = await untilAborted(question, this.#signal);
    this.#epoch = epochOf(info);
    const { last_seq: head, messages } = info.state;
    const place = placeOf(from, info);
    const end = endOf(place, until, head);
    const reader = new StreamReader(
      {
        connection,
        jsm,
        stream,
        monitor: this.#monitor,
        onRefused: (refused) => onPermissionError(connection, refused),
      },
      {
        subject: id === null ? null : subjectOf(id),
        from: place,
        pull:
          end === null || end === 'last' ? PULL : pullFor(end - (place.kind === 'seq' ? place.seq : 1), info),
        ask: (request) => this.#ask(request),
        create: (config) => this.#create(config),
      },
      end,
    );
    if (from.kind === 'seq') this.#watchGap(info, reader);
    const isEmpty = end !== null && (messages === 0 || (end !== 'last' && end <= reader.read));
    return isEmpty ? null : reader;
  }

  async open(reader: StreamReader, isFirst: boolean): Promise<void> {
    await this.#monitor.up(this.#signal);
    if (!isFirst) await this.#lookAgain(reader);
    await reader.open();
  }

  /** Why a read was interrupted, if waiting may help. @throws the error, where it would not */
  passing(error: unknown, isAtStart: boolean): string {
    const { connection, stream } = this.#access;
    const server = connection.getServer();
    if (connection.isClosed()) throw explainRequestError(error, stream, server);
    if (error instanceof ConsumerLostError) {
      if (error.isFinal) throw new NatsAuthError(server, error.message);
      return error.message;
    }
    if (error instanceof ConnectionLostError) return error.message;
    const explained = explainRequestError(error, stream, server);
    if (explained instanceof NatsAuthError) throw explained;
    // The stream has answered a moment ago: in a cluster that has just lost a server the next answer may be late.
    if (isAtStart && !isLate(error)) throw explained;
    const isEndless = this.#range.until === 'forever';
    if (explained instanceof StreamNotFoundError && isEndless) return 'the stream is gone';
    if (explained instanceof StreamNotFoundError || requestFailure(error) === null) throw explained;
    return (error as Error).message;
  }

  // In a cluster a consumer can be placed on a server that has just died, and then nobody answers: the next try places it
  // anew. To find the last messages of a million jobs takes a server that lives some seconds, too; so the waits grow.
  async #create(config: Partial<ConsumerConfig>, tries = 0): Promise<ConsumerInfo> {
    const { connection, stream } = this.#access;
    const timeout = PATIENCE_MS[tries] as number;
    const jsm = await connection.jetstreamManager({ timeout, checkAPI: false });
    try {
      return await this.#ask(() => addConsumer({ jsm, stream }, config));
    } catch (error) {
      if (isLate(error) && tries + 1 < PATIENCE_MS.length) return this.#create(config, tries + 1);
      throw explainRequestError(error, stream, connection.getServer());
    }
  }

  // After an interruption the stream may have let go of what was not read yet, or be another one.
  async #lookAgain(reader: StreamReader): Promise<void> {
    const info = await this.#ask(() => this.#access.jsm.streams.info(this.#access.stream));
    if (epochOf(info) === this.#epoch) {
      this.#watchGap(info, reader);
      return;
    }
    if (reader.end !== null) throw new StreamRecreatedError(this.#access.stream);
    this.#epoch = epochOf(info);
    reader.startOver(1);
    this.#observer.replaced?.();
  }

  #watchGap({ state }: StreamInfo, reader: StreamReader): void {
    const { kind } = this.#range.from;
    if (kind === 'time' || kind === 'last_per_subject') return;
    const wanted = reader.read + 1;
    if (state.first_seq > wanted && state.last_seq >= wanted) this.#observer.gap?.(wanted, state.first_seq);
  }

  #ask<T>(request: () => Promise<T>): Promise<T> {
    return untilAborted(this.#monitor.runWhileConnected(this.#signal, request), this.#signal);
  }
}

// A consumer has no end: what it sends beyond the range comes in vain.
function pullFor(span: number, { state: { bytes, messages } }: StreamInfo): PullLimits {
  const expected = 2 * Math.max(1, span + 1) * (bytes / Math.max(1, messages));
  return { ...PULL, bytes: Math.min(PULL.bytes, Math.max(LEAST_PULL_BYTES, Math.ceil(expected))) };
}

function placeOf(from: ReadFrom, { state }: StreamInfo): StartPlace {
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

function endOf(place: StartPlace, until: ReadRange['until'], head: number): ReadEnd {
  if (until === 'forever') return null;
  if (until !== 'head') return Math.min(until.seq, head);
  return place.kind === 'last' ? 'last' : head;
}
