/** What is fuzzed, and what must hold whatever comes. Nothing here waits, listens or asks the clock. */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert/strict';
import { isIP } from 'node:net';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { extractToken } from '../../internal/auth/bearer-token.js';
import { parseJwtHeader } from '../../internal/auth/jwt-header.js';
import { headerLines, parseProxies, TrustedProxies } from '../../internal/edge/client-address.js';
import { limitKey } from '../../internal/edge/ip-address.js';
import { OriginPolicy, parseOrigins } from '../../internal/edge/origin.js';
import { chooseSubprotocol, parseRequest, parseSocketRequest } from '../../internal/edge/request.js';
import { decodeEvent } from '../../internal/eventlog/decode.js';
import { makeRecord, withoutPrevSeq, withPrevSeq } from '../../internal/eventlog/record.js';
import { parseClientFrame } from '../../internal/session/frames.js';
import type { RequestedScope, Resume } from '../../internal/session/ports.js';
import { SERVER_FRAMES } from '../../schemas/frames.js';
import { isJobType, isProcessingId, PROTOCOL } from '../../schemas/ids.js';
import { MAX_LEVELS } from '../../schemas/nesting.js';
import type { Target } from './guided.js';

const SECRET = 'eyJhbGciOiJIUzI1NiJ9.eyJqb2JzIjpbIioiXX0.c2VjcmV0LXNpZ25hdHVyZQ';
const bytesOf = (input: string): Uint8Array => Buffer.from(input, 'latin1');
/** As a socket gives it: UTF-8, with the replacement character for what is none. */
const textOf = (input: string): string => Buffer.from(input, 'latin1').toString();
/** Up to the first sign, and what is behind it. */
function cut(input: string, sign: string): [string, string] {
  const at = input.indexOf(sign);
  return at < 0 ? [input, ''] : [input.slice(0, at), input.slice(at + 1)];
}

/** A text for whoever sent the input: short, on one line, and nothing of a token in it. */
function isExplanation(message: string): void {
  ok(message.length > 0 && message.length <= 400, `an explanation of ${message.length} characters`);
  match(message, /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u, 'an explanation on one line');
  ok(!/eyJ[\w-]{10}/.test(message), 'a token in an explanation');
}

function queryOf(scope: RequestedScope, resume: Resume | null): string {
  const query = new URLSearchParams();
  if (scope.kind === 'selected') query.set('select', '');
  for (const id of scope.kind === 'selected' ? scope.ids : []) query.append('processing_id', id);
  for (const type of (scope.kind === 'all' && scope.jobTypes) || []) query.append('job_type', type);
  if (resume !== null) query.set('last_seq', String(resume.lastSeq));
  if (resume?.epoch) query.set('epoch', resume.epoch);
  if (resume?.scope) query.set('scope', resume.scope);
  return query.toString();
}

/** `<processing_id>?<query>`; without a question mark all jobs. */
const query: Target = {
  name: 'query',
  maxBytes: 2_048,
  seeds: [
    // Were repeated as they are: signs that a terminal obeys, and that turn text around.
    'a\x9bb?',
    '?epoch=%E2%80%AE%C2%85',
    '',
    'job-1?',
    'job-1?last_seq=3&epoch=abc&scope=0123456789abcdef',
    '?job_type=pdf.words&job_type=b',
    '?last_seq=0',
    '?select&processing_id=job-1&processing_id=b&processing_id=job-1&last_seq=3&epoch=abc',
    '?select=&job_type=a',
    'job-1?select',
  ],
  words: [
    'last_seq=',
    'epoch=',
    'scope=',
    'job_type=',
    'select',
    'processing_id=',
    '&',
    '=',
    '%00',
    '%2C',
    '%ff',
    '+',
    '9007199254740991',
    'token=',
  ],
  run(input) {
    const [path, raw] = cut(input, '?');
    const id = path === '' ? null : path;
    const parsed = parseSocketRequest(id, raw);
    if (!parsed.ok) return isExplanation(parsed.message);
    const { scope, resume } = parsed;
    switch (scope.kind) {
      case 'job':
        ok(isProcessingId(scope.id) && scope.id === id);
        break;
      case 'all':
        ok([...(scope.jobTypes ?? [])].every(isJobType));
        break;
      case 'selected':
        ok(id === null && scope.ids.every(isProcessingId));
        strictEqual(new Set(scope.ids).size, scope.ids.length, 'each job once');
        break;
    }
    // Elsewhere, where nobody can select, the same words mean the same.
    if (scope.kind !== 'selected') deepStrictEqual(parseRequest(id, raw), parsed);
    if (resume !== null) ok(Number.isSafeInteger(resume.lastSeq) && resume.lastSeq >= 0);
    deepStrictEqual(parseSocketRequest(id, queryOf(scope, resume)), parsed, 'the same request, written anew');
  },
};

