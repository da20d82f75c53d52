import { hash } from 'node:crypto';
import type { ErrorCode } from '../../schemas/close-codes.js';
import { show } from '../../schemas/explain.js';
import { MAX_RATE } from '../../schemas/frames.js';
import { isEpoch, isJobType, isProcessingId, isScopeId } from '../../schemas/ids.js';
import type { Scope } from '../eventlog/record.js';
import type { FixedJobs, JobMark, Narrow, RequestedScope, Resume, SelectedScope } from '../session/ports.js';
import type { Handshake } from './connection-guard.js';
import { remembered } from './remembered.js';
import type { RequestHead } from './routing.js';
import { decodeMarks, positionOfEventId } from './sse-encoder.js';
import type { HttpRequest } from './uws.js';

export type ParsedRequest<S extends RequestedScope = Scope> =
  | { readonly ok: true; readonly scope: S; readonly resume: Resume | null; readonly maxRate?: number }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };

/** A plain decimal number, with as many digits as any program prints. */
const RATE = /^\d{1,2}(\.\d{1,20})?$/;

/** More types than a page could mean; it bounds what one connection costs for each event. */
const MAX_JOB_TYPES = 64;

/**
 * What a connection asks for. PROTOCOL.md, "Connecting". Never throws; parameters that are not ours are ignored.
 *
 * @param id the path behind the endpoint, or null on the all-jobs endpoint
 * @param query the raw query, without its question mark
 */
export function parseRequest(id: string | null, query: string): ParsedRequest {
  return parseOne(id, new URLSearchParams(query));
}

function parseOne(id: string | null, parameters: URLSearchParams): ParsedRequest {
  if (parameters.has('after'))
    return bad('invalid_query', 'after is the cursor of one job among those that processing_id names');
  // Were it ignored, whoever forgets select would be sent all jobs.
  if (parameters.has('processing_id'))
    return bad(
      'invalid_query',
      'processing_id names jobs beside select, on the endpoint without a job in its path',
    );
  const scope =
    id === null ? allScope(parameters.getAll('job_type')) : jobScope(id, parameters.has('job_type'));
  return 'kind' in scope ? withResume(scope, parameters) : scope;
}

/** The same for an endpoint where a client may name its jobs: with `select` in the query. */
export function parseSocketRequest(id: string | null, query: string): ParsedRequest<RequestedScope> {
  const parameters = new URLSearchParams(query);
  if (!parameters.has('select')) return parseOne(id, parameters);
  if (id !== null) return bad('invalid_query', 'select belongs to the endpoint without a job in its path');
  if (parameters.has('job_type'))
    return bad('invalid_query', 'job_type is a filter of all jobs; with select the client names its jobs');
  return namedJobs(parameters);
}

function namedJobs(parameters: URLSearchParams): ParsedRequest<SelectedScope> {
  const ids = [...new Set(parameters.getAll('processing_id'))];
  const wrong = ids.find((one) => !isProcessingId(one));
  if (wrong !== undefined) return badId(wrong);
  const after = new Map<string, Resume>();
  const parsed = withResume<SelectedScope>({ kind: 'selected', ids, after }, parameters);
  if (!parsed.ok) return parsed;
  const scope = parameters.get('scope');
  for (const cursor of parameters.getAll('after')) {
    const [, id = '', seq = ''] = /^([^:]*):(\d{1,16})$/.exec(cursor) ?? [];
    const lastSeq = seq === '' ? Number.NaN : Number(seq);
    if (!Number.isSafeInteger(lastSeq))
      return bad('invalid_last_seq', `after is ${show(cursor)}; expected a processing_id, ":", 0 to 2^53-1`);
    if (!ids.includes(id))
      return bad('invalid_query', `after is ${show(cursor)}; no processing_id names this job`);
    if (after.has(id)) return bad('invalid_query', `after is given more than once for ${show(id)}`);
    after.set(id, { lastSeq, epoch: parameters.get('epoch'), ...(scope !== null && { scope }) });
  }
  return parsed;
}

