/**
 * A token bucket: `perSecond` refilled continuously, at most `burst` at once, and full at the start. In any span of
 * t seconds it gives out at most `burst + perSecond * t`.
 *
 * Times are milliseconds of a monotonic clock, passed in. A clock that stands still or goes back refills nothing.
 */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #filledAt: number;

  /**
   * @param perSecond above 0; 0: no limit
   * @param burst above 0; more than this can never be taken at once
   */
  constructor(perSecond: number, burst: number, now: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#filledAt = now;
  }

  /**
   * Takes all `n` or nothing.
   * @param n from 0
   */
  take(n: number, now: number): boolean {
    if (this.waitMs(n, now) > 0) return false;
    this.#tokens -= n;
    return true;
  }

  /** How many whole milliseconds until `n` could be taken; 0: now, Infinity: never. Takes nothing. */
  waitMs(n: number, now: number): number {
    if (this.#perSecond === 0) return 0;
    this.#refill(now);
    if (n > this.#burst) return Number.POSITIVE_INFINITY;
    const missing = n - this.#tokens;
    // Sums of fractions are not exact. What is let through too early is missing afterwards, so it does not add up.
    return missing <= ROUNDING ? 0 : Math.ceil((missing / this.#perSecond) * 1_000);
  }

  #refill(now: number): void {
    if (now <= this.#filledAt) return;
    const refilled = this.#tokens + ((now - this.#filledAt) / 1_000) * this.#perSecond;
    this.#tokens = Math.min(this.#burst, refilled);
    this.#filledAt = now;
  }
}

/** Parts of a token that are not waited for. */
const ROUNDING = 1e-6;
