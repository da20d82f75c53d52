import type { WorkerError } from './errors.js';
import { failureJson, minimalFailure } from './failure.js';
import type { Ending } from './outgoing-event.js';
import type { ReporterContext } from './ports.js';

/** A promise that is settled from outside, once; later calls do nothing. */
export class Deferred {
  readonly promise: Promise<void>;
  #settle: { yes: () => void; no: (error: WorkerError) => void } | null = null;

  constructor() {
    this.promise = new Promise<void>((yes, no) => {
      this.#settle = { yes, no };
    });
    // A rejection that nobody awaits must not end the process; `onWarning` reports it.
    this.promise.catch(() => {});
  }

  resolve(): void {
    this.#once()?.yes();
  }

  reject(error: WorkerError): void {
    this.#once()?.no(error);
  }

  // Node inspects every repeated settlement, which takes longer than the rest of an event.
  #once() {
    const settle = this.#settle;
    this.#settle = null;
    return settle;
  }
}

/** How a job ends, and the caller who waits for its end to be stored. */
export class JobEnd {
  readonly #stored = new Deferred();
  #ending: Ending;
  /** Why the end that was asked for cannot be stored, where another one is sent in its place. */
  #replacedBy: WorkerError | null = null;
  #isAwaited = true;
  /** Until when the caller waits; the end is still sent after that. */
  #waitUntil: number;
  /** When the job is given up. */
  #giveUpAt = Number.POSITIVE_INFINITY;

  constructor(
    ending: Ending,
    private readonly context: Pick<ReporterContext, 'clock' | 'settings'>,
  ) {
    this.#ending = ending;
    this.#waitUntil = context.clock.now() + context.settings.endTimeoutMs;
  }

  get ending(): Ending {
    return this.#ending;
  }

  /** Whether the caller still waits. The end is sent in any case. */
  get isAwaited(): boolean {
    return this.#isAwaited;
  }

  /** Resolves when the end is stored. */
  get promise(): Promise<void> {
    return this.#stored.promise;
  }

  /** When `onTimer` is due. */
  get dueAt(): number {
    return Math.min(this.#giveUpAt, this.#isAwaited ? this.#waitUntil : Number.POSITIVE_INFINITY);
  }

  /** What the time demands: that the caller waits no longer, or that nobody does anything more for this end. */
  onTimer(now: number): 'wait' | 'stop_waiting' | 'give_up' {
    if (now >= this.#giveUpAt) return 'give_up';
    return this.#isAwaited && now >= this.#waitUntil ? 'stop_waiting' : 'wait';
  }

  /** From now on the caller waits for `closeTimeoutMs` at most. */
  limitWait(): void {
    this.#waitUntil = Math.min(this.#waitUntil, this.#closeTimeoutAt);
  }

  /** From now on the end is sent for `closeTimeoutMs` at most. */
  limitSending(): void {
    this.#giveUpAt = this.#closeTimeoutAt;
  }

  get #closeTimeoutAt(): number {
    return this.context.clock.now() + this.context.settings.closeTimeoutMs;
  }

  /** Leaves out of it what a worker can make large, because NATS rejects it as too large. */
  reduce(error: WorkerError): void {
    if (this.#ending.status === 'error') {
      this.#ending = { status: 'error', error: minimalFailure(this.#ending.error) };
    } else if (this.#ending.result !== null) {
      // Leaving out a result would look like a job without one.
      this.#ending = { status: 'error', error: failureJson(error, {}, false) };
      this.#replacedBy = error;
    }
  }

  /** It is stored. */
  onStored(): void {
    if (this.#replacedBy === null) this.#stored.resolve();
    else this.#stored.reject(this.#replacedBy);
  }

  /** It is not stored, as far as is known, and the caller waits no longer. */
  reject(error: WorkerError): void {
    this.#isAwaited = false;
    this.#stored.reject(error);
  }
}
