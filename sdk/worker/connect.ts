import { readFile } from 'node:fs/promises';
import {
  type Authenticator,
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  ErrorCode,
  type NatsConnection,
  NatsError,
} from 'nats';
import { dialFailure, isAuthorization, unrefConnection } from './connection.js';
import { InvalidOptionError, NotAuthorizedError } from './errors.js';
import { backoffMs } from './event-delivery.js';
import { NatsReporter, type Reporter } from './reporter.js';
import { checkObject, checkText, type ReporterOptions } from './settings.js';

export interface ConnectOptions extends ReporterOptions {
  /**
   * `nats://host:4222`, one or more, as a list or separated by commas. The first may contain user and password.
   * `nats://127.0.0.1:4222` by default, and for an empty text.
   */
  readonly servers?: string | readonly string[] | undefined;
  /** A credentials file. An empty name counts as none. */
  readonly credsFile?: string | undefined;
  /** The connection's name, as operators see it in NATS: `headway-worker`. */
  readonly name?: string | undefined;
  /** More of the `nats` package's own options, such as `tls` or `token`; they win over those above. */
  readonly connection?: ConnectionOptions | undefined;
}

/** How long one attempt to connect may take. */
const DIAL_MS = 5_000;
/** A server that hangs is given up after two of these without a reply. */
const PING_MS = 5_000;

/**
 * A reporter over a connection of your own. Closing the reporter leaves the connection open.
 * @throws InvalidOptionError
 */
export function createReporter(connection: NatsConnection, options: ReporterOptions = {}): Reporter {
  const given: Partial<NatsConnection> | null | undefined = connection;
  if (typeof given?.publish !== 'function' || typeof given.status !== 'function')
    throw new InvalidOptionError('connection', 'is no connection of the `nats` package');
  const reporter = new NatsReporter(options);
  reporter.attach(connection);
  return reporter;
}

/**
 * A reporter with a connection of its own, which reconnects without limit. Resolves when NATS is connected, or the first
 * attempt has failed: then it tries again in the background, and `onWarning` is called.
 * @throws InvalidOptionError
 */
export async function connectReporter(options: ConnectOptions = {}): Promise<Reporter> {
  checkObject('options', options);
  checkText('credsFile', options.credsFile);
  checkText('name', options.name);
  if (options.connection !== undefined) checkObject('connection', options.connection);
  const authenticator = await readCredentials(options.credsFile);
  const settings = connectionOptions(options, authenticator);
  const dialling = new AbortController();
  let connection: NatsConnection | null = null;
  let attempts: Promise<void> = Promise.resolve();
  const reporter = new NatsReporter(options, async () => {
    dialling.abort();
    await attempts;
    await connection?.close();
  });
  const dial = async (): Promise<boolean> => {
    try {
      connection = await connect(settings);
      unrefConnection(connection);
      if (!dialling.signal.aborted) reporter.attach(connection);
      return true;
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      // Trying again does not fix an option that the package rejects.
      if (
        error instanceof TypeError ||
        (error instanceof NatsError && error.code === ErrorCode.InvalidOption)
      )
        throw new InvalidOptionError('connection', `has what the \`nats\` package does not take: ${detail}`);
      if (error instanceof NatsError && isAuthorization(error.code)) {
        reporter.onRefused(new NotAuthorizedError(detail), null);
      } else {
        reporter.onDialFailed([settings.servers ?? []].flat(), dialFailure(error));
      }
      return false;
    }
  };
  const first = await dial();
  if (!first) attempts = dialOn(dial, dialling.signal);
  return reporter;
}

async function dialOn(dial: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  for (let failed = 1; ; failed += 1) {
    await pause(backoffMs(failed, Math.random()), signal);
    if (signal.aborted || (await dial())) return;
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms).unref();
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}

async function readCredentials(file: string | undefined): Promise<Authenticator | null> {
  if (file === undefined || file === '') return null;
  let authenticator: Authenticator;
  try {
    authenticator = credsAuthenticator(await readFile(file));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InvalidOptionError('credsFile', `names ${file}, which cannot be read (${code ?? 'unknown'})`);
  }
  try {
    // The package reads it only when a server asks for credentials, which is too late to report an invalid file.
    authenticator('nonce');
  } catch {
    throw new InvalidOptionError('credsFile', `names ${file}, which holds no credentials`);
  }
  return authenticator;
}

function connectionOptions(options: ConnectOptions, authenticator: Authenticator | null): ConnectionOptions {
  const { servers, name = 'headway-worker', inboxPrefix, connection } = options;
  return {
    ...addressOf(addressesIn(servers)),
    ...(authenticator !== null && { authenticator }),
    ...(inboxPrefix !== undefined && { inboxPrefix }),
    name,
    timeout: DIAL_MS,
    maxReconnectAttempts: -1,
    // Without it the second rejection in a row closes the connection for good.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    pingInterval: PING_MS,
    maxPingOut: 2,
    noAsyncTraces: true,
    ...connection,
  };
}

const SCHEMES: ReadonlySet<string> = new Set(['nats:', 'tls:']);

// An invalid address would be dialled for ever, without an error.
function addressesIn(servers: string | readonly string[] = []): readonly string[] {
  const list = typeof servers === 'string' ? servers.split(',') : servers;
  if (!Array.isArray(list))
    throw new InvalidOptionError('servers', 'is neither an address nor a list of them');
  const given = list.map((server) => (typeof server === 'string' ? server.trim() : null));
  const addresses = given.filter((server) => server !== '');
  for (const [index, server] of addresses.entries()) {
    if (server !== null && isAddress(server)) continue;
    // It may hold a password.
    throw new InvalidOptionError(
      'servers',
      `has no address of NATS at place ${index + 1}; expected one such as nats://127.0.0.1:4222 (in a user or password write @ : / , % as %40 %3A %2F %2C %25)`,
    );
  }
  return addresses.length === 0 ? ['nats://127.0.0.1:4222'] : (addresses as string[]);
}

function isAddress(server: string): boolean {
  try {
    decodeURIComponent(/^(?:\w+:\/\/)?([^@/]*)@/.exec(server)?.[1] ?? '');
    const plain = withoutLogin(server);
    const url = new URL(/^\w+:\/\//.test(plain) ? plain : `nats://${plain}`);
    const isHost = url.hostname !== '' && url.username === '' && url.port !== '0';
    // A question mark alone is none of its parts.
    return SCHEMES.has(url.protocol) && isHost && /^\/?$/.test(url.pathname) && !/[?#]/.test(plain);
  } catch {
    return false;
  }
}

// The package takes no user and password out of an address.
function addressOf(
  servers: readonly string[],
): Pick<ConnectionOptions, 'servers' | 'user' | 'pass' | 'token'> {
  const login = servers
    .map((server) => /^(?:\w+:\/\/)?([^@/]*)@/.exec(server)?.[1])
    .find((found) => found !== undefined);
  const plain = servers.map(withoutLogin);
  if (login === undefined) return { servers: plain };
  const [user = '', ...rest] = login.split(':');
  if (rest.length === 0) return { servers: plain, token: decodeURIComponent(user) };
  return { servers: plain, user: decodeURIComponent(user), pass: decodeURIComponent(rest.join(':')) };
}

const withoutLogin = (server: string): string => server.replace(/^(\w+:\/\/)?[^@/]*@/, '$1');
