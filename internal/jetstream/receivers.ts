import { setTimeout as delay } from 'node:timers/promises';
import type { JsMsg } from 'nats';
import { SUBJECT_FILTER } from '../../schemas/ids.js';
import { decodeEvent } from '../eventlog/decode.js';
import { isAtLeast } from './connection.js';
import type { Fault } from './fault.js';
import type { FeedParts } from './feed-parts.js';
import { newestSeq } from './stream.js';

/** Servers before this one can leave subjects out of last_per_subject after interior deletes. */
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
  readonly #invalid = new Set<string>();
  #phase: 'loading' | 'loaded' = 'loading';
  #read = 0;

  constructor(
    private readonly parts: FeedParts,
    private readonly upTo: number,
    private readonly subjects: number,
    private readonly done: (complete: boolean) => Promise<void>,
    private readonly fault: Fault,
  ) {
    this.#next = new Continuation(parts, fault, () => undefined);
  }

  begin(): void {
    this.#watchEnd().catch((error: Error) => {
      this.parts.sink.failed(error);
      this.fault.happen('no_responders');
    });
  }

  receive(message: JsMsg): void {
    if (message.seq > this.upTo) {
      this.#loaded();
      this.#next.receive(message);
      return;
    }
    const { log, sink } = this.parts;
    const decoded = decodeEvent(message.subject, message.data);
    if (decoded.ok) log.load(message.seq, storedAt(message), decoded.event);
    else {
      sink.invalid(message.seq, message.subject, decoded.reason, decoded.detail);
      if (decoded.id !== null) this.#invalid.add(decoded.id);
    }
    this.#read = message.seq;
    if (this.#read === this.upTo) this.#loaded();
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
    const { connection, log } = this.parts;
    const version = connection.info?.version ?? '';
    // An older server can leave jobs out, but not when as many came as the stream has.
    const isSnapshotSafe =
      isAtLeast(version, SNAPSHOT_COMPLETE_SINCE) || log.stats.jobs + this.#invalid.size === this.subjects;
    this.#repair()
      .then((isRepaired) => this.done(isSnapshotSafe && isRepaired))
      .catch((error: Error) => {
        this.parts.sink.failed(error);
        this.fault.happen('no_responders');
      });
  }

  // A job whose newest message is not an event shows its newest state that is one. Where that lies behind what the log
  // has read, the feed will bring it; until then the log does not know the job, and must not take it for a new one.
  async #repair(): Promise<boolean> {
    const { log, lastState } = this.parts;
    const records = await Promise.all([...this.#invalid].map((id) => lastState(id)));
    for (const record of records) if (record !== null) log.restore(record);
    return records.every((record) => record === null || record.seq <= this.upTo);
  }
}
