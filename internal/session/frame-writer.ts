import { closeCode, ERROR_CODES, type ErrorCode } from '../../schemas/close-codes.js';
import { frameInScope, type LogRecord } from '../eventlog/record.js';
import type { Scope } from '../eventlog/scope.js';
import { frames } from './frames.js';
import type { ConnectionCredentials, Renewal, Transport } from './ports.js';
import { TokenExpiry } from './token-expiry.js';

/** What a record that was looked at costs, sent or not, in bytes of a session's share of a turn. */
export const SCAN_BYTES = 16;

export interface FrameWriterOptions {
  readonly transport: Transport;
  /** null: the edge runs open. */
  readonly credentials: ConnectionCredentials | null;
  /** A socket that buffers this many bytes is full. */
  readonly watermarkBytes: number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** Called once, when it closes from either side. */
  readonly onClosed: () => void;
}

/**
 * The way to one client: nothing leaves by it after its close, and nothing but the reason of that from the moment on at
 * which its token expires. It words updates by what went before, and counts what it sent.
 */
export class FrameWriter {
  readonly #deps: FrameWriterOptions;
  readonly #tokenExpiry: TokenExpiry | null;
  #isOpen = true;
  /** One job: the valid event that the next one to be sent follows; null where that is not known. */
  #previous: number | null = null;
  #sentAt: number;
  #cost = 0;

  constructor(deps: FrameWriterOptions) {
    this.#deps = deps;
    this.#tokenExpiry = deps.credentials === null ? null : new TokenExpiry(deps.credentials);
    this.#sentAt = deps.now();
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether it takes no more for now, since the peer does not read. */
  get isFull(): boolean {
    return this.#isOpen && this.#deps.transport.buffered() >= this.#deps.watermarkBytes;
  }

  /** Whether the peer has read everything. */
  get isEmpty(): boolean {
    return this.#deps.transport.buffered() === 0;
  }

  /** Bytes sent, and what looking for them cost. */
  get cost(): number {
    return this.#cost;
  }

  /** When the last frame was sent, in milliseconds that never go back. */
  get sentAt(): number {
    return this.#sentAt;
  }

  /** When the token expires, as RFC 3339 writes it; empty: there is none. */
  get expiresText(): string {
    return this.#tokenExpiry?.expiresText ?? '';
  }

  /** So many records were looked at. @returns what that cost */
  scanned(records: number): number {
    const cost = records * SCAN_BYTES;
    this.#cost += cost;
    return cost;
  }

  send(text: string): void {
    if (this.isUsable()) this.#write(text);
  }

  /** Sends a record in scope as the update that it is after those before. @returns whether it did */
  update(record: LogRecord, scope: Scope): boolean {
    if (!this.isUsable()) return false;
    this.#write(frameInScope(record, scope, this.#previous));
    this.#previous = record.seq;
    return true;
  }

  /** The next update follows this event of the job, whichever were sent; null: nobody knows which. */
  setPreviousSeq(seq: number | null): void {
    this.#previous = seq;
  }

  /** Runs `write` so that all it sends leaves in one write to the socket. May be nested. */
  corked(write: () => void): void {
    if (this.#isOpen) this.#deps.transport.cork(write);
  }

  /** Whether it is open and its token good; one that has expired is closed with the reason. */
  isUsable(): boolean {
    const tokenExpiry = this.#tokenExpiry;
    if (tokenExpiry !== null && this.#isOpen && tokenExpiry.isExpired(this.#deps.wallClock())) {
      this.fail(
        'token_expired',
        `the token expired at ${tokenExpiry.expiresText}; connect again with a new one`,
      );
    }
    return this.#isOpen;
  }

  /** Sends the warning that the token is about to expire, where it is due. */
  warnIfDue(): void {
    if (this.#tokenExpiry?.shouldWarn(this.#deps.wallClock()))
      this.send(frames.tokenExpiring(this.expiresText));
  }

  /** Has a new token checked. Where the edge runs open nothing comes of it. */
  renew(token: string, then: (renewal: Renewal) => void): void {
    this.#tokenExpiry?.renew(token, (renewal) => {
      if (this.#isOpen) then(renewal);
    });
  }

  /** Explains what was wrong and closes with the matching code. */
  fail(code: ErrorCode, message: string): void {
    this.corked(() => {
      this.#write(frames.error(code, message));
      this.end(closeCode(ERROR_CODES[code]), code);
    });
  }

  /** Closes it behind what was sent. */
  end(code: number, reason: string): void {
    if (!this.#isOpen) return;
    this.closed();
    this.#deps.transport.end(code, reason);
  }

  /** The connection is gone. */
  closed(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#deps.onClosed();
  }

  #write(text: string): void {
    this.#sentAt = this.#deps.now();
    this.#cost += text.length;
    this.#deps.transport.send(text);
  }
}
