import { SUBJECT_FILTER } from '../../../../schemas/ids.js';
import { nextSeq, storedMessage } from '../../../jetstream/stream.js';
import { type StreamAccess, streamInfo } from '../../runtime/nats.js';

/**
 * Whether what follows `seq`, of one job or of all (null), is known to be kept without a gap.
 *
 * All jobs: the very next sequence has to be there. One job: messages leave it at its front, so nothing after one that
 * is still kept has left; else nothing at all may have left the stream since.
 */
export async function isWholeAfter(access: StreamAccess, id: string | null, seq: number): Promise<boolean> {
  const { jsm, stream } = access;
  const { state } = await streamInfo(access);
  if (state.last_seq <= seq) return true;
  if (id === null) return (await nextSeq(jsm, stream, SUBJECT_FILTER, seq + 1)) === seq + 1;
  if (await isKept(access, seq)) return true;
  return state.first_seq <= seq + 1 && (state.num_deleted ?? 0) === 0;
}

/** Whether the message at `seq` is there still. */
export async function isKept({ jsm, stream }: StreamAccess, seq: number): Promise<boolean> {
  return (await storedMessage(jsm, stream, { seq })) !== null;
}
