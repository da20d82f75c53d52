import { ErrorCode, NatsError } from 'nats';
import { describe, expect, test } from 'vitest';
import { ConnectionLostError } from '../../internal/jetstream/connection-monitor.js';
import {
  explainRequestError,
  isApiError,
  type RequestFailure,
  requestFailure,
} from '../../internal/jetstream/nats-errors.js';

/** An error that the JetStream API has answered, as the package throws it. */
function answered(code: number, errCode: number, description: string): NatsError {
  const error = new NatsError(description, String(code));
  error.api_error = { code, err_code: errCode, description };
  return error;
}

const client = (code: ErrorCode): NatsError => NatsError.errorForCode(code);

const UNAVAILABLE = 'jetstream_unavailable';

describe('what goes wrong with a request has one name, and means one thing to an operator', () => {
  test.each<[string, unknown, RequestFailure | null, string | null, RegExp | null]>([
    ['no stream', answered(404, 10059, 'stream not found'), 'stream_not_found', 'stream_missing', /PROGRESS/],
    ['no consumer', answered(404, 10014, 'consumer not found'), 'consumer_not_found', null, null],
    ['no message', answered(404, 10037, 'no message found'), 'message_not_found', null, null],
    ['a newer message', answered(400, 10071, 'wrong last sequence: 7'), 'wrong_last_sequence', null, null],
    ['no files', answered(500, 10012, 'error creating store'), 'consumer_not_created', null, null],
    ['no JetStream', answered(503, 10076, 'not enabled'), 'jetstream_disabled', UNAVAILABLE, /not enabled/],
    ['no account', answered(503, 10039, 'not for account'), 'jetstream_disabled', UNAVAILABLE, /for account/],
    // It has the status of "nobody listens", and is an answer all the same.
    [
      'no leader',
      answered(503, 10008, 'no leader now'),
      'jetstream_unavailable',
      UNAVAILABLE,
      /no leader now/,
    ],
    ['another answer', answered(400, 10065, 'subjects overlap'), 'api_error', null, null],
    ['nobody', client(ErrorCode.NoResponders), 'no_responders', UNAVAILABLE, /nobody answers/],
    ['no answer', client(ErrorCode.Timeout), 'timeout', UNAVAILABLE, /does not answer/],
    ['no permission', client(ErrorCode.PermissionsViolation), 'not_permitted', 'nats_unauthorized', null],
    ['a closed connection', client(ErrorCode.ConnectionClosed), 'disconnected', 'nats_unreachable', /lost/],
    ['a draining one', client(ErrorCode.ConnectionDraining), 'disconnected', 'nats_unreachable', /lost/],
    ['a cut one', client(ErrorCode.Disconnect), 'disconnected', 'nats_unreachable', /lost/],
    ['a lost one', new ConnectionLostError(), 'disconnected', 'nats_unreachable', /lost/],
    ['anything else of the package', client(ErrorCode.BadJson), 'other', null, null],
    ['anything else', new TypeError('x is not a function'), null, null, null],
    ['a text', 'boom', null, null, null],
  ])('%s', (_, error, name, code, words) => {
    expect(requestFailure(error)).toBe(name);
    const explained = explainRequestError(error, 'PROGRESS', 'nats://here:4222');
    if (code === null) expect(explained).toBe(error);
    else expect(explained).toMatchObject({ code });
    if (words !== null) expect((explained as Error).message).toMatch(words);
  });

  test('an error that was answered is told from one that was not', () => {
    expect(isApiError(answered(503, 10008, 'no leader now'))).toBe(true);
    expect(isApiError(client(ErrorCode.NoResponders))).toBe(false);
    expect(isApiError(new Error('x'))).toBe(false);
  });
});
