import { ErrorCode, NatsError } from 'nats';
import {
  HeadwayError,
  JetStreamUnavailableError,
  NatsAuthError,
  NatsUnreachableError,
  StreamMissingError,
} from '../errors.js';
import { LinkLostError } from './connection-monitor.js';
import { apiErrorCode } from './stream.js';

const STREAM_NOT_FOUND = 10059;
const JETSTREAM_NOT_ENABLED = [10039, 10076];

/**
 * What an error of a request to JetStream means to an operator; what is no such error is returned as it is.
 * @param shownUrl addresses without credentials
 */
export function explainRequestError(error: unknown, stream: string, shownUrl: string): unknown {
  if (error instanceof LinkLostError) return new NatsUnreachableError(shownUrl, 'the connection was lost');
  if (!(error instanceof NatsError) || error instanceof HeadwayError) return error;
  const code = apiErrorCode(error);
  if (code === STREAM_NOT_FOUND) return new StreamMissingError(stream, shownUrl);
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
