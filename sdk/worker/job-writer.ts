import { EVENT_MAX_BYTES } from '../../schemas/event-check.js';
import { aliveBody, aliveSubjectOf } from '../../schemas/ids.js';
import {
  EventTooLargeError,
  JobEndedError,
  NotAcknowledgedError,
  type SupersededError,
  type WorkerError,
} from './errors.js';
import { EventDelivery } from './event-delivery.js';
import { failureJson, minimalFailure } from './failure.js';
import { checkJobOptions, heartbeatSeconds, type JobOptions } from './job-options.js';
import {
  type DeliveryOwner,
  type Ending,
  encodeEvent,
  headerBase,
  type OutgoingEvent,
  RunIds,
  sharedMembers,
} from './outgoing-event.js';
import type { ReporterContext, TimerEntry } from './ports.js';
import { soundTotal } from './progress.js';
import {
  hasWaiting,
  initialSendState,
  isPending,
  reduce,
  type SendSignal,
  type SendState,
} from './send-state.js';
import { firstState, inAttempt, type JobState, type JobUpdate, minimalState, updated } from './state.js';

/** With at most so many bytes of the job's own fields an event always fits, whatever its message and step. */
const ALWAYS_FITS = 36_000;
/** Bytes for more digits of the attempt, until the first event is stored. */
const ROOM_FOR_ATTEMPT = 16;

interface End {
  readonly ending: Ending;
  readonly resolve: () => void;
  readonly reject: (error: WorkerError) => void;
}

/** Decides what the events of one job say, and when they are sent. `EventDelivery` delivers them. */
export class JobWriter implements TimerEntry, DeliveryOwner {
  heapIndex = -1;
  dueAt = 0;
  #hasToldUnknown = false;
  readonly #context: ReporterContext;
  readonly #id: string;
  readonly #shared: string;
  readonly #delivery: EventDelivery;
  readonly #controller = new AbortController();
  readonly #outerSignal: AbortSignal | undefined;
  #stopListening: () => void = () => {};
  readonly #aliveSubject: string;
  readonly #heartbeatMs: number;
  #intervalMs: number;
  readonly #started: Deferred;
  #state: JobState;
  /** The state that the last event holds, whether it is stored or not. */
  #sent: JobState;
  #sendState: SendState;
  #end: End | null = null;
  #ended: Promise<void> | null = null;
  #hasEnded = false;
  #lost: SupersededError | null = null;
  #abandoned: WorkerError | null = null;
  #heartbeatAt: number;
  #giveUpAt = Number.POSITIVE_INFINITY;
  /** Until when the caller waits for the end; it is still sent after that. */
  #waitUntil = Number.POSITIVE_INFINITY;
  /** What NATS denies. Waiting does not fix that. */
  #refusal: WorkerError | null = null;

