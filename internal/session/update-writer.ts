import type { Gap } from '../eventlog/gaps.js';
import type { EncodedFrames } from '../eventlog/log-read.js';
import { foldedFrame, frameInScope, inScope, type LogRecord, prevSeqInScope } from '../eventlog/record.js';
import type { Followed } from './catch-up.js';
import { FoldBuffer } from './fold-buffer.js';
import { SCAN_BYTES } from './frame-writer.js';
import { frames } from './frames.js';
import { GONE_BATCH, GoneNotices, StallNotice } from './notices.js';
import type { EdgeContext, SessionContext, SessionOutput } from './ports.js';

/** All jobs: so many times the watermark of its socket is what one client may hold back, and be sent at once. */
export const FOLD_WATERMARKS = 8;

/** With a `maxRate`: what is held back, and when it may be sent. */
interface Pace {
  readonly folds: FoldBuffer;
  readonly intervalMs: number;
  /** In milliseconds that never go back. */
  dueAt: number;
}

/**
 * Sends what one session follows: records as updates that are worded by those before them, and between them the notices
 * that belong there. With each the cursor moves on. With a `maxRate` records are folded before, and `flush` sends them.
 */
export class UpdateWriter {
  readonly #writer: SessionOutput;
  readonly #followed: Followed;
  readonly #edge: EdgeContext;
  /** null: every record is sent by itself. */
  readonly #pace: Pace | null;
  /** null: one job, which nobody is told of when it leaves. */
  readonly #gone: GoneNotices | null;
  /** null: of most jobs there is nothing to tell. */
  #stall: StallNotice | null = null;
  /** One job: the valid event that the next one to be sent follows; null where that is not known. */
  #previous: number | null = null;
  /** Updates that were sent, and not told of. */
  #sent = 0;

  constructor(deps: SessionContext, writer: SessionOutput, followed: Followed) {
    this.#writer = writer;
    this.#followed = followed;
    const { edge } = deps;
    this.#edge = edge;
    this.#pace =
      deps.maxRate === undefined
        ? null
        : {
            folds: new FoldBuffer(followed.scope.kind === 'job'),
            intervalMs: 1_000 / deps.maxRate,
            dueAt: Number.NEGATIVE_INFINITY,
          };
    this.#gone =
      followed.scope.kind === 'job'
        ? null
        : new GoneNotices(edge.log, (text) => {
            // What was shown of a job before it left comes before the word of that.
            this.flush();
            writer.send(text);
          });
  }

  /** Whether records are folded. */
  get isConflating(): boolean {
    return this.#pace !== null;
  }

  /** Whether records were read that no update stands for yet. */
  get holdsBack(): boolean {
    return this.#pace !== null && !this.#pace.folds.isEmpty;
  }

  /** From when on the next update may be sent, in milliseconds that never go back. */
  get dueAt(): number {
    return this.#pace?.dueAt ?? Number.NEGATIVE_INFINITY;
  }

  /** Sends what is held back. */
  flush(): void {
    const pace = this.#pace;
    if (pace === null || pace.folds.isEmpty) return;
    const { scope } = this.#followed;
    pace.dueAt = this.#edge.now() + pace.intervalMs;
    const taken = pace.folds.take();
    let previous = this.#followed.unsent?.previous ?? null;
    for (const [index, { record, prevSeq, count, cursor }] of taken.entries()) {
      // Before it leaves, as everywhere: on the way the client may be told how far it has come.
      this.#followed.unsent = index === taken.length - 1 ? null : { after: cursor, previous: record.seq };
      // The token may open less than when it was read.
      if (!inScope(scope, record)) continue;
      previous = record.seq;
      const resumeSeq = cursor === record.seq ? null : cursor;
      if (!this.#writer.send(foldedFrame(record, prevSeq, count, resumeSeq))) continue;
      this.#edge.onSent?.(1);
      if (count > 1) this.#edge.onFolded?.(count - 1);
    }
    this.#previous = previous;
  }

  /** What is held back is not owed any more: the client begins anew, or goes on from what it was sent. */
  forget(): void {
    const { unsent } = this.#followed;
    if (unsent !== null) {
      this.#followed.cursor = unsent.after;
      this.#previous = unsent.previous;
    }
    this.#followed.unsent = null;
    this.#pace?.folds.forget();
  }

  /** The next update follows this event of the job, whichever were sent; null: nobody knows which. */
  setPreviousSeq(seq: number | null): void {
    this.#previous = seq;
  }

  /** The client is about to be shown all jobs as they are now. */
  startFresh(): void {
    this.#gone?.startFresh();
  }

  /** The client goes on from `cursor`. */
  resume(cursor: number): void {
    this.#followed.cursor = cursor;
    this.#gone?.resume(cursor);
  }

  /** Takes in a record: sends it where it is in scope, or folds it. @returns what that cost, in bytes */
  #update(record: LogRecord, index: number, encoded: EncodedFrames | null): number {
    const pace = this.#pace;
    return pace === null ? this.#state(record, index, encoded) : this.#fold(record, pace.folds);
  }

