import type { ErrorCode } from '../../schemas/close-codes.js';
import { show } from '../../schemas/explain.js';
import type { JobStatus } from '../../schemas/http.js';
import { isProcessingId } from '../../schemas/ids.js';
import { within } from '../async.js';
import { inScope, type LogRecord, type Scope, withoutPrevSeq } from '../eventlog/record.js';
import type { FramesPage, NotReady, PageRange, StaleCursor } from '../session/job-reader.js';
import type { IsWanted, Resume } from '../session/ports.js';
import type { ConnectionGuard, UpgradeDecision } from './connection-guard.js';
import {
  authorizeHttp,
  preflight,
  problemOf,
  readHttpHandshake,
  rejection,
  routeOtherMethods,
  withOrigin,
} from './http-access.js';
import {
  etagOf,
  type HttpResponseSpec,
  problem,
  REQUEST_FAILED,
  send,
  sendWhenReady,
  withEtag,
} from './http-response.js';
import {
  nextQuery,
  type PageQuery,
  type ParsedQuery,
  parseEventsQuery,
  parseJobsQuery,
} from './job-queries.js';
import { readHandshake } from './request.js';
import { guarded, type Handler, type RoutingDeps } from './routing.js';
import type { App, HttpRequest } from './uws.js';
import { type Refused, refusedAs } from './websocket.js';

const JOBS_PATH = '/v1/jobs';
/** NATS may be away; somebody who asks once does not wait for ever. */
const DEADLINE_MS = 10_000;
const NDJSON = 'application/x-ndjson';

type JobScope = Extract<Scope, { kind: 'job' }>;
type AllScope = Extract<Scope, { kind: 'all' }>;

/** What is asked of the log for one request. `requester` says by whose turn it is read. */
export interface JobReads {
  /** The epoch of what is read here; null: the edge is loading. */
  epoch(): string | null;
  /** The newest valid event of a job, from memory or from JetStream; null when it has none. */
  lastState(id: string, requester: string, isWanted: IsWanted): Promise<LogRecord | null>;
  /** Whether a client with this cursor was sent the end of the job, so that it is owed nothing more. */
  hasSeenEnd(scope: JobScope, resume: Resume, requester: string, isWanted: IsWanted): Promise<boolean>;
  events(
    scope: JobScope,
    range: PageRange,
    requester: string,
    isWanted: IsWanted,
  ): Promise<FramesPage | StaleCursor | NotReady>;
  jobs(
    scope: AllScope,
    range: PageRange,
    statuses: ReadonlySet<JobStatus> | null,
    requester: string,
    isWanted: IsWanted,
  ): Promise<FramesPage | StaleCursor | NotReady>;
}

export interface JobRoutesDeps extends RoutingDeps {
  readonly guard: ConnectionGuard;
  readonly reads: JobReads;
  readonly refused: (refusal: Refused) => void;
}

/** Registers what is asked once, over HTTP: a job's last state, its events, and the list of jobs. PROTOCOL.md, "Over HTTP". */
export function routeJobs(app: App, deps: JobRoutesDeps): void {
  const route = (path: string, read: (req: HttpRequest) => Question): void => {
    app.options(
      path,
      guarded(deps, (res, req, head) => send(res, preflight(deps.guard, readHandshake(head, req)))),
    );
    app.get(path, guarded(deps, answerHandler(deps, read, false)));
    app.head(path, guarded(deps, answerHandler(deps, read, true)));
    routeOtherMethods(app, deps, path, 'GET, HEAD, OPTIONS');
  };
  route(JOBS_PATH, jobsQuestion);
  route(`${JOBS_PATH}/:id`, lastStateQuestion);
  route(`${JOBS_PATH}/:id/events`, eventsQuestion);
}

/** What one request asks for, read from it while the library's handler runs. */
type Question =
  | { readonly kind: 'bad'; readonly code: ErrorCode; readonly message: string }
  | {
      readonly kind: 'good';
      readonly scope: Scope;
      /** Gives what makes the answer in the moment in which it leaves. `scope` is what the token opens of it. */
      readonly answer: (
        reads: JobReads,
        scope: Scope,
        requester: string,
        isWanted: IsWanted,
      ) => Promise<Answer>;
    };

type Answer =
  | HttpResponseSpec
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly message: string };

