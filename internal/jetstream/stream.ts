import {
  DiscardPolicy,
  ErrorCode,
  type JetStreamManager,
  type MsgRequest,
  NatsError,
  nanos,
  RetentionPolicy,
  StorageType,
  type StoredMsg,
  type StreamConfig,
  type StreamInfo,
} from 'nats';
import { SUBJECT_FILTER, SUBJECT_PREFIX } from '../../schemas/ids.js';
import {
  HeadwayError,
  JetStreamUnavailableError,
  NatsAuthError,
  StreamConflictError,
  type StreamDifference,
  StreamMismatchError,
} from '../errors.js';

const DAY_MS = 24 * 60 * 60 * 1000;
/** Whatever a stream holds. A pattern of fewer tokens leaves out what is stored on a subject that is a pattern itself. */
export const ALL_SUBJECTS = '>';
const STREAM_NOT_FOUND = 10059;
const NO_MESSAGE_FOUND = 10037;
const JETSTREAM_NOT_ENABLED = [10039, 10076];

export interface StreamSpec {
  readonly name: string;
  /** Copies, when the stream has to be made. */
  readonly replicas: number;
}

/** The stream as Headway makes it. production.md, "The stream". */
export function streamConfig(spec: StreamSpec): Partial<StreamConfig> & { name: string } {
  return {
    name: spec.name,
    subjects: [SUBJECT_FILTER],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    max_msgs_per_subject: 1_000,
    max_age: nanos(7 * DAY_MS),
    duplicate_window: nanos(2 * 60_000),
    allow_direct: true,
    allow_rollup_hdrs: false,
    num_replicas: spec.replicas,
  };
}

// What Headway relies on. Limits, ages and replicas are the operator's to choose: whatever they take away, a client
// gets a reset for it. What is not in `streamConfig` has to be absent: each would store an acknowledged event elsewhere,
// with another body, later, or take it away.
const REQUIRED_FIELDS = [
  'subjects',
  'storage',
  'retention',
  'discard',
  'allow_direct',
  'allow_rollup_hdrs',
  'allow_msg_ttl',
  'allow_msg_counter',
  'allow_msg_schedules',
  'no_ack',
  'subject_transform',
  'mirror',
  'sources',
] as const;

/** How an existing stream differs from what Headway relies on. */
export function streamDifferences(config: StreamConfig, spec: StreamSpec): StreamDifference[] {
  const wanted = streamConfig(spec) as Record<string, unknown>;
  const have = config as unknown as Record<string, unknown>;
  // A server leaves out what is false or empty, or says so.
  const settingOf = (value: unknown): unknown =>
    value === null || value === undefined || (Array.isArray(value) && value.length === 0) ? false : value;
  return REQUIRED_FIELDS.map((field) => ({
    field,
    is: settingOf(have[field]),
    shouldBe: settingOf(wanted[field]),
  })).filter(({ is, shouldBe }) => JSON.stringify(is) !== JSON.stringify(shouldBe));
}

/**
 * The stream's state; the stream is made when it is missing, and never changed when it is there.
 * @throws StreamMismatchError, StreamConflictError, JetStreamUnavailableError; NatsError when NATS does not answer
 */
export async function ensureStream(
  jsm: JetStreamManager,
  spec: StreamSpec,
  shownUrl: string,
): Promise<StreamInfo> {
  try {
    const info = await findStream(jsm, spec);
    const differences = streamDifferences(info.config, spec);
    if (differences.length > 0) throw new StreamMismatchError(spec.name, differences);
    return info;
  } catch (error) {
    if (error instanceof HeadwayError) throw error;
    throw asJetStreamError(error, shownUrl);
  }
}

/** Whether a subject of a stream's configuration, perhaps with wildcards, takes the events of any job. */
export function takesEvents(subject: string): boolean {
  const tokens = subject.split('.');
  const [first = ''] = tokens;
  return subject === '>' || (tokens.length === 2 && ['*', SUBJECT_PREFIX.slice(0, -1)].includes(first));
}

/** Whether the stream is there; an error that says anything else is thrown. */
export async function streamExists(jsm: JetStreamManager, spec: StreamSpec): Promise<boolean> {
  try {
    await jsm.streams.info(spec.name);
    return true;
  } catch (error) {
    if (apiErrorCode(error) === STREAM_NOT_FOUND) return false;
    throw error;
  }
}

