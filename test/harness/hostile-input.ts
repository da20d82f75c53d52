/** What clients and workers may send, at random: mostly nearly right, so that it gets past the first check. */
import fc from 'fast-check';
import { event } from './publish.js';
import { handshake, OPCODE } from './raw-socket.js';

export const ENDPOINT = '/ws/upload-progress';

/** One character for each byte. */
const anyBytes = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const awkward = fc.constantFrom(
  '%00',
  '%',
  '..',
  '//',
  '?',
  '#',
  '&',
  '=',
  '\0',
  '\xff',
  '{}',
  '[',
  '"',
  '\\',
);
const withoutBreaks = (text: string): string => text.replace(/[\r\n]/g, '.');

/** The content of a client's frame; bytes are sent as a binary one. */
export const clientFrame: fc.Arbitrary<string | Buffer> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      '{"type":"ping"}',
      ' {"a":[{}],"type":"pi\\u006eg"}',
      '{"type":"auth","token":"x"}',
    ),
  },
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.json(),
  fc
    .record(
      {
        type: fc.oneof(
          fc.constantFrom('ping', 'pong', 'auth', 'hello', '__proto__', 'constructor'),
          fc.jsonValue(),
        ),
        token: fc.oneof(fc.string({ maxLength: 50 }), fc.jsonValue()),
        more: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    .map((frame) => JSON.stringify(frame)),
  fc
    .tuple(fc.constantFrom('[', '{"type":', '{"type":[', '"', ' '), fc.nat({ max: 20_000 }))
    .map(([piece, count]) => piece.repeat(count)),
  fc
    .tuple(fc.constantFrom('type', 'token'), fc.nat({ max: 8_000 }))
    .map(([name, count]) => `{"type":"auth","${name}":${'['.repeat(count)}0${']'.repeat(count)}}`),
);

/** A few WebSocket frames; `cut` is how many bytes at the end of one are not sent. */
export const rawFrames = fc.array(
  fc.record({
    opcode: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...Object.values(OPCODE)) },
      fc.nat({ max: 15 }),
    ),
    fin: fc.boolean(),
    rsv: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.nat({ max: 7 })),
    masked: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, fc.constant(false)),
    payload: fc.oneof(fc.constant('{"type":"ping"}'), anyBytes),
    cut: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.nat({ max: 20 })),
  }),
  { minLength: 1, maxLength: 10 },
);

const wild = fc.oneof(awkward, anyBytes);
/** What gets through the parser of HTTP more often than not. */
const tame = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 10 }).map((text) => encodeURIComponent(text)),
  fc.constantFrom(
    'job-1',
    'x'.repeat(200),
    '0',
    '-1',
    '1e3',
    '9007199254740993',
    'pdf',
    '%2e%2e',
    '%ff',
    '%zz',
  ),
);
const part = fc.oneof({ weight: 5, arbitrary: tame }, wild);

/** A path with a query, as it stands in the first line of a request. */
export const target = fc
  .tuple(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(ENDPOINT, `${ENDPOINT}/`, `${ENDPOINT}/a`) },
      fc.constantFrom('/', '/livez', '/metrics', '/v1/jobs', '/sse/upload-progress', ''),
    ),
    fc.array(part, { maxLength: 2 }),
    fc.array(
      fc.tuple(
        fc.oneof({ weight: 3, arbitrary: fc.constantFrom('last_seq', 'epoch', 'job_type') }, part),
        part,
      ),
      { maxLength: 3 },
    ),
  )
  .map(([path, more, query]) => {
    const parameters = query.map(([name, value]) => `${name}=${value}`).join('&');
    const whole = `${path}${more.join('')}${query.length > 0 ? '?' : ''}${parameters}`;
    return withoutBreaks(whole).replaceAll(' ', '+');
  });

const headerName = fc.constantFrom(
  ...['Origin', 'Authorization', 'Cookie', 'Accept', 'Last-Event-ID', 'X-Forwarded-For', 'Host', 'Expect'],
  ...['Sec-WebSocket-Protocol', 'Sec-WebSocket-Extensions', 'Sec-WebSocket-Key', 'Connection', 'Upgrade'],
  ...['Content-Length', 'Transfer-Encoding'],
);
const headerValue = fc.constantFrom('progress.v1', 'bearer.x', 'Bearer x', '0', 'chunked', 'x'.repeat(3_000));
const headers = fc
  .array(fc.tuple(fc.oneof({ weight: 5, arbitrary: headerName }, anyBytes), fc.oneof(headerValue, part)), {
    maxLength: 5,
  })
  .map((all) => all.map(([name, value]) => `${withoutBreaks(name)}: ${withoutBreaks(value)}\r\n`).join(''));
const method = fc.oneof(
  { weight: 4, arbitrary: fc.constant('GET') },
  fc.constantFrom('HEAD', 'POST', 'OPTIONS', 'get', ''),
  anyBytes.map(withoutBreaks),
);

/** A handshake or a request with any headers, or no HTTP at all. */
export const request = fc.oneof(
  { weight: 4, arbitrary: headers.map((all) => handshake(`${ENDPOINT}/a`, all)) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(method, headers)
      .map(([verb, all]) => `${verb} /livez HTTP/1.1\r\nHost: a\r\n${all}\r\n`),
  },
  anyBytes,
);

const fieldName = fc.constantFrom(
  ...['processing_id', 'status', 'progress', 'timestamp', 'type', 'message', 'job_type', 'attempt', 'step'],
  ...['error', 'result', 'seq', 'prev_seq', '__proto__', 'own'],
);
const change = fc.record({ at: fc.nat(), to: fc.nat({ max: 255 }) });

/** The body of a message on a job's subject: noise, JSON, or an event with anything in its fields and bytes changed. */
export const body: fc.Arbitrary<(id: string) => Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 100 }).map((bytes) => () => bytes),
  fc.json().map((text) => () => Buffer.from(text)),
  fc
    .tuple(fc.dictionary(fieldName, fc.jsonValue(), { maxKeys: 3 }), fc.array(change, { maxLength: 3 }))
    .map(([more, changes]) => (id: string) => {
      const bytes = Buffer.from(JSON.stringify({ ...event(id), ...more }));
      for (const { at, to } of changes) bytes[at % bytes.length] = to;
      return bytes;
    }),
);
