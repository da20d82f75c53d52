import { subjectOf } from '../../schemas/ids.js';
import {
  type ConflictQuery,
  type LookupResult,
  type ReadDenial,
  readPermissionWarning,
} from './conflict-lookup.js';
import type { SupersededReason } from './errors.js';
import {
  type FencingDecision,
  type LastMessage,
  resolveConflict,
  resolveStart,
  type Writer,
} from './fencing.js';
import {
  eventHeaders,
  type HeaderBase,
  inOnePiece,
  type OutgoingEvent,
  type RunIds,
} from './outgoing-event.js';
import type { Forbidden, Reply, ReporterContext } from './ports.js';
import type { JobState } from './state.js';
import type { ReporterWarning } from './warning.js';

/** What the caller has to do about the event in flight. */
export type DeliveryOutcome =
  /** Nothing. */
  | { readonly kind: 'unchanged' }
  /** It was published; `dueAt` has changed. */
  | { readonly kind: 'sent' }
  /** It wants a slot, as soon as NATS can be reached; `dueAt` has changed. */
  | { readonly kind: 'waiting'; readonly warnings: readonly ReporterWarning[] }
  /** It needs no slot until `dueAt`. */
  | { readonly kind: 'backing_off'; readonly warnings: readonly ReporterWarning[] }
  /** Its condition failed: find the event that conflicts with it, and call `onLookup`. It needs no slot meanwhile. */
  | { readonly kind: 'look_up'; readonly query: ConflictQuery }
  /** Build it again, as of another attempt, and call `replace`. */
  | { readonly kind: 'rebuild'; readonly attempt: number }
  /** NATS rejects it as too large. Build it again with less in it, and call `replace`. */
  | { readonly kind: 'reduce'; readonly bytes: number }
  /** It is stored. Nothing is in flight. `isFirst`: the attempt is settled. */
  | { readonly kind: 'stored'; readonly isFirst: boolean }
  /** Another worker has the job: nothing may be sent any more. Nothing is in flight. */
  | { readonly kind: 'superseded'; readonly reason: SupersededReason; readonly seq: number | null };

/** The phases of an event in flight. */
type DeliveryPhase =
  /** It waits for the connection, or for a slot of the limiter. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'sent'; readonly until: number }
  | { readonly kind: 'backing_off'; readonly until: number }
  /** Its condition failed, and the job's last event is being read. */
  | { readonly kind: 'looking_up'; readonly query: ConflictQuery };

/** One event in flight, through all of its tries. */
interface InFlightEvent {
  event: OutgoingEvent;
  msgId: string;
  phase: DeliveryPhase;
  tries: number;
  /** When the first try was made, in milliseconds of a monotonic clock; NaN: not yet. */
  triedAt: number;
  /** How many reads in a row of the job's last event had no responder. */
  unansweredReads: number;
  /**
   * The sequence of the job's last event, where this one is sent after it although it may be stored already. If it is,
   * the acknowledgement has a lower sequence.
   */
  assumed: number | null;
  /** Optional parts are left out, because NATS rejected the full event as too large. */
  isReduced: boolean;
}

/** Of the job's newest state: the attempt, and the highest percent of its events. */
type Progress = Pick<JobState, 'attempt' | 'percent'>;

const UNCHANGED: DeliveryOutcome = { kind: 'unchanged' };
const SENT: DeliveryOutcome = { kind: 'sent' };
const STORED: DeliveryOutcome = { kind: 'stored', isFirst: false };
const STORED_FIRST: DeliveryOutcome = { kind: 'stored', isFirst: true };
const REQUEST_SLOT: DeliveryOutcome = { kind: 'waiting', warnings: [] };
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
 *
 * It knows nobody: each call says what happened, and returns what the caller has to do. The caller waits for slots and
 * replies, and looks conflicts up.
 */
export class EventDelivery {
  readonly #context: ReporterContext;
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
  #problem: string | null = null;