  /** Sends a record where it is in scope, whatever the rate. @returns what that cost, in bytes */
  state(record: LogRecord): number {
    const spent = this.#state(record, 0, null);
    this.#tellSent();
    return spent;
  }

  /** @param encoded where it stands at `index`, as bytes */
  #state(record: LogRecord, index: number, encoded: EncodedFrames | null): number {
    const { scope } = this.#followed;
    while (this.#gone?.tell(scope, this.#followed.cursor ?? 0, record.seq - 1));
    this.#followed.advanceTo(record.seq);
    if (!inScope(scope, record)) return SCAN_BYTES;
    const frame = frameInScope(record, scope, this.#previous);
    const bytes = encoded !== null && frame === record.frame ? encoded.at(index) : null;
    if (this.#writer.send(frame, bytes)) {
      this.#previous = record.seq;
      this.#sent++;
    }
    const pace = this.#pace;
    if (pace !== null) pace.dueAt = this.#edge.now() + pace.intervalMs;
    this.#stall?.told(false);
    return record.bytes;
  }

  #fold(record: LogRecord, folds: FoldBuffer): number {
    const { scope } = this.#followed;
    while (this.#gone?.tell(scope, this.#followed.cursor ?? 0, record.seq - 1));
    const after = this.#followed.cursor ?? 0;
    this.#followed.advanceTo(record.seq);
    if (!inScope(scope, record)) return SCAN_BYTES;
    if (folds.isEmpty) this.#followed.unsent = { after, previous: this.#previous };
    const isChange = folds.add(record, prevSeqInScope(record, scope, this.#previous));
    this.#previous = record.seq;
    this.#stall?.told(false);
    // Of one job a change is sent at once. Of all jobs it comes with what came before it: one cursor covers them all.
    const isDue =
      scope.kind === 'job' ? isChange : folds.bytes >= FOLD_WATERMARKS * this.#edge.limits.watermarkBytes;
    if (!isDue) return SCAN_BYTES;
    const spent = folds.bytes;
    this.flush();
    return spent;
  }

  /** The same for several; a gap is told before the first update behind it. */
  updates(
    records: readonly LogRecord[],
    gap: Gap | null,
    areStates = false,
    encoded: EncodedFrames | null = null,
  ): number {
    let spent = 0;
    let untold = gap;
    // By index: an iterator over entries took a third of what a session does for an update.
    for (let index = 0; index < records.length; index++) {
      const record = records[index] as LogRecord;
      if (untold !== null && record.seq > untold.after) {
        this.#skipped(untold);
        untold = null;
      }
      spent += areStates ? this.#state(record, index, null) : this.#update(record, index, encoded);
    }
    this.#tellSent();
    if (untold !== null) this.#skipped(untold);
    return spent;
  }

  /**
   * Tells of the next jobs that left while the log's head was at `place` at most, where the client is.
   * @returns what that cost, in bytes; 0: there were none
   */
  tellGone(place: number): number {
    return this.#gone?.tell(this.#followed.scope, place, place) ? GONE_BATCH * SCAN_BYTES : 0;
  }

  /** Everybody is told of a stall; this client hears it or not. */
  stalled(frame: string, isHeard: boolean): void {
    this.#stalls().told(isHeard);
    if (isHeard) this.#writer.send(frame);
  }

  /** All jobs: this client is to hear of it as soon as it was sent what came before. */
  owesStall(id: string): void {
    this.#stalls().owe(id);
  }

  /** Tells of stalls that the client has not heard of. */
  tellStalls(): void {
    const { scope } = this.#followed;
    if (this.#stall === null) {
      const silentMs = scope.kind === 'all' ? null : this.#edge.stalledFor?.(scope.id);
      if (silentMs === null || silentMs === undefined) return;
    }
    for (const frame of this.#stalls().take(scope)) {
      this.flush();
      this.#writer.send(frame);
    }
  }

  /** One job: closes behind what was sent where that was the end. */
  endIfFinished(): void {
    const { scope, cursor, unfinishedAt } = this.#followed;
    if (scope.kind !== 'job') return;
    const last = this.#edge.log.lastServed(scope.id);
    if (last === undefined || !last.finished || !inScope(scope, last)) return;
    if (last.seq > (cursor ?? 0) || last.seq < unfinishedAt) return;
    this.#writer.end();
  }

  #stalls(): StallNotice {
    this.#stall ??= new StallNotice(this.#edge);
    return this.#stall;
  }

  // Once for all that were sent together: to count each by itself costs a twentieth of sending it.
  #tellSent(): void {
    if (this.#sent === 0) return;
    this.#edge.onSent?.(this.#sent);
    this.#sent = 0;
  }

  #skipped({ after, before }: Gap): void {
    this.flush();
    this.#writer.send(frames.skipped('retention', after, before));
  }
}
