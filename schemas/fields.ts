import { Type } from '@sinclair/typebox';
import { EPOCH_PATTERN, JOB_TYPE_PATTERN, PROCESSING_ID_PATTERN, SCOPE_ID_PATTERN } from './ids.js';

// Fields that events, frames and claims have in common.

export const ProcessingId = Type.String({
  pattern: PROCESSING_ID_PATTERN,
  description: 'The job: 1 to 128 of A-Z a-z 0-9 _ -, so that it is always one subject token.',
});

export const JobType = Type.String({
  pattern: JOB_TYPE_PATTERN,
  description: 'The kind of job: 1 to 64 of A-Z a-z 0-9 _ . -',
});

/** A stream sequence that exists: an integer from 1 that JavaScript holds exactly. */
export const Sequence = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

/** A place in the stream: the sequence of the last event seen, 0 before the first. */
export const Cursor = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const Epoch = Type.String({
  pattern: EPOCH_PATTERN,
  description: 'The name of one incarnation of the stream; a cursor is valid only in its epoch.',
});

export const ScopeId = Type.String({
  pattern: SCOPE_ID_PATTERN,
  description: 'The name of what a connection follows; a cursor is valid only in its scope.',
});
