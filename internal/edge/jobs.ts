import { closeCode, ERROR_CODES, type ErrorCode } from '../../schemas/close-codes.js';
import { show } from '../../schemas/explain.js';
import { isProcessingId } from '../../schemas/ids.js';
import { type LogRecord, withoutPrevSeq } from '../eventlog/record.js';
import { inScope, type Scope } from '../eventlog/scope.js';
import type { IsWanted } from '../session/ports.js';
import { type Answer, problem, type Status, send, sendWhenReady } from './answer.js';
import type { Door, Entry, Knock } from './door.js';
import { knockOf } from './knock.js';
import { guarded, type Handler, type RoutingParts } from './routing.js';
import type { App } from './uws.js';
import { type Refused, refusedAs } from './websocket.js';

const JOBS_PATH = '/v1/jobs';
/** NATS may be away; somebody who asks once does not wait for ever. */
const DEADLINE_MS = 10_000;
const PREFLIGHT_SECONDS = '600';

export interface JobsParts extends RoutingParts {
  readonly door: Door;
  /**
   * The newest valid event of a job, from memory or from JetStream; null when it has none.
   * @param requester by whose turn it is read
   */
  readonly lastState: (id: string, requester: string, isWanted: IsWanted) => Promise<LogRecord | null>;
  readonly refused: (refusal: Refused) => void;
}

/** Registers `GET` and `HEAD /v1/jobs/{id}`, a job's last state for who asks once. PROTOCOL.md, "Over HTTP". */
export function routeJobs(app: App, parts: JobsParts): void {
  app.options(
    `${JOBS_PATH}/*`,
    guarded(parts, (res, req) => send(res, preflight(parts.door, knockOf(res, req)))),
  );
  app.get(`${JOBS_PATH}/:id`, guarded(parts, lastStateHandler(parts, false)));
  app.head(`${JOBS_PATH}/:id`, guarded(parts, lastStateHandler(parts, true)));
}

function lastStateHandler(parts: JobsParts, isHead: boolean): Handler {
  return (res, req) => {
    const id = req.getParameter(0) ?? '';
    // A subprotocol is a WebSocket's; over HTTP a token in it is none.
    const knock = { ...knockOf(res, req), subprotocols: '' };
    const entry = parts.door.knock(knock);
    const make = async (isWanted: IsWanted): Promise<() => Answer> => {
      const made = await answerFor(parts, entry, id, isWanted).catch((error: unknown) => {
        parts.failed(error);
        return () => problem(500, 'internal', 'this request failed; it was logged');
      });
      if (entry.kind === 'visitor') parts.door.leave(entry.visitor);
      return () => withOrigin(made(), entry, knock.origin);
    };
    sendWhenReady(res, make, isHead);
  };
}

async function answerFor(
  parts: JobsParts,
  entry: Entry,
  id: string,
  isWanted: IsWanted,
): Promise<() => Answer> {
  if (entry.kind === 'turned') {
    const { status, code, detail, retryAfterSeconds } = entry;
    parts.refused(refusedAs(entry));
    const headers = retryAfterSeconds === null ? {} : { 'retry-after': String(retryAfterSeconds) };
    return () => ({ ...problem(status, code, detail), headers });
  }
  const refuse = (
    code: ErrorCode,
    message: string,
    why: Pick<Refused, 'defect' | 'limit'> = NOTHING,
  ): Answer => {
    parts.refused({ code, address: entry.visitor.address, ...why });
    return problemOf(code, message);
  };
  if (!isProcessingId(id)) {
    const message = `processing_id is ${show(id)}; expected 1 to 128 of A-Z a-z 0-9 _ -`;
    return () => refuse('invalid_processing_id', message);
  }
  const admitted = await parts.door.admit(entry.visitor, { kind: 'job', id, jobTypes: null });
  if (!admitted.ok) {
    const message = admitted.defect === 'missing' ? NO_TOKEN : admitted.message;
    return () => refuse(admitted.code, message, admitted);
  }
  const last = await inTime((isStill) =>
    parts.lastState(id, admitted.requester, () => isWanted() && isStill()),
  );
  return () => {
    // JetStream may have taken longer than the token lasts.
    const expired = parts.door.expiredAt(admitted.permit);
    if (expired !== null)
      return refuse('token_expired', `the token expired at ${expired}; ask with a new one`);
    if (last === 'late') return refuse('internal', 'the history cannot be read now; ask again in a moment');
    return shown(last, admitted.scope) ?? refuse('forbidden', 'the token does not open this job');
  };
}

const NO_TOKEN = 'there is no token; send it in the header "Authorization: Bearer <token>"';
const NOTHING = { defect: null, limit: null } as const;

// null: its type is known, and not opened.
function shown(last: LogRecord | null, scope: Scope): Answer | null {
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

function problemOf(code: ErrorCode, message: string): Answer {
  const status = STATUS_OF[closeCode(ERROR_CODES[code])] ?? 500;
  const answer = problem(status, code, message);
  if (status === 401) return { ...answer, headers: { 'www-authenticate': 'Bearer' } };
  return status === 429 || status === 503 ? { ...answer, headers: { 'retry-after': '1' } } : answer;
}

async function inTime<T>(read: (isStill: IsWanted) => Promise<T>): Promise<T | 'late'> {
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => {
      isOver = true;
      resolve('late');
    }, DEADLINE_MS);
  });
  try {
    const answer = read(() => !isOver);
    answer.catch(() => undefined);
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

// A page may read the answer, a refusal too, when its origin may connect.
function withOrigin(answer: Answer, entry: Entry, origin: string): Answer {
  if (origin === '' || (entry.kind === 'turned' && entry.code === 'forbidden_origin')) return answer;
  return { ...answer, headers: { ...answer.headers, ...cors(origin) } };
}

const cors = (origin: string) => ({ 'access-control-allow-origin': origin, vary: 'Origin' });

function preflight(door: Door, knock: Knock): Answer {
  if (!door.isWelcome(knock)) return problem(403, 'forbidden_origin', 'pages of this origin may not ask');
  return {
    status: 204,
    contentType: 'text/plain',
    body: '',
    headers: {
      ...cors(knock.origin),
      'access-control-allow-methods': 'GET',
      'access-control-allow-headers': 'Authorization',
      'access-control-max-age': PREFLIGHT_SECONDS,
    },
  };
}
