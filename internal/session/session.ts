import { closeCode, type ErrorCode } from '../../schemas/close-codes.js';
import type { ResetReason, SkipReason } from '../../schemas/frames.js';
import type { Gap } from '../eventlog/gaps.js';
import type { LogRecord } from '../eventlog/record.js';
import { inScope, type Scope } from '../eventlog/scope.js';
import { SNAPSHOT_SCAN_LIMIT, type Snapshot } from '../eventlog/snapshot.js';
import { FrameWriter, SCAN_BYTES } from './frame-writer.js';
import { frames, parseClientFrame } from './frames.js';
import { GONE_BATCH, GoneNotices, StallNotice } from './notices.js';
import type { IsWanted, Page, Renewal, ResetRequired, SessionDeps } from './ports.js';
import { decideResume, type Resume } from './resume.js';
import type { Phase, SessionState } from './state.js';
import { applyRenewal } from './token-expiry.js';

export type { Resume, SessionDeps as SessionParts };

/** The most bytes that one pump sends before the other sessions have their turn. */
const TURN_BYTES = 128 * 1024;

/**
 * One connection: a cursor over the log, and the pump that moves it. PROTOCOL.md, "The life of a connection".
 *
 * Invariants: `cursor` never falls but by a reset; every valid event in scope at or below it has been sent since the
 * last state or the client's own cursor; nothing is sent before `hello` or after `ended`.
 */
export class Session {
  readonly id: string;
  /** Who asks: connections of the same one share its turns. */
  readonly requester: string;
  readonly #deps: SessionDeps;
  readonly #writer: FrameWriter;
  /** null: one job, which nobody is told of when it leaves. */
  readonly #gone: GoneNotices | null;
  readonly #stall: StallNotice;
  #scope: Scope;
  #state: SessionState = { name: 'loading' };
  #resume: Resume | null;
  /** The epoch that the client takes its cursor to be of. */
  #clientEpoch = '';
  /** null: nothing was sent and nothing is known of the client, so there is no place to go on from. */
  #cursor: number | null;
  /** One job: it is known to be unfinished at this seq, whatever this edge has read. */
  #unfinishedAt = 0;
  #pendingReset: ResetReason | null = null;
  /** One job: nothing was sent after the client's own cursor yet, so that may still be too far behind. */
  #isOpening = false;

  constructor(deps: SessionDeps) {
    this.id = deps.id;
    this.requester = deps.requester;
    this.#scope = deps.scope;
    this.#deps = deps;
    this.#resume = deps.resume;
    this.#cursor = deps.resume?.lastSeq ?? null;
    const { transport, credentials, wallClock, now, limits } = deps;
    const onClosed = () => this.#ended();
    const { watermarkBytes } = limits;
    this.#writer = new FrameWriter({ transport, credentials, watermarkBytes, wallClock, now, onClosed });
    this.#stall = new StallNotice(deps.log, deps.stalledFor ?? (() => null));
    this.#gone = deps.scope.kind === 'job' ? null : new GoneNotices(deps.log, (text) => this.#send(text));
  }

  /** Which job, or all, stays as it is; which types can become fewer with a new token. */
  get scope(): Scope {
    return this.#scope;
  }

  get state(): SessionState['name'] {
    return this.#state.name;
  }

