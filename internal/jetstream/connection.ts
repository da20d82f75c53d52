import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { type ConnectionOptions, connect, type NatsConnection, type TlsOptions } from 'nats';
import { NatsVersionError } from '../errors.js';
import { isAtLeast } from '../server-version.js';
import { type CredentialFiles, checkCredentialFiles } from './credential-files.js';
import { explainConnectError } from './nats-errors.js';
import { hostOf, parseNatsUrl, redactUrl } from './nats-url.js';

/** The oldest nats-server that Headway works with. */
const OLDEST = '2.10.0';
/** How long a server may take to answer a new connection. */
const CONNECT_MS = 5_000;

export interface NatsSettings extends CredentialFiles {
  /** One or more addresses, with commas between them; user and password may stand in the first. */
  readonly url: string;
  /** The connection's name, as operators see it in NATS. */
  readonly name: string;
}

/**
 * Connects to NATS, once; afterwards the connection reconnects by itself for ever. It is encrypted when a file for TLS
 * is given or an address begins with tls://, and else when the server asks for it or offers it. The files for TLS are
 * read again at each reconnect, so they may be replaced while the program runs.
 * @throws ConfigError for files that cannot be used, NatsUnreachableError, NatsAuthError, NatsVersionError
 */
export async function connectNats(settings: NatsSettings): Promise<NatsConnection> {
  const shown = redactUrl(settings.url);
  const authenticator = await checkCredentialFiles(settings);
  let connection: NatsConnection;
  let wasEncrypted = false;
  try {
    const { tls, ...address } = parseNatsUrl(settings.url);
    connection = await connect({
      ...address,
      ...tlsOptions(settings, address.servers, tls !== undefined, () => {
        wasEncrypted = true;
      }),
      ...(authenticator && { authenticator }),
      name: settings.name,
      timeout: CONNECT_MS,
      maxReconnectAttempts: -1,
      // Without it the second refusal in a row closes the connection for good.
      ignoreAuthErrorAbort: true,
      reconnectTimeWait: 250,
      reconnectJitter: 250,
      reconnectJitterTLS: 250,
      // A server that hangs (a frozen process, a cut cable) is given up after two pings without an answer.
      pingInterval: 2_000,
      maxPingOut: 2,
      noAsyncTraces: true,
    });
  } catch (error) {
    throw explainConnectError({ url: settings.url, shownUrl: shown, wasEncrypted }, error);
  }
  const version = connection.info?.version ?? 'unknown';
  if (!isAtLeast(version, OLDEST)) {
    await connection.close();
    throw new NatsVersionError(shown, version);
  }
  return connection;
}

// Without these options the package encrypts when the server wants it; with them it accepts nothing else.
function tlsOptions(
  { caFile, certFile, keyFile }: CredentialFiles,
  servers: readonly string[],
  isAsked: boolean,
  accepted: () => void,
): Pick<ConnectionOptions, 'tls'> {
  if (!isAsked && caFile === undefined && certFile === undefined) return {};
  const tls: TlsOptions & { checkServerIdentity: (name: string, certificate: PeerCertificate) => unknown } = {
    ...(caFile !== undefined && { caFile }),
    ...(certFile !== undefined && { certFile }),
    ...(keyFile !== undefined && { keyFile }),
    checkServerIdentity: (name, certificate) => {
      const error = checkIdentity(servers, name, certificate);
      if (error === undefined) accepted();
      return error;
    },
  };
  return { tls };
}

// The package names no host when it connects to an IP address, and Node takes "localhost" for it. Such a server has to
// prove that it is one of those that the operator named.
function checkIdentity(
  servers: readonly string[],
  name: string,
  certificate: PeerCertificate,
): Error | undefined {
  const names = name === 'localhost' ? servers.map(hostOf) : [name];
  const errors = names.map((one) => checkServerIdentity(one, certificate));
  return errors.includes(undefined) ? undefined : errors[0];
}
