import type { ResetReason } from '../../schemas/frames.js';
import type { Scope } from '../eventlog/record.js';
import { SNAPSHOT_SCAN_LIMIT } from '../eventlog/snapshot.js';
import type { CatchUpSource, Followed, Step } from './catch-up.js';
import { frames } from './frames.js';
import type { EdgeContext, Resume, SessionContext, SessionOutput } from './ports.js';
import { OpeningSource } from './resume.js';
import { freshStep, HISTORY_PAGES, headStep, SnapshotSource, TAIL } from './sources.js';
import { UpdateWriter } from './update-writer.js';

/** What sessions need of the hub. */
export interface SessionEdge extends EdgeContext {
  /** Asks for `pump` in the next turn of the event loop. */
  readonly scheduleCatchUp: (session: Session) => void;
  /** With a `maxRate`: calls `woken` at that time, in milliseconds that never go back. */
  readonly wakeAt?: (session: Session, at: number) => void;
}

export interface SessionDeps extends SessionContext {
  readonly edge: SessionEdge;
}

/** The most bytes that one pump sends before the other sessions have their turn. */
export const TURN_BYTES = 128 * 1024;

/** There is more to send: last states (`snapshot`), or what lies between the cursor and the head (`catching_up`). */
interface Reading {
  readonly name: 'snapshot' | 'catching_up';
  readonly source: CatchUpSource;
}

/** Where a session stands. One of these at a time. */
export type SessionState =
  /** The edge's log is still loading. */
  | { readonly name: 'loading' }
  | Reading
  /** An answer from JetStream is under way (a last state, a page of history, the stream's head). */
  | { readonly name: 'fetching'; readonly reading: Reading }
  /** The answer is here, and waits for this session's share of a turn. */
  | { readonly name: 'fetched'; readonly reading: Reading; readonly answer: () => Step }
  /** Everything up to the log's `flushedSeq` was sent. */
  | { readonly name: 'live' }
  /** The connection is closed, from either side. */
  | { readonly name: 'ended' };

const LOADING: SessionState = { name: 'loading' };
const LIVE: SessionState = { name: 'live' };
const IN_TAIL: Reading = { name: 'catching_up', source: TAIL };
const IN_HISTORY: Reading = { name: 'catching_up', source: HISTORY_PAGES };
const ENDED: SessionState = { name: 'ended' };

/**
 * A cursor over the log in one scope, and the pump that moves it. PROTOCOL.md, "The life of a connection".
 *
 * Invariants: the cursor never falls but by a reset; every valid event in scope at or below it has been sent since the
 * last state or the client's own cursor; nothing is sent before `hello` or after `ended`.
 */
export class Session {
  readonly #deps: SessionDeps;
  readonly #writer: SessionOutput;
  readonly #updates: UpdateWriter;
  readonly #followed: Followed;
  readonly #opening: OpeningSource;
  #state: SessionState = LOADING;
  /** Whether `caught_up` follows when the head is reached: after a connect or reset, not after a full socket. */
  #owesCaughtUp = true;
  /** Whether `open` was called, and `ended` was not: the log keeps the job in memory for it. */
  #isOpen = false;
  /** What may be sent now is sent, however soon it is after the update before. */
  #isHasty = false;
  /** All jobs with a `maxRate`: it is live but for what came since its last update, which is not read before its time. */
  #isHeldBack = false;
  #isToBeWoken = false;

  /** @param resume null: a fresh client, which gets the last state */
  constructor(deps: SessionDeps, writer: SessionOutput, followed: Followed, resume: Resume | null) {
    this.#deps = deps;
    this.#writer = writer;
    this.#updates = new UpdateWriter(deps, writer, followed);
    this.#followed = followed;
    this.#opening = new OpeningSource(resume);
  }

  /** Who asks: sessions of the same one share its turns. */
  get requester(): string {
    return this.#deps.requester;
  }

