import type { ResetReason } from '../../schemas/frames.js';
import type { EventLog, LogListener } from '../eventlog/log.js';
import { type LogRecord, mayBeInScope } from '../eventlog/record.js';
import type { AnyConnection } from './client-connection.js';
import { DueQueue, type Timer } from './due-queue.js';
import { FairQueue } from './fair-queue.js';
import { frames } from './frames.js';
import type { Session } from './session.js';

/** What all sessions that catch up may send in one turn of the event loop. */
const TURN_BYTES = 1024 * 1024;
/** What those of one subject or address may send of it before another has its turn: as much as one session may. */
const SHARE_BYTES = 128 * 1024;
/** The most jobs that are looked up between two ticks, because something was deleted unread. */
const CHECKS_PER_TICK = 100;

/**
 * All sessions of an edge, and which of them an event concerns. Events mark sessions; one `flush` in each turn of
 * the event loop pumps the marked ones, so that whatever arrived in one turn leaves in one write for each socket.
 */
export class Hub implements LogListener {
  readonly #log: EventLog;
  readonly #schedule: (flush: () => void) => void;
  readonly #connections = new Set<AnyConnection>();
  readonly #byJob = new Map<string, Set<Session>>();
  readonly #all = new Set<Session>();
  /** Those that follow jobs which an event concerns: little to send, and somebody is waiting for it. */
  #dirty = new Set<Set<Session>>();
  /** Something concerns those that follow all jobs. */
  #isAllDirty = false;
  /** Sessions that are catching up, by who asks: much to send, a share in each turn. */
  readonly #catchingUp = new FairQueue<Session>();
  /** Sessions that hold something back until its time. */
  readonly #due: DueQueue<Session>;
  /** Those whose time has come: live ones that may have much to send, a share in each turn. */
  readonly #woken = new Set<Session>();
  readonly #timer: Timer;
  /** When the flush that is under way began; null: none is. */
  #flushingSince: number | null = null;
  #isScheduled = false;
  #sawEvent = false;
  #gapSeq = 0;
  /** The followed jobs that are still to be looked up for the newest gap; null: none are. */
  #toCheck: IterableIterator<[string, Set<Session>]> | null = null;
  /** There was another gap since that walk began. */
  #isNextWalkDue = false;

  /** @param schedule calls `flush` once in the next turn of the event loop */
  constructor(log: EventLog, schedule: (flush: () => void) => void, timer: Timer) {
    this.#log = log;
    this.#timer = timer;
    this.#due = new DueQueue(timer, (session) => this.#wakeNow(session));
    this.#schedule = schedule;
  }

  /** Milliseconds that never go back. While many are sent something in one turn the clock is read once for all of them. */
  now(): number {
    return this.#flushingSince ?? this.#timer.now();
  }

  /** How many clients are connected. */
  get size(): number {
    return this.#connections.size;
  }

