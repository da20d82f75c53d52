import { readFile } from 'node:fs/promises';
import {
  type Authenticator,
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  type NatsConnection,
} from 'nats';
import { backoffMs } from './backoff.js';
import { InvalidOptionError } from './errors.js';
import { NatsReporter, type Reporter } from './reporter.js';
import type { ReporterOptions } from './settings.js';

export interface ConnectOptions extends ReporterOptions {
  /** `nats://host:4222`, one or more; user and password may stand in the first. `nats://127.0.0.1:4222` by default. */
  readonly servers?: string | readonly string[];
  /** A credentials file. */
  readonly credsFile?: string;
  /** The connection's name, as operators see it in NATS: `headway-worker`. */
  readonly name?: string;
  /** More of the `nats` package's own options, such as `tls` or `token`; they win over those above. */
  readonly connection?: ConnectionOptions;
}

/** How long one attempt to connect may take. */
const DIAL_MS = 5_000;
/** A server that hangs is given up after two of these without an answer. */
const PING_MS = 5_000;

/** A reporter over a connection of your own. Closing the reporter leaves the connection open. */
export function createReporter(connection: NatsConnection, options: ReporterOptions = {}): Reporter {
  const reporter = new NatsReporter(options);
  reporter.attach(connection);
  return reporter;
}

/**
 * A reporter with a connection of its own, which comes back for ever. Resolves when NATS is there or the first attempt
 * to reach it has failed: then it is tried again in the background, and `onTrouble` is told.
 * @throws InvalidOptionError
 */
export async function connectReporter(options: ConnectOptions): Promise<Reporter> {
  const authenticator = await readCredentials(options.credsFile);
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
      connection = await connect(connectionOptions(options, authenticator));
      if (!dialling.signal.aborted) reporter.attach(connection);
      return true;
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      reporter.tell({
        kind: 'away',
        message: `NATS cannot be reached (${detail}); states are kept until it can be.`,
      });
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
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}

async function readCredentials(file: string | undefined): Promise<Authenticator | null> {
  if (file === undefined) return null;
  try {
    return credsAuthenticator(await readFile(file));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InvalidOptionError('credsFile', `names ${file}, which cannot be read (${code ?? 'unknown'})`);
  }
}

function connectionOptions(options: ConnectOptions, authenticator: Authenticator | null): ConnectionOptions {
  const { servers = 'nats://127.0.0.1:4222', name = 'headway-worker', inboxPrefix, connection } = options;
  return {
    ...addressOf(typeof servers === 'string' ? [servers] : servers),
    ...(authenticator !== null && { authenticator }),
    ...(inboxPrefix !== undefined && { inboxPrefix }),
    name,
    timeout: DIAL_MS,
    maxReconnectAttempts: -1,
    // Without it the second refusal in a row closes the connection for good.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    pingInterval: PING_MS,
    maxPingOut: 2,
    noAsyncTraces: true,
    ...connection,
  };
}

// The package takes no user and password out of an address.
function addressOf(
  servers: readonly string[],
): Pick<ConnectionOptions, 'servers' | 'user' | 'pass' | 'token'> {
  const login = servers
    .map((server) => /^(?:\w+:\/\/)?([^@/]*)@/.exec(server)?.[1])
    .find((found) => found !== undefined);
  const bare = servers.map((server) => server.replace(/^(\w+:\/\/)?[^@/]*@/, '$1'));
  if (login === undefined) return { servers: bare };
  const [user = '', ...rest] = login.split(':');
  if (rest.length === 0) return { servers: bare, token: decodeURIComponent(user) };
  return { servers: bare, user: decodeURIComponent(user), pass: decodeURIComponent(rest.join(':')) };
}
