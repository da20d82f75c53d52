import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { EVENT_MAX_BYTES, misplacedEnding } from './event-check.js';
import { type Explanation, explain } from './explain.js';
import { JobType, ProcessingId } from './fields.js';
import { Text } from './text.js';

export { EVENT_MAX_BYTES };

const Step = Type.Object(
  {
    name: Type.Optional(Text(256, 'What the job is doing now.')),
    index: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
    total: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  },
  { description: 'Which step of how many the job is in.' },
);

const JobError = Type.Object(
  {
    code: Type.Optional(Text(128, 'For programs.')),
    message: Type.Optional(Text(4096, 'For people.')),
    retryable: Type.Optional(
      Type.Boolean({ description: 'true: another attempt may follow, so the job is not finished.' }),
    ),
    details: Type.Optional(Type.Unknown()),
  },
  { description: 'Why the job failed. Only with status "error".' },
);

/**
 * What a worker publishes to `progress.<processing_id>`: the job's whole current state. Fields that are not named
 * here are kept and passed on. PROTOCOL.md, "Events".
 */
export const Event = Type.Object(
  {
    processing_id: ProcessingId,
    status: Type.Union([Type.Literal('processing'), Type.Literal('completed'), Type.Literal('error')]),
    progress: Type.Number({ minimum: 0, maximum: 100, description: 'Percent.' }),
    timestamp: Type.String({ format: 'date-time', description: 'RFC 3339; when the worker made the event.' }),
    type: Type.Optional(Type.Literal('progress_update')),
    message: Type.Optional(Text(4096, 'For people.')),
    job_type: Type.Optional(JobType),
    attempt: Type.Optional(
      Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Rises with every retry.' }),
    ),
    step: Type.Optional(Step),
    indeterminate: Type.Optional(Type.Boolean({ description: 'true: `progress` says nothing.' })),
    eta_seconds: Type.Optional(Type.Number({ minimum: 0, description: 'Seconds left, estimated.' })),
    stall_after_seconds: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, description: 'Silence for so many seconds is a stall.' }),
    ),
    timeout_seconds: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, description: 'Silence for so many seconds is a failure.' }),
    ),
    result: Type.Optional(Type.Unknown({ description: 'Any JSON. Only with status "completed".' })),
    error: Type.Optional(JobError),
  },
  {
    $id: 'event.schema.json',
    title: 'Event',
    description:
      'One message on progress.<processing_id>: the whole current state of a job, at most 64 KiB, and at most 64 levels ' +
      'deep.',
    // Said here in JSON Schema's own words for validators in other languages; `checkEvent` says the same in code.
    allOf: [
      {
        if: { required: ['result'] },
        // biome-ignore lint/suspicious/noThenProperty: it is JSON Schema's keyword, and nothing awaits this object.
        then: { properties: { status: { const: 'completed' } } },
      },
      {
        if: { required: ['error'] },
        // biome-ignore lint/suspicious/noThenProperty: it is JSON Schema's keyword, and nothing awaits this object.
        then: { properties: { status: { const: 'error' } } },
      },
    ],
  },
);
export type Event = Static<typeof Event>;

const compiled = TypeCompiler.Compile(Event);

/** Says what is wrong with `value` as an event, or null when it is one. Never throws. */
export function checkEvent(value: unknown): Explanation | null {
  return compiled.Check(value) ? misplacedEnding(value) : explain(compiled, value);
}

/** Whether an event is a job's end: `completed`, or an `error` that is not retryable. */
export function isFinished(event: Event): boolean {
  return event.status === 'completed' || (event.status === 'error' && event.error?.retryable !== true);
}
