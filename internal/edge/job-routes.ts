import { closeCode, ERROR_CODES, type ErrorCode } from '../../schemas/close-codes.js';
import { show } from '../../schemas/explain.js';
import { isProcessingId } from '../../schemas/ids.js';
import { within } from '../async.js';
import { inScope, type LogRecord, type Scope, withoutPrevSeq } from '../eventlog/record.js';
import type { IsWanted } from '../session/ports.js';
import type { ConnectionGuard, Handshake, UpgradeDecision } from './connection-guard.js';
import {
  type HttpResponseSpec,
  problem,
  REQUEST_FAILED,
  type Status,
  send,
  sendWhenReady,
} from './http-response.js';
import { readHandshake } from './request.js';
import { guarded, type Handler, type RoutingDeps } from './routing.js';
import type { App } from './uws.js';
import { type Refused, refusedAs } from './websocket.js';

const JOBS_PATH = '/v1/jobs';
/** NATS may be away; somebody who asks once does not wait for ever. */
const DEADLINE_MS = 10_000;
const PREFLIGHT_SECONDS = '600';

export interface JobRoutesDeps extends RoutingDeps {
  readonly guard: ConnectionGuard;
  /**
   * The newest valid event of a job, from memory or from JetStream; null when it has none.
   * @param requester by whose turn it is read
   */
  readonly lastState: (id: string, requester: string, isWanted: IsWanted) => Promise<LogRecord | null>;
  readonly refused: (refusal: Refused) => void;
}

/** Registers `GET` and `HEAD /v1/jobs/{id}`, a job's last state for who asks once. PROTOCOL.md, "Over HTTP". */
export function routeJobs(app: App, deps: JobRoutesDeps): void {
  app.options(
    `${JOBS_PATH}/*`,
    guarded(deps, (res, req) => send(res, preflight(deps.guard, readHandshake(res, req)))),
  );
  app.get(`${JOBS_PATH}/:id`, guarded(deps, lastStateHandler(deps, false)));
  app.head(`${JOBS_PATH}/:id`, guarded(deps, lastStateHandler(deps, true)));
}

function lastStateHandler(deps: JobRoutesDeps, isHead: boolean): Handler {
  return (res, req) => {
    const id = req.getParameter(0) ?? '';
    // A subprotocol is a WebSocket's; over HTTP a token in it is none.
    const handshake = { ...readHandshake(res, req), subprotocols: '' };
    const entry = deps.guard.checkUpgrade(handshake);
    const make = async (isWanted: IsWanted): Promise<() => HttpResponseSpec> => {
      const made = await answerFor(deps, entry, id, isWanted).catch((error: unknown) => {
        deps.failed(error);
        return () => REQUEST_FAILED;
      });
      if (entry.kind === 'pending') deps.guard.release(entry.pending);
      return () => withOrigin(made(), entry, handshake.origin);
    };
    sendWhenReady(res, make, isHead);
  };
}

async function answerFor(
  deps: JobRoutesDeps,
  entry: UpgradeDecision,
  id: string,
  isWanted: IsWanted,
): Promise<() => HttpResponseSpec> {
  if (entry.kind === 'rejected') {
    const { status, code, detail, retryAfterSeconds } = entry;
    deps.refused(refusedAs(entry));
    return () => problem(status, code, detail, retryAfterSeconds);
  }
  const refuse = (
    code: ErrorCode,
    message: string,
    why: Pick<Refused, 'defect' | 'limit'> = NOTHING,
  ): HttpResponseSpec => {
    deps.refused({ code, address: entry.pending.address, ...why });
    return problemOf(code, message);
  };
  if (!isProcessingId(id)) {
    const message = `processing_id is ${show(id)}; expected 1 to 128 of A-Z a-z 0-9 _ -`;
    return () => refuse('invalid_processing_id', message);
  }
  const admitted = await deps.guard.authorize(entry.pending, { kind: 'job', id, jobTypes: null });
  if (!admitted.ok) {
    const message = admitted.defect === 'missing' ? NO_TOKEN : admitted.message;
    return () => refuse(admitted.code, message, admitted);
  }
  const last = await inTime((isStill) =>
    deps.lastState(id, admitted.requester, () => isWanted() && isStill()),
  );
  return () => {
    // JetStream may have taken longer than the token lasts.
    const expired = deps.guard.expiredAt(admitted.credentials);
    if (expired !== null)
      return refuse('token_expired', `the token expired at ${expired}; ask with a new one`);
    if (last === 'late') return refuse('internal', 'the history cannot be read now; ask again in a moment');
    return shown(last, admitted.scope) ?? refuse('forbidden', 'the token does not open this job');
  };
}

const NO_TOKEN = 'there is no token; send it in the header "Authorization: Bearer <token>"';
const NOTHING = { defect: null, limit: null } as const;

// null: its type is known, and not opened.
function shown(last: LogRecord | null, scope: Scope): HttpResponseSpec | null {
  if (last === null) return NO_EVENT;
  const body = scope.jobTypes === null ? last.frame : withoutPrevSeq(last);
  if (inScope(scope, last)) return { status: 200, contentType: 'application/json', body: `${body}\n` };
  return last.jobType === undefined ? NO_EVENT : null;
}

const NO_EVENT = problem(404, 'no_event', 'this job has no event yet, or none is kept any more');

const STATUS_OF: Readonly<Record<number, Status>> = {
  [closeCode('bad_request')]: 400,
  [closeCode('unauthorized')]: 401,
  [closeCode('forbidden')]: 403,
  [closeCode('too_many_connections')]: 429,
  [closeCode('overloaded')]: 503,
};

function problemOf(code: ErrorCode, message: string): HttpResponseSpec {
  const status = STATUS_OF[closeCode(ERROR_CODES[code])] ?? 500;
  const answer = problem(status, code, message, status === 429 || status === 503 ? 1 : null);
  return status === 401 ? { ...answer, headers: { 'www-authenticate': 'Bearer' } } : answer;
}

function inTime<T>(read: (isStill: IsWanted) => Promise<T>): Promise<T | 'late'> {
  let isOver = false;
  return within(
    read(() => !isOver),
    DEADLINE_MS,
    () => {
      isOver = true;
      return 'late';
    },
  );
}

// A page may read the answer, a refusal too, when its origin may connect.
function withOrigin(answer: HttpResponseSpec, entry: UpgradeDecision, origin: string): HttpResponseSpec {
  if (origin === '' || (entry.kind === 'rejected' && entry.code === 'forbidden_origin')) return answer;
  return { ...answer, headers: { ...answer.headers, ...cors(origin) } };
}

const cors = (origin: string) => ({ 'access-control-allow-origin': origin, vary: 'Origin' });

function preflight(guard: ConnectionGuard, handshake: Handshake): HttpResponseSpec {
  if (!guard.isOriginAllowed(handshake))
    return problem(403, 'forbidden_origin', 'pages of this origin may not ask');
  return {
    status: 204,
    contentType: 'text/plain',
    body: '',
    headers: {
      ...cors(handshake.origin),
      'access-control-allow-methods': 'GET',
      'access-control-allow-headers': 'Authorization',
      'access-control-max-age': PREFLIGHT_SECONDS,
    },
  };
}
