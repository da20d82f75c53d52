import { ErrorCode, NatsError } from 'nats';
import {
  type HeadwayError,
  JetStreamUnavailableError,
  NatsAuthError,
  NatsUnreachableError,
  StreamNotFoundError,
} from '../errors.js';
import { ConnectionLostError } from './connection-monitor.js';
import { withoutCredentials } from './nats-url.js';

/** What went wrong with a request to NATS or its JetStream. Everybody switches on these, and nobody on numbers. */
export type RequestFailure =
  | 'stream_not_found'
  | 'consumer_not_found'
  | 'message_not_found'
  /** Somebody else has written to the subject meanwhile. */
  | 'wrong_last_sequence'
  /** The server could not make the consumer, as when it cannot write its files. */
  | 'consumer_not_created'
  /** JetStream is not enabled for the server, or for the account. */
  | 'jetstream_disabled'
  /** JetStream has answered that it cannot do it for now: no leader, or no resources. */
  | 'jetstream_unavailable'
  /** JetStream has answered with any other error. */
  | 'api_error'
  /** Nobody listens on the subject: on that of an API, there is no JetStream at all. */
  | 'no_responders'
  /** No answer came in time; it may still be on its way. */
  | 'timeout'
  | 'not_permitted'
  /** The connection was lost or is closed. */
  | 'disconnected'
  | 'other';

/** The numbers that JetStream gives its errors (`err_code`). */
const API_ERRORS: Readonly<Record<number, RequestFailure>> = {
  10012: 'consumer_not_created',
  10014: 'consumer_not_found',
  10037: 'message_not_found',
  10039: 'jetstream_disabled',
  10059: 'stream_not_found',
  10071: 'wrong_last_sequence',
  10076: 'jetstream_disabled',
};

const CLIENT_ERRORS: Readonly<Record<string, RequestFailure>> = {
  [ErrorCode.NoResponders]: 'no_responders',
  [ErrorCode.Timeout]: 'timeout',
  [ErrorCode.PermissionsViolation]: 'not_permitted',
  [ErrorCode.ConnectionClosed]: 'disconnected',
  [ErrorCode.ConnectionDraining]: 'disconnected',
  [ErrorCode.Disconnect]: 'disconnected',
};

/** Names what went wrong; null: it is no error of a request to NATS. */
export function requestFailure(error: unknown): RequestFailure | null {
  if (error instanceof ConnectionLostError) return 'disconnected';
  if (!(error instanceof NatsError)) return null;
  const { api_error: answered, code } = error;
  // An error that was answered has a `code` as HTTP has it, which must not be read as one of the client's: 503 is both.
  if (answered?.err_code === undefined) return CLIENT_ERRORS[code] ?? 'other';
  return API_ERRORS[answered.err_code] ?? (answered.code === 503 ? 'jetstream_unavailable' : 'api_error');
}

/** Whether JetStream has answered with an error, whichever it is. */
export function isApiError(error: unknown): boolean {
  return error instanceof NatsError && error.api_error?.err_code !== undefined;
}

/**
 * What an error of a request to JetStream means to an operator; what is no such error is returned as it is.
 * @param shownUrl addresses without credentials
 */
export function explainRequestError(error: unknown, stream: string, shownUrl: string): unknown {
  const failure = requestFailure(error);
  switch (failure) {
    case 'stream_not_found':
      return new StreamNotFoundError(stream, shownUrl);
    case 'jetstream_disabled':
    case 'jetstream_unavailable':
      return new JetStreamUnavailableError(shownUrl, (error as Error).message);
    case 'no_responders':
      return new JetStreamUnavailableError(shownUrl, 'nobody answers on the JetStream API');
    case 'timeout':
      return new JetStreamUnavailableError(shownUrl, 'the JetStream API does not answer');
    case 'not_permitted':
      return new NatsAuthError(shownUrl, (error as Error).message);
    case 'disconnected':
      return new NatsUnreachableError(shownUrl, 'the connection was lost');
    case 'consumer_not_found':
    case 'consumer_not_created':
    case 'message_not_found':
    case 'wrong_last_sequence':
    case 'api_error':
    case 'other':
    case null:
      return error;
  }
}

export interface Attempt {
  /** The addresses as they were given, with whatever secret they hold. */
  readonly url: string;
  /** The addresses without it. */
  readonly shownUrl: string;
  /** Whether a server showed a certificate that was accepted. */
  readonly wasEncrypted: boolean;
}

/** What an error at connecting means to an operator. No part of the address's user, password or token is in it. */
export function explainConnectError({ url, shownUrl, wasEncrypted }: Attempt, error: unknown): HeadwayError {
  const { code, message } = (
    error instanceof Error ? error : new Error('unknown error')
  ) as NodeJS.ErrnoException;
  const unreachable = (detail: string, remedy?: string): HeadwayError =>
    new NatsUnreachableError(shownUrl, detail, remedy);
  switch (code) {
    case ErrorCode.AuthorizationViolation:
    case ErrorCode.AuthenticationExpired:
    case ErrorCode.BadAuthentication:
      return new NatsAuthError(shownUrl, 'authorization violation');
    case ErrorCode.ConnectionRefused:
      return unreachable(wasClosed(error) ? 'it ended the connection without a word' : 'connection refused');
    case ErrorCode.Timeout:
      return unreachable(
        wasEncrypted
          ? 'no answer within 5 s over TLS: it may want a certificate, which NATS_CERT and NATS_KEY would name, or refuse the one they name'
          : 'no answer within 5 s',
      );
    case ErrorCode.ServerOptionNotAvailable:
      return unreachable('tls://, NATS_CA and NATS_CERT ask for TLS, but it offers none');
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return unreachable(
        'its certificate is for another host than the one in NATS_URL',
        'Set NATS_URL to a name that is in the certificate, or give the server a certificate with this one.',
      );
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return unreachable(
        `its certificate is not valid at this time: ${code}`,
        'Give the server a certificate that is, and look at the clocks of both machines.',
      );
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'CERT_SIGNATURE_FAILURE':
      return unreachable(
        `its certificate is not from an authority that is trusted here: ${code}`,
        'Set NATS_CA to a PEM file with the certificate of the authority that has signed it.',
      );
    case 'ERR_INVALID_URL':
      return unreachable('NATS_URL is not an address');
    default:
  }
  if (error instanceof URIError) return unreachable('a % in the user or password of NATS_URL begins no code');
  if (/authorization/i.test(message)) return new NatsAuthError(shownUrl, 'authorization violation');
  return unreachable(withoutCredentials(message, url));
}

// What the package makes of a connection that ends before the server has greeted.
function wasClosed(error: unknown): boolean {
  return error instanceof NatsError && /undefined error/.test(error.chainedError?.message ?? '');
}