  /** How many clients follow one job, all, or jobs that they name. */
  counts(): Readonly<Record<AnyConnection['kind'], number>> {
    const counts = { job: 0, all: 0, selected: 0 };
    for (const { kind } of this.#connections) counts[kind]++;
    return counts;
  }

  /** How many sessions are in each state, for metrics. */
  countStates(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const session of this.#sessions()) counts.set(session.state, (counts.get(session.state) ?? 0) + 1);
    return counts;
  }

  add(connection: AnyConnection): void {
    this.#connections.add(connection);
    for (const session of connection.sessions) this.attach(session);
  }

  remove(connection: AnyConnection): void {
    this.#connections.delete(connection);
    for (const session of connection.sessions) this.detach(session);
  }

  /** Events concern this session from here on. */
  attach(session: Session): void {
    if (session.scope.kind === 'all') {
      this.#all.add(session);
      return;
    }
    const watchers = this.#byJob.get(session.scope.id);
    if (watchers === undefined) this.#byJob.set(session.scope.id, new Set([session]));
    else watchers.add(session);
  }

  /** Nothing concerns it any more. */
  detach(session: Session): void {
    this.#catchingUp.delete(session.requester, session);
    this.#due.delete(session);
    this.#woken.delete(session);
    if (session.scope.kind === 'all') {
      this.#all.delete(session);
      return;
    }
    const watchers = this.#byJob.get(session.scope.id);
    if (watchers?.delete(session) && watchers.size === 0) this.#byJob.delete(session.scope.id);
  }

  /** An event was appended to the log (null: a message that is not one; only the head moved). */
  appended(record: LogRecord | null): void {
    this.#sawEvent = true;
    if (this.#log.gapSeq > this.#gapSeq) {
      // Who follows one job finds out with its next event, or by and by.
      this.#gapSeq = this.#log.gapSeq;
      // A walk that is under way goes on: begun anew with each gap it would never get beyond the first ones.
      if (this.#toCheck === null) this.#toCheck = this.#byJob.entries();
      else this.#isNextWalkDue = true;
    }
    if (record !== null) {
      const watchers = this.#byJob.get(record.id);
      if (watchers !== undefined) this.#dirty.add(watchers);
    }
    // Also by a message that is no event: who was ahead of the log may be told now of what is gone.
    this.#isAllDirty = true;
    this.#wake();
  }

  /** This session has more to send than one turn allows. */
  scheduleCatchUp(session: Session): void {
    if (session.state === 'ended') return;
    this.#catchingUp.add(session.requester, session);
    this.#wake();
  }

  /** This session has something to send at that time, in milliseconds that never go back. */
  wakeAt(session: Session, at: number): void {
    // By the session's own clock: by another one its time has come, it looks, and asks again, and the turn never ends.
    if (at > this.now()) {
      this.#due.add(session, at);
      return;
    }
    this.#due.delete(session);
    this.#wakeNow(session);
  }

  /** The log was loaded: everyone who waits starts. */
  ready(): void {
    for (const session of this.#sessions()) session.logReady();
  }

  /** The log is about to start over; `reset`: what everybody is owed for it, whatever the cursor is; null: nothing. */
  restarting(reset: ResetReason | null): void {
    this.#gapSeq = 0;
    this.#toCheck = null;
    this.#isNextWalkDue = false;
    for (const session of [...this.#sessions()]) session.logRestarts(reset);
  }

  /** Jobs have left the stream, as the log knows. */
  gone(): void {
    this.#isAllDirty = true;
    if (this.#all.size > 0) this.#wake();
  }

  /** A job gave no sign of life for this many milliseconds. */
  stalled(id: string, silentMs: number): void {
    const last = this.#log.last(id);
    const frame = frames.stalled(id, silentMs);
    for (const watchers of [this.#byJob.get(id) ?? [], this.#all]) {
      for (const session of watchers) if (mayBeInScope(session.scope, last)) session.stalled(id, frame);
    }
  }

  /** Sends the heartbeats that are due. */
  tick(now: number, feed: 'ok' | 'away'): void {
    for (const connection of this.#connections) connection.tick(now, feed);
    this.#checkNext();
  }

  /** Tells every client to go elsewhere within so many milliseconds. They are served until they are closed. */
  announceDrain(withinMs: number): void {
    for (const connection of this.#connections) connection.announceDrain(withinMs);
  }

  /** Closes `count` connections with 1012, those that stand longest first. */
  closeDraining(count: number): void {
    let left = count;
    for (const connection of [...this.#connections]) {
      if (left-- <= 0) return;
      connection.closeDraining();
    }
  }

  *#sessions(): Generator<Session> {
    for (const connection of this.#connections) yield* connection.sessions;
  }

  // Sessions of one subject or address until they have sent a share: many that are owed little come as far in their
  // turn as one that is owed much. Returns about how many bytes were sent.
  #pumpShare(requester: string, first: Session): number {
    let spent = 0;
    for (let session: Session | null = first; session !== null; ) {
      spent += session.pump();
      session = spent < SHARE_BYTES ? this.#catchingUp.takeOf(requester) : null;
    }
    return spent;
  }

  // Jobs that are silent after something was deleted unread: if that was theirs, their clients are owed a reset. There
  // may be thousands of them, and others wait for the same server, so each tick has a few.
  #checkNext(): void {
    for (let left = CHECKS_PER_TICK; left > 0 && this.#toCheck !== null; ) {
      const step = this.#toCheck.next();
      if (step.done) {
        this.#toCheck = this.#isNextWalkDue ? this.#byJob.entries() : null;
        this.#isNextWalkDue = false;
        return;
      }
      const [id, watchers] = step.value;
      if (!this.#log.needsCheck(id)) continue;
      left--;
      for (const session of watchers) this.scheduleCatchUp(session);
    }
  }

  #wake(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#schedule(() => this.#turn());
  }

  #turn(): void {
    this.#flushingSince = this.#timer.now();
    try {
      this.#flush();
    } finally {
      this.#flushingSince = null;
    }
  }

  // Live sessions first and all of them; then those that held something back; then those that catch up, until the turn is used up: ten thousand that come back
  // at once must not hold up the one that is there. Each subject or address has its turn, and of its sessions the one
  // that waits longest: hundreds of one must not hold up the single one of another.
  // docs/decisions/0008-turns-and-budgets.md
  #flush(): void {
    this.#isScheduled = false;
    const dirty = this.#dirty;
    if (dirty.size > 0) {
      this.#dirty = new Set();
      for (const watchers of dirty) for (const session of watchers) session.pump();
    }
    if (this.#isAllDirty) {
      this.#isAllDirty = false;
      for (const session of this.#all) session.pump();
    }
    if (this.#sawEvent) {
      this.#sawEvent = false;
      this.#log.markFlushed();
    }
    this.#pumpWoken();
    for (let budget = TURN_BYTES; budget > 0; ) {
      const next = this.#catchingUp.take();
      if (next === null) break;
      budget -= this.#pumpShare(next.key, next.item);
    }
    if (this.#catchingUp.size > 0 || this.#woken.size > 0) this.#wake();
  }

  #wakeNow(session: Session): void {
    this.#woken.add(session);
    this.#wake();
  }

  #pumpWoken(): void {
    let budget = TURN_BYTES;
    for (const session of this.#woken) {
      if (budget <= 0) return;
      this.#woken.delete(session);
      budget -= session.woken();
    }
  }
}
