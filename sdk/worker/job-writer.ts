import { EVENT_MAX_BYTES } from '../../schemas/event.js';
import { aliveBody, aliveSubjectOf } from '../../schemas/ids.js';
import { soundTotal } from './amounts.js';
import { type Ending, encodeEvent, sharedMembers } from './encode.js';
import {
  EventTooLargeError,
  JobEndedError,
  NotAcknowledgedError,
  type SupersededError,
  type WorkerError,
} from './errors.js';
import { Courier } from './event-delivery.js';
import { briefly, failureJson } from './failure.js';
import { headerBase } from './headers.js';
import { RunIds } from './ids.js';
import { checkJobOptions, heartbeatSeconds, type JobOptions } from './job-options.js';
import type { Letter, Sender } from './outgoing-event.js';
import type { Surroundings, Waker } from './ports.js';
import { firstLane, hasWaiting, isPending, type Lane, type LaneSignal, stepLane } from './send-state.js';
import { bare, firstState, inAttempt, type JobState, type JobUpdate, updated } from './state.js';

/** Whatever the message and the step are, an event with this much of the job's own fields is not too large. */
const ALWAYS_FITS = 36_000;
/** The number of an attempt may get longer until it is settled. */
const ROOM_FOR_ATTEMPT = 16;

interface End {
  readonly ending: Ending;
  readonly resolve: () => void;
  readonly reject: (error: WorkerError) => void;
}

/** Writes one job's events: what they say, and when. How they get there is the courier's. */
export class Pen implements Waker, Sender {
  place = -1;
  wakeAt = 0;
  #hasToldUnknown = false;
  readonly #around: Surroundings;
  readonly #id: string;
  readonly #shared: string;
  readonly #courier: Courier;
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  #stopListening: () => void = () => {};
  readonly #aliveSubject: string;
  readonly #heartbeatMs: number;
  #intervalMs: number;
  readonly #started: Deferred;
  #state: JobState;
  /** What the last event says, whether it is stored or not. */
  #sent: JobState;
  #lane: Lane;
  #end: End | null = null;
  #ended: Promise<void> | null = null;
  #hasEnded = false;
  #lost: SupersededError | null = null;
  #abandoned: WorkerError | null = null;
  #heartbeatAt: number;
  #giveUpAt = Number.POSITIVE_INFINITY;
  /** Until when somebody waits for the end; it is still sent after that. */
  #waitUntil = Number.POSITIVE_INFINITY;
  /** What NATS refuses, which waiting does not mend. */
  #refusal: WorkerError | null = null;

  /** @throws InvalidEventError when the options are no job's */
  constructor(around: Surroundings, options: JobOptions) {
    const { settings, clock } = around;
    this.#around = around;
    this.#id = options.processingId;
    // What a total is computed from may be empty, or not known yet.
    const total = soundTotal(options.total, this.onUnknown);
    checkJobOptions({ ...options, total });
    this.#shared = sharedMembers(options);
    const headers = headerBase(options.processingId, options.traceparent, options.cloudEvents);
    this.#courier = new Courier(around, this, headers, new RunIds(around.random), options.attempt ?? null);
    this.#state = firstState(options.attempt ?? 1, total, options.message);
    this.#sent = this.#state;
    this.#intervalMs = 1_000 / settings.maxUpdatesPerSecond;
    this.#heartbeatMs = heartbeatSeconds(options, settings.heartbeatSeconds) * 1_000;
    this.#aliveSubject = aliveSubjectOf(options.processingId);
    this.#started = deferred();
    const now = clock.now();
    this.#heartbeatAt = this.#heartbeatMs === 0 ? Number.POSITIVE_INFINITY : now + this.#heartbeatMs;
    this.#lane = firstLane(now, this.#intervalMs);
    around.counts.pendingJobs += 1;
    around.pendingChanged();
    this.#outer = options.signal;
  }

