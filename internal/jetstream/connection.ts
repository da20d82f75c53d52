import { readFile } from 'node:fs/promises';
import {
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  ErrorCode,
  type NatsConnection,
  NatsError,
} from 'nats';
import { NatsAuthError, NatsUnreachableError, NatsVersionError } from '../errors/catalogue.js';

/** The oldest nats-server that Headway works with. */
const OLDEST = [2, 10] as const;

export interface NatsSettings {
  /** One or more addresses, with commas between them; user and password may stand in the first. */
  readonly url: string;
  readonly credsFile?: string | undefined;
  /** The connection's name, as operators see it in NATS. */
  readonly name: string;
}

/** Addresses without user, password or token, for logs and errors. */
export function redactUrl(url: string): string {
  return url.replace(/[^/,@\s]+@/g, '');
}

/** Splits addresses and the credentials in front of the first `@`. */
export function parseNatsUrl(
  url: string,
): Pick<ConnectionOptions, 'servers' | 'user' | 'pass' | 'token' | 'tls'> {
  const addresses = url.split(',').map((address) => address.replace(/\/$/, ''));
  const userinfo = addresses.map((address) => /^(?:\w+:\/\/)?([^@]*)@/.exec(address)?.[1]).find(Boolean);
  const servers = addresses.map(redactUrl);
  const tls = servers.some((server) => server.startsWith('tls://')) ? { tls: {} } : {};
  if (userinfo === undefined) return { servers, ...tls };
  const colon = userinfo.indexOf(':');
  if (colon < 0) return { servers, token: decodeURIComponent(userinfo), ...tls };
  return {
    servers,
    user: decodeURIComponent(userinfo.slice(0, colon)),
    pass: decodeURIComponent(userinfo.slice(colon + 1)),
    ...tls,
  };
}

/**
 * Connects to NATS, once; afterwards the connection reconnects by itself for ever.
 * @throws NatsUnreachableError, NatsAuthError, NatsVersionError
 */
export async function connectNats(settings: NatsSettings): Promise<NatsConnection> {
  const shown = redactUrl(settings.url);
  const credentials = await readCredentials(settings, shown);
  let connection: NatsConnection;
  try {
    connection = await connect({
      ...parseNatsUrl(settings.url),
      ...credentials,
      name: settings.name,
      timeout: 5_000,
      maxReconnectAttempts: -1,
      // Without it the second refusal in a row closes the connection for good.
      ignoreAuthErrorAbort: true,
      reconnectTimeWait: 250,
      reconnectJitter: 250,
      // A server that hangs (a frozen process, a cut cable) is given up after two pings without an answer.
      pingInterval: 2_000,
      maxPingOut: 2,
      noAsyncTraces: true,
    });
  } catch (error) {
    throw explainConnectError(shown, error);
  }
  const version = connection.info?.version ?? 'unknown';
  if (!isAtLeast(version, OLDEST)) {
    await connection.close();
    throw new NatsVersionError(shown, version);
  }
  return connection;
}

async function readCredentials(
  { credsFile }: NatsSettings,
  shown: string,
): Promise<Partial<ConnectionOptions>> {
  if (credsFile === undefined) return {};
  try {
    const authenticator = credsAuthenticator(await readFile(credsFile));
    // It looks into the file's content only when it is asked to sign.
    authenticator('nonce');
    return { authenticator };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const problem =
      code === 'ENOENT'
        ? `there is no file ${credsFile}`
        : `${credsFile} is no credentials file that can be read: ${message}`;
    throw new NatsAuthError(shown, `NATS_CREDS: ${problem}`);
  }
}

function explainConnectError(shown: string, error: unknown): Error {
  const detail = error instanceof Error ? error.message : String(error);
  if (error instanceof NatsError) {
    const refused: string[] = [
      ErrorCode.AuthorizationViolation,
      ErrorCode.AuthenticationExpired,
      ErrorCode.BadAuthentication,
    ];
    if (refused.includes(error.code) || /authorization/i.test(detail))
      return new NatsAuthError(shown, 'authorization violation');
    if (error.code === ErrorCode.ConnectionRefused)
      return new NatsUnreachableError(shown, 'connection refused');
    if (error.code === ErrorCode.Timeout) return new NatsUnreachableError(shown, 'no answer within 5 s');
  }
  return new NatsUnreachableError(shown, detail);
}

/** Whether a version such as 2.10.27 or 2.12.0-RC.1 is at least `wanted`. */
export function isAtLeast(version: string, wanted: readonly number[]): boolean {
  const have = version.split(/[.-]/).map(Number);
  for (const [index, part] of wanted.entries()) {
    const own = have[index];
    if (own === undefined || Number.isNaN(own)) return false;
    if (own !== part) return own > part;
  }
  return true;
}
