import type { StreamInfo } from 'nats';
import type { StoredMessage } from '../../../jetstream/read-stored.js';
import { storedMessage } from '../../../jetstream/stream.js';
import { isPristine } from '../../reads/stream-state.js';
import type { StreamAccess } from '../../runtime/nats.js';

/** What is known of the time before the first message that is kept of a job. */
export type Beginning =
  /** It is the job's first. */
  | { readonly kind: 'first' }
  /** There were others: the worker named the one before, or the job has as many as the stream keeps of one. */
  | { readonly kind: 'cut'; readonly because: string }
  /** The stream has let go of messages, and nothing says whether some were this job's. */
  | { readonly kind: 'unknown' };

/** The header in which workers say which of the job's messages they write after. */
const EXPECTED = 'Nats-Expected-Last-Subject-Sequence';

/** @param info the stream's, from before the message was read */
export async function beginningOf(
  access: StreamAccess,
  info: StreamInfo,
  { seq, subject }: StoredMessage,
): Promise<Beginning> {
  if (isPristine(info)) return { kind: 'first' };
  const said = (await storedMessage(access.jsm, access.stream, { seq }))?.header.get(EXPECTED) ?? '';
  if (said === '0') return { kind: 'first' };
  if (/^\d+$/.test(said)) return { kind: 'cut', because: `the worker wrote it after seq ${said}` };
  const limit = info.config.max_msgs_per_subject;
  if (limit <= 0) return { kind: 'unknown' };
  const counted = await access.jsm.streams.info(access.stream, { subjects_filter: subject });
  const kept = counted.state.subjects?.[subject] ?? 0;
  return kept >= limit
    ? { kind: 'cut', because: `the stream keeps ${limit} messages of a job` }
    : { kind: 'unknown' };
}
