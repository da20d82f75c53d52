import { currentClaim, isConclusive, type LastMessage, type Writer } from './fencing.js';
import type { Forbidden, History, LastRead, RangeRead } from './ports.js';

/** What stands in the way of an event that was refused, as far as it can be known. */
export type LookupResult =
  | LastRead
  /** The newest message says nothing of whose the job is, and what stands beneath it may not be read. */
  | (Omit<Forbidden, 'kind'> & { readonly kind: 'hidden' });

/** Which event was refused. */
export interface ConflictQuery {
  readonly processingId: string;
  /** The sequence that the subject's last message has, as JetStream said; null: it did not say. */
  readonly reportedSeq: number | null;
  /** The sequence that it was expected to have: up to there everything is known. */
  readonly expected: number;
  readonly writer: Writer;
}

/**
 * How many messages of a job are read at most to learn its attempt. The stream that Headway makes keeps as many of each
 * job; an attempt that is older counts as little as one that is not kept any more.
 */
const MAX_MESSAGES = 1_000;
/** How far it is looked back at first, in sequences, and by what factor further each time. */
const FIRST_SPAN = 8;
const SPAN_FACTOR = 4;

/** Finds the event that says whose the job is. Its `seq` is that of the job's newest message, whatever that one holds. */
export async function lookupConflict(history: History, query: ConflictQuery): Promise<LookupResult> {
  const { processingId, reportedSeq, expected, writer } = query;
  const newest = await history.last(processingId, reportedSeq ?? 0);
  if (newest.kind !== 'read' || newest.last === null) return newest;
  const { last } = newest;
  // Whoever begins must know of all attempts. And what is older than expected is another stream's, or an older copy.
  const after = writer.hasBegun && last.seq > expected ? expected : 0;
  const floor = after > 0 ? writer.attempt : 0;
  const previous: RangeRead = hasNoGap(last, after, writer)
    ? { kind: 'read', messages: [] }
    : await readPreviousEvents(history, processingId, last, after, writer);
  switch (previous.kind) {
    case 'read':
      return { kind: 'read', last: currentClaim([...previous.messages, last], writer, floor) };
    case 'forbidden':
      // What names an attempt is believed then. An edge's time-out carries what it was judged by.
      if (last.event?.attempt === undefined) return { ...previous, kind: 'hidden' };
      return { kind: 'read', last: currentClaim([last], writer, floor) };
    case 'failed':
      return previous;
  }
}

// A condition that was met proves that nothing stands between.
const hasNoGap = (last: LastMessage, after: number, writer: Writer): boolean =>
  isConclusive(last, writer) || last.seq <= after + 1 || (last.expected !== null && last.expected <= after);

// There is no question for the message before another one, only for the next one. So it is looked back in steps that
// grow, until a message tells how high the attempts beneath it are.
async function readPreviousEvents(
  history: History,
  id: string,
  last: LastMessage,
  after: number,
  writer: Writer,
): Promise<RangeRead> {
  const oldest = await history.range(id, after + 1, last.seq, 1);
  if (oldest.kind !== 'read') return oldest;
  const [first] = oldest.messages;
  if (first === undefined) return oldest;
  let found: readonly LastMessage[] = [];
  let before = last.seq;
  for (let span = FIRST_SPAN; before > first.seq + 1; span *= SPAN_FACTOR) {
    const from = Math.max(first.seq + 1, before - span);
    const older = await history.range(id, from, before, MAX_MESSAGES - found.length);
    if (older.kind !== 'read') return older;
    found = [...older.messages, ...found];
    if (older.messages.some((message) => isConclusive(message, writer)))
      return { kind: 'read', messages: found };
    if (found.length >= MAX_MESSAGES) break;
    before = from;
  }
  return { kind: 'read', messages: [first, ...found] };
}