function lastStateQuestion(req: HttpRequest): Question {
  const id = req.getParameter(0) ?? '';
  return (
    badId(id) ?? {
      kind: 'good',
      scope: { kind: 'job', id, jobTypes: null },
      answer: async (reads, scope, requester, isWanted) => {
        const last = await reads.lastState(id, requester, isWanted);
        return refusalByType(last, scope) ?? lastState(last, scope);
      },
    }
  );
}

function eventsQuestion(req: HttpRequest): Question {
  const id = req.getParameter(0) ?? '';
  const isLines = wantsLines(req);
  const parsed = parseEventsQuery(req.getQuery() ?? '');
  const bad = badId(id) ?? badQuery(parsed);
  if (bad !== null || !parsed.ok) return bad ?? NO_QUERY;
  const { query } = parsed;
  return {
    kind: 'good',
    scope: { kind: 'job', id, jobTypes: null },
    answer: async (reads, scope, requester, isWanted) => {
      if (scope.kind !== 'job') return INTERNAL;
      // A token that lists types opens a job by its newest one.
      const last = scope.jobTypes === null ? null : await reads.lastState(id, requester, isWanted);
      const refusal = scope.jobTypes === null ? null : refusalByType(last, scope);
      if (refusal !== null) return refusal;
      const page = await reads.events(scope, query, requester, isWanted);
      if (page.kind !== 'page') return notServed(page);
      if (page.frames.length === 0 && query.after === null) return NO_EVENT;
      const head = `"processing_id":${JSON.stringify(id)},"epoch":"${page.epoch}"`;
      return pageAnswer(page, `${JOBS_PATH}/${id}/events`, query, { head, list: 'events', isLines });
    },
  };
}

function jobsQuestion(req: HttpRequest): Question {
  const isLines = wantsLines(req);
  const parsed = parseJobsQuery(req.getQuery() ?? '');
  if (!parsed.ok) return badQuery(parsed) ?? NO_QUERY;
  const { query } = parsed;
  return {
    kind: 'good',
    scope: { kind: 'all', jobTypes: query.jobTypes },
    answer: async (reads, scope, requester, isWanted) => {
      if (scope.kind !== 'all') return INTERNAL;
      const page = await reads.jobs(scope, query, query.statuses, requester, isWanted);
      if (page.kind !== 'page') return notServed(page);
      const head = `"epoch":"${page.epoch}","complete_after":${page.completeAfter}`;
      return pageAnswer(page, JOBS_PATH, query, { head, list: 'jobs', isLines });
    },
  };
}

function badId(id: string): Question | null {
  if (isProcessingId(id)) return null;
  const message = `processing_id is ${show(id)}; expected 1 to 128 of A-Z a-z 0-9 _ -`;
  return { kind: 'bad', code: 'invalid_processing_id', message };
}

const badQuery = (parsed: ParsedQuery<unknown>): Question | null =>
  parsed.ok ? null : { kind: 'bad', code: parsed.code, message: parsed.message };

const NO_QUERY: Question = { kind: 'bad', code: 'invalid_query', message: 'the query cannot be read' };

// A list in which NDJSON stands beside JSON means that either will do.
const wantsLines = (req: HttpRequest): boolean => {
  const accept = req.getHeader('accept').toLowerCase();
  return accept.includes(NDJSON) && !accept.includes('application/json');
};

function answerHandler(deps: JobRoutesDeps, read: (req: HttpRequest) => Question, isHead: boolean): Handler {
  return (res, req, head) => {
    const question = read(req);
    const ifNoneMatch = req.getHeader('if-none-match');
    const handshake = readHttpHandshake(head, req);
    const entry = deps.guard.checkUpgrade(handshake);
    const make = async (isWanted: IsWanted): Promise<() => HttpResponseSpec> => {
      const made = await answerFor(deps, entry, question, isWanted).catch((error: unknown) => {
        // What nobody waits for any more is not read: that is no failure.
        if (isWanted()) deps.failed(error);
        return () => REQUEST_FAILED;
      });
      if (entry.kind === 'pending') deps.guard.release(entry.pending);
      return () => {
        let answer: HttpResponseSpec;
        try {
          answer = ifChanged(made(), ifNoneMatch);
        } catch (error) {
          // Thrown on from here it would end the whole process.
          deps.failed(error);
          answer = REQUEST_FAILED;
        }
        return withOrigin(answer, entry, handshake.origin);
      };
    };
    sendWhenReady(res, make, isHead);
  };
}

