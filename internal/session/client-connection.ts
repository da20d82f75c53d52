import { closeCode, type ErrorCode } from '../../schemas/close-codes.js';
import { Followed } from './catch-up.js';
import { FrameWriter } from './frame-writer.js';
import { frames, parseClientFrame } from './frames.js';
import type { ConnectionCredentials, Transport } from './ports.js';
import { Session, type SessionDeps } from './session.js';
import { TokenExpiry, TokenRenewal } from './token-expiry.js';

export interface ConnectionDeps extends SessionDeps {
  readonly transport: Transport;
  /** null: the edge runs open. */
  readonly credentials: ConnectionCredentials | null;
}

/**
 * One client: what is the same whatever it follows. It sends heartbeats, answers the client's frames, and ends when the
 * token expires, the edge drains or the socket closes. What is followed is the session's.
 */
export class ClientConnection {
  readonly session: Session;
  readonly #deps: ConnectionDeps;
  readonly #writer: FrameWriter;
  readonly #token: TokenRenewal;

  constructor(deps: ConnectionDeps) {
    const { credentials, resume, scope } = deps;
    const expiry = credentials === null ? null : new TokenExpiry(credentials);
    const followed = new Followed(scope, resume?.lastSeq ?? null);
    this.#deps = deps;
    this.#writer = new FrameWriter(deps, expiry, () => this.session.ended());
    this.#token = new TokenRenewal(deps, expiry, this.#writer, followed);
    this.session = new Session(deps, this.#writer, followed);
  }

  /** Greets the client. Called once. */
  open(): void {
    this.session.open();
  }

  /** The socket takes more. */
  drained(): void {
    this.session.pump();
  }

  /** A frame from the client: its text, or null for a binary one. */
  receive(text: string | null): void {
    if (!this.#writer.isUsable()) return;
    const parsed = parseClientFrame(text, this.#deps.limits.maxFrameCharacters);
    if (!parsed.ok) {
      this.fail(parsed.code, parsed.message);
      return;
    }
    switch (parsed.frame.type) {
      case 'ping':
        // Who does not read gets no pong either: it could be made to fill the memory.
        if (!this.#writer.isFull) this.#writer.send(frames.pong());
        return;
      case 'auth':
        this.#token.renew(parsed.frame.token);
        return;
    }
  }

  /**
   * Sends what is due: the warning that the token is about to expire, and a heartbeat when nothing was sent for
   * `heartbeatAfterMs`. A socket that is full needs none.
   * @param now milliseconds that never go back
   */
  tick(now: number, feed: 'ok' | 'away'): void {
    const writer = this.#writer;
    if (!writer.isUsable()) return;
    this.#token.warnIfDue();
    if (now - writer.sentAt < this.#deps.limits.heartbeatAfterMs || !writer.isEmpty) return;
    writer.send(frames.heartbeat(this.session.toldCursor(), feed));
  }

  /** Explains what was wrong and closes with the matching code. */
  fail(code: ErrorCode, message: string): void {
    this.#writer.fail(code, message);
  }

  /** Tells the client to come back to another edge within so many milliseconds; it is served until it is closed. */
  announceDrain(withinMs: number): void {
    this.#writer.corked(() => this.#writer.send(frames.draining(withinMs)));
  }

  /** Closes with 1012. */
  closeDraining(): void {
    this.#writer.corked(() => this.#writer.end(closeCode('draining'), 'draining'));
  }

  /** The socket is closed. */
  closed(): void {
    this.#writer.closed();
  }
}
