import { aliveBody, aliveSubjectOf } from '../../schemas/ids.js';
import { type ConflictQuery, lookupConflict } from './conflict-lookup.js';
import {
  EventTooLargeError,
  JobEndedError,
  NotAcknowledgedError,
  SupersededError,
  type SupersededReason,
  type WorkerError,
} from './errors.js';
import { type DeliveryOutcome, EventDelivery } from './event-delivery.js';
import { Deferred, JobEnd } from './job-end.js';
import { checkJobOptions, heartbeatSeconds, type JobOptions } from './job-options.js';
import { type Ending, EventEncoder, headerBase, type OutgoingEvent, RunIds } from './outgoing-event.js';
import type { Reply, ReplyHandler, ReporterContext, TimerEntry } from './ports.js';
import {
  hasWaiting,
  initialSendState,
  isPending,
  reduce,
  type SendSignal,
  type SendState,
} from './send-state.js';
import { JobSignal } from './signals.js';
import {
  firstState,
  inAttempt,
  type JobState,
  type JobUpdate,
  minimalState,
  soundTotal,
  updated,
} from './state.js';
import { once, type WarningKind } from './warning.js';

/**
 * One job: decides what its events say (`JobState`) and when they are sent (`SendState`). It asks `EventDelivery` how,
 * and does what that says. Everything that happens to a job comes here first: reports, slots, replies, timers.
 */
export class JobWriter implements TimerEntry, ReplyHandler {
  readonly processingId: string;
  heapIndex = -1;
  dueAt = 0;
  slot: ReplyHandler['slot'] = 'none';
  readonly #context: ReporterContext;
  readonly #encoder: EventEncoder;
  readonly #delivery: EventDelivery;
  /** The token of the replies to the event in flight; 0: nothing is in flight. */
  #token = 0;
  readonly #signal: JobSignal;
  readonly signal: AbortSignal;
  readonly #heartbeatMs: number;
  #intervalMs: number;
  readonly #started = new Deferred();
  /** Resolves when the first event is stored; rejects when another worker has the job. */
  readonly started = this.#started.promise;
  #state: JobState;
  /** The state that the last event holds, whether it is stored or not. */
  #sent: JobState;
  #sendState: SendState;
  #end: JobEnd | null = null;
  #ended: Promise<void> | null = null;
  #hasEnded = false;
  #lost: SupersededError | null = null;
  #abandoned: WorkerError | null = null;
  #heartbeatAt: number;
  /** What NATS denies. Waiting does not fix that. */
  #refusal: WorkerError | null = null;

  /** @throws InvalidEventError when the options do not fit */
  constructor(context: ReporterContext, options: JobOptions) {
    const { settings, clock } = context;
    this.#context = context;
    this.processingId = options.processingId;
    // A computed total may be NaN.
    const total = soundTotal(options.total, this.onUnknown);
    checkJobOptions({ ...options, total });
    this.#encoder = new EventEncoder(options, clock);
    const headers = headerBase(options.processingId, options.traceparent, options.cloudEvents);
    this.#delivery = new EventDelivery(context, headers, new RunIds(context.random), options.attempt ?? null);
    this.#state = firstState(options.attempt ?? 1, total, options.message);
    this.#sent = this.#state;
    this.#intervalMs = 1_000 / settings.maxUpdatesPerSecond;
    this.#heartbeatMs = heartbeatSeconds(options, settings.heartbeatSeconds) * 1_000;
    const now = clock.now();
    this.#heartbeatAt = this.#heartbeatMs === 0 ? Number.POSITIVE_INFINITY : now + this.#heartbeatMs;
    this.#sendState = initialSendState(now, this.#intervalMs);
    context.counts.pendingJobs += 1;
    context.keepAlive.hold();
    this.#signal = new JobSignal(options.signal, context.abortListeners);
    this.signal = this.#signal.own;
  }

  /** Warns, once for the job, about a value that counts as unknown. */
  readonly onUnknown = once((problem: string) => {
    const message = `In the job ${this.processingId} ${problem}. This warning comes once for each job.`;
    this.#warn('bad_value', message);
  });