async function answerFor(
  deps: JobRoutesDeps,
  entry: UpgradeDecision,
  question: Question,
  isWanted: IsWanted,
): Promise<() => HttpResponseSpec> {
  if (entry.kind === 'rejected') {
    deps.refused(refusedAs(entry));
    return () => rejection(entry);
  }
  const refuse = (
    code: ErrorCode,
    message: string,
    why: Pick<Refused, 'defect' | 'limit'> = NOTHING,
  ): HttpResponseSpec => {
    deps.refused({ code, address: entry.pending.address, ...why });
    return problemOf(code, message);
  };
  if (question.kind === 'bad') return () => refuse(question.code, question.message);
  const admitted = await authorizeHttp(deps.guard, entry.pending, question.scope);
  if (!admitted.ok) return () => refuse(admitted.code, admitted.message, admitted);
  const answer = await inTime((isStill) =>
    question.answer(deps.reads, admitted.scope, admitted.requester, () => isWanted() && isStill()),
  );
  return () => {
    // JetStream may have taken longer than the token lasts.
    const expired = deps.guard.expiredAt(admitted.credentials);
    if (expired !== null)
      return refuse('token_expired', `the token expired at ${expired}; ask with a new one`);
    if (answer === 'late') return refuse('internal', 'the history cannot be read now; ask again in a moment');
    return 'kind' in answer ? refuse(answer.code, answer.message) : answer;
  };
}

const NOTHING = { defect: null, limit: null } as const;
const NO_EVENT = problem(404, 'no_event', 'this job has no event yet, or none is kept any more');
const INTERNAL: Answer = { kind: 'refused', code: 'internal', message: 'this request failed' };

// A job is opened by the type of its newest event, once that is known.
function refusalByType(last: LogRecord | null, scope: Scope): Answer | null {
  if (last === null) return NO_EVENT;
  if (inScope(scope, last)) return null;
  if (last.jobType === undefined) return NO_EVENT;
  return { kind: 'refused', code: 'forbidden', message: 'the token does not open this job' };
}

function lastState(last: LogRecord | null, scope: Scope): HttpResponseSpec {
  if (last === null) return NO_EVENT;
  const body = scope.jobTypes === null ? last.frame : withoutPrevSeq(last);
  return { status: 200, contentType: 'application/json', body: `${body}\n` };
}

function notServed(page: StaleCursor | NotReady): Answer {
  if (page.kind === 'not_ready')
    return { kind: 'refused', code: 'internal', message: 'this edge is loading; ask again in a moment' };
  const { reason, epoch, firstSeq, lastSeq } = page;
  return problem(410, 'stale_cursor', STALE[reason], null, {
    reason,
    epoch,
    first_seq: firstSeq,
    last_seq: lastSeq,
  });
}

const STALE: Readonly<Record<StaleCursor['reason'], string>> = {
  epoch: 'the stream is another one than that of this cursor; begin again without it',
  retention: 'events behind this cursor may be gone from the stream; begin again without it',
  ahead: 'the stream has not reached this cursor; begin again without it',
  limit: 'too much lies behind this cursor; begin again without it',
  scope: 'this cursor is of something else; begin again without it',
};

interface PageShape {
  /** The members before the list. */
  readonly head: string;
  readonly list: 'events' | 'jobs';
  /** One record a line, instead of one JSON object. */
  readonly isLines: boolean;
}

// A worker may write its event over several lines. In JSON an end of line can only stand between two tokens.
const asLine = (frame: string): string => `${frame.replace(/[\r\n]+/g, ' ')}\n`;

function pageAnswer(
  { frames, cursor, epoch, isEnd }: FramesPage,
  path: string,
  query: PageQuery,
  { head, list, isLines }: PageShape,
): HttpResponseSpec {
  const next = isEnd ? null : `${path}?${nextQuery(query, cursor, epoch)}`;
  const headers = next === null ? {} : { link: `<${next}>; rel="next"` };
  if (isLines) {
    return { status: 200, contentType: NDJSON, body: frames.map(asLine).join(''), headers };
  }
  const body = `{${head},"${list}":[${frames.join(',')}],"cursor":${cursor},"next":${JSON.stringify(next)}}\n`;
  return { status: 200, contentType: 'application/json', body, headers };
}

/** The same answer with its tag, or 304 for whoever has it already. RFC 9110, 13.1.2. */
function ifChanged(answer: HttpResponseSpec, ifNoneMatch: string): HttpResponseSpec {
  if (answer.status !== 200) return answer;
  const etag = etagOf([`${answer.contentType}\n${answer.headers?.link ?? ''}\n`, answer.body]);
  return withEtag({ ...answer, headers: { ...answer.headers, etag } }, ifNoneMatch);
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
