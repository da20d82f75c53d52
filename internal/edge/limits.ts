import { limitKey } from './ip-address.js';
import { TokenBucket } from './token-bucket.js';

/** Counts by key with a limit for each key (0: no limit). Memory is bounded by what is open. */
export class KeyedCount {
  readonly #limit: number;
  readonly #counts = new Map<string, number>();

  /** @param limit an integer from 0; 0: no limit */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** false: the key is at its limit, and nothing was counted. */
  tryAdd(key: string): boolean {
    const count = this.count(key);
    if (isFull(count, this.#limit)) return false;
    this.#counts.set(key, count + 1);
    return true;
  }

  /** Whether `tryAdd` would be true. */
  hasCapacity(key: string): boolean {
    return !isFull(this.count(key), this.#limit);
  }

  /** Takes back one `tryAdd` that was true. A key that is not there stays so. */
  remove(key: string): void {
    const count = this.count(key);
    if (count > 1) this.#counts.set(key, count - 1);
    else this.#counts.delete(key);
  }

  /** How many keys have a count. */
  get size(): number {
    return this.#counts.size;
  }

  count(key: string): number {
    return this.#counts.get(key) ?? 0;
  }
}

/** How often each key came in the present second. It forgets all of them at once, so memory is one second's worth. */
class FixedWindowCounter {
  readonly #limit: number;
  readonly #counts = new Map<string, number>();
  #startedAt = Number.NEGATIVE_INFINITY;

  /** @param limit for each key; 0: no limit */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Counts one more. false: it is over the limit. */
  take(key: string, now: number): boolean {
    if (this.#limit === 0) return true;
    if (Math.abs(now - this.#startedAt) >= 1_000) {
      this.#startedAt = now;
      this.#counts.clear();
    }
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    return count <= this.#limit;
  }
}

/** Integers from 0; 0: no limit. */
export interface AdmissionLimits {
  /** Connections in all. */
  readonly maxConnections: number;
  /** Connections from one IPv4 address or one IPv6 /64. */
  readonly maxPerAddress: number;
  /** Connections with tokens of one subject. */
  readonly maxPerSubject: number;
  /** Connections whose token is not accepted yet. */
  readonly maxUnauthenticated: number;
  /** Those of one address, so that one whose tokens take long to check does not use up everybody's places. */
  readonly maxUnauthenticatedPerAddress: number;
  /** New connections a second, and as many at once. */
  readonly upgradesPerSecond: number;
  /** Those of one address, so that one that connects and drops in a loop does not use up everybody's. */
  readonly upgradesPerAddress: number;
}

/** Which limit kept a connection out. */
export type AdmissionRefusal =
  | 'connections'
  | 'address'
  | 'unauthenticated'
  | 'unauthenticated_per_address'
  | 'upgrades'
  | 'upgrades_per_address';

const admitted = Symbol('admitted');

/** One connection that was let in. Only the `Admission` that gave it out can use it. */
export interface ConnectionSlot {
  readonly [admitted]: true;
}

/** The same, as only the `Admission` sees it. */
class Slot implements ConnectionSlot {
  isOpen = true;
  /** The subject that it counts under. */
  subject: string | null = null;

  constructor(
    readonly addressKey: string,
    public isAuthenticated: boolean,
  ) {}

  get [admitted](): true {
    return true;
  }
}

export type AdmissionResult =
  | { readonly ok: true; readonly slot: ConnectionSlot }
  | { readonly ok: false; readonly refusal: AdmissionRefusal; readonly retryAfterSeconds: number };

/** Where nobody knows when there is room again. Above 1, so that those who try again are not the load. */
const RETRY_AFTER_SECONDS = 3;

/**
 * Who may come in: `tryAcquire` before the upgrade, `authenticated` when a token was accepted, `release` at the end. Every
 * slot has to be released, or its place is never free again.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #now: () => number;
  readonly #addresses: KeyedCount;
  readonly #unauthenticatedByAddress: KeyedCount;
  readonly #subjects: KeyedCount;
  readonly #upgrades: TokenBucket;
  readonly #upgradesByAddress: FixedWindowCounter;
  #connections = 0;
  #unauthenticated = 0;

  /** @param now milliseconds of a monotonic clock */
  constructor(limits: AdmissionLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
    this.#addresses = new KeyedCount(limits.maxPerAddress);
    this.#subjects = new KeyedCount(limits.maxPerSubject);
    this.#unauthenticatedByAddress = new KeyedCount(limits.maxUnauthenticatedPerAddress);
    this.#upgrades = new TokenBucket(limits.upgradesPerSecond, limits.upgradesPerSecond, now());
    this.#upgradesByAddress = new FixedWindowCounter(limits.upgradesPerAddress);
  }

  /**
   * A refused entry takes nothing but its part of what its address may try in a second, with one exception: who has
   * too many connections from an address has used up an upgrade, since it may be upgraded to be told so.
   * @param address the client's, as text; it is counted under its `limitKey`
   * @param needsAuthentication false: nobody has to show a token
   */
  tryAcquire(address: string, needsAuthentication: boolean): AdmissionResult {
    const { maxConnections, maxUnauthenticated } = this.#limits;
    if (isFull(this.#connections, maxConnections)) return refused('connections', RETRY_AFTER_SECONDS);
    if (needsAuthentication && isFull(this.#unauthenticated, maxUnauthenticated)) {
      return refused('unauthenticated', RETRY_AFTER_SECONDS);
    }
    const now = this.#now();
    const addressKey = limitKey(address);
    if (!this.#upgradesByAddress.take(addressKey, now)) {
      return refused('upgrades_per_address', RETRY_AFTER_SECONDS);
    }
    if (needsAuthentication && !this.#unauthenticatedByAddress.hasCapacity(addressKey)) {
      return refused('unauthenticated_per_address', RETRY_AFTER_SECONDS);
    }
    if (!this.#upgrades.take(1, now)) {
      return refused('upgrades', Math.ceil(this.#upgrades.waitMs(1, now) / 1_000));
    }
    if (!this.#addresses.tryAdd(addressKey)) return refused('address', RETRY_AFTER_SECONDS);
    this.#connections++;
    if (needsAuthentication) {
      this.#unauthenticated++;
      this.#unauthenticatedByAddress.tryAdd(addressKey);
    }
    return { ok: true, slot: new Slot(addressKey, !needsAuthentication) };
  }

  /**
   * A token was accepted. A second call for the same slot (a renewal) never counts twice; the first subject stays.
   * @param subject null: the token names none, and only the other limits hold
   * @returns false: this subject has too many connections, or the slot was released already; nothing has changed
   */
  authenticated(slot: ConnectionSlot, subject: string | null): boolean {
    const state = slot as Slot;
    if (!state.isOpen) return false;
    if (subject !== null && state.subject === null) {
      if (!this.#subjects.tryAdd(subject)) return false;
      state.subject = subject;
    }
    if (!state.isAuthenticated) {
      state.isAuthenticated = true;
      this.#unauthenticated--;
      this.#unauthenticatedByAddress.remove(state.addressKey);
    }
    return true;
  }

  /** The connection is gone. A second call does nothing. */
  release(slot: ConnectionSlot): void {
    const state = slot as Slot;
    if (!state.isOpen) return;
    state.isOpen = false;
    this.#connections--;
    this.#addresses.remove(state.addressKey);
    if (!state.isAuthenticated) {
      this.#unauthenticated--;
      this.#unauthenticatedByAddress.remove(state.addressKey);
    }
    if (state.subject !== null) this.#subjects.remove(state.subject);
  }

  /**
   * How many of the connections an address holds, when it holds most of them and at least half of what it may; null: it
   * does not, or addresses are not limited.
   */
  crowd(address: string): number | null {
    const { maxPerAddress } = this.#limits;
    const held = this.#addresses.count(limitKey(address));
    return maxPerAddress > 0 && held * 2 >= maxPerAddress && held * 2 > this.#connections ? held : null;
  }

  /** How much is open now: connections, those without an accepted token, and different addresses and subjects. */
  get counts(): {
    readonly connections: number;
    readonly unauthenticated: number;
    readonly addresses: number;
    readonly subjects: number;
  } {
    return {
      connections: this.#connections,
      unauthenticated: this.#unauthenticated,
      addresses: this.#addresses.size,
      subjects: this.#subjects.size,
    };
  }
}

/**
 * What one client may send: frames and bytes a second, control frames included, and as much at once as one second
 * allows. So a frame of more bytes than one second allows is always over the limit.
 */
export class ClientRateLimiter {
  readonly #frames: TokenBucket;
  readonly #bytes: TokenBucket;

  /**
   * @param framesPerSecond an integer from 0; 0: no limit
   * @param bytesPerSecond an integer from 0; 0: no limit
   * @param now milliseconds of a monotonic clock
   */
  constructor(framesPerSecond: number, bytesPerSecond: number, now: number) {
    this.#frames = new TokenBucket(framesPerSecond, framesPerSecond, now);
    this.#bytes = new TokenBucket(bytesPerSecond, bytesPerSecond, now);
  }

  /**
   * One frame came.
   * @param bytes of its payload
   * @returns which limit it is over; null: none
   */
  take(bytes: number, now: number): 'client_frames' | 'client_bytes' | null {
    if (!this.#frames.take(1, now)) return 'client_frames';
    return this.#bytes.take(bytes, now) ? null : 'client_bytes';
  }
}

function isFull(count: number, limit: number): boolean {
  return limit > 0 && count >= limit;
}

function refused(refusal: AdmissionRefusal, retryAfterSeconds: number): AdmissionResult {
  return { ok: false, refusal, retryAfterSeconds };
}