async function findStream(jsm: JetStreamManager, spec: StreamSpec): Promise<StreamInfo> {
  try {
    return await jsm.streams.info(spec.name);
  } catch (error) {
    if (apiErrorCode(error) !== STREAM_NOT_FOUND) throw error;
  }
  try {
    return await jsm.streams.add(streamConfig(spec));
  } catch (error) {
    if (apiErrorCode(error) === null || isJetStreamMissing(error)) throw error;
    throw new StreamConflictError(spec.name, (error as Error).message);
  }
}

/**
 * The seq of the newest message that the stream keeps, by its leader's word; 0 when it keeps none. A consumer may be
 * placed on a copy that lags, and then takes the copy's end for the stream's.
 * @param subject a subject or a pattern, not `>`: servers find none for that when the very last message was deleted
 */
export async function newestSeq(jsm: JetStreamManager, stream: string, subject: string): Promise<number> {
  return (await lastMessage(jsm, stream, subject))?.seq ?? 0;
}

/**
 * The newest message that the stream keeps of a subject, by its leader's word; null when it keeps none. A server before
 * 2.11.5 says so, too, of a subject whose newest message was deleted, until it has been asked for the oldest one.
 */
export async function lastMessage(
  jsm: JetStreamManager,
  stream: string,
  subject: string,
): Promise<StoredMsg | null> {
  const last = await storedMessage(jsm, stream, { last_by_subj: subject });
  if (last !== null || (await oldestSeq(jsm, stream, subject)) === 0) return last;
  return storedMessage(jsm, stream, { last_by_subj: subject });
}

/** The seq of the oldest message that the stream keeps of a subject, by its leader's word; 0 when it keeps none. */
export function oldestSeq(jsm: JetStreamManager, stream: string, subject: string): Promise<number> {
  // The API knows this query; the package's types do not.
  return nextSeq(jsm, stream, subject, 1);
}

/** The seq of the first message of a subject from `from` on, by the leader's word; 0 when there is none. */
export function nextSeq(
  jsm: JetStreamManager,
  stream: string,
  subject: string,
  from: number,
): Promise<number> {
  return seqOf(jsm, stream, { seq: from, next_by_subj: subject } as never);
}

/** When the message at `seq` was stored, in milliseconds since 1970; null when it is not kept. */
export async function storedTime(jsm: JetStreamManager, stream: string, seq: number): Promise<number | null> {
  return (await storedMessage(jsm, stream, { seq }))?.time.getTime() ?? null;
}

async function seqOf(jsm: JetStreamManager, stream: string, query: MsgRequest): Promise<number> {
  return (await storedMessage(jsm, stream, query))?.seq ?? 0;
}

/** A message by the stream leader's word; null when it keeps none that fits. */
export async function storedMessage(
  jsm: JetStreamManager,
  stream: string,
  query: MsgRequest,
): Promise<StoredMsg | null> {
  try {
    return await jsm.streams.getMessage(stream, query);
  } catch (error) {
    if (apiErrorCode(error) === NO_MESSAGE_FOUND) return null;
    throw error;
  }
}

/** The number in an error that the JetStream API answered, or null for any other error. */
export function apiErrorCode(error: unknown): number | null {
  return error instanceof NatsError ? (error.api_error?.err_code ?? null) : null;
}

function isJetStreamMissing(error: unknown): boolean {
  const code = apiErrorCode(error);
  return code !== null && JETSTREAM_NOT_ENABLED.includes(code);
}

function asJetStreamError(error: unknown, shownUrl: string): unknown {
  // 503: nobody listens on the JetStream API at all.
  const nobody = error instanceof NatsError && error.code === '503' && apiErrorCode(error) === null;
  if (nobody) return new JetStreamUnavailableError(shownUrl, 'nobody answers on the JetStream API');
  if (error instanceof NatsError && error.code === ErrorCode.PermissionsViolation) {
    return new NatsAuthError(shownUrl, error.message);
  }
  if (error instanceof NatsError && error.code === ErrorCode.Timeout) {
    return new JetStreamUnavailableError(shownUrl, 'the JetStream API does not answer');
  }
  if (isJetStreamMissing(error)) return new JetStreamUnavailableError(shownUrl, (error as Error).message);
  return error;
}

/**
 * The stream's epoch: the time at which this incarnation was created, to the nanosecond, in base 36.
 * PROTOCOL.md, "Epoch".
 */
export function epochOf(info: Pick<StreamInfo, 'created'>): string {
  const created = info.created;
  const fraction = /\.(\d+)/.exec(created)?.[1] ?? '';
  const seconds = Math.floor(Date.parse(created) / 1000);
  return BigInt(`${seconds}${fraction.padEnd(9, '0').slice(0, 9)}`).toString(36);
}
