import { within } from '../async.js';
import { HeadwayError } from '../errors.js';
import type { ConsumerFailure } from './consumer-failure.js';

/**
 * How long an answer is waited for at first; after each time without one a little longer. A cluster that has just lost
 * a server answers nothing until the next leader is elected, and a consumer that it places on the lost server never
 * stands; the next question may be answered at once, so many short ones find it sooner.
 */
const PATIENCE_MS = 500;
const PATIENCE_GROWS = 1.3;
/** An answer that came, in time or too late, shows how slow the way is: the next ones may take so many times as long. */
const SLOWER = 2;

/** Questions to NATS while a consumer is built: given up when that fails, or when they take too long. */
export class AdaptiveTimeout {
  readonly #unanswered = new Map<string, number>();
  readonly #now: () => number;
  #slowestMs = 0;
  #failure: ConsumerFailure | null = null;

  /** @param now milliseconds that never go back */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The questions that follow are given up when this happens. What was learnt of the way stays. */
  watch(failure: ConsumerFailure): void {
    this.#failure = failure;
  }

  /** What was built stands: the next time the way is another one. */
  forget(): void {
    this.#unanswered.clear();
    this.#slowestMs = 0;
  }

  /**
   * What `request` answers; an error that is worth another try when there is no answer in time.
   * @param what is asked, for the error
   * @param patienceMs how long it may take on a quick link; Infinity: as long as the request itself lasts
   */
  async answer<T>(what: string, request: Promise<T>, patienceMs?: number): Promise<T> {
    const unanswered = this.#unanswered.get(what) ?? 0;
    const policy = patienceMs ?? PATIENCE_MS * PATIENCE_GROWS ** unanswered;
    const ms = Math.max(policy, SLOWER * this.#slowestMs);
    const askedAt = this.#now();
    request.then(
      () => {
        this.#slowestMs = Math.max(this.#slowestMs, this.#now() - askedAt);
      },
      () => undefined,
    );
    const named = request.catch((error: unknown): never => {
      if (error instanceof HeadwayError || !(error instanceof Error)) throw error;
      throw new Error(`${what}: ${error.message}`, { cause: error });
    });
    return within(this.#orFail(named), ms, (): never => {
      this.#unanswered.set(what, unanswered + 1);
      throw new Error(`${what}: no answer within ${Math.round(ms)} ms`);
    });
  }

  #orFail<T>(promise: Promise<T>): Promise<T> {
    return this.#failure === null ? promise : this.#failure.orFail(promise);
  }
}
