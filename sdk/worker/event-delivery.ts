import { subjectOf } from '../../schemas/ids.js';
import { type LookupResult, lookupConflict } from './conflict-lookup.js';
import { NotPermittedError, SupersededError, type SupersededReason } from './errors.js';
import {
  type FencingDecision,
  type LastMessage,
  resolveConflict,
  resolveStart,
  type Writer,
} from './fencing.js';
import {
  type DeliveryOwner,
  type DeliveryPhase,
  eventHeaders,
  type HeaderBase,
  type InFlightEvent,
  type OutgoingEvent,
  type RunIds,
} from './outgoing-event.js';
import type { BufferedEvent, Forbidden, ReplyHandler, ReporterContext } from './ports.js';
import type { Reply } from './reply.js';
import type { ReporterWarning } from './warning.js';

const WAITING: DeliveryPhase = { kind: 'waiting' };
/** After so many reads without a responder the cause is not temporary. */
const MAX_UNANSWERED_READS = 3;
/** How long JetStream detects a duplicate id: its 2 minutes, less the time that an event may take to arrive. */
const DEDUP_WINDOW_MS = 110_000;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 5_000;

/**
 * Delivers a job's events, one at a time, exactly once. Each event keeps one message id until it is stored, and is
 * conditional on the sequence of the event before it, so it never overwrites another worker's. If the condition fails,
 * the job's last event decides what follows.
 */
export class EventDelivery implements ReplyHandler, BufferedEvent {
  slot: ReplyHandler['slot'] = 'none';
  readonly #context: ReporterContext;
  readonly #owner: DeliveryOwner;
  readonly #headers: HeaderBase;
  readonly #ids: RunIds;
  readonly #subject: string;
  /** The attempt that the caller asked for. */
  readonly #requested: number | null;
  #inFlight: InFlightEvent | null = null;
  #hasBegun = false;
  /** The sequence that the job's last message must have; 0: none, as for a new job. */
  #expected = 0;
  /** A try since the last acknowledgement may be stored. */
  #mayBeStored = false;
  /** Why the newest event is not stored yet, for people; null: nothing is known to be wrong. */
  #problem: string | null = null;

  constructor(
    context: ReporterContext,
    owner: DeliveryOwner,
    headers: HeaderBase,
    ids: RunIds,
    requested: number | null,
  ) {
    this.#context = context;
    this.#owner = owner;
    this.#headers = headers;
    this.#ids = ids;
    this.#requested = requested;
    this.#subject = subjectOf(headers.processingId);
  }

  /** Whether an event of this run is stored, so that the attempt is settled. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Why the newest event is not stored yet, for people; null: nothing is known to be wrong. */
  get problem(): string | null {
    return this.#problem;
  }

  /** When `onTimer` is due; Infinity if only a reply can continue. */
  get dueAt(): number {
    const phase = this.#inFlight?.phase;
    return phase?.kind === 'sent' || phase?.kind === 'backing_off' ? phase.until : Number.POSITIVE_INFINITY;
  }

