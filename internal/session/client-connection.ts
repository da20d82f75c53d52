import type { ErrorCode } from '../../schemas/close-codes.js';
import type { ClientFrame } from '../../schemas/frames.js';
import type { Scope } from '../eventlog/record.js';
import { FORBIDDEN, Followed } from './catch-up.js';
import { FrameWriter } from './frame-writer.js';
import { frames, parseClientFrame } from './frames.js';
import type {
  ConnectionCredentials,
  JointPosition,
  Narrow,
  Resume,
  SelectedScope,
  Transport,
} from './ports.js';
import { SelectedJobs, type SelectedJobsDeps } from './selected-jobs.js';
import { Session, type SessionDeps, type SessionEdge } from './session.js';
import { TokenExpiry, TokenRenewal } from './token-expiry.js';

interface ClientDeps {
  readonly context: SessionDeps;
  /** null: a fresh client, which gets last states. */
  readonly resume: Resume | null;
  readonly transport: Transport;
  /** null: the edge runs open. */
  readonly credentials: ConnectionCredentials | null;
}
export interface ConnectionDeps extends ClientDeps {
  readonly scope: Scope;
}

/**
 * One client: what is the same whatever it follows. It sends heartbeats, answers the client's frames, and ends when the
 * token expires, the edge drains or the socket closes.
 */
abstract class Client {
  protected readonly writer: FrameWriter;
  protected readonly edge: SessionEdge;
  /** null: the edge runs open. */
  readonly #token: TokenRenewal | null;

  constructor(deps: ClientDeps) {
    const { context, credentials, transport } = deps;
    const expiry = credentials === null ? null : new TokenExpiry(credentials);
    this.edge = context.edge;
    this.writer = new FrameWriter(context, transport, expiry, this);
    this.#token =
      expiry === null
        ? null
        : new TokenRenewal(context.edge.wallClock, expiry, this.writer, (narrow, expiresText) =>
            this.renewed(narrow, expiresText),
          );
  }

  /** What it follows now. */
  abstract get sessions(): Iterable<Session>;
  /** Greets the client. Called once. */
  abstract open(): void;
  /** The socket takes more. */
  abstract drained(): void;
  /** Where the client goes on with several jobs that it named at once; null: it did not, or nothing new can be said. */
  abstract position(): JointPosition | null;
  /** The cursor of a heartbeat. */
  protected abstract toldCursor(): number;
  /** A new token is good, until then. */
  protected abstract renewed(narrow: Narrow, expiresText: string): void;
  /** What only some clients may send. */
  protected abstract select(frame: Extract<ClientFrame, { type: 'follow' | 'unfollow' }>): void;
  /** The connection is closed, from either side. */
  abstract ended(): void;

  /** A frame from the client: its text, or null for a binary one. */
  receive(text: string | null): void {
    if (!this.writer.isUsable()) return;
    const parsed = parseClientFrame(text, this.edge.limits.maxFrameCharacters);
    if (!parsed.ok) {
      this.fail(parsed.code, parsed.message);
      return;
    }
    const { frame } = parsed;
    switch (frame.type) {
      case 'ping':
        // Who does not read gets no pong either: it could be made to fill the memory.
        if (!this.writer.isFull) this.writer.send(frames.pong());
        return;
      case 'auth':
        // While the edge runs open a client that always sends its token is served as well.
        this.#token?.renew(frame.token);
        return;
      case 'follow':
      case 'unfollow':
        this.select(frame);
        return;
    }
  }

  /**
   * Sends what is due: the warning that the token is about to expire, and a heartbeat when nothing was sent for
   * `heartbeatAfterMs`. A socket that is full needs none.
   * @param now milliseconds that never go back
   */
  tick(now: number, feed: 'ok' | 'away'): void {
    const { writer } = this;
    if (!writer.isUsable()) return;
    this.#token?.warnIfDue();
    if (now - writer.sentAt < this.edge.limits.heartbeatAfterMs || !writer.isEmpty) return;
    writer.send(frames.heartbeat(this.toldCursor(), feed));
  }

  /** Explains what was wrong and closes with the matching code. */
  fail(code: ErrorCode, message: string): void {
    this.writer.fail(code, message);
  }