  /** Everything in scope up to here has been sent. */
  get cursor(): number {
    const cursor = this.#cursor ?? 0;
    if (this.#state.name !== 'live') return cursor;
    const { log } = this.#deps;
    // What was deleted unread may have been this job's: it stays before that until somebody has looked.
    if (this.scope.kind === 'job' && !log.isWhole(this.scope.id, cursor)) return cursor;
    return Math.max(cursor, log.flushedSeq);
  }

  /** Sends `hello` and starts, or waits for the log to be ready. Called once. */
  open(): void {
    const { log, limits } = this.#deps;
    if (this.scope.kind === 'job') log.watch(this.scope.id);
    // The token may have expired since it was checked.
    if (!this.#writer.isUsable()) return;
    this.#writer.corked(() => {
      this.#clientEpoch = log.epoch;
      const scope = this.#deps.scopeId(this.scope);
      // A cursor of another epoch or scope means nothing under this one, also in a heartbeat before the reset.
      const isOfAnother =
        (this.#resume?.epoch ?? log.epoch) !== log.epoch || (this.#resume?.scope ?? scope) !== scope;
      if (isOfAnother) this.#cursor = null;
      this.#send(frames.hello(log.epoch, this.id, limits.heartbeatMs, scope));
      if (log.isReady) this.#start();
    });
  }

  /** The log has become ready. */
  logReady(): void {
    // In its share of a turn, like everything that may be long.
    if (this.#state.name === 'loading') this.#deps.scheduleCatchUp(this);
  }

  /**
   * The log is about to start over. The session waits until it is ready and goes on from its cursor, or, when the log
   * comes back in another epoch than the client was told, with a reset.
   * @param reset what everybody is owed whatever the cursor is; null: nothing
   */
  logRestarts(reset: ResetReason | null): void {
    if (this.#state.name === 'ended') return;
    this.#leaveLive();
    // Not begun: what the client asked for stands.
    if (this.#state.name !== 'loading' && this.#cursor !== null) {
      this.#resume = { lastSeq: this.#cursor, epoch: null };
    }
    this.#pendingReset = reset ?? this.#pendingReset;
    this.#state = { name: 'loading' };
  }

  /** The connection is gone. */
  closed(): void {
    this.#writer.closed();
  }

  #ended(): void {
    this.#state = { name: 'ended' };
    if (this.scope.kind === 'job') this.#deps.log.unwatch(this.scope.id);
  }

  /**
   * Sends what lies after the cursor until the head is reached, the socket is full, or the turn's share is used.
   * @returns about how many bytes were sent
   */
  pump(): number {
    const before = this.#writer.cost;
    this.#writer.corked(() => this.#pump());
    return this.#writer.cost - before;
  }

  #pump(): void {
    this.#leaveLive();
    if (!this.#writer.isUsable()) return;
    let budget = TURN_BYTES;
    for (;;) {
      if (this.#writer.isFull) return;
      if (budget <= 0) {
        this.#deps.scheduleCatchUp(this);
        return;
      }
      const state = this.#state;
      switch (state.name) {
        case 'loading':
          if (this.#deps.log.isReady) this.#start();
          return;
        case 'fetching':
        case 'live':
        case 'ended':
          return;
        case 'fetched':
          state.take();
          return;
        case 'snapshot': {
          const spent = this.#stepSnapshot(state.snapshot, state.phase);
          if (spent === null) return;
          budget -= spent;
          break;
        }
        case 'catching_up': {
          const spent = this.#step(state.phase, budget);
          if (spent === null) return;
          budget -= spent;
          break;
        }
      }
    }
  }

  /** Sends a heartbeat when nothing was sent for `heartbeatAfterMs`; a socket that is full needs none. */
  tick(now: number, feed: 'ok' | 'away'): void {
    const channel = this.#writer;
    if (!channel.isUsable()) return;
    channel.warnIfDue();
    if (now - channel.sentAt < this.#deps.limits.heartbeatAfterMs || !channel.isEmpty) return;
    const { cursor } = this;
    // What was told is never taken back.
    if (this.#state.name === 'live') this.#cursor = cursor;
    this.#send(frames.heartbeat(cursor, feed));
  }

  /**
   * A job in scope gave no sign of life. Told at once by a live session; one that has yet to send what the job did
   * before says it when it has.
   * @param frame the same for every session, and so made once
   */
  stalled(frame: string): void {
    // A socket that is full would have to keep it, beside what waits in the log.
    const isHeard = this.#state.name === 'live' && !this.#writer.isFull;
    this.#stall.told(isHeard);
    if (isHeard) this.#send(frame);
  }

  /** A frame from the client: its text, or null for a binary one. */
  receive(text: string | null): void {
    if (!this.#writer.isUsable()) return;
    const parsed = parseClientFrame(text, this.#deps.limits.maxFrameCharacters);
    if (!parsed.ok) {
      this.fail(parsed.code, parsed.message);
      return;
    }
    switch (parsed.frame.type) {
      case 'ping':
        // Who does not read gets no pong either: it could be made to fill the memory.
        if (!this.#writer.isFull) this.#send(frames.pong());
        return;
      case 'auth':
        // While the edge runs open a client that always sends its token is served as well.
        this.#writer.renew(parsed.frame.token, (renewal) => this.#renewed(renewal));
        return;
    }
  }

  /** Explains what was wrong and closes with the matching code. */
  fail(code: ErrorCode, message: string): void {
    this.#writer.fail(code, message);
  }

  /** Tells the client to come back to another edge within `withinMs`; it is served until it is closed. */
  announceDrain(withinMs: number): void {
    this.#writer.corked(() => this.#send(frames.draining(withinMs)));
  }

  /** Closes with 1012. */
  closeDraining(): void {
    this.#writer.corked(() => this.#writer.end(closeCode('draining'), 'draining'));
  }

  #renewed(renewal: Renewal): void {
    const result = applyRenewal(renewal, this.#scope);
    switch (result.kind) {
      case 'refused':
        this.fail(result.code, result.message);
        return;
      case 'unknown':
        // The token that was there before holds on until it expires.
        return;
      case 'narrowed': {
        const { scope } = result;
        this.#scope = scope;
        // With the scope as it is from here on: a cursor that moves on under fewer types is none of the wider scope.
        const answer = frames.authOk(this.#writer.expiresText, this.#deps.scopeId(scope));
        this.#writer.corked(() => this.#send(answer));
        if (scope.kind === 'job') this.#isForbidden(this.#deps.log.last(scope.id));
        return;
      }
    }
  }

  // A token that lists types opens a job of one of them, once its type is known.
  #isForbidden(last: LogRecord | null | undefined): boolean {
    if (this.scope.kind === 'all' || this.scope.jobTypes === null) return false;
    if (last?.jobType === undefined || inScope(this.scope, last)) return false;
    this.fail('forbidden', 'the token does not open this job');
    return true;
  }

  // Before anything can stop the pump: a live session's cursor is the log's `settled`, and that is about to move on.
  #leaveLive(): void {
    if (this.#state.name !== 'live') return;
    this.#cursor = this.cursor;
    this.#state = { name: 'catching_up', phase: 'lagging' };
  }

  #start(): void {
    const { log, limits, scopeId } = this.#deps;
    const opening = decideResume({
      resume: this.#resume,
      clientEpoch: this.#clientEpoch,
      pendingReset: this.#pendingReset,
      epoch: log.epoch,
      head: log.head,
      scope: scopeId(this.scope),
      countAfter: (cursor) => log.countAfter(this.scope, cursor),
      maxReplay: this.scope.kind === 'job' ? limits.maxReplayJob : limits.maxReplayAll,
      canSkip: (cursor) => this.scope.kind === 'all' && log.hasChangesSince(cursor),
    });
    switch (opening.kind) {
      case 'fresh':
        this.#fresh();
        return;
      case 'reset':
        this.#reset(opening.reason, log.firstSeq, log.head);
        return;
      case 'skip':
        this.#begin(opening.cursor);
        this.#skipTo(opening.reason, 'replaying');
        return;
      case 'replay':
        this.#replay(opening.cursor);
        return;
      case 'ahead':
        this.#replayAhead(opening.cursor);
        return;
    }
  }

  // The stream may be further than this edge has read.
  #replayAhead(cursor: number): void {
    const { history } = this.#deps;
    this.#ask(
      (isWanted) => history.reached(cursor, isWanted),
      (answer) => {
        const { scope } = this;
        if (answer.kind === 'refused') this.#reset(answer.reason, answer.firstSeq, answer.lastSeq);
        else if (scope.kind === 'all') this.#replay(cursor);
        else {
          // The client may have seen the job begin anew after an end that is the newest this edge has read.
          this.#ask(
            (isWanted) => history.lastState(scope.id, isWanted),
            (last) => {
              this.#unfinishedAt = last === null || last.finished ? 0 : last.seq;
              this.#replay(cursor);
            },
          );
        }
      },
    );
  }

  #begin(cursor: number): void {
    this.#cursor = cursor;
    this.#gone?.resume(cursor, this.#deps.now());
  }

  #replay(cursor: number): void {
    this.#begin(cursor);
    this.#isOpening = true;
    const replay = () => this.#become({ name: 'catching_up', phase: 'replaying' });
    if (this.scope.kind === 'all') replay();
    else {
      this.#withLast(this.scope.id, (last) => {
        if (!this.#isForbidden(last)) replay();
      });
    }
  }

  #fresh(): void {
    const { log, wallClock } = this.#deps;
    if (this.scope.kind === 'all') {
      if (!log.hasAllStates) {
        this.fail(
          'overloaded',
          'there are more jobs than this edge has memory for; follow single jobs, or resume',
        );
        return;
      }
      this.#gone?.startFresh();
      const snapshot = log.snapshot(this.scope, wallClock());
      this.#become({ name: 'snapshot', snapshot, phase: 'replaying' });
      return;
    }
    this.#withLast(this.scope.id, (last) => {
      if (this.#isForbidden(last)) return;
      // The state is the newest as of the log's head, wherever in the stream it stands itself.
      if (last !== null) this.#update(last);
      // Events between it and a gap of the log may have been deleted unread.
      if (!log.isWhole(this.scope.kind === 'job' ? this.scope.id : '', last?.seq ?? 0))
        this.#writer.setPreviousSeq(null);
      this.#cursor = Math.max(this.cursor, log.head);
      this.#become({ name: 'catching_up', phase: 'replaying' });
    });
  }

