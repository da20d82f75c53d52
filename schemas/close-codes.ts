/** What a client does after a close: come back, come back with a new token, or stop for good. */
export type CloseAction = 'retry' | 'retry_with_new_token' | 'stop';

export interface CloseCode {
  readonly code: number;
  readonly name: string;
  readonly action: CloseAction;
  readonly meaning: string;
}

/** Every close code an edge sends. PROTOCOL.md, "Close codes", is held against this list by a test. */
export const CLOSE_CODES = [
  { code: 1000, name: 'end', action: 'stop', meaning: 'The job is finished and its last update was sent.' },
  { code: 1012, name: 'draining', action: 'retry', meaning: 'This edge is going away; another one serves.' },
  {
    code: 1013,
    name: 'overloaded',
    action: 'retry',
    meaning: 'This edge has no room for the connection now.',
  },
  { code: 4400, name: 'bad_request', action: 'stop', meaning: 'The request or a frame was not understood.' },
  {
    code: 4401,
    name: 'unauthorized',
    action: 'retry_with_new_token',
    meaning: 'The token is missing, not valid or expired.',
  },
  { code: 4403, name: 'forbidden', action: 'stop', meaning: 'The token does not open this job or filter.' },
  {
    code: 4429,
    name: 'too_many_connections',
    action: 'retry',
    meaning: 'Too many connections of this subject or address, or too many frames on this one.',
  },
] as const satisfies readonly CloseCode[];

export type CloseName = (typeof CLOSE_CODES)[number]['name'];

/** The number of a close code by its name. */
export function closeCode(name: CloseName): number {
  const entry = CLOSE_CODES.find((known) => known.name === name);
  if (entry === undefined) throw new RangeError(`no close code is named ${name}`);
  return entry.code;
}

/**
 * The `code` of every `error` frame, and the close that follows it. PROTOCOL.md, "error".
 */
export const ERROR_CODES = {
  invalid_processing_id: 'bad_request',
  invalid_job_type: 'bad_request',
  invalid_last_seq: 'bad_request',
  invalid_epoch: 'bad_request',
  invalid_query: 'bad_request',
  invalid_frame: 'bad_request',
  too_many_jobs: 'bad_request',
  unknown_frame: 'bad_request',
  unauthorized: 'unauthorized',
  token_expired: 'unauthorized',
  forbidden: 'forbidden',
  too_many_connections: 'too_many_connections',
  too_many_frames: 'too_many_connections',
  overloaded: 'overloaded',
  internal: 'overloaded',
} as const satisfies Record<string, CloseName>;

export type ErrorCode = keyof typeof ERROR_CODES;
