import type { ErrorCode } from '../../schemas/close-codes.js';
import { within } from '../async.js';
import type { Scope } from '../eventlog/record.js';
import type { AnyConnection } from '../session/client-connection.js';
import type { Narrow, Resume, SelectedScope } from '../session/ports.js';
import type { AuthResult, UpgradeDecision } from './connection-guard.js';
import { EventStream, type EventStreamDeps } from './event-stream.js';
import {
  authorizeHttp,
  originHeaders,
  preflight,
  problemOf,
  readHttpHandshake,
  rejection,
  routeOtherMethods,
} from './http-access.js';
import { type HttpResponseSpec, send } from './http-response.js';
import type { JobReads } from './job-routes.js';
import { fixedJobs, type ParsedStreamRequest, parseStreamRequest, scopeIdOf } from './request.js';
import { guarded, type RequestHead } from './routing.js';
import { JointEncoder, SseEncoder } from './sse-encoder.js';
import type { App, HttpRequest, HttpResponse } from './uws.js';
import { type Refused, refusedAs, type WebSocketDeps } from './websocket.js';

export const SSE_PATH = '/sse/upload-progress';

/**
 * For so long it is asked whether the job has ended; then the stream begins, and waits as every session does. A proxy that
 * waited longer would answer by itself, and a browser never comes back after that.
 */
const END_LOOK_MS = 2_000;

export interface SseDeps
  extends EventStreamDeps,
    Pick<WebSocketDeps, 'guard' | 'connect' | 'maxFollowedJobs'> {
  readonly reads: Pick<JobReads, 'epoch' | 'hasSeenEnd'>;
  readonly refused: (refusal: Refused) => void;
}

/** Registers both endpoints of server-sent events: the same sessions as those of WebSockets. PROTOCOL.md, "Server-sent events". */
export function routeSse(app: App, deps: SseDeps): void {
  const route = (path: string, idOf: (req: HttpRequest) => string | null): void => {
    app.options(
      path,
      guarded(deps, (res, req, head) => send(res, preflight(deps.guard, readHttpHandshake(head, req)))),
    );
    app.get(
      path,
      guarded(deps, (res, req, head) => begin(res, req, head, idOf(req), deps)),
    );
    routeOtherMethods(app, deps, path, 'GET, OPTIONS');
  };
  route(SSE_PATH, () => null);
  route(`${SSE_PATH}/:id`, (req) => req.getParameter(0) ?? '');
}

function begin(
  res: HttpResponse,
  req: HttpRequest,
  head: RequestHead,
  id: string | null,
  deps: SseDeps,
): void {
  const handshake = readHttpHandshake(head, req);
  const request = parseStreamRequest(
    id,
    req.getQuery() ?? '',
    req.getHeader('last-event-id'),
    deps.maxFollowedJobs,
  );
  // What a browser's EventSource asks for: it never comes back after any other status than 200.
  const isEventSource = req.getHeader('accept').toLowerCase().includes('text/event-stream');
  const entry = deps.guard.checkUpgrade(handshake);
  const stream = new EventStream(res, deps, originHeaders(entry, handshake.origin), isEventSource);
  void serve(stream, request, entry, deps).catch((error: unknown) => {
    // What nobody waits for any more is not read: that is no failure.
    if (stream.isGone) return;
    deps.failed(error);
    stream.refuse(problemOf('internal', 'this request failed; it was logged'));
  });
}

async function serve(
  stream: EventStream,
  request: ParsedStreamRequest,
  entry: UpgradeDecision,
  deps: SseDeps,
): Promise<void> {
  if (entry.kind === 'rejected') {
    deps.refused(refusedAs(entry));
    const { code, detail: message } = entry;
    stream.refuse(rejection(entry), code === 'overloaded' ? { code, message } : null);
    return;
  }
  const { pending } = entry;
  stream.onGone(() => deps.guard.release(pending));
  const refuse = (
    code: ErrorCode,
    message: string,
    why: Pick<Refused, 'defect' | 'limit'> = NOTHING,
  ): void => {
    deps.refused({ code, address: pending.address, ...why });
    stream.refuse(problemOf(code, message), { code, message });
  };
  if (!request.ok) {
    refuse(request.code, request.message);
    return;
  }
  const admitted = await authorizeHttp(deps.guard, pending, request.scope);
  if (stream.isGone) return;
  if (!admitted.ok) {
    refuse(admitted.code, admitted.message, admitted);
    return;
  }
  const { scope, narrow, credentials, requester } = admitted;
  const { resume } = request;
  if (scope.kind === 'selected') {
    const refusal = refusalOfAll(scope.ids, narrow);
    if (refusal !== null) refuse('forbidden', refusal);
    else beginJobs(stream, { ...admitted, scope }, request, deps);
    return;
  }
  if (scope.kind === 'job' && resume !== null && isOfScope(resume, scope)) {
    let isLate = false;
    const isWanted = () => !stream.isGone && !isLate;
    const hasSeenEnd = await within(
      deps.reads.hasSeenEnd(scope, resume, requester, isWanted),
      END_LOOK_MS,
      () => {
        isLate = true;
        return false;
      },
    );
    // Without this answer a browser would come back for ever.
    if (hasSeenEnd) {
      stream.refuse(NO_CONTENT);
      return;
    }
  }
  if (stream.isGone) return;
  stream.begin(new SseEncoder(resume), (transport) =>
    deps.connect({ ...request, scope, requester, narrow }, credentials, transport),
  );
}

/** Follows several jobs; or answers that all of them are over, where the client was told so. */
function beginJobs(
  stream: EventStream,
  { scope, narrow, credentials, requester }: Extract<AuthResult<SelectedScope>, { ok: true }>,
  asked: Extract<ParsedStreamRequest, { ok: true }>,
  deps: SseDeps,
): void {
  const { resume, marks } = asked;
  const fixed = fixedJobs(scope.ids, narrow, resume, marks);
  const { scopeName } = fixed;
  if (fixed.over.size === scope.ids.length && resume?.epoch === deps.reads.epoch()) {
    stream.refuse(NO_CONTENT);
    return;
  }
  let connection: AnyConnection | null = null;
  const encoder = new JointEncoder(resume, scopeName, () => connection?.position() ?? null);
  stream.begin(encoder, (transport) => {
    const request = { ...asked, scope: { ...scope, fixed }, requester, narrow };
    connection = deps.connect(request, credentials, transport);
    return connection;
  });
}

/** Why none of these jobs is open; null: one is. */
function refusalOfAll(ids: readonly string[], narrow: Narrow): string | null {
  let refusal: string | null = null;
  for (const id of ids) {
    const opened = narrow({ kind: 'job', id, jobTypes: null });
    if (opened.ok) return null;
    refusal ??= opened.message;
  }
  return refusal;
}

/** Whether a cursor is of what is asked for, by what it says itself. */
const isOfScope = (resume: Resume, scope: Scope): boolean =>
  (resume.scope ?? null) === null || resume.scope === scopeIdOf(scope);

const NOTHING = { defect: null, limit: null } as const;
const NO_CONTENT: HttpResponseSpec = { status: 204, contentType: 'text/plain', body: '' };