  /** Sends the first event. */
  begin(): void {
    this.#signal.follow(() => this.#onOuterAbort());
    this.#send(this.#buildEvent(null));
    this.#scheduleTimer();
  }

  get attempt(): number {
    return this.#state.attempt;
  }

  /** The promise of `end`, once it was called. */
  get ended(): Promise<void> | null {
    return this.#ended;
  }

  /** Whether an end may still be given. */
  get isOpen(): boolean {
    return !this.#hasEnded;
  }

  /** @throws SupersededError, InvalidEventError, EventTooLargeError */
  report(update: JobUpdate): void {
    if (this.#lost !== null) throw this.#lost;
    const { clock, transport, counts } = this.#context;
    if (this.#hasEnded) {
      const after = this.#abandoned === null ? 'its end' : 'its reporter or its connection was closed';
      const message = `An update of the job ${this.processingId} came after ${after}, and was left out.`;
      this.#warn('update_after_end', message);
      return;
    }
    const now = clock.now();
    const next = updated(this.#state, update, now, this.onUnknown);
    this.#checkSize(next, null);
    this.#state = next;
    if (hasWaiting(this.#sendState)) counts.coalesced += 1;
    this.#step({ kind: 'report', isConnected: transport.isConnected }, now);
  }

  /**
   * Resolves when the end is stored.
   * @param isMinimal without the job's own fields, message and step, so that it fits
   * @throws SupersededError, JobEndedError, EventTooLargeError, at once; the promise rejects with SupersededError,
   * ReporterClosedError, NotAcknowledgedError
   */
  end(ending: Ending, isMinimal = false): Promise<void> {
    if (this.#lost !== null) throw this.#lost;
    if (this.#abandoned !== null) throw this.#abandoned;
    if (this.#hasEnded) throw new JobEndedError(this.processingId);
    const state = isMinimal ? minimalState(this.#state) : this.#state;
    this.#checkSize(state, ending);
    this.#state = state;
    this.#hasEnded = true;
    const end = new JobEnd(ending, this.#context);
    this.#end = end;
    this.#ended = end.promise;
    if (this.#signal.isOuterAborted) this.#onOuterAbort();
    if (this.#refusal !== null) this.onRefused(this.#refusal);
    this.#step({ kind: 'end' });
    this.#scheduleTimer();
    return end.promise;
  }

  /** Aborts the job's signal. */
  abort(reason: unknown): void {
    this.#signal.abort(reason);
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
    const end = this.#close();
    if (end !== null) {
      const message = `The end of the job ${this.processingId} was not acknowledged: ${error.message}`;
      this.#warn('not_acknowledged', message);
      end.reject(error);
    }
    this.#started.reject(error);
  }

  /** NATS denies something that this job needs. It is tried again, but the caller waits no longer than `closeTimeoutMs`. */
  onRefused(error: WorkerError): void {
    this.#refusal = error;
    if (this.#end === null) return;
    this.#end.limitWait();
    this.#scheduleTimer();
  }

  onConnected(): void {
    this.#refusal = null;
    this.#act(this.#delivery.onConnected());
    this.#step({ kind: 'due' });
  }

  onDisconnected(): void {
    this.#delivery.onDisconnected();
    this.#scheduleTimer();
  }

  onTimer(now: number): void {
    if (this.#sendState.kind === 'closed') return;
    const due = this.#end?.onTimer(now);
    if (due === 'stop_waiting') this.#stopWaiting();
    if (due === 'give_up') {
      this.abandon(this.#notAcknowledged());
      return;
    }
    if (now >= this.#heartbeatAt) {
      this.#heartbeatAt = now + this.#heartbeatMs;
      const body = Buffer.from(aliveBody(this.attempt));
      this.#context.transport.publishUnacked(aliveSubjectOf(this.processingId), body);
    }
    this.#act(this.#delivery.onTimer(now));
    if (this.#context.transport.isConnected) this.#step({ kind: 'due' }, now);
    this.#scheduleTimer();
  }

  onSlot(): boolean {
    const outcome = this.#delivery.onSlot(this.#token);
    this.#act(outcome);
    return outcome.kind !== 'unchanged';
  }

  onReply(reply: Reply): void {
    this.#act(this.#delivery.onReply(reply, this.#state));
  }

  get evictable(): boolean {
    return this.#delivery.evictable;
  }

  evict(): void {
    this.#dropInFlight();
    this.#context.counts.dropped += 1;
    this.#warn(
      'dropped',
      `An update of the job ${this.processingId} was evicted: too much is waiting for NATS.`,
    );
    this.#step({ kind: 'evicted' });
  }

  /** Does what the delivery says. */
  #act(outcome: DeliveryOutcome): void {
    const { transport, warn } = this.#context;
    switch (outcome.kind) {
      case 'unchanged':
        return;
      case 'sent':
        this.#scheduleTimer();
        return;
      case 'waiting':
        for (const warning of outcome.warnings) warn(warning);
        this.#requestSlot();
        this.#scheduleTimer();
        return;
      case 'backing_off':
        transport.releaseSlot(this);
        for (const warning of outcome.warnings) warn(warning);
        this.#scheduleTimer();
        return;
      case 'look_up':
        transport.releaseSlot(this);
        void this.#lookUp(outcome.query);
        return;
      case 'rebuild':
        this.#replace(this.#rebuild(outcome.attempt));
        return;
      case 'reduce':
        this.#replace(this.#reduce(outcome.bytes));
        return;
      case 'stored':
        this.#unregister();
        this.#onStored(outcome.isFirst);
        return;
      case 'superseded':
        this.#unregister();
        this.#onSuperseded(outcome.reason, outcome.seq);
        return;
    }
  }

  #send(event: OutgoingEvent): void {
    this.#delivery.send(event);
    this.#register(event);
  }

  /** Sends the event in flight as it was built again. */
  #replace(event: OutgoingEvent): void {
    // Evicted by what was done where a warning was heard.
    if (this.#token === 0) return;
    this.#unregister();
    this.#delivery.replace(event);
    this.#register(event);
    this.#scheduleTimer();
  }

  #register(event: OutgoingEvent): void {
    this.#token = this.#context.transport.registerReply(this, event.body.length);
    this.#requestSlot();
  }

  #requestSlot(): void {
    if (this.#context.transport.isConnected) this.#context.transport.acquireSlot(this);
  }

  #unregister(): void {
    this.#context.transport.unregisterReply(this, this.#token);
    this.#token = 0;
  }

  #dropInFlight(): void {
    if (this.#token === 0) return;
    this.#delivery.stop();
    this.#unregister();
  }

  async #lookUp(query: ConflictQuery): Promise<void> {
    const result = await lookupConflict(this.#context.history, query);
    this.#act(this.#delivery.onLookup(query, result, this.#state));
  }

  #rebuild(attempt: number): OutgoingEvent {
    // The first event as it was: later reports follow it. It is the terminal event if memory was too full for earlier
    // ones.
    const first = inAttempt(this.#sent, attempt);
    this.#state = inAttempt(this.#state, attempt);
    return this.#buildEvent(this.#endInFlight, this.#context.clock.now(), first);
  }

  #reduce(bytes: number): OutgoingEvent {
    const error = new EventTooLargeError(this.processingId, bytes, null);
    const message = `${error.message} It is sent without the job's own fields, message and step.`;
    this.#warn('event_truncated', message);
    this.#endInFlight?.reduce(error);
    return this.#buildEvent(this.#endInFlight, this.#context.clock.now(), minimalState(this.#sent));
  }

  get #endInFlight(): JobEnd | null {
    return this.#sendState.kind === 'in_flight' && this.#sendState.sending === 'terminal' ? this.#end : null;
  }

  #onStored(isFirst: boolean): void {
    this.#refusal = null;
    if (isFirst) this.#started.resolve();
    this.#step({ kind: 'stored' });
    if (this.#sendState.kind === 'closed') this.#close()?.onStored();
  }

  #onSuperseded(reason: SupersededReason, seq: number | null): void {
    const error = new SupersededError(this.processingId, this.attempt, reason, seq);
    this.#lost = error;
    const end = this.#close();
    this.#warn('superseded', error.message);
    this.#started.reject(error);
    end?.reject(error);
    this.#signal.abort(error);
  }

  #step(signal: SendSignal, now = this.#context.clock.now()): void {
    const { state, send } = reduce(this.#sendState, signal, now, this.#intervalMs);
    this.#setSendState(state);
    if (send !== null) this.#send(this.#buildEvent(send === 'terminal' ? this.#end : null, now));
    // The timer of an event that has left is set.
    if (this.slot !== 'held') this.#scheduleTimer();
  }

  #setSendState(sendState: SendState): void {
    const change = Number(isPending(sendState)) - Number(isPending(this.#sendState));
    this.#sendState = sendState;
    if (change === 0) return;
    const { counts, keepAlive, onIdle } = this.#context;
    counts.pendingJobs += change;
    // A process whose work is done ends without `close`, as soon as all reports are stored that somebody waits for.
    if (change > 0) keepAlive.hold();
    else if (this.#end?.isAwaited !== false) keepAlive.release();
    if (counts.pendingJobs === 0) onIdle?.();
  }

  // A timer that fires too early costs little; moving it each time costs more.
  #scheduleTimer(): void {
    if (this.#sendState.kind === 'closed') return;
    const heldUntil =
      this.#sendState.kind === 'scheduled' && this.#context.transport.isConnected
        ? this.#sendState.readyAt
        : Number.POSITIVE_INFINITY;
    const endAt = this.#end === null ? Number.POSITIVE_INFINITY : this.#end.dueAt;
    const at = Math.min(heldUntil, this.#delivery.dueAt, this.#heartbeatAt, endAt);
    if (this.heapIndex < 0 || at < this.dueAt) this.#context.timers.set(this, at);
  }

  /** Nothing more is sent. Returns the end, if it was given. */
  #close(): JobEnd | null {
    const end = this.#end;
    this.#setSendState({ kind: 'closed' });
    this.#hasEnded = true;
    this.#end = null;
    this.#dropInFlight();
    this.#signal.stop();
    this.#context.timers.set(this, Number.POSITIVE_INFINITY);
    this.#context.removeWriter(this);
    return end;
  }

  #onOuterAbort(): void {
    if (this.#end === null) return;
    this.#end.limitSending();
    this.#scheduleTimer();
  }

  // The caller stops waiting; the end is still sent, for those who watch the job.
  #stopWaiting(): void {
    const error = this.#notAcknowledged();
    this.#end?.reject(error);
    this.#context.keepAlive.release();
    this.#warn('not_acknowledged', `${error.message} It is still sent, until the reporter is closed.`);
  }

  #notAcknowledged(): NotAcknowledgedError {
    const refusal = this.#refusal;
    const { isConnected, unreachable } = this.#context.transport;
    const disconnected = isConnected ? null : unreachable;
    const reason = refusal?.message.replace(/\.$/, '') ?? disconnected ?? this.#delivery.problem;
    return new NotAcknowledgedError(
      this.processingId,
      reason,
      refusal === null ? undefined : { cause: refusal },
    );
  }

  #buildEvent(end: JobEnd | null, now = this.#context.clock.now(), state = this.#state): OutgoingEvent {
    this.#sent = state;
    return this.#encoder.encode(state, end?.ending ?? null, now);
  }

  #checkSize(state: JobState, ending: Ending | null): void {
    this.#encoder.checkSize(state, ending, this.#context.transport.maxPayload, this.#delivery.hasBegun);
  }

  #warn(kind: WarningKind, message: string): void {
    this.#context.warn({ kind, message, processingId: this.processingId });
  }
}