/** The text of a frame; with a zero in front a binary one. */
const frames: Target = {
  name: 'frames',
  maxBytes: 9_000,
  seeds: [
    // Was repeated to whoever sent it.
    `{"type":"${SECRET}"}`,
    '{"type":"ping"}',
    `{"type":"auth","token":"${SECRET}"}`,
    '{"type":"auth","token":""}',
    '{"type":[1]}',
    '{"type":"follow","epoch":"abc","jobs":[{"processing_id":"a","last_seq":3,"scope":"0123456789abcdef"},{"processing_id":"b"}]}',
    '{"type":"follow","jobs":[]}',
    '{"type":"unfollow","jobs":["a","b"]}',
    '[]',
    '"x"',
    '\0x',
  ],
  words: [
    '"type":',
    '"ping"',
    '"auth"',
    '"token":',
    '"follow"',
    '"unfollow"',
    '"jobs":',
    '{"processing_id":"a"}',
    '"last_seq":',
    '"epoch":',
    '"scope":',
    '{',
    '}',
    '[',
    ']',
    ',',
    '"__proto__":',
    '\\u0000',
    '\\ud800',
    'null',
    SECRET,
  ],
  run(input) {
    const text = input.startsWith('\0') ? null : textOf(input);
    const parsed = parseClientFrame(text, 8_300);
    if (!parsed.ok) {
      isExplanation(parsed.message);
      return;
    }
    const value = JSON.parse(text ?? '') as unknown;
    deepStrictEqual(parsed.frame, value);
    const { frame } = parsed;
    switch (frame.type) {
      case 'auth':
        ok(frame.token.length >= 1 && frame.token.length <= 8_192);
        break;
      case 'follow':
        ok(frame.jobs.length >= 1 && frame.jobs.length <= 256);
        for (const { last_seq: lastSeq = 0 } of frame.jobs) ok(Number.isSafeInteger(lastSeq) && lastSeq >= 0);
        break;
      case 'unfollow':
        ok(frame.jobs.length >= 1 && frame.jobs.every((id) => id.length <= 256));
        break;
      case 'ping':
        break;
    }
  },
};

const proxies = new TrustedProxies(['10.0.0.0/8', '2001:db8:1::/48']);
const origins = new OriginPolicy(['https://app.example.com']);

/** `<peer>`, then lines of headers. */
const handshake: Target = {
  name: 'handshake',
  maxBytes: 4_096,
  seeds: [
    `10.0.0.1\nhost: a.example:443\norigin: https://a.example\nx-forwarded-proto: https\nx-forwarded-for: 203.0.113.5, 10.0.0.2`,
    `203.0.113.9\nsec-websocket-protocol: progress.v1, bearer.${SECRET}\norigin: https://app.example.com`,
    `2001:db8:1::5\nauthorization: Bearer ${SECRET}\nx-forwarded-for: [2001:db8:2::9]:443`,
    '10.0.0.1\norigin: null\nhost: [::1]:80\nx-forwarded-for: ::ffff:203.0.113.5%eth0',
    '10.0.0.1\nauthorization: Basic eA==\nauthorization: bearer',
  ],
  words: [
    ...[
      'authorization: ',
      'origin: ',
      'host: ',
      'x-forwarded-for: ',
      'x-forwarded-proto: ',
      'sec-websocket-protocol: ',
    ],
    ...[
      '\n',
      ', ',
      'Bearer ',
      'bearer.',
      'progress.v1',
      'https://',
      'http://',
      ':443',
      ':80',
      '::ffff:',
      '/64',
      '10.0.0.',
      'null',
      '@',
      '*',
    ],
    ...[
      'eyJhbGciOiJub25lIn0',
      'eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ',
      'eyJhbGciOiJIUzI1NiIsImNyaXQiOltdfQ',
      '.',
      '-',
      '_',
      '=',
    ],
  ],
  run(input) {
    const [peer, rest] = cut(input, '\n');
    const lines = rest.split('\n').map((line) => line.split(/: ?(.*)/s, 2));
    const header = headerLines({
      forEach(visit) {
        for (const [name = '', value = ''] of lines) visit(name, value);
      },
    });

    const forwarded = header('x-forwarded-for');
    const client = proxies.clientAddress(peer, forwarded);
    if (client !== peer && !proxies.isTrusted(peer))
      strictEqual(isIP(peer), 6, 'only the form of an IPv6 peer changes');
    ok(client === peer || isIP(client) !== 0, 'a client is its peer or an address');
    strictEqual(limitKey(limitKey(client)), limitKey(client));

    const isSecure = proxies.isSecure(peer, false, header('x-forwarded-proto'));
    if (!proxies.isTrusted(peer))
      strictEqual(isSecure, false, 'a stranger does not say that it came over TLS');
    const origin = header('origin');
    const match = origins.match(origin, header('host'), isSecure);
    strictEqual(match === 'none', origin === '');
    if (match === 'listed') strictEqual(origin, 'https://app.example.com');
    if (match === 'own') {
      const url = new URL(origin);
      strictEqual(url.protocol, isSecure ? 'https:' : 'http:');
      ok(url.pathname === '/' && url.username === '' && url.search === '' && url.hash === '');
    }

    const offered = header('sec-websocket-protocol');
    ok(
      ['', PROTOCOL].includes(chooseSubprotocol(offered, PROTOCOL)),
      'the answer holds nothing of the offer',
    );
    const carried = extractToken({
      authorization: header('authorization'),
      subprotocols: offered,
      query: null,
    });
    if (carried.kind === 'bad') {
      isExplanation(carried.message);
    }
    if (carried.kind === 'token') isEnvelope(carried.token);

    const listed = parseProxies(forwarded);
    if (listed.ok) new TrustedProxies(listed.list);
    const read = parseOrigins(origin);
    if (read.ok)
      for (const one of read.origins) deepStrictEqual(parseOrigins(one), { ok: true, origins: [one] });
  },
};

