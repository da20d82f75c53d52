import { subjectOf } from '../../schemas/ids.js';
import { type Finding, inquire } from './conflict-lookup.js';
import { NotPermittedError, SupersededError, type SupersededReason } from './errors.js';
import { judgeConflict, judgeStart, type LastMessage, type Verdict, type Writer } from './fencing.js';
import { eventHeaders, type HeaderBase } from './headers.js';
import type { RunIds } from './ids.js';
import type { Flight, Letter, Phase, Sender } from './outgoing-event.js';
import type { Caller, Forbidden, Keeper, Surroundings } from './ports.js';
import type { Reply } from './reply.js';
import type { Trouble } from './warning.js';

const WAITING: Phase = { kind: 'waiting' };
/** After so many questions that nobody heard in a row it is no matter of time. */
const NOBODY_THERE = 3;
/** For how long JetStream knows an id again: its 2 minutes, less what an event may take to get there. */
const KNOWN_AGAIN_MS = 110_000;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 5_000;

/**
 * Delivers a job's events, one at a time, exactly once: each under one id until it is stored, and
 * never over somebody else's. Each is conditional on the sequence of the one before; when that is refused, the job's
 * last event says why.
 */
export class Courier implements Caller, Keeper {
  place: Caller['place'] = 'outside';
  readonly #around: Surroundings;
  readonly #sender: Sender;
  readonly #headers: HeaderBase;
  readonly #ids: RunIds;
  readonly #subject: string;
  /** The attempt that the author asked for. */
  readonly #requested: number | null;
  #flight: Flight | null = null;
  #hasBegun = false;
  /** The sequence that the job's last message must have; 0: there is none, as with a new job. */
  #expected = 0;
  /** A try since the last acknowledgement may be stored. */
  #isUnsure = false;
  /** Why the newest event is not stored yet, for people; null: nothing is known to be wrong. */
  #problem: string | null = null;