  /** Sends an event. Nothing may be in flight. */
  send(event: OutgoingEvent): void {
    this.#startEvent(event, {
      msgId: this.#ids.next(),
      tries: 0,
      triedAt: Number.NaN,
      assumed: null,
      isReduced: false,
    });
  }

  #startEvent(
    event: OutgoingEvent,
    sent: Omit<InFlightEvent, 'event' | 'token' | 'phase' | 'unansweredReads'>,
  ): void {
    const token = this.#context.transport.registerReply(this);
    const { msgId, tries, triedAt, assumed, isReduced } = sent;
    // Without spread syntax, which takes as long for each event as everything else.
    this.#inFlight = {
      event,
      msgId,
      token,
      phase: WAITING,
      tries,
      triedAt,
      unansweredReads: 0,
      assumed,
      isReduced,
    };
    this.#context.addPending(this, event.body.length);
    this.#requestSlot(this.#inFlight);
  }

  /** Drops the event in flight. */
  stop(): void {
    if (this.#inFlight === null) return;
    this.#context.transport.unregisterReply(this, this.#inFlight.token);
    this.#context.releasePending(this);
    this.#inFlight = null;
  }

  onTimer(now: number): void {
    const inFlight = this.#inFlight;
    if (inFlight === null) return;
    const { phase } = inFlight;
    if (phase.kind === 'sent' && now >= phase.until) {
      this.#mayBeStored = true;
      this.#backOff(inFlight, 'no acknowledgement came');
    } else if (phase.kind === 'backing_off' && now >= phase.until) this.#requestSlot(inFlight);
  }

  /** NATS can be reached. */
  onConnected(): void {
    const inFlight = this.#inFlight;
    if (inFlight?.phase.kind === 'waiting' || inFlight?.phase.kind === 'backing_off')
      this.#requestSlot(inFlight);
  }

  /** The connection is lost. */
  onDisconnected(): void {
    const inFlight = this.#inFlight;
    if (inFlight === null || inFlight.phase.kind === 'looking_up') return;
    if (inFlight.phase.kind === 'sent') this.#mayBeStored = true;
    inFlight.phase = WAITING;
  }

  // An event that may be stored is kept: only its own message id keeps it from being stored twice.
  get evictable(): boolean {
    const inFlight = this.#inFlight;
    if (inFlight === null || this.#mayBeStored) return false;
    return (
      inFlight.event.kind === 'update' &&
      inFlight.phase.kind !== 'sent' &&
      inFlight.phase.kind !== 'looking_up'
    );
  }

  evict(): void {
    this.stop();
    this.#owner.onEvicted();
  }

  onSlot(): boolean {
    const inFlight = this.#inFlight;
    if (inFlight?.phase.kind !== 'waiting') return false;
    const { settings, clock, transport, counts } = this.#context;
    const { status, timestamp, body } = inFlight.event;
    const { msgId, token } = inFlight;
    const headers = eventHeaders(this.#headers, { msgId, expected: this.#expected, status, timestamp });
    inFlight.tries += 1;
    if (inFlight.tries === 1) inFlight.triedAt = clock.now();
    if (inFlight.tries > 1) counts.retried += 1;
    if (!transport.publish(this.#subject, body, token, headers)) {
      const isTooLarge = transport.isConnected && body.length > transport.maxPayload;
      if (isTooLarge && this.#reduceSize(inFlight)) return true;
      this.#backOff(inFlight, isTooLarge ? 'it is larger than this NATS takes' : 'it could not be sent');
      return false;
    }
    inFlight.phase = { kind: 'sent', until: clock.now() + settings.ackTimeoutMs };
    return true;
  }

  onReply(reply: Reply): void {
    const inFlight = this.#inFlight;
    if (inFlight === null) return;
    switch (reply.kind) {
      case 'stored':
        if (inFlight.assumed !== null && reply.duplicate && reply.seq < inFlight.assumed) {
          this.#loseJob(this.#hasBegun ? 'other_writer' : 'newer_attempt', inFlight.assumed);
        } else this.#onStored(reply.seq);
        return;
      case 'conflict':
        if (inFlight.phase.kind !== 'looking_up') this.#lookUp(inFlight, reply.last);
        return;
      case 'busy':
        this.#mayBeStored ||= reply.mayBeStored;
        this.#backOff(inFlight, reply.detail);
        return;
      case 'too_large':
        if (this.#reduceSize(inFlight)) return;
        this.#backOff(inFlight, `JetStream refuses: ${reply.detail}`);
        return;
      case 'refused':
        this.#backOff(inFlight, `JetStream refuses: ${reply.detail}`);
        return;
    }
  }

  #requestSlot(inFlight: InFlightEvent): void {
    inFlight.phase = WAITING;
    if (this.#context.transport.isConnected) this.#context.transport.acquireSlot(this);
  }

  #backOff(inFlight: InFlightEvent, detail: string): void {
    if (inFlight.phase.kind === 'looking_up') return;
    const { clock, transport, warn } = this.#context;
    inFlight.phase = { kind: 'backing_off', until: clock.now() + backoffMs(inFlight.tries, clock.chance()) };
    transport.releaseSlot(this);
    const { processingId } = this.#headers;
    this.#problem = detail;
    const message = `An event of the job ${processingId} is sent again (try ${inFlight.tries}): ${detail}.`;
    warn({ kind: 'retrying', message, processingId });
    this.#owner.reschedule();
  }

  #onStored(seq: number): void {
    this.stop();
    this.#hasBegun = true;
    this.#mayBeStored = false;
    this.#problem = null;
    this.#expected = seq;
    this.#context.counts.acknowledged += 1;
    this.#owner.onStored();
  }

  #loseJob(reason: SupersededReason, seq: number | null): void {
    this.stop();
    this.#owner.onSuperseded(
      new SupersededError(this.#headers.processingId, this.#owner.attempt, reason, seq),
    );
  }

  #lookUp(inFlight: InFlightEvent, last: number | null): void {
    if (last !== null && last === this.#expected) {
      // By now it is the expected one, so try again.
      this.#backOff(inFlight, 'another event is in flight');
      return;
    }
    inFlight.phase = { kind: 'looking_up' };
    this.#context.transport.releaseSlot(this);
    if (last === 0) this.#applyDecision(inFlight, this.#decide(inFlight, null));
    else void this.#readConflict(inFlight, last);
  }

  async #readConflict(inFlight: InFlightEvent, reportedSeq: number | null): Promise<void> {
    const { processingId } = this.#headers;
    const about = { processingId, reportedSeq, expected: this.#expected, writer: this.#writer(inFlight) };
    const result = await lookupConflict(this.#context.history, about).catch(
      (error: unknown): LookupResult => ({ kind: 'failed', detail: String(error) }),
    );
    // An acknowledgement may have come meanwhile.
    if (this.#inFlight !== inFlight || inFlight.phase.kind !== 'looking_up') return;
    inFlight.phase = WAITING;
    const isUnanswered = (result.kind === 'forbidden' || result.kind === 'hidden') && !result.isCertain;
    inFlight.unansweredReads = isUnanswered ? inFlight.unansweredReads + 1 : 0;
    if (isUnanswered && inFlight.unansweredReads < MAX_UNANSWERED_READS)
      this.#backOffUnread(inFlight, result.detail);
    else this.#applyLookup(inFlight, reportedSeq, result);
  }

  #applyLookup(inFlight: InFlightEvent, reportedSeq: number | null, result: LookupResult): void {
    switch (result.kind) {
      case 'read':
        this.#applyDecision(inFlight, this.#decide(inFlight, result.last));
        return;
      case 'forbidden':
        if (this.#hasBegun) this.#assumeOwn(inFlight, reportedSeq);
        else this.#proceedUnread(inFlight, reportedSeq, result);
        return;
      case 'hidden':
        this.#proceedUnread(inFlight, reportedSeq, result);
        return;
      case 'failed':
        this.#backOffUnread(inFlight, result.detail);
        return;
    }
  }

  #writer({ msgId, triedAt }: InFlightEvent): Writer {
    const { attempt, percent } = this.#owner;
    const { runId } = this.#ids;
    const isInDedupWindow = this.#context.clock.now() - triedAt < DEDUP_WINDOW_MS;
    const [hasBegun, mayBeStored] = [this.#hasBegun, this.#mayBeStored];
    return { runId, msgId, attempt, percent, hasBegun, mayBeStored, isInDedupWindow };
  }

  #decide(inFlight: InFlightEvent, last: LastMessage | null): FencingDecision {
    const writer = this.#writer(inFlight);
    return this.#hasBegun ? resolveConflict(last, writer) : resolveStart(last, writer, this.#requested);
  }

  #applyDecision(inFlight: InFlightEvent, decision: FencingDecision): void {
    switch (decision.kind) {
      case 'stored':
        this.#onStored(decision.seq);
        return;
      case 'superseded':
        this.#loseJob(decision.reason, decision.seq);
        return;
      case 'send':
        this.#expected = decision.expected;
        if (decision.attempt === this.#owner.attempt) this.#requestSlot(inFlight);
        else this.#rebuild(inFlight, decision.attempt);
        this.#owner.reschedule();
        return;
    }
  }

  // Another worker has this attempt, or a higher one. If the event may be stored before that worker's, it keeps its
  // message id: then JetStream detects the duplicate, and the job belongs to the other worker.
  #rebuild(inFlight: InFlightEvent, attempt: number): void {
    const { msgId, tries, triedAt, isReduced } = inFlight;
    this.stop();
    const event = this.#owner.rebuild(attempt);
    if (this.#mayBeStored)
      this.#startEvent(event, { msgId, tries, triedAt, assumed: this.#expected, isReduced });
    else this.send(event);
  }

  // Under the same id: no try can have stored an event that is too large. Waiting would block all later events.
  #reduceSize(inFlight: InFlightEvent): boolean {
    const { msgId, tries, triedAt, assumed, isReduced } = inFlight;
    const event = isReduced ? null : this.#owner.reduceSize(inFlight.event.body.length);
    if (event === null) return false;
    this.stop();
    this.#startEvent(event, { msgId, tries, triedAt, assumed, isReduced: true });
    this.#owner.reschedule();
    return true;
  }

  #backOffUnread(inFlight: InFlightEvent, detail: string): void {
    this.#backOff(inFlight, `the job's last event cannot be read (${detail})`);
  }

  // Without permission to read, it is unknown who wrote the last event.
  #assumeOwn(inFlight: InFlightEvent, reportedSeq: number | null): void {
    // Every try was answered, so another worker wrote it.
    if (!this.#mayBeStored || reportedSeq === null) this.#loseJob('other_writer', reportedSeq);
    else {
      // Most likely it is ours. Under the same id JetStream detects the duplicate and stores nothing.
      inFlight.assumed = reportedSeq;
      this.#sendBehind(inFlight, reportedSeq);
    }
  }

  // A guess could overwrite a newer attempt, or write after a terminal event. A caller that names the attempt does not
  // guess. A message that is no event takes the job from nobody, but it may hide one that does.
  #proceedUnread(
    inFlight: InFlightEvent,
    reportedSeq: number | null,
    forbidden: Omit<Forbidden, 'kind'>,
  ): void {
    const { processingId } = this.#headers;
    const hasBegun = this.#hasBegun;
    const requested = this.#requested;
    this.#context.warn(readPermissionWarning({ processingId, forbidden, hasBegun, requested }));
    if (!hasBegun && requested !== null && reportedSeq !== null) this.#sendBehind(inFlight, reportedSeq);
    else this.#backOffUnread(inFlight, forbidden.detail);
  }

  #sendBehind(inFlight: InFlightEvent, seq: number): void {
    this.#expected = seq;
    this.#requestSlot(inFlight);
    this.#owner.reschedule();
  }
}

