import { DeliverPolicy, type StreamInfo } from 'nats';
import { SUBJECT_FILTER, subjectOf } from '../../../schemas/ids.js';
import { proveWhole } from '../../jetstream/history-page.js';
import { addConsumer } from '../../jetstream/pull-reader.js';
import type { StoredMessage } from '../../jetstream/read-stored.js';
import { nextSeq, oldestSeq, storedMessage } from '../../jetstream/stream.js';
import { type StreamAccess, streamInfo } from '../runtime/nats.js';

// What the stream keeps, and what has left it.

/** Whether the stream still has every message that was ever stored in it. */
export const isPristine = ({ state }: Pick<StreamInfo, 'state'>): boolean =>
  state.first_seq <= 1 && (state.num_deleted ?? 0) === 0;

/**
 * Whether what follows `seq`, of one job or of all (null), is known to be kept without a gap.
 *
 * All jobs: the very next sequence has to be there. One job: by the proof of an edge's pages of history.
 */
export async function isWholeAfter(access: StreamAccess, id: string | null, seq: number): Promise<boolean> {
  const { jsm, stream } = access;
  const { state } = await streamInfo(access);
  if (state.last_seq <= seq) return true;
  const subject = id === null ? SUBJECT_FILTER : subjectOf(id);
  const next = await nextSeq(jsm, stream, subject, seq + 1);
  if (id === null) return next === seq + 1;
  const oldest = await oldestSeq(jsm, stream, subject);
  return (await proveWhole(access, oldest, seq, next === 0 ? state.last_seq + 1 : next)) !== 'unknown';
}

/** Whether the message at `seq` is there still. */
export async function isKept({ jsm, stream }: StreamAccess, seq: number): Promise<boolean> {
  return (await storedMessage(jsm, stream, { seq })) !== null;
}

/** What is known of the time before the first message that is kept of a job. */
export type HistoryStart =
  /** It is the job's first. */
  | { readonly kind: 'first' }
  /** There were others: the worker named the one before, or the job has as many as the stream keeps of one. */
  | { readonly kind: 'cut'; readonly because: string }
  /** Messages have left the stream, and nothing says whether some were of this job. */
  | { readonly kind: 'unknown' };

/** The header in which workers say which of the job's messages they write after. */
const EXPECTED = 'Nats-Expected-Last-Subject-Sequence';

/** @param info the stream's, from before the message was read */
export async function beginningOf(
  access: StreamAccess,
  info: StreamInfo,
  { seq, subject }: StoredMessage,
): Promise<HistoryStart> {
  if (isPristine(info)) return { kind: 'first' };
  const said = (await storedMessage(access.jsm, access.stream, { seq }))?.header.get(EXPECTED) ?? '';
  if (said === '0') return { kind: 'first' };
  if (/^\d+$/.test(said)) return { kind: 'cut', because: `the one before had seq ${said}` };
  const limit = info.config.max_msgs_per_subject;
  if (limit <= 0) return { kind: 'unknown' };
  const counted = await access.jsm.streams.info(access.stream, { subjects_filter: subject });
  const kept = counted.state.subjects?.[subject] ?? 0;
  return kept >= limit
    ? { kind: 'cut', because: `the stream keeps ${limit} messages of a job` }
    : { kind: 'unknown' };
}

/**
 * The first sequence that was stored at this time or later, and how many messages there are from it on. The server finds
 * the place when it makes a consumer there; nothing is ever read by it.
 * @param filter a subject or a pattern
 * @param ms since 1970, by the server's clock
 */
export async function firstSince(
  { jsm, stream }: StreamAccess,
  filter: string,
  ms: number,
): Promise<{ readonly seq: number; readonly kept: number }> {
  const { name, delivered, num_pending } = await addConsumer(
    { jsm, stream },
    {
      filter_subject: filter,
      deliver_policy: DeliverPolicy.StartTime,
      opt_start_time: new Date(ms).toISOString(),
    },
  );
  await jsm.consumers.delete(stream, name).catch(() => undefined);
  return { seq: delivered.stream_seq + 1, kept: num_pending };
}
