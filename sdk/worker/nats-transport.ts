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
import { Window } from './in-flight-limiter.js';
import type { Caller, Clock, Line } from './ports.js';
import { type Obstacle, parseReply } from './reply.js';
import type { Trouble } from './warning.js';

/** nats-server's own limit, for as long as no server has told its. */
const USUAL_MAX_PAYLOAD = 1024 * 1024;
/** A server counts the headers as well. */
const HEADERS = 4_096;

export interface LineEvents {
  /** NATS is there: at first, and after each time away. */
  opened(): void;
  /** NATS is away; what was on its way may be stored or not. */
  cut(): void;
  /** NATS refuses something that is needed, of one job or of all (null), which waiting does not mend. */
  refused(error: NotAuthorizedError | NotPermittedError, processingId: string | null): void;
  /** The connection was closed for good. */
  over(): void;
  tell(trouble: Trouble): void;
}

/** A line over one connection, which may come later than the line. */
export class NatsLine implements Line {
  readonly #events: LineEvents;
  readonly #window: Window;
  readonly #callers = new Map<number, Caller>();
  readonly #inboxPrefix: string | undefined;
  #connection: NatsConnection | null = null;
  #inbox = '';
  #tokens = 0;
  #open = false;
  #isClosed = false;
  #obstacle: { readonly kind: Obstacle; readonly detail: string } | null = null;
  #subscription: Subscription | null = null;
  #stopWatching: () => void = () => {};

  constructor(events: LineEvents, clock: Clock, maxInFlight: number, inboxPrefix: string | undefined) {
    this.#events = events;
    this.#inboxPrefix = inboxPrefix;
    this.#window = new Window(maxInFlight, (ms, call) => void clock.later(ms, call));
  }

  get open(): boolean {
    return this.#open;
  }

  /** What kept JetStream from storing the event that it answered last; null: it was stored, or nothing is known. */
  get obstacle(): { readonly kind: Obstacle; readonly detail: string } | null {
    return this.#obstacle;
  }

  get connection(): NatsConnection | null {
    return this.#connection;
  }

  get maxPayload(): number {
    return (this.#connection?.info?.max_payload ?? USUAL_MAX_PAYLOAD) - HEADERS;
  }

  // A server says so in its greeting, by leaving it out.
  get #hasJetStream(): boolean {
    return this.#connection?.info?.jetstream === true;
  }

  /** Nothing is sent or heard any more. */
  close(): void {
    this.#open = false;
    this.#isClosed = true;
    this.#window.clear(this.#callers.values());
    this.#callers.clear();
    if (this.#connection?.isClosed() === false) this.#subscription?.unsubscribe();
    this.#stopWatching();
  }

  /** The connection is there. Called once. */
  attach(connection: NatsConnection): void {
    this.#connection = connection;
    const inbox = createInbox(this.#inboxPrefix ?? prefixOf(connection));
    this.#inbox = `${inbox}.`;
    this.#subscription = connection.subscribe(`${inbox}.*`, {
      callback: (error, msg) => error === null && this.#answered(msg),
    });
    const changes: AsyncIterable<Status> & Partial<QueuedIterator<Status>> = connection.status();
    void this.#watch(changes);
    // The list of changes does not end with the connection.
    const forgetClosing = whenClosed(connection, () => this.#over());
    this.#stopWatching = () => {
      changes.stop?.();
      forgetClosing();
    };
    // While it dials again a connection knows nothing of a server.
    if (connection.info !== undefined) this.#opened();
  }

  listen(caller: Caller): number {
    this.#tokens += 1;
    this.#callers.set(this.#tokens, caller);
    return this.#tokens;
  }

  forget(caller: Caller, token: number): void {
    this.#callers.delete(token);
    this.#window.leave(caller);
  }

  enter(caller: Caller): void {
    this.#window.enter(caller);
  }

  leave(caller: Caller): void {
    this.#window.leave(caller);
  }

  publish(subject: string, body: Uint8Array, token: number, headers: MsgHdrs): boolean {
    return this.#try((nc) => nc.publish(subject, body, { reply: this.#inbox + token, headers }));
  }

