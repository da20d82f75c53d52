import { type CloseName, closeCode, ERROR_CODES, type ErrorCode } from '../../schemas/close-codes.js';
import type { ResetReason } from '../../schemas/frames.js';
import { frames } from './frames.js';
import type { EdgeContext, SessionContext, SessionOutput, Transport } from './ports.js';

/** What a record that was looked at costs, sent or not, in bytes of a session's share of a turn. */
export const SCAN_BYTES = 16;

/** Whose way to the client it is. */
interface ConnectionOwner {
  ended(): void;
}

/** How long something may be sent. */
interface Expiring {
  /** When it ends, as RFC 3339 writes it. */
  readonly expiresText: string;
  /** @param now milliseconds since 1970 */
  isExpired(now: number): boolean;
}

/**
 * The way to one client: nothing leaves by it after its close, and nothing but the reason of that from the moment on at
 * which its token expires. It counts what it sent.
 */
export class FrameWriter implements SessionOutput {
  readonly #context: SessionContext;
  readonly #edge: EdgeContext;
  readonly #transport: Transport;
  readonly #expiry: Expiring | null;
  readonly #owner: ConnectionOwner;
  #isOpen = true;
  #isCorked = false;
  /** Something was sent within the cork. What was only looked for costs as well, and is no sign of life to the client. */
  #isTimeDue = false;
  #sentAt = 0;
  #cost = 0;

  /**
   * @param expiry null: the edge runs open
   * @param owner is told once, when it closes from either side
   */
  constructor(
    context: SessionContext,
    transport: Transport,
    expiry: Expiring | null,
    owner: ConnectionOwner,
  ) {
    this.#context = context;
    this.#edge = context.edge;
    this.#transport = transport;
    this.#expiry = expiry;
    this.#owner = owner;
    this.#noteTime();
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether it takes no more for now, since the peer does not read. */
  get isFull(): boolean {
    return this.#isOpen && this.#transport.buffered() >= this.#edge.limits.watermarkBytes;
  }

  /** Whether the peer has read everything. */
  get isEmpty(): boolean {
    return this.#transport.buffered() === 0;
  }

  /** Bytes sent, and what looking for them cost. */
  get cost(): number {
    return this.#cost;
  }

  /** When the last frame was sent, in whole milliseconds that never go back. */
  get sentAt(): number {
    return this.#sentAt;
  }

  /** So many records were looked at. @returns what that cost */
  scanned(records: number): number {
    const cost = records * SCAN_BYTES;
    this.#cost += cost;
    return cost;
  }

  /**
   * @param bytes the same text as UTF-8, where that was made already
   * @returns whether it was sent
   */
  send(text: string, bytes: Uint8Array | null = null): boolean {
    if (!this.isUsable()) return false;
    this.#write(text, bytes);
    return true;
  }

  /** Runs `write` so that all it sends leaves in one write to the socket. May be nested. */
  corked(write: () => void): void {
    if (!this.#isOpen) return;
    // Of several jobs each corks by itself within the whole.
    if (this.#isCorked) {
      write();
      return;
    }
    this.#isCorked = true;
    // All of it leaves at once: so the clock is read once, and not for each frame.
    try {
      this.#transport.cork(write);
    } finally {
      this.#isCorked = false;
      if (this.#isTimeDue) this.#noteTime();
    }
  }

  /** Whether it is open and its token good; one that has expired is closed with the reason. */
  isUsable(): boolean {
    const expiry = this.#expiry;
    if (expiry !== null && this.#isOpen && expiry.isExpired(this.#edge.wallClock())) {
      this.fail('token_expired', `the token expired at ${expiry.expiresText}; connect again with a new one`);
    }
    return this.#isOpen;
  }

  /** Explains what was wrong and closes with the matching code. */
  fail(code: ErrorCode, message: string): void {
    this.corked(() => {
      this.#write(frames.error(code, message), null);
      this.close(ERROR_CODES[code], code);
    });
  }

  hello(epoch: string, scope: string): string {
    const { id, maxRate, edge } = this.#context;
    this.send(frames.hello(epoch, id, edge.limits.heartbeatMs, scope, maxRate));
    return epoch;
  }

  reset(reason: ResetReason, epoch: string, firstSeq: number, lastSeq: number): void {
    this.send(frames.reset(reason, epoch, firstSeq, lastSeq));
  }

  caughtUp(cursor: number): void {
    this.send(frames.caughtUp(cursor));
  }

  end(): void {
    this.send(frames.end());
    this.close('end', 'end');
  }

  /** Closes it behind what was sent. */
  close(name: CloseName, reason: string): void {
    if (!this.#isOpen) return;
    this.closed();
    this.#transport.end(closeCode(name), reason);
  }

  /** The connection is gone. */
  closed(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#owner.ended();
  }

  // A fraction of a millisecond would be an object by itself, for each client.
  #noteTime(): void {
    this.#isTimeDue = false;
    this.#sentAt = Math.floor(this.#edge.now());
  }

  #write(text: string, bytes: Uint8Array | null): void {
    if (this.#isCorked) this.#isTimeDue = true;
    else this.#noteTime();
    this.#cost += text.length;
    this.#transport.send(text, bytes);
  }
}
