/** The protocol's name: the `protocol` of `hello` and the WebSocket subprotocol. PROTOCOL.md, "Connecting". */
export const PROTOCOL = 'progress.v1';

/** Every event is published to this prefix followed by its `processing_id`. PROTOCOL.md, "Events". */
export const SUBJECT_PREFIX = 'progress.';

/** The subjects of the stream: exactly one token after the prefix. */
export const SUBJECT_FILTER = `${SUBJECT_PREFIX}*`;

/** A worker's heartbeats go to this prefix followed by its `processing_id`: on core NATS, never stored. */
export const ALIVE_PREFIX = `alive.${SUBJECT_PREFIX}`;

export const PROCESSING_ID_PATTERN = '^[A-Za-z0-9_-]{1,128}$';
export const JOB_TYPE_PATTERN = '^[A-Za-z0-9_.-]{1,64}$';

export const EPOCH_PATTERN = '^[A-Za-z0-9_-]{1,64}$';
export const SCOPE_ID_PATTERN = '^[A-Za-z0-9_-]{1,64}$';

const processingId = new RegExp(PROCESSING_ID_PATTERN);
const jobType = new RegExp(JOB_TYPE_PATTERN);
const epoch = new RegExp(EPOCH_PATTERN);
const scopeId = new RegExp(SCOPE_ID_PATTERN);

export const isProcessingId = (text: string): boolean => processingId.test(text);
export const isJobType = (text: string): boolean => jobType.test(text);
export const isEpoch = (text: string): boolean => epoch.test(text);
export const isScopeId = (text: string): boolean => scopeId.test(text);

/** The subject to which a job's events are published. */
export const subjectOf = (id: string): string => SUBJECT_PREFIX + id;

/** The subject to which a job's heartbeats are published. */
export const aliveSubjectOf = (id: string): string => ALIVE_PREFIX + id;

const ALIVE_BODY = /^\{\s*"attempt"\s*:\s*(\d{1,15})\s*\}$/;
/** A body that is longer says nothing. */
const ALIVE_MAX_BYTES = 64;

/** What a heartbeat says: which attempt lives. */
export const aliveBody = (attempt: number): string => `{"attempt":${attempt}}`;

/** The attempt that a heartbeat names; null when it names none, and then it is for whichever runs. Never throws. */
export function attemptOfAlive(body: Uint8Array): number | null {
  if (body.byteLength > ALIVE_MAX_BYTES) return null;
  const attempt = ALIVE_BODY.exec(String.fromCharCode(...body))?.[1];
  return attempt === undefined ? null : Number(attempt);
}

/** The job whose events are published to a subject; null when it is no subject of a job. */
export function idOf(subject: string): string | null {
  const id = subject.slice(SUBJECT_PREFIX.length);
  return subject.startsWith(SUBJECT_PREFIX) && isProcessingId(id) ? id : null;
}