  cast(subject: string, body: Uint8Array): void {
    this.#try((nc) => nc.publish(subject, body));
  }

  // A connection that is away keeps what is published without a bound, so it is given nothing.
  #try(publish: (nc: NatsConnection) => void): boolean {
    if (!this.#open || this.#connection === null) return false;
    try {
      publish(this.#connection);
      return true;
    } catch {
      return false;
    }
  }

  #answered(msg: Msg): void {
    const caller = this.#callers.get(Number(msg.subject.slice(this.#inbox.length)));
    const reply = parseReply(msg.headers?.code ?? 0, msg.string(), this.#hasJetStream);
    if (reply.kind === 'stored') this.#obstacle = null;
    else if ((reply.kind === 'busy' || reply.kind === 'refused') && reply.obstacle !== undefined) {
      this.#obstacle = { kind: reply.obstacle, detail: reply.detail };
    }
    caller?.answered(reply);
  }

  async #watch(changes: AsyncIterable<Status>): Promise<void> {
    for await (const { type, data, permissionContext } of changes) {
      if (type === Events.Disconnect) this.#cut();
      else if (type === Events.Reconnect) this.#opened();
      else if (type === Events.Error) this.#refused(String(data), permissionContext);
    }
  }

  #over(): void {
    if (this.#isClosed) return;
    this.close();
    const message = 'The connection to NATS was closed; nothing more is sent.';
    this.#events.tell({ kind: 'connection_closed', message });
    this.#events.over();
  }

  // On a connection that is shared, what others are refused is not ours to tell.
  #refused(error: string, context: { operation: string; subject: string } | undefined): void {
    if (context === undefined) {
      if (isAuthorization(error)) this.#events.refused(new NotAuthorizedError(error), null);
      else this.#events.tell({ kind: 'not_permitted', message: `NATS refuses: ${error}` });
      return;
    }
    const { operation, subject } = context;
    const detail = `${operation} to ${subject}`;
    if (subject.startsWith(this.#inbox)) {
      const inboxes = inboxesOf(subject);
      this.#events.refused(new NotPermittedError(null, [inboxes], detail, 'subscribe'), null);
    } else if (subject.startsWith(SUBJECT_PREFIX)) {
      const processingId = subject.slice(SUBJECT_PREFIX.length);
      this.#events.refused(new NotPermittedError(processingId, [subject], detail, 'publish'), processingId);
    } else if (subject.startsWith(ALIVE_PREFIX)) {
      this.#events.tell({ kind: 'not_permitted', message: `NATS refuses: ${detail}` });
    }
  }

  #opened(): void {
    if (this.#open || this.#isClosed) return;
    this.#open = true;
    this.#events.opened();
  }

  #cut(): void {
    if (this.#isClosed || !this.#open) return;
    this.#open = false;
    this.#window.clear(this.#callers.values());
    this.#events.tell({ kind: 'away', message: 'NATS cannot be reached; states are kept until it is back.' });
    this.#events.cut();
  }
}

/** Whether an error of the `nats` package says that the server refuses the credentials. */
export function isAuthorization(code: string): boolean {
  return AUTHORIZATION.has(code);
}

const AUTHORIZATION: ReadonlySet<string> = new Set([
  ErrorCode.AuthorizationViolation,
  ErrorCode.AuthenticationExpired,
  ErrorCode.AccountExpired,
]);

// A connection may outlive many lines, and must not keep those that are closed.
function whenClosed(connection: NatsConnection, call: () => void): () => void {
  let wanted: (() => void) | null = call;
  void connection.closed().then(() => wanted?.());
  return () => {
    wanted = null;
  };
}

/** What has to be permitted for an inbox: all that begin as it does. Its own name is made by chance. */
export const inboxesOf = (inbox: string): string => inbox.replace(/\.[^.]+\.\*$/, '.>');

// The package does not tell the prefix that a connection was made with, and permissions may hang on it.
function prefixOf(connection: NatsConnection): string | undefined {
  const { options } = connection as { options?: { inboxPrefix?: unknown } };
  return typeof options?.inboxPrefix === 'string' ? options.inboxPrefix : undefined;
}