/**
 * How long to wait before the next try, in milliseconds: full jitter, from 0 to a bound that doubles with each try, up
 * to 5 s.
 * @param tries how many have failed, from 1
 * @param chance a random number from 0 to 1
 */
export function backoffMs(tries: number, chance: number): number {
  return chance * Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(tries - 1, 16));
}

/** An event that conflicts with one that may not be read. */
export interface ReadDenial {
  readonly processingId: string;
  readonly forbidden: Omit<Forbidden, 'kind'>;
  readonly hasBegun: boolean;
  /** The attempt that the caller asked for. */
  readonly requested: number | null;
}

/** Names the missing permission, and what happens until it is granted. */
export function readPermissionWarning({
  processingId,
  forbidden,
  hasBegun,
  requested,
}: ReadDenial): ReporterWarning {
  const error = new NotPermittedError(processingId, forbidden.subjects, forbidden.detail);
  const reportedSeq = { processingId, error };
  if (hasBegun) {
    return {
      ...reportedSeq,
      kind: 'not_permitted',
      message: `${error.message} Nothing is written until then.`,
    };
  }
  const until =
    requested === null
      ? 'Nothing is written until then, or give the attempt.'
      : `This is attempt ${requested} whatever was before.`;
  return { ...reportedSeq, kind: 'attempt_unknown', message: `${error.message} ${until}` };
}
