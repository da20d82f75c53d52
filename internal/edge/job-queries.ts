import type { ErrorCode } from '../../schemas/close-codes.js';
import { show } from '../../schemas/explain.js';
import { JOB_STATUSES, type JobStatus } from '../../schemas/http.js';
import { isEpoch, isJobType } from '../../schemas/ids.js';
import { DEFAULT_PAGE, MAX_PAGE } from '../../schemas/openapi.js';

/** More types than a caller could mean; it bounds what one request costs for each job. */
const MAX_JOB_TYPES = 64;

/** Which piece of a list somebody asks for. */
export interface PageQuery {
  /** Only what stands behind this seq; null: from the beginning. */
  readonly after: number | null;
  /** The epoch that `after` is of; null: the caller does not say. */
  readonly epoch: string | null;
  readonly limit: number;
}

export interface JobsQuery extends PageQuery {
  /** null: of every type. */
  readonly jobTypes: ReadonlySet<string> | null;
  /** null: in every state. */
  readonly statuses: ReadonlySet<JobStatus> | null;
}

export type ParsedQuery<Q> =
  | { readonly ok: true; readonly query: Q }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };

class InvalidQuery extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/**
 * The query of `GET /v1/jobs/{id}/events`. Parameters that are not ours are ignored. Never throws. PROTOCOL.md,
 * "A job's events".
 * @param text the raw query, without its question mark
 */
export function parseEventsQuery(text: string): ParsedQuery<PageQuery> {
  return parsed(() => pageQuery(new URLSearchParams(text)));
}

/** The query of `GET /v1/jobs`. Never throws. PROTOCOL.md, "A list of jobs". */
export function parseJobsQuery(text: string): ParsedQuery<JobsQuery> {
  return parsed(() => {
    const parameters = new URLSearchParams(text);
    return {
      ...pageQuery(parameters),
      jobTypes: jobTypesOf(parameters.getAll('job_type')),
      statuses: statusesOf(parameters.getAll('status')),
    };
  });
}

/** The query that asks for what comes behind `cursor`. Parameters that are not ours are left out. */
export function nextQuery(query: PageQuery | JobsQuery, cursor: number, epoch: string): string {
  const parameters = new URLSearchParams({ after: String(cursor), epoch, limit: String(query.limit) });
  if ('jobTypes' in query) {
    for (const type of query.jobTypes ?? []) parameters.append('job_type', type);
    for (const status of query.statuses ?? []) parameters.append('status', status);
  }
  return parameters.toString();
}

function parsed<Q>(read: () => Q): ParsedQuery<Q> {
  try {
    return { ok: true, query: read() };
  } catch (error) {
    if (error instanceof InvalidQuery) return { ok: false, code: error.code, message: error.message };
    throw error;
  }
}

function pageQuery(parameters: URLSearchParams): PageQuery {
  for (const name of ['after', 'epoch', 'limit']) {
    if (parameters.getAll(name).length > 1)
      throw new InvalidQuery('invalid_query', `${name} is given more than once`);
  }
  const epoch = parameters.get('epoch');
  if (epoch !== null && !isEpoch(epoch))
    throw new InvalidQuery(
      'invalid_epoch',
      `epoch is ${show(epoch)}; expected the epoch of an earlier answer`,
    );
  return {
    after: wholeNumber('after', parameters.get('after'), 0, Number.MAX_SAFE_INTEGER, '2^53-1'),
    epoch,
    limit: wholeNumber('limit', parameters.get('limit'), 1, MAX_PAGE, String(MAX_PAGE)) ?? DEFAULT_PAGE,
  };
}

function wholeNumber(
  name: string,
  text: string | null,
  min: number,
  max: number,
  maxText: string,
): number | null {
  if (text === null) return null;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new InvalidQuery(
    'invalid_query',
    `${name} is ${show(text)}; expected an integer from ${min} to ${maxText}`,
  );
}

function jobTypesOf(types: readonly string[]): ReadonlySet<string> | null {
  if (types.length > MAX_JOB_TYPES) {
    const message = `job_type is given ${types.length} times; expected at most ${MAX_JOB_TYPES}`;
    throw new InvalidQuery('invalid_query', message);
  }
  const wrong = types.find((type) => !isJobType(type));
  if (wrong !== undefined) {
    const message = `job_type is ${show(wrong)}; expected 1 to 64 of A-Z a-z 0-9 _ . -`;
    throw new InvalidQuery('invalid_job_type', message);
  }
  return types.length === 0 ? null : new Set(types);
}

function statusesOf(texts: readonly string[]): ReadonlySet<JobStatus> | null {
  const wrong = texts.find((text) => !isStatus(text));
  if (wrong !== undefined) {
    const message = `status is ${show(wrong)}; expected one of: ${JOB_STATUSES.join(', ')}`;
    throw new InvalidQuery('invalid_query', message);
  }
  return texts.length === 0 ? null : new Set(texts.filter(isStatus));
}

const isStatus = (text: string): text is JobStatus => (JOB_STATUSES as readonly string[]).includes(text);