  get scope(): Scope {
    return this.#followed.scope;
  }

  get state(): SessionState['name'] {
    return this.#isHeldBack && this.#state === IN_TAIL ? 'live' : this.#state.name;
  }

  /** Everything in scope up to here has been sent. */
  get cursor(): number {
    const { unsent } = this.#followed;
    return unsent === null ? this.#position : unsent.after;
  }

  /** Everything in scope up to here has been read. */
  get #position(): number {
    const { log } = this.#deps.edge;
    const cursor = this.#followed.cursor ?? 0;
    if (this.#state !== LIVE) return cursor;
    // What was deleted unread may have been this job's: it stays before that until somebody has looked.
    if (this.scope.kind === 'job' && !log.isWhole(this.scope.id, cursor)) return cursor;
    return Math.max(cursor, log.flushedSeq);
  }

  /**
   * Sends `hello` and starts, or waits for the log to be ready. Called once; nothing is sent before.
   * @param inTurn whether it starts when its turn comes, and not at once
   */
  open(inTurn = false): void {
    const { log, scopeId } = this.#deps.edge;
    if (this.#state === ENDED) return;
    this.#isOpen = true;
    if (this.scope.kind === 'job') log.watch(this.scope.id);
    // The token may have expired since it was checked.
    if (!this.#writer.isUsable()) return;
    this.#writer.corked(() => {
      const scope = scopeId(this.scope);
      // Also in a heartbeat before the reset.
      if (this.#opening.greet(this.#writer.hello(log.epoch, scope), scope)) this.#followed.cursor = null;
      if (inTurn) this.#deps.edge.scheduleCatchUp(this);
      else this.#pump();
    });
  }

  /**
   * Sends what lies after the cursor until the head is reached, the socket is full, or the turn's share is used.
   * @returns about how many bytes were sent
   */
  pump(): number {
    if (this.#updates.isConflating && this.#holdBack()) return 0;
    const before = this.#writer.cost;
    this.#writer.corked(() => this.#pump());
    return this.#writer.cost - before;
  }

  #pump(): void {
    this.#leaveLive();
    if (!this.#isOpen || !this.#writer.isUsable()) return;
    for (let budget = TURN_BYTES; !this.#writer.isFull; ) {
      if (budget <= 0) {
        this.#deps.edge.scheduleCatchUp(this);
        return;
      }
      const state = this.#state;
      switch (state.name) {
        case 'loading':
          if (!this.#deps.edge.log.isReady) return;
          this.#owesCaughtUp = true;
          this.#enter({ name: 'catching_up', source: this.#opening });
          break;
        case 'snapshot':
        case 'catching_up':
          budget -= this.#take(state.source.next(budget, this.#deps, this.#followed), state);
          break;
        case 'fetched':
          this.#enter(state.reading);
          this.#take(state.answer(), state.reading);
          break;
        case 'fetching':
          this.#flushIfDue(true);
          return;
        case 'live':
        case 'ended':
          return;
      }
    }
  }

  // Sends what a source has, and goes where it says. Returns the bytes sent, and what looking for them cost.
  #take(step: Step, reading: Reading): number {
    const followed = this.#followed;
    switch (step.kind) {
      case 'state':
        return this.#updates.state(step.record);
      case 'scanned':
        return this.#writer.scanned(SNAPSHOT_SCAN_LIMIT);
      case 'records': {
        const spent =
          this.#writer.scanned(step.scanned) +
          this.#updates.updates(step.records, step.gap, reading.name === 'snapshot', step.encoded);
        followed.advanceTo(step.cursor);
        // Whoever follows closely is at the head at once, and need not ask whether there is more.
        if (step.head === null || this.#state !== IN_TAIL || this.#writer.isFull) return spent;
        return spent + this.#take(headStep(this.#deps, followed, step.head), reading);
      }
      case 'last':
        this.#last(step);
        if (step.previous !== undefined) this.#updates.setPreviousSeq(step.previous);
        followed.advanceTo(step.cursor);
        this.#enter(IN_TAIL);
        return 0;
      case 'head': {
        if (step.gap !== null) this.#updates.updates([], step.gap);
        followed.advanceTo(step.cursor);
        const spent = this.#updates.tellGone(step.cursor);
        if (spent === 0) this.#goLive();
        return spent;
      }
      case 'continue':
        if (step.from === 'tail') this.#enter(IN_TAIL);
        else this.#enter(IN_HISTORY);
        return 0;
      case 'fetch':
        this.#flushIfDue(true);
        this.#fetch(step.read, reading);
        return 0;
      case 'fresh':
        this.#fresh();
        return 0;
      case 'snapshot':
        this.#enter({ name: 'snapshot', source: step.source });
        return 0;
      case 'resume':
        this.#updates.resume(step.cursor);
        this.#enter(IN_TAIL);
        return 0;
      case 'skip': {
        this.#updates.flush();
        this.#updates.resume(step.cursor);
        const snapshot = this.#deps.edge.log.changes(followed.scope, step.cursor);
        this.#writer.send(frames.skipped(step.reason, step.cursor, snapshot.head + 1));
        this.#enter({ name: 'snapshot', source: new SnapshotSource(snapshot) });
        return 0;
      }
      case 'reset':
        this.#reset(step);
        return 0;
      case 'fail':
        // It may be for good.
        this.#updates.flush();
        this.#writer.fail(step.code, step.message);
        return 0;
    }
  }

  #last({ records, gap, cursor }: Extract<Step, { kind: 'last' }>): void {
    // A client that has nothing yet is shown the state as it is, whatever the rate.
    const isState = this.#followed.cursor === null;
    // With the one that stands for all up to the cursor: a client of several jobs may be told of it in between, and
    // would go back with the others to where this state stands in the stream. What may be held back moves no cursor.
    if (records.length <= 1 && this.scope.kind === 'job' && (isState || !this.#updates.isConflating))
      this.#followed.advanceTo(cursor);
    this.#updates.updates(records, gap, isState);
  }

  #fresh(): void {
    this.#updates.startFresh();
    this.#take(freshStep(this.#deps, this.#followed), IN_TAIL);
  }

  #reset({ reason, firstSeq, lastSeq }: Extract<Step, { kind: 'reset' }>): void {
    const { epoch } = this.#deps.edge.log;
    this.#opening.reset(epoch);
    this.#updates.forget();
    // Before the frame leaves: from there on the client has no cursor.
    this.#followed.cursor = null;
    this.#writer.reset(reason, epoch, firstSeq, lastSeq);
    this.#updates.setPreviousSeq(null);
    this.#owesCaughtUp = true;
    this.#followed.unfinishedAt = 0;
    this.#fresh();
  }

  // The answer is for the state that asked; after a restart of the log, or a close, it is for nobody.
  #fetch(read: Extract<Step, { kind: 'fetch' }>['read'], reading: Reading): void {
    const fetching: SessionState = { name: 'fetching', reading };
    const isCurrent = () => this.#state === fetching;
    this.#enter(fetching);
    if (!isCurrent()) return;
    read(isCurrent).then(
      (answer) => {
        if (!isCurrent()) return;
        this.#state = { name: 'fetched', reading, answer };
        this.#deps.edge.scheduleCatchUp(this);
      },
      () => {
        if (isCurrent())
          this.#writer.fail('internal', 'this edge cannot read the history now; connect again');
      },
    );
  }

  #goLive(): void {
    this.#flushIfDue(this.scope.kind === 'job' && !this.#owesCaughtUp);
    this.#enter(LIVE);
    if (this.#owesCaughtUp) this.#writer.caughtUp(this.#followed.cursor ?? 0);
    this.#owesCaughtUp = false;
    this.#updates.tellStalls();
    this.#updates.endIfFinished();
  }

  // Whether there is nothing to do yet: with each turn it is asked of all that wait.
  #holdBack(): boolean {
    const isAtHead = this.#state === LIVE || this.#isHeldBack;
    this.#leaveLive();
    this.#isHeldBack = isAtHead && this.#mayHoldBack();
    return this.#isHeldBack;
  }