  // A job that memory does not know is read first: only its last event tells what it is, and whether it is finished.
  #withLast(id: string, then: (last: LogRecord | null) => void): void {
    const { log, history } = this.#deps;
    const known = log.last(id) ?? null;
    if (known !== null || log.knowsAllJobs) {
      then(known);
      return;
    }
    this.#ask(
      (isWanted) => history.lastState(id, isWanted),
      (read) => {
        if (read !== null) log.restore(read);
        const newest = log.last(id) ?? null;
        // The answer may be ahead of this edge's log, or behind it.
        then(newest !== null && (read === null || newest.seq >= read.seq) ? newest : read);
      },
    );
  }

  #become(state: SessionState): void {
    this.#enter(state);
    this.#pump();
  }

  // All jobs: instead of the events after the cursor the newest state of each job that has one. Each is the job's whole
  // state, so whoever takes even one of them is nearer to the head; and there are never more of them than jobs.
  #skipTo(reason: SkipReason, phase: Phase): void {
    const snapshot = this.#deps.log.changes(this.scope, this.cursor);
    this.#send(frames.skipped(reason, this.cursor, snapshot.head + 1));
    this.#become({ name: 'snapshot', snapshot, phase });
  }

  // One step through the last states of all jobs. Returns the bytes sent, or null when there is nothing to do now.
  #stepSnapshot(snapshot: Snapshot, phase: Phase): number | null {
    const step = snapshot.next();
    switch (step.kind) {
      case 'state':
        return this.#update(step.record);
      case 'scanned':
        return this.#writer.scanned(SNAPSHOT_SCAN_LIMIT);
      case 'end':
        this.#cursor = Math.max(this.cursor, snapshot.head);
        this.#enter({ name: 'catching_up', phase });
        return 0;
      case 'lost':
        this.#reset('limit', this.#deps.log.firstSeq, this.#deps.log.head);
        return null;
      case 'evicted':
        this.#ask(
          (isWanted) => this.#deps.history.records(step.seqs, isWanted),
          (records) => {
            for (const record of records) if (snapshot.includes(record)) this.#update(record);
            this.#cursor = Math.max(this.cursor, step.seqs.at(-1) ?? 0);
            this.#become({ name: 'snapshot', snapshot, phase });
          },
        );
        return null;
    }
  }

  // One read of the log and what follows from it. Returns the bytes sent, or null when there is nothing to do now.
  #step(phase: Phase, budget: number): number | null {
    const { log, limits, history } = this.#deps;
    const read = log.read(this.scope, this.cursor, Math.min(budget, limits.watermarkBytes));
    switch (read.kind) {
      case 'records': {
        this.#isOpening = false;
        const spent = this.#writer.scanned(read.scanned) + this.#updates(read.records, read.gap);
        this.#cursor = read.cursor;
        return spent;
      }
      case 'head':
        this.#updates([], read.gap);
        if (this.#gone?.tell(this.scope, read.cursor)) {
          this.#cursor = read.cursor;
          return GONE_BATCH * SCAN_BYTES;
        }
        if (this.scope.kind === 'job' && this.#isForbidden(log.last(this.scope.id))) return null;
        this.#cursor = read.cursor;
        this.#enter({ name: 'live' });
        if (phase === 'replaying') this.#send(frames.caughtUp(read.cursor));
        return this.#nowLive();
      case 'unverified':
        this.#ask(
          (isWanted) => history.isKept(read.anchor, isWanted),
          (isKept) => {
            if (!isKept) this.#askPage(phase);
            else {
              if (this.scope.kind === 'job') log.verified(this.scope.id, read.anchor, read.gapSeq);
              this.#become({ name: 'catching_up', phase });
            }
          },
        );
        return null;
      case 'out_of_range':
        this.#askPage(phase);
        return null;
    }
  }

  #askPage(phase: Phase): void {
    this.#ask(
      (isWanted) => this.#deps.history.page(this.scope, this.cursor, isWanted),
      (answer) => this.#page(answer, phase),
    );
  }

  #page(answer: Page | ResetRequired, phase: Phase): void {
    const { log, limits } = this.#deps;
    if (answer.kind === 'refused') {
      this.#reset(answer.reason, answer.firstSeq, answer.lastSeq);
      return;
    }
    if (this.scope.kind === 'all') {
      const isFar = answer.pending > limits.maxReplayAll;
      if ((isFar || answer.gap !== null) && log.hasChangesSince(this.cursor)) {
        this.#skipTo(isFar ? 'limit' : 'retention', phase);
        return;
      }
    } else if (this.#isOpening && answer.pending > limits.maxReplayJob) {
      this.#reset('limit', log.firstSeq, log.head);
      return;
    }
    this.#isOpening = false;
    if (this.scope.kind === 'all') for (const record of answer.records) log.shown(record);
    this.#updates(answer.records, answer.gap);
    if (this.scope.jobTypes === null && answer.previous !== null)
      this.#writer.setPreviousSeq(answer.previous);
    this.#cursor = Math.max(this.cursor, answer.cursor);
    this.#become({ name: 'catching_up', phase });
  }

  // All jobs: a gap is told before the first update behind it.
  #updates(records: readonly LogRecord[], gap: Gap | null): number {
    let spent = 0;
    let untold = this.scope.kind === 'all' ? gap : null;
    const tell = (): void => {
      if (untold !== null) this.#send(frames.skipped('retention', untold.after, untold.before));
      untold = null;
    };
    for (const record of records) {
      if (untold !== null && record.seq > untold.after) tell();
      spent += this.#update(record);
    }
    tell();
    return spent;
  }

  #nowLive(): null {
    const stalled = this.#stall.take(this.scope);
    if (stalled !== null) this.#send(stalled);
    this.#endIfFinished();
    return null;
  }

  #endIfFinished(): void {
    if (this.scope.kind !== 'job') return;
    const last = this.#deps.log.lastServed(this.scope.id);
    if (last === undefined || !inScope(this.scope, last)) return;
    if (!last.finished || last.seq > this.cursor || last.seq < this.#unfinishedAt) return;
    this.#send(frames.end());
    this.#writer.end(closeCode('end'), 'end');
  }

  #reset(reason: ResetReason, firstSeq: number, lastSeq: number): void {
    this.#clientEpoch = this.#deps.log.epoch;
    this.#send(frames.reset(reason, this.#clientEpoch, firstSeq, lastSeq));
    this.#cursor = null;
    this.#writer.setPreviousSeq(null);
    this.#unfinishedAt = 0;
    this.#pendingReset = null;
    this.#resume = null;
    this.#fresh();
  }

  // The answer is for the state that asked; after a restart of the log, or a close, it is for nobody. It is taken in
  // the session's own turn: thousands can wait for the same answer.
  #ask<T>(read: (isWanted: IsWanted) => Promise<T>, then: (answer: T) => void): void {
    if (this.#state.name === 'ended') return;
    const ticket = Symbol('ticket');
    this.#enter({ name: 'fetching', ticket });
    const isCurrent = () => this.#state.name === 'fetching' && this.#state.ticket === ticket;
    read(isCurrent).then(
      (value) => {
        if (!isCurrent()) return;
        this.#state = { name: 'fetched', take: () => then(value) };
        this.#deps.scheduleCatchUp(this);
      },
      () => {
        if (isCurrent()) this.fail('internal', 'this edge cannot read the history now; connect again');
      },
    );
  }

  #update(record: LogRecord): number {
    while (this.#gone?.tell(this.scope, record.seq - 1));
    this.#cursor = Math.max(this.cursor, record.seq);
    if (!inScope(this.scope, record)) return SCAN_BYTES;
    if (this.#writer.update(record, this.scope)) this.#deps.onSent?.(1);
    this.#stall.told(false);
    return record.bytes;
  }

  #send(text: string): void {
    this.#writer.send(text);
  }

  // What has ended stays so, whatever the step that it ended in had in mind.
  #enter(state: SessionState): void {
    if (this.#state.name !== 'ended') this.#state = state;
  }
}