  constructor(context: ReporterContext, headers: HeaderBase, ids: RunIds, requested: number | null) {
    this.#context = context;
    this.#headers = headers;
    this.#ids = ids;
    this.#requested = requested;
    this.#subject = inOnePiece(subjectOf(headers.processingId));
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

  /** Whether the event in flight can be dropped. One that may be stored cannot: only its own id keeps it single. */
  get evictable(): boolean {
    const inFlight = this.#inFlight;
    if (inFlight === null || this.#mayBeStored || inFlight.event.kind !== 'update') return false;
    return inFlight.phase.kind !== 'sent' && inFlight.phase.kind !== 'looking_up';
  }

  /** Puts an event in flight, which then waits for a slot. Nothing else may be in flight. */
  send(event: OutgoingEvent): void {
    this.#inFlight = {
      event,
      msgId: this.#ids.next(),
      phase: WAITING,
      tries: 0,
      triedAt: Number.NaN,
      unansweredReads: 0,
      assumed: null,
      isReduced: false,
    };
  }

  /** Puts the event in flight there as it was built again. It waits for a slot. */
  replace(event: OutgoingEvent): void {
    if (this.#inFlight === null) return;
    this.#inFlight.event = event;
    this.#inFlight.phase = WAITING;
    this.#inFlight.unansweredReads = 0;
  }

  /** Drops the event in flight. */
  stop(): void {
    this.#inFlight = null;
  }

  /** A slot is free: publishes. `token`: of the replies. */
  onSlot(token: number): DeliveryOutcome {
    const inFlight = this.#inFlight;
    if (inFlight?.phase.kind !== 'waiting') return UNCHANGED;
    const { settings, clock, transport, counts } = this.#context;
    const { status, timestamp, body } = inFlight.event;
    const own = { msgId: inFlight.msgId, expected: this.#expected, status, timestamp };
    const now = clock.now();
    inFlight.tries += 1;
    if (inFlight.tries === 1) inFlight.triedAt = now;
    else counts.retried += 1;
    if (!transport.publish(this.#subject, body, token, eventHeaders(this.#headers, own))) {
      const isTooLarge = transport.isConnected && body.length > transport.maxPayload;
      if (isTooLarge) return this.#tooLarge(inFlight, 'it is larger than this NATS takes');
      return this.#backOff(inFlight, 'it could not be sent');
    }
    inFlight.phase = { kind: 'sent', until: now + settings.ackTimeoutMs };
    return SENT;
  }

  onReply(reply: Reply, progress: Progress): DeliveryOutcome {
    const inFlight = this.#inFlight;
    if (inFlight === null) return UNCHANGED;
    switch (reply.kind) {
      case 'stored':
        if (inFlight.assumed === null || !reply.duplicate || reply.seq >= inFlight.assumed)
          return this.#stored(reply.seq);
        return this.#superseded(this.#hasBegun ? 'other_writer' : 'newer_attempt', inFlight.assumed);
      case 'conflict':
        return this.#conflict(inFlight, reply.last, progress);
      case 'busy':
        this.#mayBeStored ||= reply.mayBeStored;
        return this.#backOff(inFlight, reply.detail);
      case 'too_large':
        return this.#tooLarge(inFlight, `JetStream refuses: ${reply.detail}`);
      case 'refused':
        return this.#backOff(inFlight, `JetStream refuses: ${reply.detail}`);
    }
  }

  onTimer(now: number): DeliveryOutcome {
    const inFlight = this.#inFlight;
    if (inFlight === null) return UNCHANGED;
    const { phase } = inFlight;
    if (phase.kind === 'sent' && now >= phase.until) {
      this.#mayBeStored = true;
      return this.#backOff(inFlight, 'no acknowledgement came');
    }
    return phase.kind === 'backing_off' && now >= phase.until ? this.#requestSlot(inFlight) : UNCHANGED;
  }

  /** NATS can be reached. */
  onConnected(): DeliveryOutcome {
    const inFlight = this.#inFlight;
    const isIdle = inFlight?.phase.kind === 'waiting' || inFlight?.phase.kind === 'backing_off';
    return inFlight !== null && isIdle ? this.#requestSlot(inFlight) : UNCHANGED;
  }

  /** The connection is lost. */
  onDisconnected(): void {
    const inFlight = this.#inFlight;
    if (inFlight === null || inFlight.phase.kind === 'looking_up') return;
    if (inFlight.phase.kind === 'sent') this.#mayBeStored = true;
    inFlight.phase = WAITING;
  }

  /** What was found for a query of an outcome `look_up`. */
  onLookup(query: ConflictQuery, result: LookupResult, progress: Progress): DeliveryOutcome {
    const inFlight = this.#inFlight;
    // An acknowledgement may have come meanwhile.
    if (inFlight?.phase.kind !== 'looking_up' || inFlight.phase.query !== query) return UNCHANGED;
    inFlight.phase = WAITING;
    const isUnanswered = (result.kind === 'forbidden' || result.kind === 'hidden') && !result.isCertain;
    inFlight.unansweredReads = isUnanswered ? inFlight.unansweredReads + 1 : 0;
    if (isUnanswered && inFlight.unansweredReads < MAX_UNANSWERED_READS)
      return this.#backOffUnread(inFlight, result.detail);
    switch (result.kind) {
      case 'read':
        return this.#apply(inFlight, this.#decide(result.last, this.#writer(inFlight, progress)), progress);
      case 'forbidden':
        return this.#hasBegun
          ? this.#assumeOwn(inFlight, query.reportedSeq)
          : this.#proceedUnread(inFlight, query.reportedSeq, result);
      case 'hidden':
        return this.#proceedUnread(inFlight, query.reportedSeq, result);
      case 'failed':
        return this.#backOffUnread(inFlight, result.detail);
    }
  }

  #requestSlot(inFlight: InFlightEvent): DeliveryOutcome {
    inFlight.phase = WAITING;
    return REQUEST_SLOT;
  }

  #backOff(inFlight: InFlightEvent, detail: string, also: readonly ReporterWarning[] = []): DeliveryOutcome {
    if (inFlight.phase.kind === 'looking_up') return UNCHANGED;
    const { clock } = this.#context;
    inFlight.phase = { kind: 'backing_off', until: clock.now() + backoffMs(inFlight.tries, clock.chance()) };
    this.#problem = detail;
    const { processingId } = this.#headers;
    const message = `An event of the job ${processingId} is sent again (try ${inFlight.tries}): ${detail}.`;
    return { kind: 'backing_off', warnings: [...also, { kind: 'retrying', message, processingId }] };
  }

  #stored(seq: number): DeliveryOutcome {
    const outcome = this.#hasBegun ? STORED : STORED_FIRST;
    this.stop();
    this.#hasBegun = true;
    this.#mayBeStored = false;
    this.#problem = null;
    this.#expected = seq;
    this.#context.counts.acknowledged += 1;
    return outcome;
  }

  #superseded(reason: SupersededReason, seq: number | null): DeliveryOutcome {
    this.stop();
    return { kind: 'superseded', reason, seq };
  }