function withResume<S extends RequestedScope>(scope: S, parameters: URLSearchParams): ParsedRequest<S> {
  for (const name of ['last_seq', 'epoch', 'scope', 'max_rate']) {
    if (parameters.getAll(name).length > 1) return bad('invalid_query', `${name} is given more than once`);
  }
  const epoch = parameters.get('epoch');
  if (epoch !== null && !isEpoch(epoch)) {
    return bad('invalid_epoch', `epoch is ${show(epoch)}; expected the epoch of a hello frame`);
  }
  const scopeId = parameters.get('scope');
  if (scopeId !== null && !isScopeId(scopeId)) {
    return bad('invalid_query', `scope is ${show(scopeId)}; expected the scope of a hello or auth_ok frame`);
  }
  const rate = parameters.get('max_rate');
  const maxRate = rate !== null && RATE.test(rate) ? Number(rate) : Number.NaN;
  if (rate !== null && !(maxRate >= MAX_RATE.minimum && maxRate <= MAX_RATE.maximum)) {
    const { minimum, maximum } = MAX_RATE;
    return bad(
      'invalid_query',
      `max_rate is ${show(rate)}; expected ${minimum} to ${maximum}: updates a second for each job`,
    );
  }
  const pace = rate === null ? {} : { maxRate };
  const lastSeq = parameters.get('last_seq');
  if (lastSeq === null) return { ok: true, scope, resume: null, ...pace };
  const seq = /^\d{1,16}$/.test(lastSeq) ? Number(lastSeq) : Number.NaN;
  if (!Number.isSafeInteger(seq)) {
    return bad('invalid_last_seq', `last_seq is ${show(lastSeq)}; expected an integer from 0 to 2^53-1`);
  }
  const resume = { lastSeq: seq, epoch, ...(scopeId !== null && { scope: scopeId }) };
  return { ok: true, scope, resume, ...pace };
}

/** What a stream asks for; `marks` is what its `Last-Event-ID` says of single jobs, '' where that says nothing. */
export type ParsedStreamRequest =
  | (Extract<ParsedRequest<RequestedScope>, { ok: true }> & { readonly marks: string })
  | Bad;

/**
 * The same for server-sent events. PROTOCOL.md, "Server-sent events". Never throws.
 *
 * @param lastEventId the header with which a browser comes back; '' where there is none. It is newer than the query
 * @param maxJobs the most jobs that one stream may name
 */
export function parseStreamRequest(
  id: string | null,
  query: string,
  lastEventId: string,
  maxJobs: number,
): ParsedStreamRequest {
  const parameters = new URLSearchParams(query);
  // A list that is empty is not all jobs.
  const parsed =
    parameters.has('processing_id') || parameters.has('select')
      ? streamOfJobs(id, parameters, maxJobs)
      : parseOne(id, parameters);
  if (!parsed.ok) return parsed;
  if (lastEventId === '') return { ...parsed, marks: '' };
  const position = positionOfEventId(lastEventId);
  if (position === null)
    return bad(
      'invalid_last_seq',
      `Last-Event-ID is ${show(lastEventId)}; expected the id of an event of this stream`,
    );
  const { scope } = parsed;
  return {
    ...parsed,
    scope: scope.kind === 'selected' ? { ...scope, after: new Map() } : scope,
    ...position,
  };
}

function streamOfJobs(
  id: string | null,
  parameters: URLSearchParams,
  maxJobs: number,
): ParsedRequest<SelectedScope> {
  if (id !== null)
    return bad('invalid_query', 'processing_id belongs to the endpoint without a job in its path');
  if (parameters.has('job_type'))
    return bad('invalid_query', 'job_type is a filter of all jobs; processing_id names single ones');
  if (!parameters.has('processing_id'))
    return bad('invalid_query', 'select follows the jobs that processing_id names, and it names none');
  const parsed = namedJobs(parameters);
  if (!parsed.ok || parsed.scope.ids.length <= maxJobs) return parsed;
  const message = `processing_id names ${parsed.scope.ids.length} jobs; expected at most ${maxJobs}`;
  return bad('too_many_jobs', message);
}

type Bad = Extract<ParsedRequest, { ok: false }>;