  // All jobs: what lies behind the cursor is not even read before its time, as long as memory will have it then.
  #mayHoldBack(): boolean {
    const updates = this.#updates;
    if (this.scope.kind !== 'all' || this.#state !== IN_TAIL || updates.holdsBack) return false;
    if (this.#owesCaughtUp) return false;
    const isDue = this.#deps.edge.now() >= updates.dueAt;
    if (isDue && !this.#isToBeWoken) return false;
    if (!this.#deps.edge.log.canWait(this.#position)) return false;
    // Whoever is woken has a turn for it: many are due at once, and each has much to read.
    if (isDue) this.#deps.edge.wakeAt?.(this, updates.dueAt);
    else this.#wakeWhenDue();
    return true;
  }

  // At the head, or where JetStream has to be asked, which may take long: what was folded is sent, or waits for its time.
  #flushIfDue(mayWait: boolean): void {
    const updates = this.#updates;
    if (!updates.holdsBack) return;
    if (mayWait && !this.#isHasty && this.#deps.edge.now() < updates.dueAt) this.#wakeWhenDue();
    else updates.flush();
  }

  #wakeWhenDue(): void {
    if (this.#isToBeWoken) return;
    this.#isToBeWoken = true;
    this.#deps.edge.wakeAt?.(this, this.#updates.dueAt);
  }

  /** The time that it asked for has come, and its turn. @returns about how many bytes were sent */
  woken(): number {
    this.#isToBeWoken = false;
    return this.pump();
  }

  // Before anything can stop the pump: a live session's cursor is the log's `flushedSeq`, and that is about to move on.
  #leaveLive(): void {
    if (this.#state !== LIVE) return;
    this.#followed.cursor = this.#position;
    this.#state = IN_TAIL;
  }

  // What has ended stays so, whatever the step that it ended in had in mind.
  #enter(state: SessionState): void {
    if (this.#state !== ENDED) this.#state = state;
  }

  /** The log has become ready. */
  logReady(): void {
    // In its share of a turn, like everything that may be long.
    if (this.#state === LOADING) this.#deps.edge.scheduleCatchUp(this);
  }

  /**
   * The log is about to start over. Then the session goes on from its cursor; in another epoch with a reset.
   * @param reset what everybody is owed whatever the cursor is; null: nothing
   */
  logRestarts(reset: ResetReason | null): void {
    if (this.#state === ENDED) return;
    this.#leaveLive();
    this.#updates.forget();
    this.#isHeldBack = false;
    this.#opening.startOver(this.#state === LOADING ? null : this.#followed.cursor, reset);
    this.#state = LOADING;
  }

  /** The cursor as the client is about to be told it. What was told is never taken back. */
  toldCursor(): number {
    if (this.#state === LIVE) this.#followed.cursor = this.#position;
    return this.cursor;
  }

  /** A job in scope is silent. Only a live session tells it at once: the others have yet to send what came before. */
  stalled(id: string, frame: string): void {
    // What came before the silence is not to come behind the word of it.
    if (this.#isHeldBack || this.#updates.holdsBack) {
      if (this.scope.kind === 'all') {
        // Every client of all jobs hears of it: together they would read too much for one turn.
        this.#updates.owesStall(id);
        return;
      }
      this.#isHasty = true;
      this.pump();
      this.#isHasty = false;
    }
    this.#updates.stalled(frame, this.#state === LIVE && !this.#writer.isFull);
  }

  /** The connection is closed. */
  ended(): void {
    this.#state = ENDED;
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (this.scope.kind === 'job') this.#deps.edge.log.unwatch(this.scope.id);
  }
}
