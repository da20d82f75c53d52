import { NotPermittedError } from './errors.js';
import { currentClaim, isConclusive, type LastMessage, type Writer } from './fencing.js';
import type { Forbidden, History, LastRead, RangeRead } from './ports.js';
import type { ReporterWarning } from './warning.js';

/** Which event conflicts with the one that was rejected, as far as it can be known. */
export type LookupResult =
  | LastRead
  /** The newest message does not tell who has the job, and earlier ones may not be read. */
  | (Omit<Forbidden, 'kind'> & { readonly kind: 'hidden' });

/** The event that was rejected. */
export interface ConflictQuery {
  readonly processingId: string;
  /** The sequence of the subject's last message, as JetStream reported it; null: it did not. */
  readonly reportedSeq: number | null;
  /** The sequence that it was expected to have: everything up to it is known. */
  readonly expected: number;
  readonly writer: Writer;
}

/**
 * How many messages of a job are read at most to find its attempt. Headway's stream keeps as many of each job, so an
 * older attempt counts as one that is not kept any more.
 */
const MAX_MESSAGES = 1_000;
/** How far back the first read goes, in sequences, and the factor for each further read. */
const FIRST_SPAN = 8;
const SPAN_FACTOR = 4;

/**
 * Finds the event that tells who has the job. Its `seq` is that of the job's newest message, whatever that one holds.
 * Never rejects.
 */
export async function lookupConflict(history: History, query: ConflictQuery): Promise<LookupResult> {
  if (query.reportedSeq === 0) return { kind: 'read', last: null };
  try {
    return await currentEvent(history, query);
  } catch (error) {
    return { kind: 'failed', detail: String(error) };
  }
}

async function currentEvent(history: History, query: ConflictQuery): Promise<LookupResult> {
  const { processingId, reportedSeq, expected, writer } = query;
  const newest = await history.last(processingId, reportedSeq ?? 0);
  if (newest.kind !== 'read' || newest.last === null) return newest;
  const { last } = newest;
  // A run that starts must know all attempts. And a message older than expected is of another stream, or of an old replica.
  const after = writer.hasBegun && last.seq > expected ? expected : 0;
  const floor = after > 0 ? writer.attempt : 0;
  const previous: RangeRead = hasNoGap(last, after, writer)
    ? { kind: 'read', messages: [] }
    : await readPreviousEvents(history, processingId, last, after, writer);
  switch (previous.kind) {
    case 'read':
      return { kind: 'read', last: currentClaim([...previous.messages, last], writer, floor) };
    case 'forbidden':
      // Then trust an event that names its attempt. A timeout event of an edge names the attempt that it is about.
      if (last.event?.attempt === undefined) return { ...previous, kind: 'hidden' };
      return { kind: 'read', last: currentClaim([last], writer, floor) };
    case 'failed':
      return previous;
  }
}

// A condition that was met proves that there is no event in between.
const hasNoGap = (last: LastMessage, after: number, writer: Writer): boolean =>
  isConclusive(last, writer) || last.seq <= after + 1 || (last.expected !== null && last.expected <= after);

// JetStream can read the next message of a subject, but not the previous one. So read back in growing steps, until a
// message proves how high the attempts before it are.
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

/** An event that conflicts with one that may not be read. */
export interface ReadDenial {
  readonly processingId: string;
  readonly forbidden: Omit<Forbidden, 'kind'>;
  readonly hasBegun: boolean;
  /** The attempt that the caller asked for. */
  readonly requested: number | null;
}

/** Names the missing permission, and what happens until it is granted. */
export function readPermissionWarning({
  processingId,
  forbidden,
  hasBegun,
  requested,
}: ReadDenial): ReporterWarning {
  const error = new NotPermittedError(processingId, forbidden.subjects, forbidden.detail);
  const about = { processingId, error };
  if (hasBegun) {
    return {
      ...about,
      kind: 'not_permitted',
      message: `${error.message} Nothing is written until then.`,
    };
  }
  const until =
    requested === null
      ? 'Nothing is written until then, or give the attempt.'
      : `This is attempt ${requested} whatever was before.`;
  return { ...about, kind: 'attempt_unknown', message: `${error.message} ${until}` };
}
