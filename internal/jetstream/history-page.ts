import {
  AckPolicy,
  type ConsumerInfo,
  type ConsumerUpdateConfig,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  nanos,
} from 'nats';
import { SUBJECT_FILTER, subjectOf } from '../../schemas/ids.js';
import { decodeEvent } from '../eventlog/decode.js';
import type { Gap } from '../eventlog/gaps.js';
import { type LogRecord, makeRecord } from '../eventlog/record.js';
import type { Scope } from '../eventlog/scope.js';
import type { Page, Refusal } from '../session/ports.js';
import { epochOf, nextSeq, oldestSeq } from './stream.js';

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
export async function readPage(
  access: HistoryAccess,
  scope: Scope,
  after: number,
  proof: 'whole' | 'none' = 'whole',
): Promise<Page | Refusal> {
  const subject = scope.kind === 'job' ? subjectOf(scope.id) : SUBJECT_FILTER;
  const info = await access.jsm.streams.info(access.stream);
  if (epochOf(info) !== access.epoch()) throw new HistoryInterrupted('the stream is another one');
  const { first_seq: firstSeq, last_seq: lastSeq } = info.state;
  const refuse = (reason: Refusal['reason']): Refusal => ({ kind: 'refused', reason, firstSeq, lastSeq });
  if (after > lastSeq) return refuse('ahead');

  // A job is read from the cursor itself on: when an event stands there, what follows is known to be its successor.
  const start = scope.kind === 'job' ? Math.max(after, 1) : after + 1;
  const consumer = await access.jsm.consumers.add(access.stream, consumerConfig(subject, start));
  try {
    const fetched = await fetchPage(access, consumer, after);
    if (fetched.isExhausted) await confirmEnd(access, subject, fetched, start, lastSeq);
    if (scope.kind === 'all') return allPage(fetched, after, lastSeq, consumer.num_pending);
    const whole = proof === 'none' ? 'kept' : await wholeness(access, subject, fetched, after, lastSeq);
    return whole === 'unknown'
      ? refuse('retention')
      : jobPage(fetched, after, lastSeq, whole, consumer.num_pending);
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

async function fetchPage(access: HistoryAccess, info: ConsumerInfo, after: number): Promise<Fetched> {
  const messages: JsMsg[] = [];
  let pending = info.num_pending;
  let bytes = 0;
  const consumer = access.js.consumers.getPullConsumerFor(info);
  while (pending > 0 && bytes < PAGE_BYTES) {
    const before = messages.length;
    const batch = await consumer.fetch({ max_messages: Math.min(BATCH, pending), expires: FETCH_MS });
    for await (const message of batch) {
      if (message.info.deliverySequence !== messages.length + 1) {
        throw new HistoryInterrupted('a message was lost');
      }
      messages.push(message);
      // The one at the cursor is only looked at; a page that it filled would lead nowhere.
      if (message.seq > after) bytes += message.data.byteLength;
      pending = message.info.pending;
      // What the batch brings beyond a full page is left for the next one.
      if (bytes >= PAGE_BYTES) break;
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
  start: number,
  lastSeq: number,
): Promise<void> {
  const read = fetched.messages.at(-1)?.seq ?? start - 1;
  if (read >= lastSeq) return;
  const next = await nextSeq(access.jsm, access.stream, subject, read + 1);
  if (next !== 0 && next <= lastSeq) throw new HistoryInterrupted('the copy that was read lags behind');
}

/** The most deleted sequences that are asked for; where there are more, a hole cannot be ruled out. */
const MAX_DELETED_LISTED = 10_000;

// Messages leave a stream at its front (age, size) and, for each subject, at that subject's own front. So nothing of
// the job is missing behind the cursor when the event at the cursor, or an older one of the job, is still kept after
// the page was read. Else every message between the cursor and the job's next one must still be there, whosever it is.
async function wholeness(
  { jsm, stream }: HistoryAccess,
  subject: string,
  { messages }: Fetched,
  after: number,
  lastSeq: number,
): Promise<'anchored' | 'kept' | 'untouched' | 'unknown'> {
  const first = messages[0]?.seq;
  const oldest = await oldestSeq(jsm, stream, subject);
  // The job's front has passed what was read first: more may have left between two of the messages.
  if (first !== undefined && messages.length > 1 && (oldest === 0 || oldest > first)) return 'unknown';
  if (first === after) return 'anchored';
  if (oldest !== 0 && oldest <= after) return 'kept';
  const { state } = await jsm.streams.info(stream);
  if (state.first_seq > after + 1) return 'unknown';
  if ((state.num_deleted ?? 0) === 0) return 'untouched';
  if ((state.num_deleted ?? 0) > MAX_DELETED_LISTED) return 'unknown';
  const detailed = await jsm.streams.info(stream, { deleted_details: true });
  if (detailed.state.first_seq > after + 1) return 'unknown';
  const next = first ?? lastSeq + 1;
  const isHole = (detailed.state.deleted ?? []).some((seq) => seq > after && seq < next);
  return isHole ? 'unknown' : 'untouched';
}

function jobPage(
  { messages, isExhausted }: Fetched,
  after: number,
  lastSeq: number,
  whole: 'anchored' | 'kept' | 'untouched',
  pending: number,
): Page {
  const records: LogRecord[] = [];
  let previous: number | null = after === 0 && whole === 'untouched' ? 0 : null;
  for (const message of messages) {
    const record = toRecord(message, previous);
    if (record === null) continue;
    previous = record.seq;
    if (record.seq > after) records.push(record);
  }
  const last = messages.at(-1)?.seq ?? after;
  const cursor = isExhausted ? Math.max(lastSeq, last) : last;
  return { kind: 'page', records, cursor, previous, pending, gap: null };
}

// Over all jobs a sequence that is not there was taken by a limit or a purge: the page goes on behind it, and says so.
function allPage({ messages, isExhausted }: Fetched, after: number, lastSeq: number, pending: number): Page {
  const records: LogRecord[] = [];
  const previous = new Map<string, number>();
  let cursor = after;
  let gap: Gap | null = null;
  const goOn = (to: number): void => {
    if (to > cursor + 1) {
      gap = { after: gap?.after ?? cursor, before: to };
      previous.clear();
    }
    cursor = to;
  };
  for (const message of messages) {
    goOn(message.seq);
    const record = toRecord(message, previous.get(message.subject) ?? null);
    if (record === null) continue;
    previous.set(message.subject, record.seq);
    records.push(record);
  }
  if (isExhausted && cursor < lastSeq) goOn(lastSeq + 1);
  return {
    kind: 'page',
    records,
    cursor: Math.min(cursor, Math.max(lastSeq, after)),
    previous: null,
    pending,
    gap,
  };
}

function toRecord(message: JsMsg, previous: number | null): LogRecord | null {
  const decoded = decodeEvent(message.subject, message.data);
  if (!decoded.ok) return null;
  return makeRecord(decoded.event, message.seq, previous, message.info.timestampNanos / 1e6);
}
