import type { Gap } from '../eventlog/gaps.js';
import type { EventLog } from '../eventlog/log.js';
import { frameInScope, inScope, type LogRecord } from '../eventlog/record.js';
import type { Followed } from './catch-up.js';
import { SCAN_BYTES } from './frame-writer.js';
import { frames } from './frames.js';
import { GONE_BATCH, GoneNotices, StallNotice } from './notices.js';
import type { SessionContext, SessionOutput } from './ports.js';

/**
 * Sends what one session follows: records as updates that are worded by those before them, and between them the notices
 * that belong there. With each the cursor moves on.
 */
export class UpdateWriter {
  readonly #writer: SessionOutput;
  readonly #followed: Followed;
  readonly #log: EventLog;
  readonly #onSent: SessionContext['onSent'];
  /** null: one job, which nobody is told of when it leaves. */
  readonly #gone: GoneNotices | null;
  readonly #stall: StallNotice;
  /** One job: the valid event that the next one to be sent follows; null where that is not known. */
  #previous: number | null = null;

  constructor(deps: SessionContext, writer: SessionOutput, followed: Followed) {
    this.#writer = writer;
    this.#followed = followed;
    this.#log = deps.log;
    this.#onSent = deps.onSent;
    this.#stall = new StallNotice(deps.log, deps.stalledFor ?? (() => null));
    this.#gone =
      followed.scope.kind === 'job' ? null : new GoneNotices(deps.log, (text) => writer.send(text));
  }

  /** The next update follows this event of the job, whichever were sent; null: nobody knows which. */
  setPreviousSeq(seq: number | null): void {
    this.#previous = seq;
  }

  /** The client is about to be shown all jobs as they are now. */
  startFresh(): void {
    this.#gone?.startFresh();
  }

  /** The client goes on from `cursor`. @param now milliseconds that never go back */
  resume(cursor: number, now: number): void {
    this.#followed.cursor = cursor;
    this.#gone?.resume(cursor, now);
  }

  /** Sends a record where it is in scope. @returns what that cost, in bytes */
  update(record: LogRecord): number {
    const { scope } = this.#followed;
    while (this.#gone?.tell(scope, record.seq - 1));
    this.#followed.advanceTo(record.seq);
    if (!inScope(scope, record)) return SCAN_BYTES;
    if (this.#writer.send(frameInScope(record, scope, this.#previous))) {
      this.#previous = record.seq;
      this.#onSent?.(1);
    }
    this.#stall.told(false);
    return record.bytes;
  }

  /** The same for several; a gap is told before the first update behind it. */
  updates(records: readonly LogRecord[], gap: Gap | null): number {
    let spent = 0;
    let untold = gap;
    for (const record of records) {
      if (untold !== null && record.seq > untold.after) {
        this.#skipped(untold);
        untold = null;
      }
      spent += this.update(record);
    }
    if (untold !== null) this.#skipped(untold);
    return spent;
  }

  /**
   * Tells of the next jobs that left while the stream's head was at `upTo` at most.
   * @returns what that cost, in bytes; 0: there were none
   */
  tellGone(upTo: number): number {
    return this.#gone?.tell(this.#followed.scope, upTo) ? GONE_BATCH * SCAN_BYTES : 0;
  }

  /** Everybody is told of a stall; this client hears it or not. */
  stalled(frame: string, isHeard: boolean): void {
    this.#stall.told(isHeard);
    if (isHeard) this.#writer.send(frame);
  }

  /** Tells of a stall that the client has not heard of. */
  tellStall(): void {
    const frame = this.#stall.take(this.#followed.scope);
    if (frame !== null) this.#writer.send(frame);
  }

  /** One job: closes behind what was sent where that was the end. */
  endIfFinished(): void {
    const { scope, cursor, unfinishedAt } = this.#followed;
    if (scope.kind !== 'job') return;
    const last = this.#log.lastServed(scope.id);
    if (last === undefined || !last.finished || !inScope(scope, last)) return;
    if (last.seq > (cursor ?? 0) || last.seq < unfinishedAt) return;
    this.#writer.end();
  }

  #skipped({ after, before }: Gap): void {
    this.#writer.send(frames.skipped('retention', after, before));
  }
}
