import {
  AckPolicy,
  type ConsumerInfo,
  type ConsumerUpdateConfig,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  nanos,
  type StreamInfo,
} from 'nats';
import { SUBJECT_FILTER, subjectOf } from '../../schemas/ids.js';
import { decodeEvent } from '../eventlog/decode.js';
import { type LogRecord, makeRecord } from '../eventlog/record.js';
import type { Scope } from '../eventlog/scope.js';
import type { Page, Refusal } from '../session/ports.js';
import { epochOf, newestSeq } from './stream.js';

/** The most messages in one request; with events of 64 KiB it is what one read may hold in memory for a moment. */
const BATCH = 128;
/** A page ends with the message that fills it. */
const PAGE_BYTES = 64 * 1024;
const FETCH_MS = 5_000;

/** What happened cannot be answered now; asking again may succeed. */
export class HistoryInterrupted extends Error {}

export interface HistoryAccess {
  readonly jsm: JetStreamManager;
  readonly js: JetStreamClient;
  readonly stream: string;
  /** The epoch of the edge's log: pages of another incarnation are of no use to it. */
  readonly epoch: () => string;
}

/**
 * Reads the valid events of a scope after a cursor, at most a page of them, by a short-lived consumer. JetStream moves
 * a start that is no longer kept up to the first that is, in silence; so what it has is compared with what was asked,
 * and a cursor after which something may be missing is refused. PROTOCOL.md, "When a cursor is too old".
 *
 * An all-jobs page is not filtered by type, so that everybody can share it.
 */
export async function readPage(access: HistoryAccess, scope: Scope, after: number): Promise<Page | Refusal> {
  const subject = scope.kind === 'job' ? subjectOf(scope.id) : SUBJECT_FILTER;
  const info = await access.jsm.streams.info(
    access.stream,
    scope.kind === 'job' ? { subjects_filter: subject } : undefined,
  );
  if (epochOf(info) !== access.epoch()) throw new HistoryInterrupted('the stream is another one');
  const { first_seq: firstSeq, last_seq: lastSeq } = info.state;
  const refuse = (reason: Refusal['reason']): Refusal => ({ kind: 'refused', reason, firstSeq, lastSeq });
  if (after > lastSeq) return refuse('ahead');
  if (scope.kind === 'all' && firstSeq > after + 1) return refuse('retention');

  // A job is read from the cursor itself on: when an event stands there, what follows is known to be its successor.
  const start = scope.kind === 'job' ? Math.max(after, 1) : after + 1;
  const consumer = await access.jsm.consumers.add(access.stream, consumerConfig(subject, start));
  try {
    const messages = await fetchPage(access, consumer);
    if (messages.isExhausted) await confirmEnd(access, subject, messages, lastSeq);
    if (scope.kind === 'all') return allPage(messages, after, lastSeq, refuse);
    return jobPage(messages, after, lastSeq, whole(info, subject, consumer.num_pending, after), refuse);
  } finally {
    access.jsm.consumers.delete(access.stream, consumer.name).catch(() => undefined);
  }
}

function consumerConfig(subject: string, start: number): ConsumerUpdateConfig & Record<string, unknown> {
  return {
    filter_subject: subject,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: start,
    ack_policy: AckPolicy.None,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: nanos(30_000),
  } as never;
}

interface Fetched {
  readonly messages: readonly JsMsg[];
  /** Whether nothing was left when the last message was delivered. */
  readonly isExhausted: boolean;
}

async function fetchPage(access: HistoryAccess, info: ConsumerInfo): Promise<Fetched> {
  const messages: JsMsg[] = [];
  let pending = info.num_pending;
  let bytes = 0;
  const consumer = access.js.consumers.getPullConsumerFor(info);
  while (pending > 0 && bytes < PAGE_BYTES) {
    const before = messages.length;
    const batch = await consumer.fetch({ max_messages: Math.min(BATCH, pending), expires: FETCH_MS });
    for await (const message of batch) {
      if (message.info.deliverySequence !== messages.length + 1)
        throw new HistoryInterrupted('a message was lost');
      messages.push(message);
      bytes += message.data.byteLength;
      pending = message.info.pending;
    }
    if (messages.length === before) throw new HistoryInterrupted('no answer within the time');
  }
  return { messages, isExhausted: pending === 0 };
}

// The consumer may stand on a copy of the stream that lags behind the leader.
async function confirmEnd(
  access: HistoryAccess,
  subject: string,
  fetched: Fetched,
  lastSeq: number,
): Promise<void> {
  const read = fetched.messages.at(-1)?.seq ?? 0;
  if (read >= lastSeq) return;
  const newest = await newestSeq(access.jsm, access.stream, subject);
  if (newest > read && newest <= lastSeq) throw new HistoryInterrupted('the copy that was read lags behind');
}

// Messages leave a stream at its front (age, size) and, for each subject, at that subject's own front. So nothing of
// the job is missing after the cursor when an older message of it is still kept, or when nothing that could have
// been the job's was ever taken from behind the cursor.
function whole(
  info: StreamInfo,
  subject: string,
  fromCursor: number,
  after: number,
): 'kept' | 'untrimmed' | 'unknown' {
  const kept = info.state.subjects?.[subject] ?? 0;
  if (kept > fromCursor) return 'kept';
  const limit = info.config.max_msgs_per_subject;
  const untrimmed = limit <= 0 || kept < limit;
  return untrimmed && info.state.first_seq <= after + 1 ? 'untrimmed' : 'unknown';
}

function jobPage(
  { messages, isExhausted }: Fetched,
  after: number,
  lastSeq: number,
  history: 'kept' | 'untrimmed' | 'unknown',
  refuse: (reason: Refusal['reason']) => Refusal,
): Page | Refusal {
  const isAnchored = messages[0]?.seq === after;
  if (!isAnchored && history === 'unknown') return refuse('retention');
  const records: LogRecord[] = [];
  let previous: number | null = after === 0 && history === 'untrimmed' ? 0 : null;
  for (const message of messages) {
    const record = toRecord(message, previous);
    if (record === null) continue;
    previous = record.seq;
    if (record.seq > after) records.push(record);
  }
  const last = messages.at(-1)?.seq ?? after;
  return { kind: 'page', records, cursor: isExhausted ? Math.max(lastSeq, last) : last };
}

// Over all jobs every sequence after the cursor must be there: one that is not was taken by a limit or a purge.
function allPage(
  { messages, isExhausted }: Fetched,
  after: number,
  lastSeq: number,
  refuse: (reason: Refusal['reason']) => Refusal,
): Page | Refusal {
  const records: LogRecord[] = [];
  const previous = new Map<string, number>();
  let cursor = after;
  for (const message of messages) {
    if (message.seq !== cursor + 1) return refuse('retention');
    cursor = message.seq;
    const record = toRecord(message, previous.get(message.subject) ?? null);
    if (record === null) continue;
    previous.set(message.subject, record.seq);
    records.push(record);
  }
  if (isExhausted && cursor < lastSeq) return refuse('retention');
  return { kind: 'page', records, cursor };
}

function toRecord(message: JsMsg, previous: number | null): LogRecord | null {
  const decoded = decodeEvent(message.subject, message.data);
  if (!decoded.ok) return null;
  return makeRecord(decoded.event, message.seq, previous, message.info.timestampNanos / 1e6);
}
