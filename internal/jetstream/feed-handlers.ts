import { setTimeout as delay } from 'node:timers/promises';
import type { JsMsg, StreamInfo } from 'nats';
import { idOf, SUBJECT_FILTER } from '../../schemas/ids.js';
import { decodeEvent } from '../eventlog/decode.js';
import { isAtLeast } from './connection.js';
import type { Fault } from './consumer-failure.js';
import type { FeedParts } from './feed-parts.js';
import { newestSeq } from './stream.js';

/** Servers before this one can leave subjects out of last_per_subject after messages were deleted. */
const SNAPSHOT_COMPLETE_SINCE = [2, 11, 5] as const;
const END_CHECK_MS = 50;

/** Takes what the feed's consumer delivers. */
export interface Receiver {
  /** The consumer stands; messages may have come already. */
  begin(): void;
  receive(message: JsMsg): void;
}

const storedAt = (message: JsMsg): number => message.info.timestampNanos / 1e6;

/** Appends what follows the log's head, and says when the backlog it began with is read. */
export class Continuation implements Receiver {
  constructor(
    private readonly parts: FeedParts,
    private readonly fault: Fault,
    private readonly reached: () => void,
  ) {}

  // What was pending can be deleted before it is delivered, so it is not counted: the leader is asked for the end.
  begin(): void {
    this.#watchEnd().catch((error: Error) => {
      this.parts.sink.failed(error);
      this.fault.happen('no_responders');
    });
  }

  async #watchEnd(): Promise<void> {
    const { jsm, stream, log } = this.parts;
    const newest = await this.fault.orFail(newestSeq(jsm, stream.name, SUBJECT_FILTER));
    // Read, or deleted since.
    while (this.fault.reason === null && log.head < newest) {
      await delay(END_CHECK_MS);
      if (
        log.head < newest &&
        (await this.fault.orFail(newestSeq(jsm, stream.name, SUBJECT_FILTER))) <= log.head
      )
        break;
    }
    if (this.fault.reason === null) this.reached();
  }

  receive(message: JsMsg): void {
    const { log, sink } = this.parts;
    const decoded = decodeEvent(message.subject, message.data);
    if (!decoded.ok) sink.invalid(message.seq, message.subject, decoded.reason, decoded.detail);
    sink.appended(log.append(message.seq, storedAt(message), decoded.ok ? decoded.event : null));
  }
}

/**
 * Loads the last states up to a sequence, then appends. "Nothing pending" alone does not end it: the consumer may
 * stand on a copy of the stream that has yet to catch up, so the leader is asked what the newest message is.
 */
export class Loading implements Receiver {
  readonly #next: Continuation;
  readonly #upTo: number;
  readonly #invalid = new Set<string>();
  /** The jobs that came, where the server may leave some out; null where it does not. */
  readonly #came: Set<string> | null;
  /** How many there are; null: some may have vanished since the consumer was made. */
  readonly #subjects: number | null;
  #phase: 'loading' | 'loaded' = 'loading';
  #read = 0;

  /**
   * @param before the stream's state as of a moment before the consumer was made
   * @param state as of a moment after
   */
  constructor(
    private readonly parts: FeedParts,
    before: StreamInfo['state'],
    state: StreamInfo['state'],
    private readonly done: (complete: boolean) => Promise<void>,
    private readonly fault: Fault,
  ) {
    this.#next = new Continuation(parts, fault, () => undefined);
    this.#upTo = state.last_seq;
    const isWhole = isAtLeast(parts.connection.info?.version ?? '', SNAPSHOT_COMPLETE_SINCE);
    this.#came = isWhole || (state.num_deleted ?? 0) === 0 ? null : new Set();
    const isUntouched = before.first_seq === state.first_seq && before.num_deleted === state.num_deleted;
    this.#subjects = isUntouched ? (state.num_subjects ?? 0) : null;
  }

  begin(): void {
    this.#watchEnd().catch((error: Error) => this.#failed(error));
  }

  receive(message: JsMsg): void {
    if (message.seq > this.#upTo) {
      this.#loaded();
      this.#next.receive(message);
      return;
    }
    const { log, sink } = this.parts;
    const decoded = decodeEvent(message.subject, message.data);
    this.#came?.add(message.subject);
    if (decoded.ok) sink.loaded(log.load(message.seq, storedAt(message), decoded.event));
    else {
      sink.invalid(message.seq, message.subject, decoded.reason, decoded.detail);
      if (decoded.id !== null) this.#invalid.add(decoded.id);
    }
    this.#read = message.seq;
    if (this.#read === this.#upTo) this.#loaded();
  }

  // The newest message can be below `upTo` (deleted since, or the stream is empty), so the end is looked for, too.
  async #watchEnd(): Promise<void> {
    const { jsm, stream } = this.parts;
    while (this.#phase === 'loading' && this.fault.reason === null) {
      const newest = await this.fault.orFail(newestSeq(jsm, stream.name, SUBJECT_FILTER));
      if (newest <= this.#read) this.#loaded();
      else await delay(END_CHECK_MS);
    }
  }

  #loaded(): void {
    if (this.#phase === 'loaded') return;
    this.#phase = 'loaded';
    this.#complete()
      .then((isComplete) => this.done(isComplete))
      .catch((error: Error) => this.#failed(error));
  }

  #failed(error: Error): void {
    this.parts.sink.failed(error);
    this.fault.happen('no_responders');
  }

  async #complete(): Promise<boolean> {
    const left = [...this.#invalid, ...(await this.#leftOut())];
    return this.#readBack(left);
  }

  async #leftOut(): Promise<string[]> {
    // To list half a million subjects takes such a server tens of seconds, so they are counted first.
    if (this.#came === null || this.#came.size === this.#subjects) return [];
    const { slowJsm, stream } = this.parts;
    const { state } = await this.fault.orFail(
      slowJsm.streams.info(stream.name, { subjects_filter: SUBJECT_FILTER }),
    );
    const came = this.#came;
    const subjects = Object.keys(state.subjects ?? {}).filter((subject) => !came.has(subject));
    return subjects.flatMap((subject) => idOf(subject) ?? []);
  }

  // A job whose newest message is not an event shows its newest state that is one; one that the server left out shows
  // its newest. Where that lies behind what the log has read, the feed will bring it; until then the log does not know
  // the job, and must not take it for a new one.
  async #readBack(ids: readonly string[]): Promise<boolean> {
    const { log, lastState, sink } = this.parts;
    const records = await this.fault.orFail(Promise.all(ids.map((id) => lastState(id))));
    for (const record of records) {
      if (record === null || record.seq > this.#upTo) continue;
      log.restore(record);
      sink.loaded(record);
    }
    return records.every((record) => record === null || record.seq <= this.#upTo);
  }
}