  /** @throws InvalidEventError when the options do not fit */
  constructor(context: ReporterContext, options: JobOptions) {
    const { settings, clock } = context;
    this.#context = context;
    this.#id = options.processingId;
    // A computed total may be NaN.
    const total = soundTotal(options.total, this.onUnknown);
    checkJobOptions({ ...options, total });
    this.#shared = sharedMembers(options);
    const headers = headerBase(options.processingId, options.traceparent, options.cloudEvents);
    this.#delivery = new EventDelivery(
      context,
      this,
      headers,
      new RunIds(context.random),
      options.attempt ?? null,
    );
    this.#state = firstState(options.attempt ?? 1, total, options.message);
    this.#sent = this.#state;
    this.#intervalMs = 1_000 / settings.maxUpdatesPerSecond;
    this.#heartbeatMs = heartbeatSeconds(options, settings.heartbeatSeconds) * 1_000;
    this.#aliveSubject = aliveSubjectOf(options.processingId);
    this.#started = deferred();
    const now = clock.now();
    this.#heartbeatAt = this.#heartbeatMs === 0 ? Number.POSITIVE_INFINITY : now + this.#heartbeatMs;
    this.#sendState = initialSendState(now, this.#intervalMs);
    context.counts.pendingJobs += 1;
    context.pendingChanged();
    this.#outerSignal = options.signal;
  }

  /** Warns, once for the job, about a value that counts as unknown. */
  readonly onUnknown = (problem: string): void => {
    if (this.#hasToldUnknown) return;
    this.#hasToldUnknown = true;
    const message = `In the job ${this.#id} ${problem}. This warning comes once for each job.`;
    this.#context.warn({ kind: 'bad_value', message, processingId: this.#id });
  };

  /** Sends the first event. */
  begin(): void {
    if (this.#outerSignal?.aborted) this.#onOuterAbort();
    else if (this.#outerSignal)
      this.#stopListening = this.#context.onAbort(this.#outerSignal, () => this.#onOuterAbort());
    this.#delivery.send(this.#buildEvent(null));
    this.#scheduleTimer();
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

  /** Resolves when the first event is stored; rejects when another worker has the job. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** @throws SupersededError, InvalidEventError, EventTooLargeError */
  report(update: JobUpdate): void {
    if (this.#lost !== null) throw this.#lost;
    const { clock, transport, counts, warn } = this.#context;
    if (this.#hasEnded) {
      const after = this.#abandoned === null ? 'its end' : 'its reporter or its connection was closed';
      const message = `An update of the job ${this.#id} came after ${after}, and was left out.`;
      warn({ kind: 'update_after_end', message, processingId: this.#id });
      return;
    }
    const now = clock.now();
    const next = updated(this.#state, update, now, this.onUnknown);
    if (next.ownBytes > ALWAYS_FITS || transport.maxPayload < EVENT_MAX_BYTES) this.#checkSize(next, null);
    this.#state = next;
    if (hasWaiting(this.#sendState)) counts.coalesced += 1;
    this.#step({ kind: 'report', isConnected: transport.isConnected }, now);
  }

  /**
   * Resolves when the end is stored.
   * @param isBare without the job's own fields, message and step, so that it fits
   * @throws SupersededError, JobEndedError, EventTooLargeError, at once; the promise rejects with SupersededError,
   * ReporterClosedError, NotAcknowledgedError
   */
  end(ending: Ending, isMinimal = false): Promise<void> {
    if (this.#lost !== null) throw this.#lost;
    if (this.#abandoned !== null) throw this.#abandoned;
    if (this.#hasEnded) throw new JobEndedError(this.#id);
    const state = isMinimal ? minimalState(this.#state) : this.#state;
    this.#checkSize(state, ending);
    this.#state = state;
    this.#hasEnded = true;
    const { promise, resolve, reject } = deferred();
    this.#end = { ending, resolve, reject };
    this.#ended = promise;
    this.#waitUntil = this.#context.clock.now() + this.#context.settings.endTimeoutMs;
    if (this.#outerSignal?.aborted) this.#limitWait();
    if (this.#refusal !== null) this.onRefused(this.#refusal);
    this.#step({ kind: 'end' });
    return promise;
  }

  /** Fails the job with `error`, in whatever form can be sent, and aborts its signal with it. */
  interrupt(error: Error): void {
    this.#controller.abort(error);
    if (this.#hasEnded) return;
    const ending: Ending = { status: 'error', error: failureJson(error, {}, false) };
    for (const isMinimal of [false, true]) {
      if (this.#hasEnded) return;
      try {
        // `stop` waits for all ends at once.
        this.end(ending, isMinimal).catch(() => {});
      } catch {
        // The job's own fields leave no room for the error: try again without them.
      }
    }
  }

  /** From here on, sends without keeping the interval between updates. */
  flush(): void {
    if (this.#sendState.kind === 'closed') return;
    this.#intervalMs = 0;
    this.#sendState = { ...this.#sendState, readyAt: Number.NEGATIVE_INFINITY };
    if (this.#sendState.kind === 'scheduled') this.onConnected();
  }

  /** Gives the job up: nothing more is sent, and the promise of its end rejects with `error`. */
  abandon(error: WorkerError): void {
    if (this.#sendState.kind === 'closed') return;
    this.#abandoned = error;
    const end = this.#end;
    this.#close();
    if (end !== null) {
      const message = `The end of the job ${this.#id} was not acknowledged: ${error.message}`;
      this.#context.warn({ kind: 'not_acknowledged', message, processingId: this.#id });
      end.reject(error);
    }
    this.#started.reject(error);
  }

  /** NATS denies something that this job needs. It is tried again, but the caller waits no longer than `closeTimeoutMs`. */
  onRefused(error: WorkerError): void {
    this.#refusal = error;
    if (this.#end === null) return;
    const { clock, settings } = this.#context;
    this.#waitUntil = Math.min(this.#waitUntil, clock.now() + settings.closeTimeoutMs);
    this.#scheduleTimer();
  }

  onConnected(): void {
    this.#refusal = null;
    this.#delivery.onConnected();
    this.#step({ kind: 'due' });
  }

  onDisconnected(): void {
    this.#delivery.onDisconnected();
    this.#scheduleTimer();
  }

  onTimer(now: number): void {
    if (this.#sendState.kind === 'closed') return;
    if (now >= this.#giveUpAt) {
      this.abandon(this.#notAcknowledged());
      return;
    }
    if (now >= this.#waitUntil) this.#stopWaiting();
    if (now >= this.#heartbeatAt) {
      this.#heartbeatAt = now + this.#heartbeatMs;
      this.#context.transport.publishUnacked(this.#aliveSubject, Buffer.from(aliveBody(this.#state.attempt)));
    }
    this.#delivery.onTimer(now);
    if (this.#context.transport.isConnected) this.#step({ kind: 'due' }, now);
    else this.#scheduleTimer();
  }

  rebuild(attempt: number): OutgoingEvent {
    // The first event as it was: later reports follow it. It is the terminal event if memory was too full for earlier
    // ones.
    const first = inAttempt(this.#sent, attempt);
    this.#state = inAttempt(this.#state, attempt);
    const isEnd = this.#sendState.kind === 'in_flight' && this.#sendState.sending === 'terminal';
    return this.#buildEvent(isEnd ? (this.#end?.ending ?? null) : null, this.#context.clock.now(), first);
  }

  reduceSize(bytes: number): OutgoingEvent | null {
    if (this.#sendState.kind !== 'in_flight') return null;
    const error = new EventTooLargeError(this.#id, bytes, null);
    const message = `${error.message} It is sent without the job's own fields, message and step.`;
    this.#context.warn({ kind: 'event_truncated', message, processingId: this.#id });
    const end = this.#sendState.sending === 'terminal' ? this.#end : null;
    if (end?.ending.status === 'completed' && end.ending.result !== null) {
      // Leaving out a result would look like a job without one.
      const ending: Ending = { status: 'error', error: failureJson(error, {}, false) };
      this.#end = { ending, resolve: () => end.reject(error), reject: end.reject };
    } else if (end?.ending.status === 'error') {
      this.#end = { ...end, ending: { status: 'error', error: minimalFailure(end.ending.error) } };
    }
    const ending = end === null ? null : (this.#end?.ending ?? null);
    return this.#buildEvent(ending, this.#context.clock.now(), minimalState(this.#sent));
  }

  onStored(): void {
    this.#refusal = null;
    this.#started.resolve();
    this.#step({ kind: 'stored' });
    if (this.#sendState.kind !== 'closed') return;
    const end = this.#end;
    this.#close();
    end?.resolve();
  }

  onEvicted(): void {
    this.#context.counts.dropped += 1;
    const message = `An update of the job ${this.#id} was evicted: too much is waiting for NATS.`;
    this.#context.warn({ kind: 'dropped', message, processingId: this.#id });
    this.#step({ kind: 'evicted' });
  }

  reschedule(): void {
    this.#scheduleTimer();
  }

  onSuperseded(error: SupersededError): void {
    this.#lost = error;
    const end = this.#end;
    this.#close();
    this.#context.warn({ kind: 'superseded', message: error.message, processingId: this.#id });
    this.#started.reject(error);
    end?.reject(error);
    this.#controller.abort(error);
  }

  #step(signal: SendSignal, now = this.#context.clock.now()): void {
    const { state, send } = reduce(this.#sendState, signal, now, this.#intervalMs);
    this.#setSendState(state);
    if (send !== null)
      this.#delivery.send(this.#buildEvent(send === 'terminal' ? (this.#end?.ending ?? null) : null, now));
    this.#scheduleTimer();
  }

  #setSendState(sendState: SendState): void {
    const change = Number(isPending(sendState)) - Number(isPending(this.#sendState));
    this.#sendState = sendState;
    if (change === 0) return;
    this.#context.counts.pendingJobs += change;
    this.#context.pendingChanged();
  }

  // A timer that fires too early costs little; moving it each time costs more.
  #scheduleTimer(): void {
    if (this.#sendState.kind === 'closed') return;
    const heldUntil =
      this.#sendState.kind === 'scheduled' && this.#context.transport.isConnected
        ? this.#sendState.readyAt
        : Number.POSITIVE_INFINITY;
    const waits = Math.min(this.#giveUpAt, this.#waitUntil);
    const at = Math.min(heldUntil, this.#delivery.dueAt, this.#heartbeatAt, waits);
    if (this.heapIndex < 0 || at < this.dueAt) this.#context.setTimer(this, at);
  }

  #close(): void {
    this.#setSendState({ kind: 'closed' });
    this.#hasEnded = true;
    this.#end = null;
    this.#delivery.stop();
    this.#stopListening();
    this.#context.setTimer(this, Number.POSITIVE_INFINITY);
    this.#context.removeWriter(this);
  }

  #onOuterAbort(): void {
    this.#controller.abort(this.#outerSignal?.reason);
    if (this.#end !== null) this.#limitWait();
  }

  // The caller stops waiting; the end is still sent, for those who watch the job.
  #stopWaiting(): void {
    this.#waitUntil = Number.POSITIVE_INFINITY;
    const end = this.#end;
    if (end === null) return;
    this.#end = { ending: end.ending, resolve: () => {}, reject: () => {} };
    this.#context.unawaited(this);
    const error = this.#notAcknowledged();
    const message = `${error.message} It is still sent, until the reporter is closed.`;
    this.#context.warn({ kind: 'not_acknowledged', message, processingId: this.#id });
    end.reject(error);
  }

  #notAcknowledged(): NotAcknowledgedError {
    const refusal = this.#refusal;
    const disconnected = this.#context.transport.isConnected ? null : 'NATS cannot be reached';
    const reason = refusal?.message.replace(/\.$/, '') ?? disconnected ?? this.#delivery.problem;
    return new NotAcknowledgedError(this.#id, reason, refusal === null ? undefined : { cause: refusal });
  }

  #limitWait(): void {
    this.#giveUpAt = this.#context.clock.now() + this.#context.settings.closeTimeoutMs;
    this.#scheduleTimer();
  }

  #buildEvent(ending: Ending | null, now = this.#context.clock.now(), state = this.#state): OutgoingEvent {
    this.#sent = state;
    const timestamp = this.#context.clock.timestamp();
    const body = Buffer.from(encodeEvent(this.#shared, state, ending, now, timestamp));
    const kind = ending === null ? 'update' : 'terminal';
    return { kind, status: ending?.status ?? 'processing', timestamp, body };
  }

  #checkSize(state: JobState, ending: Ending | null): void {
    const { clock, transport } = this.#context;
    const text = encodeEvent(this.#shared, state, ending, clock.now(), clock.timestamp());
    const room = this.#delivery.hasBegun ? 0 : ROOM_FOR_ATTEMPT;
    const limit = Math.min(EVENT_MAX_BYTES, transport.maxPayload) - room;
    const bytes = Buffer.byteLength(text);
    if (bytes > limit) throw new EventTooLargeError(this.#id, bytes, limit);
  }
}

export interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: WorkerError) => void;
}

/** A promise that is settled from outside, once; later calls do nothing. */
export function deferred(): Deferred {
  let settle: { yes: () => void; no: (error: WorkerError) => void } | null = null;
  const promise = new Promise<void>((yes, no) => {
    settle = { yes, no };
  });
  // A rejection that nobody awaits must not end the process; `onWarning` reports it.
  promise.catch(() => {});
  // Node inspects every repeated settlement, which takes longer than the rest of an event.
  const once = (): typeof settle => {
    const first = settle;
    settle = null;
    return first;
  };
  return { promise, resolve: () => once()?.yes(), reject: (error) => once()?.no(error) };
}
