import type { FrameWriter } from './frame-writer.js';
import { frames } from './frames.js';
import type { ConnectionCredentials, Expiry, Narrow, Renewal } from './ports.js';

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
    const request = Symbol('request');
    this.#latest = request;
    void this.#credentials.renew(token).then((renewal) => {
      if (this.#latest !== request) return;
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

/** So many new tokens may be answered while the client does not read. */
const MAX_UNTAKEN = 256;

/** What the client is told of its token, and what a new one changes. PROTOCOL.md, "Tokens". */
export class TokenRenewal {
  readonly #wallClock: () => number;
  readonly #expiry: TokenExpiry;
  readonly #writer: FrameWriter;
  readonly #onRenewed: (narrow: Narrow, expiresText: string) => void;
  /** Since the client read last. */
  #untaken = 0;

  /** @param onRenewed a new token is good, until then */
  constructor(
    wallClock: () => number,
    expiry: TokenExpiry,
    writer: FrameWriter,
    onRenewed: (narrow: Narrow, expiresText: string) => void,
  ) {
    this.#wallClock = wallClock;
    this.#expiry = expiry;
    this.#writer = writer;
    this.#onRenewed = onRenewed;
  }

  /** Sends the warning that the token is about to expire, where it is due. */
  warnIfDue(): void {
    const expiry = this.#expiry;
    if (expiry.shouldWarn(this.#wallClock())) this.#writer.send(frames.tokenExpiring(expiry.expiresText));
  }

  /** Has a new token checked. */
  renew(token: string): void {
    // As with a pong: who does not read could be made to fill the memory.
    if (!this.#writer.isFull) this.#untaken = 0;
    else if (++this.#untaken > MAX_UNTAKEN) {
      this.#writer.fail('too_many_frames', `more than ${MAX_UNTAKEN} answers are not read`);
      return;
    }
    const expiry = this.#expiry;
    expiry.renew(token, (renewal) => {
      if (this.#writer.isOpen) this.#apply(renewal, expiry);
    });
  }

  #apply(renewal: Renewal, expiry: TokenExpiry): void {
    switch (renewal.kind) {
      case 'refused':
        this.#writer.fail(renewal.code, renewal.message);
        return;
      case 'unknown':
        // The token that was there before holds on until it expires.
        return;
      case 'renewed':
        this.#onRenewed(renewal.narrow, expiry.expiresText);
        return;
    }
  }
}
