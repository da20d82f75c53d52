import { saysTooLittle, type Writer } from './fencing.js';
import type { Forbidden, History, LastRead } from './ports.js';

/** What stands in the way of an event that was refused, as far as it can be known. */
export type Finding =
  | LastRead
  /** The newest message is no event, and what stands beneath it may not be read. */
  | (Omit<Forbidden, 'kind'> & { readonly kind: 'hidden' });

/** Which event was refused. */
export interface Inquiry {
  readonly processingId: string;
  /** The sequence that the subject's last message has, as JetStream said; null: it did not say. */
  readonly told: number | null;
  /** The sequence that it was expected to have: up to there everything is known. */
  readonly expected: number;
  readonly writer: Writer;
}

/** Finds the event that says whose the job is. Its `seq` is that of the job's newest message, whatever that one holds. */
export async function inquire(
  history: History,
  { processingId, told, expected, writer }: Inquiry,
): Promise<Finding> {
  const newest = await history.last(processingId, told ?? 0);
  if (newest.kind !== 'read' || newest.last === null) return newest;
  const { seq } = newest.last;
  // Whoever begins must know of all attempts. And what is older than expected is another stream's, or an older copy.
  const after = writer.hasBegun && seq > expected ? expected : 0;
  let top = newest.last;
  while (saysTooLittle(top, writer) && top.seq > after + 1) {
    const beneath = await history.beneath(processingId, top.seq, after);
    if (beneath.kind === 'failed') return beneath;
    if (beneath.kind === 'forbidden') {
      // A time-out carries what it was judged by: the attempt, and where that was.
      if (top.event !== null) break;
      return { ...beneath, kind: 'hidden' };
    }
    if (beneath.last === null) break;
    top = beneath.last;
  }
  return { kind: 'read', last: { ...top, seq } };
}
