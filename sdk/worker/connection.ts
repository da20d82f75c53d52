import {
  createInbox,
  DebugEvents,
  ErrorCode,
  Events,
  type NatsConnection,
  NatsError,
  type QueuedIterator,
  type Status,
} from 'nats';
import { ALIVE_PREFIX, SUBJECT_PREFIX } from '../../schemas/ids.js';
import { NotAuthorizedError, NotPermittedError } from './errors.js';
import type { ReporterWarning } from './warning.js';

/** What happens to a connection. */
export interface ConnectionEvents {
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

/**
 * Watches a connection, which may outlive its watcher. The result stops it.
 * @param inbox the prefix of the reporter's replies. On a shared connection, what is denied to others is ignored
 */
export function watchConnection(
  connection: NatsConnection,
  inbox: string,
  events: ConnectionEvents,
): () => void {
  const changes: AsyncIterable<Status> & Partial<QueuedIterator<Status>> = connection.status();
  void (async () => {
    for await (const { type, data, permissionContext } of changes) {
      if (type === Events.Disconnect) events.onDisconnected();
      else if (type === Events.Reconnect) events.onConnected();
      else if (type === Events.Error) onError(String(data), permissionContext, inbox, events);
    }
  })();
  // The iterator of status changes does not end with the connection.
  const forgetClosing = whenClosed(connection, () => events.onClosed());
  return () => {
    changes.stop?.();
    forgetClosing();
  };
}

function onError(
  error: string,
  context: { operation: string; subject: string } | undefined,
  inbox: string,
  events: ConnectionEvents,
): void {
  if (context === undefined) {
    if (isAuthorization(error)) events.onRefused(new NotAuthorizedError(error), null);
    else events.warn({ kind: 'not_permitted', message: `NATS refuses: ${error}` });
    return;
  }
  const { operation, subject } = context;
  const detail = `${operation} to ${subject}`;
  if (subject.startsWith(inbox)) {
    events.onRefused(new NotPermittedError(null, [inboxPermission(subject)], detail, 'subscribe'), null);
  } else if (subject.startsWith(SUBJECT_PREFIX)) {
    const processingId = subject.slice(SUBJECT_PREFIX.length);
    events.onRefused(new NotPermittedError(processingId, [subject], detail, 'publish'), processingId);
  } else if (subject.startsWith(ALIVE_PREFIX)) {
    events.warn({ kind: 'not_permitted', message: `NATS refuses: ${detail}` });
  }
}

// A connection may outlive many transports, and must not retain those that are closed.
function whenClosed(connection: NatsConnection, call: () => void): () => void {
  let wanted: (() => void) | null = call;
  void connection.closed().then(() => wanted?.());
  return () => {
    wanted = null;
  };
}

/**
 * Where and why NATS cannot be reached, for people. Holds no credentials.
 * @param servers addresses of NATS, perhaps with a user and a password, or without a scheme
 */
export function unreachableText(servers: readonly string[], reason: string): string {
  const addresses = servers.filter(Boolean).map((server) => {
    const [, scheme = 'nats://', address = ''] = /^(\w+:\/\/)?(?:.*@)?(.*)$/s.exec(server) ?? [];
    return scheme + address;
  });
  const at = addresses.length === 0 ? '' : ` at ${addresses.join(' or ')}`;
  return `NATS cannot be reached${at}: ${reason}`;
}

/** Why a try to connect has failed: the code of the system, where there is one. */
export function dialFailure(error: unknown): string {
  const cause: unknown = error instanceof NatsError ? (error.chainedError ?? error) : error;
  const { code, message } = cause as Partial<NodeJS.ErrnoException>;
  if (code !== undefined && /^E[A-Z]+$/.test(code)) return code;
  return message ?? String(cause);
}

const AUTHORIZATION: ReadonlySet<string> = new Set([
  ErrorCode.AuthorizationViolation,
  ErrorCode.AuthenticationExpired,
  ErrorCode.AccountExpired,
]);

/** Whether an error code of the `nats` package means that the server refuses the credentials. */
export const isAuthorization = (code: string): boolean => AUTHORIZATION.has(code);

/** A new inbox with the connection's prefix, unless another one is given. */
export const newInbox = (connection: NatsConnection, prefix: string | undefined): string =>
  createInbox(prefix ?? prefixOf(connection));

/** The subject to permit for an inbox: all with its prefix, because its last part is random. */
export const inboxPermission = (inbox: string): string => inbox.replace(/\.[^.]+\.\*$/, '.>');

// The package does not expose the inbox prefix of a connection, and permissions may depend on it.
function prefixOf(connection: NatsConnection): string | undefined {
  const { options } = connection as { options?: { inboxPrefix?: unknown } };
  return typeof options?.inboxPrefix === 'string' ? options.inboxPrefix : undefined;
}

/** The internals of the `nats` package that are used, because it has no API for this. */
interface Inside {
  readonly protocol?: {
    readonly transport?: { readonly socket?: { unref?: () => unknown } };
    readonly heartbeats?: { readonly timer?: { unref?: () => unknown } };
  };
}

/**
 * Lets the process end while this connection is open: neither its socket nor its ping timer keeps it alive. The reporter
 * keeps the process alive while something is pending. If those internals change, the connection keeps it alive.
 */
export function unrefConnection(connection: NatsConnection): void {
  const unref = (): void => {
    const { protocol } = connection as Inside;
    protocol?.transport?.socket?.unref?.();
    protocol?.heartbeats?.timer?.unref?.();
  };
  unref();
  void (async () => {
    // A reconnect makes another socket, and each ping another timer.
    for await (const { type } of connection.status()) {
      if (type === Events.Reconnect || type === DebugEvents.PingTimer) unref();
    }
  })();
}
