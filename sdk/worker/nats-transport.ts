import {
  createInbox,
  ErrorCode,
  Events,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type QueuedIterator,
  type Status,
  type Subscription,
} from 'nats';
import { ALIVE_PREFIX, SUBJECT_PREFIX } from '../../schemas/ids.js';
import { NotAuthorizedError, NotPermittedError } from './errors.js';
import { InFlightLimiter } from './in-flight-limiter.js';
import type { Clock, ReplyHandler, Transport } from './ports.js';
import { type Obstacle, parseReply } from './reply.js';
import type { ReporterWarning } from './warning.js';

/** The default of nats-server, until the first server has sent its own. */
const USUAL_MAX_PAYLOAD = 1024 * 1024;
/** Room for headers, which the server counts as well. */
const HEADERS = 4_096;

export interface TransportEvents {
  /** NATS can be reached: for the first time, or again. */
  onConnected(): void;
  /** The connection is lost; what was in flight may be stored or not. */
  onDisconnected(): void;
  /** NATS denies something that one job or all (null) need. Waiting does not fix that. */
  onRefused(error: NotAuthorizedError | NotPermittedError, processingId: string | null): void;
  /** The connection was closed for good. */
  onClosed(): void;
  warn(warning: ReporterWarning): void;
}

/** A transport over one connection, which may be attached later. */
export class NatsTransport implements Transport {
  readonly #events: TransportEvents;
  readonly #limiter: InFlightLimiter;
  readonly #handlers = new Map<number, ReplyHandler>();
  readonly #inboxPrefix: string | undefined;
  #connection: NatsConnection | null = null;
  #inbox = '';
  #tokens = 0;
  #isConnected = false;
  #isClosed = false;
  #obstacle: { readonly kind: Obstacle; readonly detail: string } | null = null;
  #subscription: Subscription | null = null;
  #stopWatching: () => void = () => {};