  // Under the same id: no try can have stored an event that is too large. Waiting would block all later events.
  #tooLarge(inFlight: InFlightEvent, detail: string): DeliveryOutcome {
    if (inFlight.isReduced) return this.#backOff(inFlight, detail);
    inFlight.isReduced = true;
    return { kind: 'reduce', bytes: inFlight.event.body.length };
  }

  #conflict(inFlight: InFlightEvent, reportedSeq: number | null, progress: Progress): DeliveryOutcome {
    if (inFlight.phase.kind === 'looking_up') return UNCHANGED;
    // By now it is the expected one, so try again.
    if (reportedSeq !== null && reportedSeq === this.#expected)
      return this.#backOff(inFlight, 'another event is in flight');
    const { processingId } = this.#headers;
    const writer = this.#writer(inFlight, progress);
    const query = { processingId, reportedSeq, expected: this.#expected, writer };
    inFlight.phase = { kind: 'looking_up', query };
    return { kind: 'look_up', query };
  }

  #writer({ msgId, triedAt }: InFlightEvent, { attempt, percent }: Progress): Writer {
    const { runId } = this.#ids;
    const isInDedupWindow = this.#context.clock.now() - triedAt < DEDUP_WINDOW_MS;
    const [hasBegun, mayBeStored] = [this.#hasBegun, this.#mayBeStored];
    return { runId, msgId, attempt, percent, hasBegun, mayBeStored, isInDedupWindow };
  }

  #decide(last: LastMessage | null, writer: Writer): FencingDecision {
    return this.#hasBegun ? resolveConflict(last, writer) : resolveStart(last, writer, this.#requested);
  }

  #apply(inFlight: InFlightEvent, decision: FencingDecision, { attempt }: Progress): DeliveryOutcome {
    switch (decision.kind) {
      case 'stored':
        return this.#stored(decision.seq);
      case 'superseded':
        return this.#superseded(decision.reason, decision.seq);
      case 'send':
        this.#expected = decision.expected;
        if (decision.attempt === attempt) return this.#requestSlot(inFlight);
        // Another worker has this attempt, or a higher one. If the event may be stored before that worker's, it keeps
        // its message id: then JetStream detects the duplicate, and the job belongs to the other worker.
        if (this.#mayBeStored) inFlight.assumed = this.#expected;
        else this.send(inFlight.event);
        return { kind: 'rebuild', attempt: decision.attempt };
    }
  }

  #backOffUnread(
    inFlight: InFlightEvent,
    detail: string,
    also: readonly ReporterWarning[] = [],
  ): DeliveryOutcome {
    return this.#backOff(inFlight, `the job's last event cannot be read (${detail})`, also);
  }

  // Without permission to read, it is unknown who wrote the last event.
  #assumeOwn(inFlight: InFlightEvent, reportedSeq: number | null): DeliveryOutcome {
    // Every try was answered, so another worker wrote it.
    if (!this.#mayBeStored || reportedSeq === null) return this.#superseded('other_writer', reportedSeq);
    // Most likely it is ours. Under the same id JetStream detects the duplicate and stores nothing.
    inFlight.assumed = reportedSeq;
    this.#expected = reportedSeq;
    return this.#requestSlot(inFlight);
  }

  // A guess could overwrite a newer attempt, or write after a terminal event. A caller that names the attempt does not
  // guess. A message that is no event takes the job from nobody, but it may hide one that does.
  #proceedUnread(
    inFlight: InFlightEvent,
    reportedSeq: number | null,
    forbidden: Omit<Forbidden, 'kind'>,
  ): DeliveryOutcome {
    const { processingId } = this.#headers;
    const denial: ReadDenial = {
      processingId,
      forbidden,
      hasBegun: this.#hasBegun,
      requested: this.#requested,
    };
    const warnings = [readPermissionWarning(denial)];
    if (this.#hasBegun || this.#requested === null || reportedSeq === null)
      return this.#backOffUnread(inFlight, forbidden.detail, warnings);
    this.#expected = reportedSeq;
    inFlight.phase = WAITING;
    return { kind: 'waiting', warnings };
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