  constructor(
    around: Surroundings,
    sender: Sender,
    headers: HeaderBase,
    ids: RunIds,
    requested: number | null,
  ) {
    this.#around = around;
    this.#sender = sender;
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

  /** When it has to be woken; Infinity when only an answer can move it on. */
  get wakeAt(): number {
    const phase = this.#flight?.phase;
    return phase?.kind === 'sent' || phase?.kind === 'pausing' ? phase.until : Number.POSITIVE_INFINITY;
  }

  /** Nothing may be on its way. */
  send(letter: Letter): void {
    this.#begin(letter, {
      msgId: this.#ids.next(),
      tries: 0,
      triedAt: Number.NaN,
      assumed: null,
      isShort: false,
    });
  }

  #begin(letter: Letter, sent: Omit<Flight, 'letter' | 'token' | 'phase' | 'unheard'>): void {
    const token = this.#around.line.listen(this);
    const { msgId, tries, triedAt, assumed, isShort } = sent;
    // Not by spreading: for each event that takes as long as all the rest.
    this.#flight = { letter, msgId, token, phase: WAITING, tries, triedAt, unheard: 0, assumed, isShort };
    this.#around.keep(this, letter.body.length);
    this.#go(this.#flight);
  }

  /** Nothing is sent any more. */
  stop(): void {
    if (this.#flight === null) return;
    this.#around.line.forget(this, this.#flight.token);
    this.#around.letGo(this);
    this.#flight = null;
  }

  awake(now: number): void {
    const flight = this.#flight;
    if (flight === null) return;
    const { phase } = flight;
    if (phase.kind === 'sent' && now >= phase.until) {
      this.#isUnsure = true;
      this.#pause(flight, 'no acknowledgement came');
    } else if (phase.kind === 'pausing' && now >= phase.until) this.#go(flight);
  }

  /** NATS is there. */
  opened(): void {
    const flight = this.#flight;
    if (flight?.phase.kind === 'waiting' || flight?.phase.kind === 'pausing') this.#go(flight);
  }

  /** NATS is away. */
  cut(): void {
    const flight = this.#flight;
    if (flight === null || flight.phase.kind === 'asking') return;
    if (flight.phase.kind === 'sent') this.#isUnsure = true;
    flight.phase = WAITING;
  }

  // What may be stored is kept: only under its own id it cannot be stored twice.
  get evictable(): boolean {
    const flight = this.#flight;
    if (flight === null || this.#isUnsure) return false;
    return (
      flight.letter.carries === 'newest' && flight.phase.kind !== 'sent' && flight.phase.kind !== 'asking'
    );
  }

  evict(): void {
    this.stop();
    this.#sender.evicted();
  }

  launch(): boolean {
    const flight = this.#flight;
    if (flight?.phase.kind !== 'waiting') return false;
    const { settings, clock, line, counts } = this.#around;
    const { status, timestamp, body } = flight.letter;
    const { msgId, token } = flight;
    const headers = eventHeaders(this.#headers, { msgId, expected: this.#expected, status, timestamp });
    flight.tries += 1;
    if (flight.tries === 1) flight.triedAt = clock.now();
    if (flight.tries > 1) counts.retried += 1;
    if (!line.publish(this.#subject, body, token, headers)) {
      const isTooLarge = line.open && body.length > line.maxPayload;
      if (isTooLarge && this.#shorten(flight)) return true;
      this.#pause(flight, isTooLarge ? 'it is larger than this NATS takes' : 'it could not be sent');
      return false;
    }
    flight.phase = { kind: 'sent', until: clock.now() + settings.ackTimeoutMs };
    return true;
  }

  answered(reply: Reply): void {
    const flight = this.#flight;
    if (flight === null) return;
    switch (reply.kind) {
      case 'stored':
        if (flight.assumed !== null && reply.duplicate && reply.seq < flight.assumed) {
          this.#lose(this.#hasBegun ? 'other_writer' : 'newer_attempt', flight.assumed);
        } else this.#stored(reply.seq);
        return;
      case 'conflict':
        if (flight.phase.kind !== 'asking') this.#ask(flight, reply.last);
        return;
      case 'busy':
        this.#isUnsure ||= reply.unsure;
        this.#pause(flight, reply.detail);
        return;
      case 'too_large':
        if (this.#shorten(flight)) return;
        this.#pause(flight, `JetStream refuses: ${reply.detail}`);
        return;
      case 'refused':
        this.#pause(flight, `JetStream refuses: ${reply.detail}`);
        return;
    }
  }

  #go(flight: Flight): void {
    flight.phase = WAITING;
    if (this.#around.line.open) this.#around.line.enter(this);
  }

  #pause(flight: Flight, detail: string): void {
    if (flight.phase.kind === 'asking') return;
    const { clock, line, tell } = this.#around;
    flight.phase = { kind: 'pausing', until: clock.now() + backoffMs(flight.tries, clock.chance()) };
    line.leave(this);
    const { processingId } = this.#headers;
    this.#problem = detail;
    const message = `An event of the job ${processingId} is sent again (try ${flight.tries}): ${detail}.`;
    tell({ kind: 'retrying', message, processingId });
    this.#sender.stirred();
  }

  #stored(seq: number): void {
    this.stop();
    this.#hasBegun = true;
    this.#isUnsure = false;
    this.#problem = null;
    this.#expected = seq;
    this.#around.counts.acknowledged += 1;
    this.#sender.stored();
  }

  #lose(reason: SupersededReason, seq: number | null): void {
    this.stop();
    this.#sender.superseded(
      new SupersededError(this.#headers.processingId, this.#sender.attempt, reason, seq),
    );
  }

  #ask(flight: Flight, last: number | null): void {
    if (last !== null && last === this.#expected) {
      // It has become what we expect, so ask once more.
      this.#pause(flight, 'another event is on its way');
      return;
    }
    flight.phase = { kind: 'asking' };
    this.#around.line.leave(this);
    if (last === 0) this.#obey(flight, this.#judge(flight, null));
    else void this.#read(flight, last);
  }

  async #read(flight: Flight, told: number | null): Promise<void> {
    const { processingId } = this.#headers;
    const about = { processingId, told, expected: this.#expected, writer: this.#writer(flight) };
    const found = await inquire(this.#around.history, about).catch(
      (error: unknown): Finding => ({ kind: 'failed', detail: String(error) }),
    );
    // An acknowledgement may have come meanwhile.
    if (this.#flight !== flight || flight.phase.kind !== 'asking') return;
    flight.phase = WAITING;
    const isUnheard = (found.kind === 'forbidden' || found.kind === 'hidden') && !found.isCertain;
    flight.unheard = isUnheard ? flight.unheard + 1 : 0;
    if (isUnheard && flight.unheard < NOBODY_THERE) this.#pauseUnread(flight, found.detail);
    else this.#found(flight, told, found);
  }

  #found(flight: Flight, told: number | null, found: Finding): void {
    switch (found.kind) {
      case 'read':
        this.#obey(flight, this.#judge(flight, found.last));
        return;
      case 'forbidden':
        if (this.#hasBegun) this.#presume(flight, told);
        else this.#goUnread(flight, told, found);
        return;
      case 'hidden':
        this.#goUnread(flight, told, found);
        return;
      case 'failed':
        this.#pauseUnread(flight, found.detail);
        return;
    }
  }

  #writer({ msgId, triedAt }: Flight): Writer {
    const { attempt, percent } = this.#sender;
    const { runId } = this.#ids;
    const isKnownAgain = this.#around.clock.now() - triedAt < KNOWN_AGAIN_MS;
    const [hasBegun, isUnsure] = [this.#hasBegun, this.#isUnsure];
    return { runId, msgId, attempt, percent, hasBegun, isUnsure, isKnownAgain };
  }

  #judge(flight: Flight, last: LastMessage | null): Verdict {
    const writer = this.#writer(flight);
    return this.#hasBegun ? judgeConflict(last, writer) : judgeStart(last, writer, this.#requested);
  }

  #obey(flight: Flight, verdict: Verdict): void {
    switch (verdict.kind) {
      case 'stored':
        this.#stored(verdict.seq);
        return;
      case 'superseded':
        this.#lose(verdict.reason, verdict.seq);
        return;
      case 'send':
        this.#expected = verdict.expected;
        if (verdict.attempt === this.#sender.attempt) this.#go(flight);
        else this.#rewrite(flight, verdict.attempt);
        this.#sender.stirred();
        return;
    }
  }

  // Somebody has this attempt, or a higher one. If the event may be stored beneath him, it goes under the id that it has:
  // then JetStream knows it again, and the job is his.
  #rewrite(flight: Flight, attempt: number): void {
    const { msgId, tries, triedAt, isShort } = flight;
    this.stop();
    const letter = this.#sender.rewrite(attempt);
    if (this.#isUnsure) this.#begin(letter, { msgId, tries, triedAt, assumed: this.#expected, isShort });
    else this.send(letter);
  }

  // Under the same id: what is too large was stored by none of its tries. Waiting would hold up all that comes behind.
  #shorten(flight: Flight): boolean {
    const { msgId, tries, triedAt, assumed, isShort } = flight;
    const letter = isShort ? null : this.#sender.shorten(flight.letter.body.length);
    if (letter === null) return false;
    this.stop();
    this.#begin(letter, { msgId, tries, triedAt, assumed, isShort: true });
    this.#sender.stirred();
    return true;
  }

  #pauseUnread(flight: Flight, detail: string): void {
    this.#pause(flight, `the job's last event cannot be read (${detail})`);
  }

  // Without the permission to read nobody tells whose the last event is.
  #presume(flight: Flight, told: number | null): void {
    // All that was sent was answered: it is somebody else's.
    if (!this.#isUnsure || told === null) this.#lose('other_writer', told);
    else {
      // It is ours, most likely. Under the same id JetStream knows it again and stores nothing.
      flight.assumed = told;
      this.#sendBehind(flight, told);
    }
  }

  // A guess could write over a newer attempt, or behind an end. An author who names his attempt does not guess. And what
  // is no event takes nobody his job, but it may stand on something that does.
  #goUnread(flight: Flight, told: number | null, forbidden: Omit<Forbidden, 'kind'>): void {
    const { processingId } = this.#headers;
    const hasBegun = this.#hasBegun;
    const requested = this.#requested;
    this.#around.tell(unreadTrouble({ processingId, forbidden, hasBegun, requested }));
    if (!hasBegun && requested !== null && told !== null) this.#sendBehind(flight, told);
    else this.#pauseUnread(flight, forbidden.detail);
  }

  #sendBehind(flight: Flight, seq: number): void {
    this.#expected = seq;
    this.#go(flight);
    this.#sender.stirred();
  }
}

/**
 * How long to wait before the next try, in milliseconds: full jitter, from 0 to a bound that doubles with each try, up
 * to 5 s.
 * @param tries how many have failed, from 1
 * @param chance from 0 to 1
 */
export function backoffMs(tries: number, chance: number): number {
  return chance * Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(tries - 1, 16));
}

/** What is told of an event that was refused by something that may not be read. */
export interface Unread {
  readonly processingId: string;
  readonly forbidden: Omit<Forbidden, 'kind'>;
  readonly hasBegun: boolean;
  /** The attempt that the author asked for. */
  readonly requested: number | null;
}

/** Says which permission is missing, and what is done until then. */
export function unreadTrouble({ processingId, forbidden, hasBegun, requested }: Unread): Trouble {
  const error = new NotPermittedError(processingId, forbidden.subjects, forbidden.detail);
  const told = { processingId, error };
  if (hasBegun) {
    return { ...told, kind: 'not_permitted', message: `${error.message} Nothing is written until then.` };
  }
  const until =
    requested === null
      ? 'Nothing is written until then, or give the attempt.'
      : `This is attempt ${requested} whatever was before.`;
  return { ...told, kind: 'attempt_unknown', message: `${error.message} ${until}` };
}
