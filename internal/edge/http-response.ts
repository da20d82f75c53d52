import { createHash } from 'node:crypto';
import type { HttpResponse } from './uws.js';

const STATUS = {
  200: '200 OK',
  204: '204 No Content',
  304: '304 Not Modified',
  400: '400 Bad Request',
  401: '401 Unauthorized',
  403: '403 Forbidden',
  404: '404 Not Found',
  405: '405 Method Not Allowed',
  410: '410 Gone',
  426: '426 Upgrade Required',
  429: '429 Too Many Requests',
  500: '500 Internal Server Error',
  503: '503 Service Unavailable',
} as const;
export type Status = keyof typeof STATUS;

/** An answer to one HTTP request. */
export interface HttpResponseSpec {
  readonly status: Status;
  readonly contentType: string;
  /** Bytes where it is compressed. */
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export function json(status: Status, body: unknown): HttpResponseSpec {
  return { status, contentType: 'application/json', body: `${JSON.stringify(body)}\n` };
}

/**
 * An error as RFC 9457 writes it.
 * @param retryAfterSeconds when it may be tried again; null: nothing is said of that
 * @param members what it has beside the usual members
 */
export function problem(
  status: Status,
  code: string,
  detail: string,
  retryAfterSeconds: number | null = null,
  members: Readonly<Record<string, unknown>> = {},
): HttpResponseSpec {
  const body = { type: 'about:blank', title: STATUS[status].slice(4), status, code, detail, ...members };
  return {
    status,
    contentType: 'application/problem+json',
    body: `${JSON.stringify(body)}\n`,
    ...(retryAfterSeconds !== null && { headers: { 'retry-after': String(retryAfterSeconds) } }),
  };
}

/** The tag of an answer that is made of these parts. */
export function etagOf(parts: readonly (string | Uint8Array)[]): string {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return `"${digest.digest('base64url').slice(0, 22)}"`;
}

/** An answer that has a tag, or 304 where whoever asks has it. */
export function withEtag(answer: HttpResponseSpec, ifNoneMatch: string): HttpResponseSpec {
  const known = ifNoneMatch.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  const isKnown = known.includes('*') || known.includes(answer.headers?.etag ?? '');
  return isKnown ? { ...answer, status: 304, body: '' } : answer;
}

/** The answer to a request whose handler failed. */
export const REQUEST_FAILED = problem(500, 'internal', 'this request failed; it was logged');

// What has a tag may be kept, and is asked for again each time.
const defaultCaching = ({ etag }: Readonly<Record<string, string>>): string =>
  etag === undefined ? 'no-store' : 'private, no-cache';

function writeHead(res: HttpResponse, { status, contentType, headers = {} }: HttpResponseSpec): void {
  res
    .writeStatus(STATUS[status])
    .writeHeader('content-type', contentType)
    .writeHeader('cache-control', headers['cache-control'] ?? defaultCaching(headers));
  for (const [name, value] of Object.entries(headers))
    if (name !== 'cache-control') res.writeHeader(name, value);
  if (status === 426) res.writeHeader('upgrade', 'websocket');
}

/**
 * Answers in a later turn of the event loop than the request came in. Until then the library takes no other request of
 * this connection and cuts off who sends one, and behind the answer the connection ends. So each connection costs one
 * answer, however many requests somebody writes at once.
 * @param isHead to a HEAD: without the body
 */
export function send(res: HttpResponse, answer: HttpResponseSpec, isHead = false): void {
  sendWhenReady(res, () => Promise.resolve(() => answer), isHead);
}

/**
 * The same for an answer that takes time.
 * @param make gives what makes the answer in the moment in which it leaves; `isWanted` tells whether somebody still
 * waits. Must not reject
 */
export function sendWhenReady(
  res: HttpResponse,
  make: (isWanted: () => boolean) => Promise<() => HttpResponseSpec>,
  isHead = false,
): void {
  let isAborted = false;
  res.onAborted(() => {
    isAborted = true;
  });
  void make(() => !isAborted).then((answer) => {
    inItsTurn(() => {
      if (isAborted) return 0;
      const made = answer();
      res.cork(() => writeAnswer(res, made, isHead));
      return made.body.length;
    });
  });
}

/** So many characters of answers are made and written in one turn of the event loop, and one answer more. */
const TURN_CHARACTERS = 256 * 1024;
const due: (() => number)[] = [];

/** Node runs all that `setImmediate` was given in one turn: a crowd that asks at once would hold up everybody else. */
function inItsTurn(write: () => number): void {
  if (due.push(write) === 1) setImmediate(writeDue);
}

function writeDue(): void {
  let written = 0;
  let count = 0;
  try {
    while (count < due.length && written < TURN_CHARACTERS) written += due[count++]?.() ?? 0;
  } finally {
    due.splice(0, count);
    if (due.length > 0) setImmediate(writeDue);
  }
}

/** Writes a whole answer. Within a cork. */
export function writeAnswer(res: HttpResponse, answer: HttpResponseSpec, isHead = false): void {
  writeHead(res, answer);
  // A body behind the answer to HEAD would be taken for the next answer. Its length is said to be 0, and not that of the
  // answer to GET: told a length without a body, the library waits for the body, and the connection does not end.
  res.end(isHead ? '' : answer.body, true);
}
