import { subjectOf } from '../../schemas/ids.js';
import { decodeEvent } from '../eventlog/decode.js';
import type { Gap } from '../eventlog/gaps.js';
import { type LogRecord, makeRecord, type Scope } from '../eventlog/record.js';
import type { Page, ResetRequired } from '../session/ports.js';
import type { PullAccess, PullLimits, StoredMessage } from './pull-reader.js';
import { epochOf, oldestSeq } from './stream.js';
import { StreamReader } from './stream-reader.js';

/** A page: one pull, so that nothing comes that is thrown away. A message that is larger comes by itself. */
const PAGE: PullLimits = { bytes: 64 * 1024, messages: 1_000, prefetch: false };
const ANSWER_MS = 5_000;

/** What happened cannot be answered now; asking again may succeed. */
export class RetryableReadError extends Error {}

export interface HistoryAccess extends PullAccess {
  /** The epoch of the edge's log: pages of another incarnation are of no use to it. */
  readonly epoch: () => string;
}

/**
 * Reads the valid events of a scope after a cursor, at most a page of them, by a short-lived consumer. JetStream moves
 * a start that is no longer kept up to the first that is, in silence; so what it has is compared with what was asked. Of
 * one job, a cursor after which something may be missing is refused; of all jobs the page goes on over what is missing,
 * and says so. PROTOCOL.md, "When a cursor is too old".
 *
 * An all-jobs page is not filtered by type, so that everybody can share it.
 * @throws RetryableReadError, ConsumerLostError, NatsError: asking again may succeed
 */
export async function readPage(
  access: HistoryAccess,
  scope: Scope,
  after: number,
  proof: 'whole' | 'none' = 'whole',
): Promise<Page | ResetRequired> {
  const info = await access.jsm.streams.info(access.stream);
  if (epochOf(info) !== access.epoch()) throw new RetryableReadError('the stream is another one');
  const { first_seq: firstSeq, last_seq: lastSeq } = info.state;
  const refuse = (reason: ResetRequired['reason']): ResetRequired => ({
    kind: 'refused',
    reason,
    firstSeq,
    lastSeq,
  });
  if (after > lastSeq) return refuse('ahead');

  // A job is read from the cursor itself on: when an event stands there, what follows is known to be its successor.
  const start = scope.kind === 'job' ? Math.max(after, 1) : after + 1;
  const reader = new StreamReader(access, {
    subject: scope.kind === 'job' ? subjectOf(scope.id) : null,
    from: { kind: 'seq', seq: start },
    pull: PAGE,
    ask: (request) => request(),
  });
  try {
    await reader.open();
    const fetched = await fetchPage(reader, after, lastSeq);
    if (scope.kind === 'all') return allPage(fetched, after, lastSeq);
    const whole =
      proof === 'none' ? 'kept' : await verifyNoGap(access, subjectOf(scope.id), fetched, after, lastSeq);
    return whole === 'unknown' ? refuse('retention') : jobPage(fetched, after, lastSeq, whole);
  } finally {
    void reader.remove();
  }
}

interface Fetched {
  readonly messages: readonly StoredMessage[];
  /** What the consumer had to deliver after the cursor. */
  readonly pending: number;
  /** Whether nothing is left up to what was the stream's end. */
  readonly isExhausted: boolean;
}

// The message at the cursor is only looked at; a page that it filled would lead nowhere.
async function fetchPage(reader: StreamReader, after: number, lastSeq: number): Promise<Fetched> {
  const messages: StoredMessage[] = [];
  const total = reader.consumer?.info.num_pending ?? 0;
  const pendingAfter = () => total - (messages[0]?.seq === after ? 1 : 0);
  for (;;) {
    if (total > 0) messages.push(...(await reader.next(ANSWER_MS)));
    const isExhausted = await reader.isAtEnd(lastSeq);
    const isPage = (messages.at(-1)?.seq ?? 0) > after;
    if (isPage || isExhausted) return { messages, pending: pendingAfter(), isExhausted };
    // Nothing is left by the word of a copy of the stream that lags behind.
    if (reader.consumer?.pending === 0) throw new RetryableReadError('the copy that was read lags behind');
  }
}

/** The most deleted sequences that are asked for; where there are more, a hole cannot be ruled out. */
const MAX_DELETED_LISTED = 10_000;

// Messages leave a stream at its front (age, size) and, for each subject, at that subject's own front. So nothing of
// the job is missing behind the cursor when the event at the cursor, or an older one of the job, is still kept after
// the page was read. Else every message between the cursor and the job's next one must still be there, whosever it is.
async function verifyNoGap(
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
  return proveWhole({ jsm, stream }, oldest, after, first ?? lastSeq + 1);
}

/**
 * Whether nothing of a job can have left the stream between a sequence and the job's next message.
 * @param oldest the seq of the oldest message that is kept of the job, asked for after `next` was; 0: none is
 * @param after the sequence, which may be another job's
 * @param next the seq of the job's next message after it; where there is none, the one after the stream's last
 */
export async function proveWhole(
  { jsm, stream }: Pick<HistoryAccess, 'jsm' | 'stream'>,
  oldest: number,
  after: number,
  next: number,
): Promise<'kept' | 'untouched' | 'unknown'> {
  if (oldest !== 0 && oldest <= after) return 'kept';
  const { state } = await jsm.streams.info(stream);
  if (state.first_seq > after + 1) return 'unknown';
  if ((state.num_deleted ?? 0) === 0) return 'untouched';
  if ((state.num_deleted ?? 0) > MAX_DELETED_LISTED) return 'unknown';
  const detailed = await jsm.streams.info(stream, { deleted_details: true });
  if (detailed.state.first_seq > after + 1) return 'unknown';
  const isHole = (detailed.state.deleted ?? []).some((seq) => seq > after && seq < next);
  return isHole ? 'unknown' : 'untouched';
}

function jobPage(
  { messages, isExhausted, pending }: Fetched,
  after: number,
  lastSeq: number,
  whole: 'anchored' | 'kept' | 'untouched',
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
function allPage({ messages, isExhausted, pending }: Fetched, after: number, lastSeq: number): Page {
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

function toRecord(message: StoredMessage, previous: number | null): LogRecord | null {
  const decoded = decodeEvent(message.subject, message.data);
  if (!decoded.ok) return null;
  return makeRecord(decoded.event, message.seq, previous, message.storedAt);
}
