import { type CryptoKey, errors } from 'jose';
import { type FetchedKeys, type FetchLimits, fetchKeySet, KeySetError } from './jwks-fetch.js';
import type { JwtHeader } from './jwt-header.js';

/** All times in ms. */
export interface KeySetLimits extends FetchLimits {
  /** Keys this old are asked for anew before they are used. From half of it on that happens beside their use. */
  readonly freshMs: number;
  /** Keys this old are not used any more, also while their host is down. */
  readonly maxStaleMs: number;
  /** The least time between two requests when the first was answered. */
  readonly coolDownMs: number;
  /** The same when it was not. */
  readonly retryMs: number;
  /**
   * So many tokens wait for newer keys while there are some, at the most. Anybody can make tokens of keys that nobody
   * knows, and while the host hangs each holds a place that the good ones need.
   */
  readonly maxWaiting: number;
}

export const KEY_SET_LIMITS: KeySetLimits = {
  freshMs: 600_000,
  maxStaleMs: 86_400_000,
  coolDownMs: 30_000,
  retryMs: 5_000,
  maxWaiting: 100,
  timeoutMs: 5_000,
  maxBytes: 256 * 1024,
  maxKeys: 100,
};

/** What came of a request for keys, for the log and the metrics. */
export type KeyReport =
  | { readonly kind: 'fetched'; readonly keys: number }
  | { readonly kind: 'failed'; readonly reason: string; readonly hasOlderKeys: boolean };

/** Tries for one token: a token without a key id may fit any key of its kind. */
const MAX_CANDIDATES = 8;

/**
 * The keys behind a JWKS URL. They are fetched at once, asked for anew as they age and when a token names a key that
 * is not there, and go on being used while their host is down. Everybody who waits shares one request.
 *
 * jose's own createRemoteJWKSet fails every token as soon as its keys have aged and the host is down, asks anew for
 * each token while it is, and takes an answer of any size.
 */
export class RemoteKeys {
  #keys: FetchedKeys | null = null;
  /** When the keys came, and when they were last asked for. */
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #hasFailed = false;
  #request: { readonly done: Promise<void>; readonly stop: AbortController } | null = null;
  #isClosed = false;
  #waiting = 0;

  constructor(
    private readonly url: URL,
    private readonly clock: () => number,
    private readonly limits: KeySetLimits,
    private readonly report: (report: KeyReport) => void,
  ) {
    void this.#ask();
  }

  /** The keys that may have signed a token; none when no key fits, null when there are none at all. Never rejects. */
  async find(header: JwtHeader): Promise<readonly CryptoKey[] | null> {
    await this.#freshen();
    const found = await this.#match(header);
    if (found?.length === 0 && (await this.renew())) return await this.#match(header);
    return found;
  }

  /** Whether the keys are in doubt because their host did not answer when it was last asked, or has not yet. */
  get isStale(): boolean {
    return this.#keys === null || this.#hasFailed || this.#request !== null;
  }

  /**
   * Asks for newer keys, unless that was done just now, and waits for them, unless too many do so. Whether there are
   * any. Never rejects.
   */
  async renew(): Promise<boolean> {
    const before = this.#keys;
    const asked = this.#ask();
    if (before !== null && this.#waiting >= this.limits.maxWaiting) return false;
    this.#waiting++;
    try {
      await asked;
    } finally {
      this.#waiting--;
    }
    return this.#keys !== before;
  }

  /** Ends a request that is under way; there will be no other. */
  close(): void {
    this.#isClosed = true;
    this.#request?.stop.abort(new KeySetError('the edge is stopping'));
  }

  async #freshen(): Promise<void> {
    const now = this.#now();
    const age = now - this.#fetchedAt;
    if (age >= this.limits.maxStaleMs) this.#keys = null;
    if (this.#keys === null) return await this.#ask();
    if (age < this.limits.freshMs / 2) return;
    const done = this.#ask();
    // While the host is known to be down, nobody waits for it.
    if (age >= this.limits.freshMs && !this.#hasFailed) await done;
  }

  #ask(): Promise<void> {
    if (this.#request !== null) return this.#request.done;
    const now = this.#now();
    const pause = this.#hasFailed ? this.limits.retryMs : this.limits.coolDownMs;
    if (this.#isClosed || now - this.#triedAt < pause) return Promise.resolve();
    this.#triedAt = now;
    const stop = new AbortController();
    const done = this.#fetch(stop);
    this.#request = { done, stop };
    return done;
  }

  async #fetch(stop: AbortController): Promise<void> {
    try {
      this.#keys = await fetchKeySet(this.url, this.limits, stop);
      this.#fetchedAt = this.#now();
      this.#hasFailed = false;
      this.report({ kind: 'fetched', keys: this.#keys.count });
    } catch (error) {
      this.#hasFailed = true;
      if (this.#isClosed) return;
      const reason = error instanceof KeySetError ? error.message : 'the request failed';
      this.report({ kind: 'failed', reason, hasOlderKeys: this.#keys !== null });
    } finally {
      this.#request = null;
    }
  }

  /** A clock that was set back must neither keep keys young nor put off the next request. */
  #now(): number {
    const now = this.clock();
    this.#fetchedAt = Math.min(this.#fetchedAt, now);
    this.#triedAt = Math.min(this.#triedAt, now);
    return now;
  }

  async #match({ alg, kid }: JwtHeader): Promise<readonly CryptoKey[] | null> {
    if (this.#keys === null) return null;
    try {
      return [await this.#keys.set(kid === undefined ? { alg } : { alg, kid })];
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) return [];
      const found: CryptoKey[] = [];
      for await (const key of error) {
        if (found.push(key) === MAX_CANDIDATES) break;
      }
      return found;
    }
  }
}