  /** Tells, once for the job, that a value says nothing. */
  readonly onUnknown = (problem: string): void => {
    if (this.#hasToldUnknown) return;
    this.#hasToldUnknown = true;
    const message = `In the job ${this.#id} ${problem}. It is told once for a job.`;
    this.#around.tell({ kind: 'bad_value', message, processingId: this.#id });
  };

  /** Sends the first event. */
  begin(): void {
    if (this.#outer?.aborted) this.#aborted();
    else if (this.#outer) this.#stopListening = this.#around.onAbort(this.#outer, () => this.#aborted());
    this.#courier.send(this.#letter(null));
    this.#plan();
  }

  get processingId(): string {
    return this.#id;
  }

  get attempt(): number {
    return this.#state.attempt;
  }

  get percent(): number {
    return this.#state.percent;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The promise of `end`, once it was called. */
  get ended(): Promise<void> | null {
    return this.#ended;
  }

  /** Whether an end may still be given. */
  get isOpen(): boolean {
    return !this.#hasEnded;
  }

  /** Resolves when the first event is stored; rejects when the job is another's. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** @throws SupersededError, InvalidEventError, EventTooLargeError */
  report(update: JobUpdate): void {
    if (this.#lost !== null) throw this.#lost;
    const { clock, line, counts, tell } = this.#around;
    if (this.#hasEnded) {
      const after = this.#abandoned === null ? 'its end' : 'its reporter or its connection was closed';
      const message = `An update of the job ${this.#id} came after ${after}, and was left out.`;
      tell({ kind: 'late_update', message, processingId: this.#id });
      return;
    }
    const now = clock.now();
    const next = updated(this.#state, update, now, this.onUnknown);
    if (next.ownBytes > ALWAYS_FITS || line.maxPayload < EVENT_MAX_BYTES) this.#checkSize(next, null);
    this.#state = next;
    if (hasWaiting(this.#lane)) counts.coalesced += 1;
    this.#step({ kind: 'report', open: line.open }, now);
  }

  /**
   * Resolves when the end is stored.
   * @param isBare without the job's own fields, message and step, so that it fits
   * @throws SupersededError, JobEndedError, EventTooLargeError, at once; the promise rejects with SupersededError,
   * ReporterClosedError, NotAcknowledgedError
   */
  end(ending: Ending, isBare = false): Promise<void> {
    if (this.#lost !== null) throw this.#lost;
    if (this.#abandoned !== null) throw this.#abandoned;
    if (this.#hasEnded) throw new JobEndedError(this.#id);
    const state = isBare ? bare(this.#state) : this.#state;
    this.#checkSize(state, ending);
    this.#state = state;
    this.#hasEnded = true;
    const { promise, resolve, reject } = deferred();
    this.#end = { ending, resolve, reject };
    this.#ended = promise;
    this.#waitUntil = this.#around.clock.now() + this.#around.settings.endTimeoutMs;
    if (this.#outer?.aborted) this.#limitWait();
    if (this.#refusal !== null) this.refuse(this.#refusal);
    this.#step({ kind: 'end' });
    return promise;
  }

  /** Fails the job with `error`, in whatever form can be sent, and aborts its signal with it. */
  interrupt(error: Error): void {
    this.#controller.abort(error);
    if (this.#hasEnded) return;
    const ending: Ending = { status: 'error', error: failureJson(error, {}, false) };
    for (const isBare of [false, true]) {
      if (this.#hasEnded) return;
      try {
        // Whoever stops the worker waits for all ends at once.
        this.end(ending, isBare).catch(() => {});
      } catch {
        // The job's own fields leave no room for the error: the bare one follows.
      }
    }
  }

  /** Sends what waits, and whatever may follow, without keeping the distance in time. */
  flush(): void {
    if (this.#lane.kind === 'closed') return;
    this.#intervalMs = 0;
    this.#lane = { ...this.#lane, readyAt: Number.NEGATIVE_INFINITY };
    if (this.#lane.kind === 'holding') this.opened();
  }

  /** Gives the job up: nothing more is sent, and who waits for its end is told `error`. */
  abandon(error: WorkerError): void {
    if (this.#lane.kind === 'closed') return;
    this.#abandoned = error;
    const end = this.#end;
    this.#close();
    if (end !== null) {
      const message = `The end of the job ${this.#id} was not acknowledged: ${error.message}`;
      this.#around.tell({ kind: 'not_acknowledged', message, processingId: this.#id });
      end.reject(error);
    }
    this.#started.reject(error);
  }

  /** NATS refuses something that this job needs. It is tried again, but nobody has to wait for it. */
  refuse(error: WorkerError): void {
    this.#refusal = error;
    if (this.#end === null) return;
    const { clock, settings } = this.#around;
    this.#waitUntil = Math.min(this.#waitUntil, clock.now() + settings.closeTimeoutMs);
    this.#plan();
  }

  opened(): void {
    this.#refusal = null;
    this.#courier.opened();
    this.#step({ kind: 'due' });
  }

  cut(): void {
    this.#courier.cut();
    this.#plan();
  }

  awake(now: number): void {
    if (this.#lane.kind === 'closed') return;
    if (now >= this.#giveUpAt) {
      this.abandon(this.#notAcknowledged());
      return;
    }
    if (now >= this.#waitUntil) this.#stopWaiting();
    if (now >= this.#heartbeatAt) {
      this.#heartbeatAt = now + this.#heartbeatMs;
      this.#around.line.cast(this.#aliveSubject, Buffer.from(aliveBody(this.#state.attempt)));
    }
    this.#courier.awake(now);
    if (this.#around.line.open) this.#step({ kind: 'due' }, now);
    else this.#plan();
  }

  rewrite(attempt: number): Letter {
    // The first event as it was: what has been reported since comes behind it. It is the end, where memory was too
    // little for those before.
    const first = inAttempt(this.#sent, attempt);
    this.#state = inAttempt(this.#state, attempt);
    const isEnd = this.#lane.kind === 'flying' && this.#lane.carries === 'end';
    return this.#letter(isEnd ? (this.#end?.ending ?? null) : null, this.#around.clock.now(), first);
  }

  shorten(bytes: number): Letter | null {
    if (this.#lane.kind !== 'flying') return null;
    const error = new EventTooLargeError(this.#id, bytes, null);
    const message = `${error.message} It is sent without the job's own fields, message and step.`;
    this.#around.tell({ kind: 'not_sendable', message, processingId: this.#id });
    const end = this.#lane.carries === 'end' ? this.#end : null;
    if (end?.ending.status === 'completed' && end.ending.result !== null) {
      // A result cannot be left out as if there were none.
      const ending: Ending = { status: 'error', error: failureJson(error, {}, false) };
      this.#end = { ending, resolve: () => end.reject(error), reject: end.reject };
    } else if (end?.ending.status === 'error') {
      this.#end = { ...end, ending: { status: 'error', error: briefly(end.ending.error) } };
    }
    const ending = end === null ? null : (this.#end?.ending ?? null);
    return this.#letter(ending, this.#around.clock.now(), bare(this.#sent));
  }

  stored(): void {
    this.#refusal = null;
    this.#started.resolve();
    this.#step({ kind: 'stored' });
    if (this.#lane.kind !== 'closed') return;
    const end = this.#end;
    this.#close();
    end?.resolve();
  }

  evicted(): void {
    this.#around.counts.dropped += 1;
    const message = `An update of the job ${this.#id} was let go: too much is waiting for NATS.`;
    this.#around.tell({ kind: 'dropped', message, processingId: this.#id });
    this.#step({ kind: 'evicted' });
  }

  stirred(): void {
    this.#plan();
  }

  superseded(error: SupersededError): void {
    this.#lost = error;
    const end = this.#end;
    this.#close();
    this.#around.tell({ kind: 'superseded', message: error.message, processingId: this.#id });
    this.#started.reject(error);
    end?.reject(error);
    this.#controller.abort(error);
  }

  #step(signal: LaneSignal, now = this.#around.clock.now()): void {
    const { lane, send } = stepLane(this.#lane, signal, now, this.#intervalMs);
    this.#turn(lane);
    if (send !== null)
      this.#courier.send(this.#letter(send === 'end' ? (this.#end?.ending ?? null) : null, now));
    this.#plan();
  }

  #turn(lane: Lane): void {
    const change = Number(isPending(lane)) - Number(isPending(this.#lane));
    this.#lane = lane;
    if (change === 0) return;
    this.#around.counts.pendingJobs += change;
    this.#around.pendingChanged();
  }

  // Waking too early costs a look; moving each wake-up costs more.
  #plan(): void {
    if (this.#lane.kind === 'closed') return;
    const heldUntil =
      this.#lane.kind === 'holding' && this.#around.line.open ? this.#lane.readyAt : Number.POSITIVE_INFINITY;
    const waits = Math.min(this.#giveUpAt, this.#waitUntil);
    const at = Math.min(heldUntil, this.#courier.wakeAt, this.#heartbeatAt, waits);
    if (this.place < 0 || at < this.wakeAt) this.#around.wake(this, at);
  }

  #close(): void {
    this.#turn({ kind: 'closed' });
    this.#hasEnded = true;
    this.#end = null;
    this.#courier.stop();
    this.#stopListening();
    this.#around.wake(this, Number.POSITIVE_INFINITY);
    this.#around.done(this);
  }

  #aborted(): void {
    this.#controller.abort(this.#outer?.reason);
    if (this.#end !== null) this.#limitWait();
  }

  // Whoever waits is told; the end is sent all the same, for those who watch the job.
  #stopWaiting(): void {
    this.#waitUntil = Number.POSITIVE_INFINITY;
    const end = this.#end;
    if (end === null) return;
    this.#end = { ending: end.ending, resolve: () => {}, reject: () => {} };
    this.#around.unawaited(this);
    const error = this.#notAcknowledged();
    const message = `${error.message} It is still sent, until the reporter is closed.`;
    this.#around.tell({ kind: 'not_acknowledged', message, processingId: this.#id });
    end.reject(error);
  }

  #notAcknowledged(): NotAcknowledgedError {
    const refusal = this.#refusal;
    const away = this.#around.line.open ? null : 'NATS cannot be reached';
    const reason = refusal?.message.replace(/\.$/, '') ?? away ?? this.#courier.problem;
    return new NotAcknowledgedError(this.#id, reason, refusal === null ? undefined : { cause: refusal });
  }

  #limitWait(): void {
    this.#giveUpAt = this.#around.clock.now() + this.#around.settings.closeTimeoutMs;
    this.#plan();
  }

  #letter(ending: Ending | null, now = this.#around.clock.now(), state = this.#state): Letter {
    this.#sent = state;
    const timestamp = this.#around.clock.timestamp();
    const body = Buffer.from(encodeEvent(this.#shared, state, ending, now, timestamp));
    const carries = ending === null ? 'newest' : 'end';
    return { carries, status: ending?.status ?? 'processing', timestamp, body };
  }

  #checkSize(state: JobState, ending: Ending | null): void {
    const { clock, line } = this.#around;
    const text = encodeEvent(this.#shared, state, ending, clock.now(), clock.timestamp());
    const room = this.#courier.hasBegun ? 0 : ROOM_FOR_ATTEMPT;
    const limit = Math.min(EVENT_MAX_BYTES, line.maxPayload) - room;
    const bytes = Buffer.byteLength(text);
    if (bytes > limit) throw new EventTooLargeError(this.#id, bytes, limit);
  }
}

export interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: WorkerError) => void;
}

/** A promise that others settle, once; whatever comes later is nothing. */
export function deferred(): Deferred {
  let settle: { yes: () => void; no: (error: WorkerError) => void } | null = null;
  const promise = new Promise<void>((yes, no) => {
    settle = { yes, no };
  });
  // Whoever does not wait for it is told by `onTrouble`; the process must not end for it.
  promise.catch(() => {});
  // Node looks into it each time that a promise is settled again, which takes longer than the rest of an event.
  const once = (): typeof settle => {
    const first = settle;
    settle = null;
    return first;
  };
  return { promise, resolve: () => once()?.yes(), reject: (error) => once()?.no(error) };
}