  constructor(events: TransportEvents, clock: Clock, maxInFlight: number, inboxPrefix: string | undefined) {
    this.#events = events;
    this.#inboxPrefix = inboxPrefix;
    this.#limiter = new InFlightLimiter(maxInFlight, (ms, call) => void clock.later(ms, call));
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** Why JetStream could not store the event that it answered last; null: it was stored, or nothing is known. */
  get obstacle(): { readonly kind: Obstacle; readonly detail: string } | null {
    return this.#obstacle;
  }

  get connection(): NatsConnection | null {
    return this.#connection;
  }

  get maxPayload(): number {
    return (this.#connection?.info?.max_payload ?? USUAL_MAX_PAYLOAD) - HEADERS;
  }

  // A server without JetStream leaves the field out of its INFO.
  get #hasJetStream(): boolean {
    return this.#connection?.info?.jetstream === true;
  }

  /** Stops sending and receiving. */
  close(): void {
    this.#isConnected = false;
    this.#isClosed = true;
    this.#limiter.clear(this.#handlers.values());
    this.#handlers.clear();
    if (this.#connection?.isClosed() === false) this.#subscription?.unsubscribe();
    this.#stopWatching();
  }

  /** Sets the connection. Call it once. */
  attach(connection: NatsConnection): void {
    this.#connection = connection;
    const inbox = createInbox(this.#inboxPrefix ?? prefixOf(connection));
    this.#inbox = `${inbox}.`;
    this.#subscription = connection.subscribe(`${inbox}.*`, {
      callback: (error, msg) => error === null && this.#onReply(msg),
    });
    const changes: AsyncIterable<Status> & Partial<QueuedIterator<Status>> = connection.status();
    void this.#watch(changes);
    // The iterator of status changes does not end with the connection.
    const forgetClosing = whenClosed(connection, () => this.#onClosed());
    this.#stopWatching = () => {
      changes.stop?.();
      forgetClosing();
    };
    // A connection that is reconnecting has no server info.
    if (connection.info !== undefined) this.#onConnected();
  }

  registerReply(handler: ReplyHandler): number {
    this.#tokens += 1;
    this.#handlers.set(this.#tokens, handler);
    return this.#tokens;
  }

  unregisterReply(handler: ReplyHandler, token: number): void {
    this.#handlers.delete(token);
    this.#limiter.release(handler);
  }

  acquireSlot(handler: ReplyHandler): void {
    this.#limiter.acquire(handler);
  }

  releaseSlot(handler: ReplyHandler): void {
    this.#limiter.release(handler);
  }

  publish(subject: string, body: Uint8Array, token: number, headers: MsgHdrs): boolean {
    return this.#try((nc) => nc.publish(subject, body, { reply: this.#inbox + token, headers }));
  }

  publishUnacked(subject: string, body: Uint8Array): void {
    this.#try((nc) => nc.publish(subject, body));
  }

  // While disconnected, a connection buffers without a bound, so nothing is given to it.
  #try(publish: (nc: NatsConnection) => void): boolean {
    if (!this.#isConnected || this.#connection === null) return false;
    try {
      publish(this.#connection);
      return true;
    } catch {
      return false;
    }
  }

  #onReply(msg: Msg): void {
    const handler = this.#handlers.get(Number(msg.subject.slice(this.#inbox.length)));
    const reply = parseReply(msg.headers?.code ?? 0, msg.string(), this.#hasJetStream);
    if (reply.kind === 'stored') this.#obstacle = null;
    else if ((reply.kind === 'busy' || reply.kind === 'refused') && reply.obstacle !== undefined) {
      this.#obstacle = { kind: reply.obstacle, detail: reply.detail };
    }
    handler?.onReply(reply);
  }

  async #watch(changes: AsyncIterable<Status>): Promise<void> {
    for await (const { type, data, permissionContext } of changes) {
      if (type === Events.Disconnect) this.#onDisconnected();
      else if (type === Events.Reconnect) this.#onConnected();
      else if (type === Events.Error) this.#onRefused(String(data), permissionContext);
    }
  }

  #onClosed(): void {
    if (this.#isClosed) return;
    this.close();
    const message = 'The connection to NATS was closed; nothing more is sent.';
    this.#events.warn({ kind: 'connection_closed', message });
    this.#events.onClosed();
  }

  // On a shared connection, ignore what is denied to others.
  #onRefused(error: string, context: { operation: string; subject: string } | undefined): void {
    if (context === undefined) {
      if (isAuthorization(error)) this.#events.onRefused(new NotAuthorizedError(error), null);
      else this.#events.warn({ kind: 'not_permitted', message: `NATS refuses: ${error}` });
      return;
    }
    const { operation, subject } = context;
    const detail = `${operation} to ${subject}`;
    if (subject.startsWith(this.#inbox)) {
      const inboxes = inboxPermission(subject);
      this.#events.onRefused(new NotPermittedError(null, [inboxes], detail, 'subscribe'), null);
    } else if (subject.startsWith(SUBJECT_PREFIX)) {
      const processingId = subject.slice(SUBJECT_PREFIX.length);
      this.#events.onRefused(new NotPermittedError(processingId, [subject], detail, 'publish'), processingId);
    } else if (subject.startsWith(ALIVE_PREFIX)) {
      this.#events.warn({ kind: 'not_permitted', message: `NATS refuses: ${detail}` });
    }
  }

  #onConnected(): void {
    if (this.#isConnected || this.#isClosed) return;
    this.#isConnected = true;
    this.#events.onConnected();
  }

  #onDisconnected(): void {
    if (this.#isClosed || !this.#isConnected) return;
    this.#isConnected = false;
    this.#limiter.clear(this.#handlers.values());
    this.#events.warn({
      kind: 'disconnected',
      message: 'NATS cannot be reached; states are kept until it is back.',
    });
    this.#events.onDisconnected();
  }
}

/** Whether an error code of the `nats` package means that the server refuses the credentials. */
export function isAuthorization(code: string): boolean {
  return AUTHORIZATION.has(code);
}

const AUTHORIZATION: ReadonlySet<string> = new Set([
  ErrorCode.AuthorizationViolation,
  ErrorCode.AuthenticationExpired,
  ErrorCode.AccountExpired,
]);

// A connection may outlive many transports, and must not retain those that are closed.
function whenClosed(connection: NatsConnection, call: () => void): () => void {
  let wanted: (() => void) | null = call;
  void connection.closed().then(() => wanted?.());
  return () => {
    wanted = null;
  };
}

/** The subject to permit for an inbox: all with its prefix, because its last part is random. */
export const inboxPermission = (inbox: string): string => inbox.replace(/\.[^.]+\.\*$/, '.>');

// The package does not expose the inbox prefix of a connection, and permissions may depend on it.
function prefixOf(connection: NatsConnection): string | undefined {
  const { options } = connection as { options?: { inboxPrefix?: unknown } };
  return typeof options?.inboxPrefix === 'string' ? options.inboxPrefix : undefined;
}
