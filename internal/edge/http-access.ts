import { closeCode, ERROR_CODES, type ErrorCode } from '../../schemas/close-codes.js';
import type { RequestedScope } from '../session/ports.js';
import type {
  AuthResult,
  ConnectionGuard,
  Handshake,
  PendingConnection,
  UpgradeDecision,
  UpgradeRejection,
} from './connection-guard.js';
import { type HttpResponseSpec, problem, type Status, send } from './http-response.js';
import { readHandshake } from './request.js';
import { guarded, type RequestHead, type RoutingDeps } from './routing.js';
import type { App, HttpRequest } from './uws.js';

// What every request over HTTP goes through that asks for something of a job. PROTOCOL.md, "Over HTTP".

const PREFLIGHT_SECONDS = '600';
const NO_TOKEN = 'there is no token; send it in the header "Authorization: Bearer <token>"';

/** What a request says of who makes it. A subprotocol is a WebSocket's; over HTTP a token in it is none. */
export function readHttpHandshake(head: RequestHead, req: HttpRequest): Handshake {
  return { ...readHandshake(head, req), subprotocols: '' };
}

/** Checks the token of a request, as the guard does, and says what HTTP takes. Never rejects. */
export async function authorizeHttp<S extends RequestedScope>(
  guard: ConnectionGuard,
  pending: PendingConnection,
  scope: S,
): Promise<AuthResult<S>> {
  const admitted = await guard.authorize(pending, scope);
  return !admitted.ok && admitted.defect === 'missing' ? { ...admitted, message: NO_TOKEN } : admitted;
}

const STATUS_OF: Readonly<Record<number, Status>> = {
  [closeCode('bad_request')]: 400,
  [closeCode('unauthorized')]: 401,
  [closeCode('forbidden')]: 403,
  [closeCode('too_many_connections')]: 429,
  [closeCode('overloaded')]: 503,
};

/** An error of the protocol as an answer over HTTP. */
export function problemOf(code: ErrorCode, message: string): HttpResponseSpec {
  const status = STATUS_OF[closeCode(ERROR_CODES[code])] ?? 500;
  const answer = problem(status, code, message, isRetryable(status) ? 1 : null);
  return status === 401 ? { ...answer, headers: { 'www-authenticate': 'Bearer' } } : answer;
}

/** Whether the same request may succeed in a moment. */
export const isRetryable = (status: Status): boolean => status === 429 || status === 503;

/** A request that is refused before its token is looked at. */
export function rejection({ status, code, detail, retryAfterSeconds }: UpgradeRejection): HttpResponseSpec {
  return problem(status, code, detail, retryAfterSeconds);
}

/** The answer for a page of another origin: it may read it, a refusal too, when its origin may connect. */
export function withOrigin(
  answer: HttpResponseSpec,
  entry: UpgradeDecision,
  origin: string,
): HttpResponseSpec {
  return { ...answer, headers: { ...answer.headers, ...originHeaders(entry, origin) } };
}

export function originHeaders(entry: UpgradeDecision, origin: string): Readonly<Record<string, string>> {
  if (origin === '' || (entry.kind === 'rejected' && entry.code === 'forbidden_origin')) return {};
  return { ...cors(origin), 'access-control-expose-headers': 'ETag, Link, Retry-After' };
}

const cors = (origin: string) => ({ 'access-control-allow-origin': origin, vary: 'Origin' });

/** Answers every method of a path that is not served there. */
export function routeOtherMethods(app: App, deps: RoutingDeps, path: string, served: string): void {
  const handler = guarded(deps, (res, req) => {
    const method = req.getCaseSensitiveMethod();
    const answer = problem(
      405,
      'method_not_allowed',
      `${method} is not served here; expected one of: ${served}`,
    );
    send(res, { ...answer, headers: { allow: served } }, method === 'HEAD');
  });
  app.any(path, handler);
  // HEAD of everything else has a route of its own, which would come first.
  if (!served.includes('HEAD')) app.head(path, handler);
}

/** Tells a browser whether the page of another origin may ask. */
export function preflight(guard: ConnectionGuard, handshake: Handshake): HttpResponseSpec {
  if (!guard.isOriginAllowed(handshake))
    return problem(403, 'forbidden_origin', 'pages of this origin may not ask');
  return {
    status: 204,
    contentType: 'text/plain',
    body: '',
    headers: {
      ...cors(handshake.origin),
      'access-control-allow-methods': 'GET',
      'access-control-allow-headers': 'Authorization, If-None-Match, Last-Event-ID',
      'access-control-max-age': PREFLIGHT_SECONDS,
    },
  };
}
