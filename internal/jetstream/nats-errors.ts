import { ErrorCode, NatsError } from 'nats';
import {
  HeadwayError,
  JetStreamUnavailableError,
  NatsAuthError,
  NatsUnreachableError,
  StreamNotFoundError,
} from '../errors.js';
import { ConnectionLostError } from './connection-monitor.js';
import { apiErrorCode } from './stream.js';

const STREAM_NOT_FOUND = 10059;
const JETSTREAM_NOT_ENABLED = [10039, 10076];

/**
 * What an error of a request to JetStream means to an operator; what is no such error is returned as it is.
 * @param shownUrl addresses without credentials
 */
export function explainRequestError(error: unknown, stream: string, shownUrl: string): unknown {
  if (error instanceof ConnectionLostError)
    return new NatsUnreachableError(shownUrl, 'the connection was lost');
  if (!(error instanceof NatsError) || error instanceof HeadwayError) return error;
  const code = apiErrorCode(error);
  if (code === STREAM_NOT_FOUND) return new StreamNotFoundError(stream, shownUrl);
  if (code !== null && JETSTREAM_NOT_ENABLED.includes(code)) {
    return new JetStreamUnavailableError(shownUrl, error.message);
  }
  switch (error.code) {
    // Nobody listens on the JetStream API at all.
    case ErrorCode.NoResponders:
      return new JetStreamUnavailableError(shownUrl, 'nobody answers on the JetStream API');
    case ErrorCode.Timeout:
      return new JetStreamUnavailableError(shownUrl, 'the JetStream API does not answer');
    case ErrorCode.PermissionsViolation:
      return new NatsAuthError(shownUrl, `it does not permit this: ${error.message}`);
    case ErrorCode.ConnectionClosed:
    case ErrorCode.ConnectionDraining:
    case ErrorCode.Disconnect:
      return new NatsUnreachableError(shownUrl, 'the connection was lost');
    default:
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
  return unreachable(scrub(message, url));
}

// What the package makes of a connection that ends before the server has greeted.
function wasClosed(error: unknown): boolean {
  return error instanceof NatsError && /undefined error/.test(error.chainedError?.message ?? '');
}

/** `text` without any part of what stands before an `@` in `url`: a server may say what it was told. */
function scrub(text: string, url: string): string {
  const before = url.slice(0, Math.max(0, url.lastIndexOf('@'))).replaceAll(/(^|,)\w+:\/\//g, '$1');
  const raw = [before, ...before.split(/[,@]/), ...before.split(/[\s:,/@]+/)];
  const deps = new Set(raw.flatMap((part) => [part, decoded(part)]).filter((part) => part !== ''));
  const longestFirst = [...deps].sort((one, other) => other.length - one.length);
  return longestFirst.reduce((rest, part) => rest.replaceAll(part, '…'), text);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}