function jobScope(id: string, hasTypes: boolean): Scope | Bad {
  if (!isProcessingId(id)) return badId(id);
  if (hasTypes)
    return bad('invalid_query', 'job_type is a filter of the all-jobs endpoint; this one follows one job');
  return { kind: 'job', id, jobTypes: null };
}

const badId = (id: string): Bad =>
  bad('invalid_processing_id', `processing_id is ${show(id)}; expected 1 to 128 of A-Z a-z 0-9 _ -`);

function allScope(types: readonly string[]): Scope | Bad {
  if (types.length > MAX_JOB_TYPES) {
    return bad('invalid_query', `job_type is given ${types.length} times; expected at most ${MAX_JOB_TYPES}`);
  }
  const wrong = types.find((type) => !isJobType(type));
  if (wrong !== undefined) {
    return bad('invalid_job_type', `job_type is ${show(wrong)}; expected 1 to 64 of A-Z a-z 0-9 _ . -`);
  }
  return { kind: 'all', jobTypes: types.length === 0 ? null : new Set(types) };
}

function bad(code: ErrorCode, message: string): Bad {
  return { ok: false, code, message };
}

/** The subprotocol to answer with: ours when it is offered, else none. The offer itself may hold a token. */
export function chooseSubprotocol(offered: string, own: string): string {
  return offered.split(',').some((name) => name.trim() === own) ? own : '';
}

const LENGTH = 16;

/**
 * Names what a connection follows, with what its token opens of it: the same on every edge for the same scope, another
 * for any other. PROTOCOL.md, "Scope".
 */
export function scopeIdOf(scope: RequestedScope): string {
  if (scope.kind === 'selected' || scope.jobTypes === null)
    return scope.kind === 'job' ? jobScopeId(scope.id) : WHOLE[scope.kind];
  const jobs = scope.kind === 'job' ? ['job', scope.id] : [scope.kind];
  return shortHash([jobs, [...scope.jobTypes].sort()]);
}

/** Names the jobs of one stream, with what its token opens of each. In whatever order they are named it is the same. */
export function jointScopeIdOf(ids: readonly string[], narrow: Narrow): string {
  const scopes = [...ids].sort().map((id) => {
    const opened = narrow({ kind: 'job', id, jobTypes: null });
    return [id, opened.ok ? scopeIdOf(opened.scope) : null];
  });
  return shortHash(['jobs', scopes]);
}

/**
 * What a stream follows, and what its client came back with of single jobs. Marks count for the same jobs, opened as they
 * were, and for nothing else.
 */
export function fixedJobs(
  ids: readonly string[],
  narrow: Narrow,
  resume: Resume | null,
  text: string,
): FixedJobs {
  const scopeName = jointScopeIdOf(ids, narrow);
  const marks = decodeMarks(resume?.scope === scopeName ? text : '', ids.length);
  const sorted = [...ids].sort();
  const marked = (mark: JobMark) => new Set(sorted.filter((_id, index) => marks[index] === mark));
  return { scopeName, anew: marked('anew'), over: marked('over') };
}

const shortHash = (value: unknown): string =>
  hash('sha256', JSON.stringify(value), 'base64url').slice(0, LENGTH);

/** A job whose token lists no types: nearly all of them, and each is named several times for each who follows it. */
const jobScopeId = remembered((id) => shortHash([['job', id], '*']));
const WHOLE = { all: shortHash([['all'], '*']), selected: shortHash([['selected'], '*']) };

/** What a request says of who makes it. Only while the library's handler runs. */
export function readHandshake({ peer, header }: RequestHead, req: HttpRequest): Handshake {
  const query = req.getQuery();
  return {
    peer,
    origin: header('origin'),
    host: header('host'),
    forwardedFor: header('x-forwarded-for'),
    forwardedProto: header('x-forwarded-proto'),
    authorization: header('authorization'),
    subprotocols: header('sec-websocket-protocol'),
    // Two are none that anybody could check.
    get queryToken() {
      return new URLSearchParams(query).getAll('token').join(',') || null;
    },
  };
}
