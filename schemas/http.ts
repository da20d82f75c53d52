import { type Static, Type } from '@sinclair/typebox';
import { Event } from './event.js';
import { Cursor, Epoch, ProcessingId } from './fields.js';
import { ProgressUpdate } from './frames.js';

// What an edge answers over HTTP. PROTOCOL.md, "Over HTTP".

/** The states that a job can be in. */
export const JOB_STATUSES = Event.properties.status.anyOf.map((one) => one.const);
export type JobStatus = Static<typeof Event>['status'];

const Next = Type.Union([Type.String(), Type.Null()], {
  description: 'The path and query of what comes next; null: there is no more now.',
});

/** A piece of a job's history. */
export const EventsPage = Type.Object(
  {
    processing_id: ProcessingId,
    epoch: Epoch,
    events: Type.Array(ProgressUpdate, { description: 'In rising order of their seq.' }),
    cursor: Cursor,
    next: Next,
  },
  { $id: 'events_page', description: 'GET /v1/jobs/{processing_id}/events' },
);

/** A piece of the list of jobs. */
export const JobsPage = Type.Object(
  {
    epoch: Epoch,
    jobs: Type.Array(ProgressUpdate, {
      description: 'The last state of each job, in rising order of their seq.',
    }),
    cursor: Cursor,
    complete_after: Type.Integer({
      minimum: 0,
      description:
        'Every job whose last event is above this seq is in the list; of those below some may be missing.',
    }),
    next: Next,
  },
  { $id: 'jobs_page', description: 'GET /v1/jobs' },
);

/** Why a request was not served, as RFC 9457 writes it. */
export const Problem = Type.Object(
  {
    type: Type.Literal('about:blank'),
    title: Type.String(),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    code: Type.String({ description: 'For programs.' }),
    detail: Type.String({ description: 'For people.' }),
    reason: Type.Optional(Type.String({ description: 'Code stale_cursor: as in a reset frame.' })),
    epoch: Type.Optional(Epoch),
    first_seq: Type.Optional(Cursor),
    last_seq: Type.Optional(Cursor),
  },
  { $id: 'problem', description: 'application/problem+json' },
);
