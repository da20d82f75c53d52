import { closeCode, ERROR_CODES, type ErrorCode } from '../../schemas/close-codes.js';
import type { ResetReason } from '../../schemas/frames.js';
import type { EventLog } from '../eventlog/log.js';
import type { LogRecord } from '../eventlog/record.js';
import { inScope, isKnownIn, type Scope } from '../eventlog/scope.js';
import type { Snapshot } from '../eventlog/snapshot.js';
import { parseClientFrame } from './client-frame.js';
import { frames } from './encode.js';
import { openingOf, type Resume } from './opening.js';
import type { ColdSource, IsWanted, Outlet, Page, Permit, Refusal, Renewal, SessionLimits } from './ports.js';
import { SCAN_BYTES, Sender } from './sender.js';
import type { Phase, SessionState } from './state.js';
import { Tenure } from './tenure.js';

export type { Resume };

export interface SessionParts {
  readonly id: string;
  readonly scope: Scope;
  /** null: a fresh client, which gets the last state. */
  readonly resume: Resume | null;
  readonly log: EventLog;
  readonly cold: ColdSource;
  readonly outlet: Outlet;
  readonly limits: SessionLimits;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** Asks for `pump` in the next turn of the event loop. */
  readonly again: (session: Session) => void;
  readonly onSent?: (updates: number) => void;
  /** For how many milliseconds a job whose stall was told has been silent; null: it is not stalled. */
  readonly stalledFor?: (id: string) => number | null;
  /** null: the edge runs open. */
  readonly permit: Permit | null;
}

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
  readonly #parts: SessionParts;
  readonly #tenure: Tenure | null;
  readonly #sender: Sender;
  #scope: Scope;
  #state: SessionState = { name: 'waiting' };
  #resume: Resume | null;
  /** The epoch that the client takes its cursor to be of. */
  #toldEpoch = '';
  /** null: nothing was sent and nothing is known of the client, so there is no place to go on from. */
  #cursor: number | null;
  /** Held only to be closed. */
  #snapshot: Snapshot | null = null;
  /** One job: it is known to be unfinished at this seq, whatever this edge has read. */
  #goesOnAt = 0;
  #owesReset: ResetReason | null = null;
  /** One job: this client knows that it is stalled. */
  #toldStall = false;

  constructor(parts: SessionParts) {
    this.id = parts.id;
    this.#scope = parts.scope;
    this.#parts = parts;
    this.#tenure = parts.permit === null ? null : new Tenure(parts.permit);
    this.#resume = parts.resume;
    this.#cursor = parts.resume?.lastSeq ?? null;
    this.#sender = new Sender(parts.outlet, parts.now);
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
    return this.#state.name === 'live' ? Math.max(cursor, this.#parts.log.settled) : cursor;
  }

  /** Sends `hello` and starts, or waits for the log to be ready. Called once. */
  open(): void {
    const { log, limits } = this.#parts;
    if (this.scope.kind === 'job') log.watch(this.scope.id);
    // The token may have expired since it was checked.
    if (this.#hasExpired()) return;
    this.#corked(() => {
      this.#toldEpoch = log.epoch;
      // Under this epoch the client's cursor of another means nothing, also in a heartbeat before the reset.
      const isOfAnother = (this.#resume?.epoch ?? log.epoch) !== log.epoch;
      if (isOfAnother) this.#cursor = null;
      this.#send(frames.hello(log.epoch, this.id, limits.heartbeatMs));
      if (log.isReady) this.#start();
    });
  }

  /** The log has become ready. */
  logReady(): void {
    // In its share of a turn, like everything that may be long.
    if (this.#state.name === 'waiting') this.#parts.again(this);
  }

  /**
   * The log is about to start over. The session waits until it is ready and goes on from its cursor, or, when the log
   * comes back in another epoch than the client was told, or with another past, with a reset.
   */
  logRestarts(rewound: boolean): void {
    if (this.#state.name === 'ended') return;
    this.#leaveLive();
    // Not begun: what the client asked for stands.
    if (this.#state.name !== 'waiting' && this.#cursor !== null) {
      this.#resume = { lastSeq: this.#cursor, epoch: null };
    }
    if (rewound) this.#owesReset = 'ahead';
    this.#state = { name: 'waiting' };
  }

  /** The connection is gone. */
  closed(): void {
    if (this.#state.name === 'ended') return;
    this.#state = { name: 'ended' };
    this.#snapshot?.close();
    if (this.scope.kind === 'job') this.#parts.log.unwatch(this.scope.id);
  }

  /**
   * Sends what lies after the cursor until the head is reached, the socket is full, or the turn's share is used.
   * @returns about how many bytes were sent
   */
  pump(): number {
    const before = this.#sender.cost;
    this.#corked(() => this.#pump());
    return this.#sender.cost - before;
  }

  #pump(): void {
    this.#leaveLive();
    if (this.#hasExpired()) return;
    let budget = TURN_BYTES;
    for (;;) {
      if (this.#isFull()) return;
      if (budget <= 0) {
        this.#parts.again(this);
        return;
      }
      const state = this.#state;
      switch (state.name) {
        case 'waiting':
          if (this.#parts.log.isReady) this.#start();
          return;
        case 'asking':
        case 'live':
        case 'ended':
          return;
        case 'answered':
          state.take();
          return;
        case 'snapshot': {
          const spent = this.#stepSnapshot(state.snapshot);
          if (spent === null) return;
          budget -= spent;
          break;
        }
        case 'behind': {
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
    if (this.#state.name === 'ended' || this.#hasExpired()) return;
    if (this.#tenure?.warns(this.#parts.wallClock()))
      this.#send(frames.tokenExpiring(this.#tenure.expiresText));
    if (now - this.#sender.sentAt < this.#parts.limits.heartbeatAfterMs) return;
    if (this.#parts.outlet.buffered() === 0) this.#send(frames.heartbeat(this.cursor, feed));
  }

  /**
   * A job in scope gave no sign of life. Told at once by a live session; one that has yet to send what the job did
   * before says it when it has.
   * @param frame the same for every session, and so made once
   */
  stalled(frame: string): void {
    // A socket that is full would have to keep it, beside what waits in the log.
    const isHeard = this.#state.name === 'live' && !this.#isFull();
    this.#toldStall = isHeard;
    if (isHeard) this.#send(frame);
  }

  /** A frame from the client: its text, or null for a binary one. */
  receive(text: string | null): void {
    if (this.#isOver()) return;
    const parsed = parseClientFrame(text, this.#parts.limits.maxFrameCharacters);
    if (!parsed.ok) {
      this.fail(parsed.code, parsed.message);
      return;
    }
    switch (parsed.frame.type) {
      case 'ping':
        // Who does not read gets no pong either: it could be made to fill the memory.
        if (!this.#isFull()) this.#send(frames.pong());
        return;
      case 'auth':
        // While the edge runs open a client that always sends its token is served as well.
        this.#tenure?.renew(parsed.frame.token, (renewal) => this.#renewed(renewal));
        return;
    }
  }

  /** Explains what was wrong and closes with the matching code. */
  fail(code: ErrorCode, message: string): void {
    if (this.#state.name === 'ended') return;
    this.#corked(() => {
      this.#sender.send(frames.error(code, message));
      this.#end(closeCode(ERROR_CODES[code]), code);
    });
  }

  /** Tells the client to come back to another edge within `withinMs`; it is served until it is closed. */
  announceDrain(withinMs: number): void {
    this.#corked(() => this.#send(frames.draining(withinMs)));
  }

  /** Closes with 1012. */
  closeDraining(): void {
    this.#corked(() => this.#end(closeCode('draining'), 'draining'));
  }

  #hasExpired(): boolean {
    const tenure = this.#tenure;
    if (tenure === null || !tenure.isOver(this.#parts.wallClock())) return false;
    this.fail('token_expired', `the token expired at ${tenure.expiresText}; connect again with a new one`);
    return true;
  }

  #renewed(renewal: Renewal): void {
    if (this.#state.name === 'ended') return;
    switch (renewal.kind) {
      case 'refused':
        this.fail(renewal.code, renewal.message);
        return;
      case 'unknown':
        // The token that was there before holds on until it expires.
        return;
      case 'renewed': {
        // Only what both tokens open: of what the old one kept back the client has no cursor.
        const scope = renewal.narrow(this.#scope);
        if (scope === null) {
          this.fail('forbidden', 'the new token does not open what this connection follows');
          return;
        }
        this.#scope = scope;
        if (scope.kind === 'job') this.#isForbidden(this.#parts.log.last(scope.id));
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
    this.#state = { name: 'behind', phase: 'lagging' };
  }

  #corked(write: () => void): void {
    if (this.#state.name !== 'ended') this.#parts.outlet.cork(write);
  }

  #isFull(): boolean {
    return this.#state.name !== 'ended' && this.#parts.outlet.buffered() >= this.#parts.limits.watermarkBytes;
  }

  #start(): void {
    const { log, limits } = this.#parts;
    const opening = openingOf({
      resume: this.#resume,
      toldEpoch: this.#toldEpoch,
      owesReset: this.#owesReset,
      epoch: log.epoch,
      head: log.head,
      maxReplay: this.scope.kind === 'job' ? limits.maxReplayJob : limits.maxReplayAll,
    });
    switch (opening.kind) {
      case 'fresh':
        this.#fresh();
        return;
      case 'reset':
        this.#reset(opening.reason, log.firstSeq, log.head);
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
    const { cold } = this.#parts;
    this.#ask(
      (isWanted) => cold.reached(cursor, isWanted),
      (answer) => {
        const { scope } = this;
        if (answer.kind === 'refused') this.#refuse(answer);
        else if (scope.kind === 'all') this.#replay(cursor);
        else {
          // The client may have seen the job begin anew after an end that is the newest this edge has read.
          this.#ask(
            (isWanted) => cold.lastState(scope.id, isWanted),
            (last) => {
              this.#goesOnAt = last === null || last.finished ? 0 : last.seq;
              this.#replay(cursor);
            },
          );
        }
      },
    );
  }

  #replay(cursor: number): void {
    this.#cursor = cursor;
    const replay = () => this.#become({ name: 'behind', phase: 'replaying' });
    if (this.scope.kind === 'all') replay();
    else {
      this.#withLast(this.scope.id, (last) => {
        if (!this.#isForbidden(last)) replay();
      });
    }
  }

  #fresh(): void {
    const { log, wallClock } = this.#parts;
    // A snapshot that is made now would never be closed.
    if (this.#state.name === 'ended') return;
    if (this.scope.kind === 'all') {
      if (!log.hasAllStates) {
        this.fail(
          'overloaded',
          'there are more jobs than this edge has memory for; follow single jobs, or resume',
        );
        return;
      }
      this.#snapshot?.close();
      this.#snapshot = log.snapshot(this.scope, wallClock());
      this.#become({ name: 'snapshot', snapshot: this.#snapshot });
      return;
    }
    this.#withLast(this.scope.id, (last) => {
      if (this.#isForbidden(last)) return;
      // The state is the newest as of the log's head, wherever in the stream it stands itself.
      if (last !== null) this.#update(last);
      // Events between it and a break of the log may have been deleted unread.
      if ((last?.seq ?? 0) < log.brokenAt) this.#sender.follows(null);
      this.#cursor = Math.max(this.cursor, log.head);
      this.#become({ name: 'behind', phase: 'replaying' });
    });
  }

  // A job that memory does not know is read first: only its last event tells what it is, and whether it is finished.
  #withLast(id: string, then: (last: LogRecord | null) => void): void {
    const { log, cold } = this.#parts;
    const known = log.last(id) ?? null;
    if (known !== null || log.knowsAllJobs) {
      then(known);
      return;
    }
    this.#ask(
      (isWanted) => cold.lastState(id, isWanted),
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

  // One step through the last states of all jobs. Returns the bytes sent, or null when there is nothing to do now.
  #stepSnapshot(snapshot: Snapshot): number | null {
    const next = snapshot.next();
    if (next === null) {
      this.#cursor = Math.max(this.cursor, snapshot.head);
      this.#enter({ name: 'behind', phase: 'replaying' });
      return 0;
    }
    if (!isPlaces(next)) return this.#update(next);
    this.#ask(
      (isWanted) => this.#parts.cold.records(next, isWanted),
      (records) => {
        for (const record of records) if (snapshot.includes(record)) this.#update(record);
        this.#cursor = Math.max(this.cursor, next.at(-1) ?? 0);
        this.#become({ name: 'snapshot', snapshot });
      },
    );
    return null;
  }

  // One read of the log and what follows from it. Returns the bytes sent, or null when there is nothing to do now.
  #step(phase: Phase, budget: number): number | null {
    const { log, limits, cold } = this.#parts;
    const read = log.read(this.scope, this.cursor, Math.min(budget, limits.watermarkBytes));
    switch (read.kind) {
      case 'records': {
        let spent = this.#sender.scanned(read.scanned);
        for (const record of read.records) spent += this.#update(record);
        this.#cursor = read.cursor;
        return spent;
      }
      case 'head':
        if (this.scope.kind === 'job' && this.#isForbidden(log.last(this.scope.id))) return null;
        this.#cursor = read.cursor;
        this.#enter({ name: 'live' });
        if (phase === 'replaying') this.#send(frames.caughtUp(read.cursor));
        this.#tellStall();
        this.#endIfFinished();
        return null;
      case 'behind':
        this.#ask(
          (isWanted) => cold.page(this.scope, this.cursor, isWanted),
          (answer) => this.#page(answer, phase),
        );
        return null;
    }
  }

  #page(answer: Page | Refusal, phase: Phase): void {
    if (answer.kind === 'refused') {
      this.#refuse(answer);
      return;
    }
    for (const record of answer.records) this.#update(record);
    if (this.scope.jobTypes === null && answer.previous !== null) this.#sender.follows(answer.previous);
    this.#cursor = Math.max(this.cursor, answer.cursor);
    this.#become({ name: 'behind', phase });
  }

  // For whoever was not there, or not at the head, when it was told.
  #tellStall(): void {
    const { scope } = this;
    if (scope.kind !== 'job' || this.#toldStall) return;
    const silentMs = this.#parts.stalledFor?.(scope.id) ?? null;
    if (silentMs === null || !isKnownIn(scope, this.#parts.log.last(scope.id))) return;
    this.#toldStall = true;
    this.#send(frames.stalled(scope.id, silentMs));
  }

  #endIfFinished(): void {
    if (this.scope.kind !== 'job') return;
    const last = this.#parts.log.last(this.scope.id);
    if (last === undefined || !inScope(this.scope, last)) return;
    if (!last.finished || last.seq > this.cursor || last.seq < this.#goesOnAt) return;
    this.#send(frames.end());
    this.#end(closeCode('end'), 'end');
  }

  #refuse(refusal: Refusal): void {
    this.#reset(refusal.reason, refusal.firstSeq, refusal.lastSeq);
  }

  #reset(reason: ResetReason, firstSeq: number, lastSeq: number): void {
    this.#toldEpoch = this.#parts.log.epoch;
    this.#send(frames.reset(reason, this.#toldEpoch, firstSeq, lastSeq));
    this.#cursor = null;
    this.#sender.follows(null);
    this.#goesOnAt = 0;
    this.#owesReset = null;
    this.#resume = null;
    this.#fresh();
  }

  // The answer is for the state that asked; after a restart of the log, or a close, it is for nobody. It is taken in
  // the session's own turn: thousands can wait for the same answer.
  #ask<T>(read: (isWanted: IsWanted) => Promise<T>, then: (answer: T) => void): void {
    if (this.#state.name === 'ended') return;
    const ticket = Symbol('ticket');
    this.#enter({ name: 'asking', ticket });
    const isCurrent = () => this.#state.name === 'asking' && this.#state.ticket === ticket;
    read(isCurrent).then(
      (value) => {
        if (!isCurrent()) return;
        this.#state = { name: 'answered', take: () => then(value) };
        this.#parts.again(this);
      },
      () => {
        if (isCurrent()) this.fail('internal', 'this edge cannot read the history now; connect again');
      },
    );
  }

  #update(record: LogRecord): number {
    this.#cursor = Math.max(this.cursor, record.seq);
    if (!inScope(this.scope, record)) return SCAN_BYTES;
    this.#sendUpdate(record);
    this.#toldStall = false;
    return record.bytes;
  }

  // Everything but the reason of an end leaves by these two, so that nothing does from the expiry on, however long what
  // was before it took.
  #send(text: string): void {
    if (!this.#isOver()) this.#sender.send(text);
  }

  #sendUpdate(record: LogRecord): void {
    if (this.#isOver()) return;
    this.#sender.update(record, this.scope);
    this.#parts.onSent?.(1);
  }

  #isOver(): boolean {
    return this.#state.name === 'ended' || this.#hasExpired();
  }

  // What has ended stays so, whatever the step that it ended in had in mind.
  #enter(state: SessionState): void {
    if (this.#state.name !== 'ended') this.#state = state;
  }

  #end(code: number, reason: string): void {
    if (this.#state.name === 'ended') return;
    this.closed();
    this.#parts.outlet.end(code, reason);
  }
}

function isPlaces(next: LogRecord | readonly number[]): next is readonly number[] {
  return Array.isArray(next);
}
