import { isDeepStrictEqual } from 'node:util';
import { AckPolicy, DeliverPolicy, type NatsConnection, nanos } from 'nats';
import type { ProgressUpdate } from '../schemas/frames.js';
import { subjectOf } from '../schemas/ids.js';
import { count, plural, seqRanges } from './text.js';

/** An event as JetStream stored it. */
export interface StoredEvent {
  readonly seq: number;
  readonly processingId: string;
  readonly event: unknown;
}

/** What JetStream has of some jobs. */
export interface Stored {
  readonly events: readonly StoredEvent[];
  /** So many events of a job are kept, the newest; 0 for any number. */
  readonly keptPerJob: number;
}

/** How what a client received compares with what was stored. */
export interface ComparisonResult {
  readonly isFine: boolean;
  readonly lines: readonly string[];
}

const BATCH = 500;
const FETCH_MS = 2_000;
const READ_WITHIN_MS = 30_000;

/** Reads the events of these jobs from the stream itself, past the edge, in the order of their sequences. */
export async function readStored(
  connection: NatsConnection,
  stream: string,
  ids: readonly string[],
): Promise<Stored> {
  const jsm = await connection.jetstreamManager();
  const { config } = await jsm.streams.info(stream);
  const { name, num_pending } = await jsm.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.All,
    filter_subjects: ids.map(subjectOf),
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: nanos(30_000),
  });
  try {
    const consumer = await connection.jetstream().consumers.get(stream, name);
    const events: StoredEvent[] = [];
    const deadline = performance.now() + READ_WITHIN_MS;
    while (events.length < num_pending && performance.now() < deadline) {
      const max_messages = Math.min(BATCH, num_pending - events.length);
      for await (const message of await consumer.fetch({ max_messages, expires: FETCH_MS })) {
        const processingId = message.subject.slice(subjectOf('').length);
        events.push({ seq: message.seq, processingId, event: message.json() });
      }
    }
    if (events.length < num_pending) {
      throw new Error(`only ${events.length} of ${num_pending} events could be read back from ${stream}`);
    }
    return { events, keptPerJob: Math.max(0, config.max_msgs_per_subject) };
  } finally {
    await jsm.consumers.delete(stream, name);
  }
}

/**
 * Compares what a client received with what JetStream stored.
 * @param leftOut how and why the edge told the client that something is left out; then that may be missing, and
 * nothing else
 */
export function compare(
  stored: Stored,
  received: readonly ProgressUpdate[],
  leftOut: readonly string[],
): ComparisonResult {
  const truth = new Map(stored.events.map((event) => [event.seq, event]));
  const trimmedBelow = oldestOfFullJobs(stored);
  const seen = new Set<number>();
  const doubled: number[] = [];
  const misplaced: number[] = [];
  const unknown: number[] = [];
  const altered: number[] = [];
  const chainless: number[] = [];
  const lastOf = new Map<string, number>();
  let trimmed = 0;
  let highest = 0;

  for (const update of received) {
    const { seq } = update;
    if (seen.has(seq)) {
      // The last state, which follows a reset, may well be known.
      if (leftOut.length === 0) doubled.push(seq);
      continue;
    }
    if (seq < highest && leftOut.length === 0) misplaced.push(seq);
    highest = Math.max(highest, seq);
    seen.add(seq);
    // What JetStream has let go of it cannot vouch for, but each update names the one before it.
    const { prev_seq, processing_id } = update;
    const previous = lastOf.get(processing_id) ?? 0;
    if (leftOut.length === 0 && prev_seq !== null && prev_seq !== previous) chainless.push(seq);
    lastOf.set(processing_id, seq);
    const event = truth.get(seq);
    if (event !== undefined) {
      if (!isSame(update, event.event)) altered.push(seq);
    } else if (seq < (trimmedBelow.get(processing_id) ?? 0)) trimmed += 1;
    else unknown.push(seq);
  }
  const missing = stored.events.map(({ seq }) => seq).filter((seq) => !seen.has(seq));

  const problems: string[] = [];
  const problem = (seqs: readonly number[], what: string): void => {
    if (seqs.length > 0) problems.push(`${plural(seqs.length, 'event')} ${what}: ${seqRanges(seqs)}`);
  };
  if (leftOut.length === 0) problem(missing, 'stored but never received');
  problem(doubled, 'received more than once');
  problem(misplaced, 'received after a later one');
  problem(unknown, 'received but not stored');
  problem(chainless, 'received without the one before it');
  problem(altered, 'received with another content than stored');
  if (problems.length > 0) {
    return { isFine: false, lines: ['What the client received is not what JetStream stored:', ...problems] };
  }

  const total = count(stored.events.length);
  const notes: string[] = [];
  if (trimmed > 0) {
    notes.push(
      `It also received ${plural(trimmed, 'older event')} that JetStream has let go since (it keeps the newest ` +
        `${count(stored.keptPerJob)} of a job)${leftOut.length === 0 ? '; by their prev_seq none is missing' : ''}.`,
    );
  }
  if (leftOut.length > 0) {
    const left =
      missing.length > 0 ? `, and left out ${plural(missing.length, 'event')} (${seqRanges(missing)})` : '';
    const got = stored.events.length - missing.length;
    return {
      isFine: true,
      lines: [
        `The edge could not give everything and said so (${[...new Set(leftOut)].join(', ')})${left}. The client ` +
          `received ${count(got)} of the ${total} events that JetStream stored, in order: nothing lost without a word, nothing altered.`,
        ...notes,
      ],
    };
  }
  return {
    isFine: true,
    lines: [
      `The client received exactly the ${total} events that JetStream stored, in order: nothing lost, nothing doubled.`,
      ...notes,
    ],
  };
}

/** The oldest kept seq of each job of which as much is kept as ever is, so that older ones may be gone. */
function oldestOfFullJobs({ events, keptPerJob }: Stored): Map<string, number> {
  const jobs = new Map<string, { oldest: number; events: number }>();
  for (const { processingId, seq } of events) {
    const job = jobs.get(processingId);
    if (job === undefined) jobs.set(processingId, { oldest: seq, events: 1 });
    else job.events += 1;
  }
  const full = [...jobs].filter(([, job]) => keptPerJob > 0 && job.events >= keptPerJob);
  return new Map(full.map(([id, job]) => [id, job.oldest]));
}

/** An update is the event and what the edge knows of its place. */
function isSame(
  { seq: _seq, prev_seq: _prev, type: _type, ...update }: ProgressUpdate,
  event: unknown,
): boolean {
  const { type: _ignored, ...stored } = event as Record<string, unknown>;
  return isDeepStrictEqual(update, stored);
}
