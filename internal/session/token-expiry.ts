import type { Scope } from '../eventlog/scope.js';
import type { ConnectionCredentials, Expiry, Renewal } from './ports.js';

/** What a checked renewal means to a connection that follows `scope`. */
export type AppliedRenewal =
  | { readonly kind: 'narrowed'; readonly scope: Scope }
  | Extract<Renewal, { kind: 'refused' | 'unknown' }>;

/** Only what both tokens open goes on: of what the old one kept back the client has no cursor. */
export function applyRenewal(renewal: Renewal, scope: Scope): AppliedRenewal {
  if (renewal.kind !== 'renewed') return renewal;
  const narrowed = renewal.narrow(scope);
  if (narrowed !== null) return { kind: 'narrowed', scope: narrowed };
  const message = 'the new token does not open what this connection follows';
  return { kind: 'refused', code: 'forbidden', message };
}

/**
 * How long a connection may stay: until its token expires, or the newer one that it was given since. Times are
 * milliseconds since 1970. PROTOCOL.md, "Tokens".
 */
export class TokenExpiry {
  readonly #credentials: ConnectionCredentials;
  #expiry: Expiry;
  #isWarned = false;
  /** When this token was first looked at; null: not yet. */
  #since: number | null = null;
  #latest: symbol | null = null;

  constructor(credentials: ConnectionCredentials) {
    this.#credentials = credentials;
    this.#expiry = credentials.expiry;
  }

  /** When it ends, as RFC 3339 writes it. */
  get expiresText(): string {
    return this.#expiry.text;
  }

  isExpired(now: number): boolean {
    return now >= this.#expiry.at;
  }

  /**
   * Whether the client is to be warned now; true once for each token. Of a token that lives for less than twice the
   * warning half its life passes first: else each new one would be warned of at once.
   */
  shouldWarn(now: number): boolean {
    this.#since ??= now;
    const ahead = Math.min(this.#credentials.warnMs, (this.#expiry.at - this.#since) / 2);
    if (this.#isWarned || now < this.#expiry.at - ahead) return false;
    this.#isWarned = true;
    return true;
  }

  /** Has a new token checked. Of several that are under way only the newest counts. */
  renew(token: string, then: (renewal: Renewal) => void): void {
    const ticket = Symbol('ticket');
    this.#latest = ticket;
    void this.#credentials.renew(token).then((renewal) => {
      if (this.#latest !== ticket) return;
      if (renewal.kind === 'renewed') {
        // Who answers the warning with the same token has been warned of it.
        if (renewal.expiry.at !== this.#expiry.at) {
          this.#isWarned = false;
          this.#since = null;
        }
        this.#expiry = renewal.expiry;
      }
      then(renewal);
    });
  }
}