  /** Tells the client to come back to another edge within so many milliseconds; it is served until it is closed. */
  announceDrain(withinMs: number): void {
    this.writer.corked(() => this.writer.send(frames.draining(withinMs)));
  }

  /** Closes with 1012. */
  closeDraining(): void {
    this.writer.corked(() => this.writer.close('draining', 'draining'));
  }

  /** The socket is closed. */
  closed(): void {
    this.writer.closed();
  }
}

/** Any client, whatever it follows. */
export type AnyConnection = ClientConnection | SelectedConnection;

/** A client that follows one scope: one job, or all. */
export class ClientConnection extends Client {
  readonly session: Session;
  readonly #followed: Followed;

  constructor(deps: ConnectionDeps) {
    super(deps);
    const { context, scope, resume } = deps;
    this.#followed = new Followed(scope, resume?.lastSeq ?? null);
    this.session = new Session(context, this.writer, this.#followed, resume);
  }

  get kind(): 'all' | 'job' {
    return this.#followed.scope.kind;
  }

  get sessions(): readonly Session[] {
    return [this.session];
  }

  open(): void {
    this.session.open();
  }

  drained(): void {
    this.session.pump();
  }

  position(): null {
    return null;
  }

  protected toldCursor(): number {
    return this.session.toldCursor();
  }

  ended(): void {
    this.session.ended();
  }

  protected select({ type }: { readonly type: string }): void {
    this.fail(
      'unknown_frame',
      `${type}: this connection follows what its address says; connect with ?select`,
    );
  }

  // Only what both tokens open goes on: of what the old one kept back the client has no cursor.
  protected renewed(narrow: Narrow, expiresText: string): void {
    const { log, scopeId } = this.edge;
    const narrowed = narrow(this.#followed.scope);
    if (!narrowed.ok) {
      this.fail('forbidden', 'the new token does not open what this connection follows');
      return;
    }
    const { scope } = narrowed;
    this.#followed.scope = scope;
    // With the scope as it is from here on: a cursor that moves on under fewer types is none of the wider scope.
    const answer = frames.authOk(expiresText, scopeId(scope));
    this.writer.corked(() => this.writer.send(answer));
    if (scope.kind === 'job' && this.#followed.isForbidden(log.last(scope.id)))
      this.fail(FORBIDDEN.code, FORBIDDEN.message);
  }
}

export interface SelectedConnectionDeps extends ClientDeps, Omit<SelectedJobsDeps, 'context'> {
  /** The jobs that the address names, and where the client was with them. */
  readonly selected: Omit<SelectedScope, 'kind'>;
  readonly narrow: Narrow;
}

/** A client that names the jobs that it follows. PROTOCOL.md, "Selected jobs". */
export class SelectedConnection extends Client {
  readonly #jobs: SelectedJobs;
  readonly #deps: SelectedConnectionDeps;

  constructor(deps: SelectedConnectionDeps) {
    super(deps);
    this.#deps = deps;
    this.#jobs = new SelectedJobs(deps, this.writer, deps.narrow);
  }

  get kind(): 'selected' {
    return 'selected';
  }

  get sessions(): Iterable<Session> {
    return this.#jobs.sessions();
  }

  open(): void {
    this.#jobs.open(this.#deps.selected, this.#deps.resume);
  }

  drained(): void {
    this.#jobs.pump();
  }

  override tick(now: number, feed: 'ok' | 'away'): void {
    this.#jobs.beginWaiting();
    super.tick(now, feed);
  }

  position(): JointPosition | null {
    return this.#jobs.position();
  }

  protected toldCursor(): number {
    return this.#jobs.toldCursor();
  }

  ended(): void {
    this.#jobs.ended();
  }

  protected select(frame: Extract<ClientFrame, { type: 'follow' | 'unfollow' }>): void {
    if (frame.type === 'follow') this.#jobs.follow(frame);
    else this.#jobs.unfollow(frame);
  }

  protected renewed(narrow: Narrow, expiresText: string): void {
    this.writer.corked(() => {
      this.writer.send(frames.authOk(expiresText, this.#deps.scopeName));
      this.#jobs.renewed(narrow);
    });
  }
}
