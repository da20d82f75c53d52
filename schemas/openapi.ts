import { type TSchema, Type } from '@sinclair/typebox';
import { Cursor, Epoch, JobType, ProcessingId, ScopeId } from './fields.js';
import { MAX_RATE, ProgressUpdate } from './frames.js';
import { EventsPage, JOB_STATUSES, JobsPage, Problem } from './http.js';
import { PROTOCOL } from './ids.js';

// What an edge answers over HTTP, in the words of OpenAPI 3.1. PROTOCOL.md, "Over HTTP" and "Server-sent events".

/** The most events or jobs of one answer, and how many there are unless the caller says otherwise. */
export const MAX_PAGE = 1_000;
export const DEFAULT_PAGE = 100;

const JOB_CURSOR = '^[A-Za-z0-9_-]{1,128}:[0-9]{1,16}$';

const after = query('after', Cursor, 'Only what stands behind this seq.');
const epoch = query('epoch', Epoch, 'The epoch of the cursor.');
const limit = query(
  'limit',
  Type.Integer({ minimum: 1, maximum: MAX_PAGE, default: DEFAULT_PAGE }),
  'The most on one page.',
);
const jobType = query('job_type', Type.Array(JobType, { maxItems: 64 }), 'Only jobs of these types.');
const status = query(
  'status',
  Type.Array(Type.Union(JOB_STATUSES.map((one) => Type.Literal(one)))),
  'Only jobs in these states.',
);
const id = { name: 'processing_id', in: 'path', required: true, schema: plain(ProcessingId) };
const ifNoneMatch = {
  name: 'If-None-Match',
  in: 'header',
  schema: { type: 'string' },
  description: 'The `ETag` of an earlier answer.',
};
const stream = [
  query('last_seq', Cursor, 'The cursor to go on from.'),
  epoch,
  query('scope', ScopeId, 'The scope of the cursor.'),
  query('max_rate', Type.Number({ ...MAX_RATE }), 'The most updates a second for each job.'),
  {
    name: 'Last-Event-ID',
    in: 'header',
    schema: { type: 'string' },
    description: 'The `id` of the last event. It counts before the query.',
  },
];

const namedJobs = query(
  'processing_id',
  Type.Array(ProcessingId),
  'Only these jobs, each with frames that name it. Not together with `job_type`.',
);
const jobCursors = query(
  'after',
  Type.Array(Type.String({ pattern: JOB_CURSOR })),
  'The cursor of one of these jobs: its `processing_id`, a colon, and the seq to go on from.',
);

/** The whole document, as JSON. */
export function openApi(): Readonly<Record<string, unknown>> {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Headway, what an edge answers over HTTP',
      version: PROTOCOL,
      description: 'The progress of jobs. docs/PROTOCOL.md is the specification.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    // Where there are no tokens, because HEADWAY_AUTH is none, nothing is needed.
    security: [{ token: [] }, {}],
    tags: [{ name: 'ask once' }, { name: 'follow' }],
    paths: {
      '/v1/jobs': get(
        'listJobs',
        'ask once',
        'The list of jobs',
        [after, epoch, limit, jobType, status, ifNoneMatch],
        {
          200: page('JobsPage', 'A page of the list.'),
          304: UNCHANGED,
          ...problems(400, 401, 403, 410, 429, 503),
        },
      ),
      '/v1/jobs/{processing_id}': get('getJob', 'ask once', 'The last state of a job', [id, ifNoneMatch], {
        200: {
          description: 'The last state.',
          headers: { ETag: HEADERS.ETag },
          content: { 'application/json': { schema: ref('ProgressUpdate') } },
        },
        304: UNCHANGED,
        ...problems(400, 401, 403, 404, 429, 503),
      }),
      '/v1/jobs/{processing_id}/events': get(
        'listEvents',
        'ask once',
        'The events of a job',
        [id, after, epoch, limit, ifNoneMatch],
        {
          200: page('EventsPage', 'A page of its events.'),
          304: UNCHANGED,
          ...problems(400, 401, 403, 404, 410, 429, 503),
        },
      ),
      '/sse/upload-progress': get(
        'followJobs',
        'follow',
        'All jobs, or those that are named, as server-sent events',
        [...stream, jobType, namedJobs, jobCursors],
        {
          200: STREAM,
          204: { description: 'Every job that is named is over, and the client was told so.' },
          ...problems(400, 401, 403, 429, 503),
        },
      ),
      '/sse/upload-progress/{processing_id}': get(
        'followJob',
        'follow',
        'One job as server-sent events',
        [id, ...stream],
        {
          200: STREAM,
          204: { description: 'The job is finished, and the client has seen its end.' },
          ...problems(400, 401, 403, 429, 503),
        },
      ),
    },
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      schemas: {
        ProgressUpdate: plain(ProgressUpdate),
        EventsPage: withItems(EventsPage, 'events'),
        JobsPage: withItems(JobsPage, 'jobs'),
        Problem: plain(Problem),
      },
    },
  };
}

const HEADERS = {
  ETag: { description: 'Names this answer.', schema: { type: 'string' } },
  Link: { description: 'What comes next, as rel="next".', schema: { type: 'string' } },
};
const UNCHANGED = {
  description: 'The caller has this answer already.',
  headers: { ETag: HEADERS.ETag },
};
const STREAM = {
  description:
    'Each event is one frame of the protocol; its `id` is the whole cursor. Of several jobs the `id` comes by itself, behind their frames.',
  content: { 'text/event-stream': { schema: { type: 'string' } } },
};
const PROBLEMS: Readonly<Record<number, string>> = {
  400: 'The request was not understood.',
  401: 'The token is missing, not valid or expired.',
  403: 'The token does not open this, or the page may not ask.',
  404: 'The job has no event.',
  410: 'The cursor cannot be served.',
  429: 'Too many connections of this address or subject.',
  503: 'Not now: no room, NATS is away, or the edge is loading.',
};

function problems(...statuses: readonly number[]): Record<number, unknown> {
  return Object.fromEntries(
    statuses.map((one) => [
      one,
      {
        description: PROBLEMS[one],
        content: { 'application/problem+json': { schema: ref('Problem') } },
      },
    ]),
  );
}

function page(schema: string, description: string) {
  return {
    description,
    headers: HEADERS,
    content: {
      'application/json': { schema: ref(schema) },
      'application/x-ndjson': { schema: { type: 'string', description: 'One update a line.' } },
    },
  };
}

function get(
  operationId: string,
  tag: string,
  summary: string,
  parameters: readonly object[],
  responses: Readonly<Record<number, unknown>>,
) {
  return { get: { operationId, tags: [tag], summary, parameters, responses } };
}

function query(name: string, schema: TSchema, description: string) {
  return { name, in: 'query', description, schema: plain(schema) };
}

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });

/** As JSON Schema: without what TypeBox keeps for itself, and without a name of its own. */
function plain(schema: TSchema): Record<string, unknown> {
  const { $id: _ignored, ...rest } = JSON.parse(JSON.stringify(schema)) as Record<string, unknown>;
  return rest;
}

function withItems(schema: TSchema, list: string): Record<string, unknown> {
  const all = plain(schema) as { properties: Record<string, Record<string, unknown>> };
  return {
    ...all,
    properties: { ...all.properties, [list]: { ...all.properties[list], items: ref('ProgressUpdate') } },
  };
}