function isEnvelope(token: string): void {
  const opened = parseJwtHeader(token);
  if (!opened.ok) {
    isExplanation(opened.message);
    return;
  }
  match(token, /^[\w-]+\.[\w-]+\.[\w-]*$/);
  strictEqual(typeof opened.header.alg, 'string');
}

const VALID = '{"processing_id":"a","status":"processing","progress":1,"timestamp":"2026-01-01T00:00:00Z"';

/** `<subject> <body>`. */
const events: Target = {
  name: 'events',
  maxBytes: 4_096,
  seeds: [
    // Was repeated as it is in the reason.
    'progress.a {"\x1b[2J',
    `progress.a ${VALID}}`,
    `progress.a ${VALID},"type":"progress_update","seq":1,"prev_seq":[{"seq":2}],"job_type":"pdf","step":{"name":"x","index":1,"total":2}}`,
    'progress.a {"processing_id":"a","status":"completed","progress":100,"timestamp":"2026-01-01T00:00:00+01:00","result":{"a":[null]}}',
    'progress.a {"processing_id":"a","status":"error","progress":5,"timestamp":"2026-01-01T00:00:00.5Z","attempt":2,"error":{"code":"c","message":"m","retryable":true,"details":[1]}}',
    `progress.b ${VALID},"stall_after_seconds":5,"timeout_seconds":9,"eta_seconds":1,"indeterminate":true,"message":"m"}`,
    `progress.a ${VALID},"o":${'['.repeat(64)}${']'.repeat(64)}}`,
  ],
  words: [
    ...[
      '"seq":1',
      '"prev_seq":null',
      '"\\u0073eq":',
      '"type":"progress_update"',
      '"__proto__":',
      '"status":',
      '"error"',
      '"completed"',
    ],
    ...[
      '"attempt":',
      '"step":',
      '"result":',
      '"retryable":',
      '"processing_id":"a"',
      '"timestamp":',
      '"job_type":',
      '"message":',
    ],
    ...[
      '"stall_after_seconds":',
      '"timeout_seconds":',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      '\\"',
      ' ',
      '\n',
      'progress.',
      '\xc3\xa9',
      '\xef\xbb\xbf',
    ],
  ],
  run(input) {
    const [subject, body] = cut(input, ' ');
    const decoded = decodeEvent(textOf(subject), bytesOf(body));
    if (!decoded.ok) return isExplanation(decoded.detail);
    const record = makeRecord(decoded.event, 7, 3, 0);
    strictEqual(subject, `progress.${record.id}`);
    isFrameOf(body, record.frame, 3);
    isFrameOf(body, withoutPrevSeq(record), null);
    isFrameOf(body, withPrevSeq(makeRecord(decoded.event, 7, null, 0), 5), 5);
    ok(depthOf(record.frame) <= MAX_LEVELS, 'deeper than a client has to read');
  },
};

const updateCheck = TypeCompiler.Compile(SERVER_FRAMES.progress_update);

/** The worker's own members, all of them and as they were, with the edge's numbers over them. */
function isFrameOf(body: string, text: string, prevSeq: number | null): void {
  const frame = JSON.parse(text) as object;
  const own = Object.entries(JSON.parse(textOf(body)) as object).filter(
    ([name]) => !/^(?:seq|prev_seq|type)$/.test(name),
  );
  const wanted = [['type', 'progress_update'], ['seq', 7], ['prev_seq', prevSeq], ...own];
  deepStrictEqual(new Map(Object.entries(frame)), new Map(wanted as [string, unknown][]));
  for (const name of ['seq', 'prev_seq']) strictEqual(membersOf(text, name), 1, `"${name}" once`);
  ok(updateCheck.Check(frame), 'a frame as its schema says');
}

/** How often a member stands in the outermost object, whatever way its name is written in. */
function membersOf(text: string, name: string): number {
  let count = 0;
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/gs)) {
    if (/[{[]/.test(token[0] ?? '')) depth += 1;
    else if (/[}\]]/.test(token[0] ?? '')) depth -= 1;
    else if (depth === 1 && token.endsWith(':') && JSON.parse(token.replace(/\s*:$/, '')) === name)
      count += 1;
  }
  return count;
}

function depthOf(json: string): number {
  let depth = 0;
  let most = 0;
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]]/gs)) {
    if (token === '{' || token === '[') most = Math.max(most, ++depth);
    else if (token === '}' || token === ']') depth -= 1;
  }
  return most;
}

export const TARGETS: readonly Target[] = [handshake, frames, query, events];
