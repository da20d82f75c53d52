import type { StreamState } from 'nats';
import { idOf } from '../../../../schemas/ids.js';
import { plural } from '../../../formatting.js';
import { readStored } from '../../../jetstream/read-stored.js';
import { type JobEvent, readEvent } from '../../reads/job-event.js';
import type { CliContext } from '../../runtime/cli-context.js';
import { type StreamAccess, streamInfo } from '../../runtime/nats.js';
import type { LatestById } from './latest-by-id.js';

/** The first look back is over so many messages for each job that is wanted; each further one over so many times as many. */
const FIRST_LOOK = 4;
const FIRST_LOOK_LEAST = 256;
const FURTHER = 4;
/** How often what came meanwhile is read before all jobs are read instead. */
const MOST_LOOKS_AHEAD = 4;

export interface Recent {
  /** Whether a job is one of those that are wanted, by its last state. */
  readonly isWanted: (job: JobEvent) => boolean;
  /** How many are wanted; Infinity: all that were stored since `after`. */
  readonly limit: number;
  /** ms since 1970, by the server's clock: nothing older is wanted; -Infinity: whatever its age. */
  readonly after: number;
}

/**
 * The jobs that reported last, into `newest`, from the end of the stream backwards: as little of it is read as that takes.
 * @param make what is kept of a job
 * @param state the stream's, as of now
 * @returns whether it is done; false: it would take as much as the last states of all jobs, so read those
 * @throws as `readStored` does
 */
export async function readRecent<T extends { readonly id: string; readonly seq: number }>(
  context: CliContext,
  access: StreamAccess,
  { isWanted, limit, after }: Recent,
  newest: LatestById<T>,
  make: (job: JobEvent) => T,
  state: StreamState,
): Promise<boolean> {
  const jobs = state.num_subjects ?? 0;
  const look = new Look(after);
  let end = state.last_seq;
  let count =
    limit === Number.POSITIVE_INFINITY ? FIRST_LOOK_LEAST : Math.max(FIRST_LOOK_LEAST, FIRST_LOOK * limit);
  let read = 0;
  while (end >= state.first_seq) {
    // What was read in vain is little beside what all jobs take.
    if (read + count > Math.max(FIRST_LOOK_LEAST, jobs / 2)) return false;
    const start = Math.max(state.first_seq, end - count + 1);
    await look.over(context, access, start, end);
    for (const job of look.takeFound()) if (isWanted(job)) newest.put(make(job));
    if (newest.size >= limit || look.isBeforeBegin) break;
    read += count;
    end = start - 1;
    count *= FURTHER;
  }
  if (!(await lookAhead(context, access, state.last_seq, { isWanted, newest, make }))) return false;
  // Some of those that were enough may be wanted no more.
  if (newest.size < limit && end >= state.first_seq && !look.isBeforeBegin) return false;
  look.tellInvalid(context);
  return true;
}

// A job that reports meanwhile may lose its older messages before they are read: then its newest one is here. It may lose
// that one, too, but only by as many newer ones as the stream keeps of each job.
/** @returns false: jobs report faster than this reads, so some may have been missed */
async function lookAhead<T extends { readonly id: string; readonly seq: number }>(
  context: CliContext,
  access: StreamAccess,
  from: number,
  {
    isWanted,
    newest,
    make,
  }: Pick<Recent, 'isWanted'> & { newest: LatestById<T>; make: (job: JobEvent) => T },
): Promise<boolean> {
  let seen = from;
  for (let looks = 0; looks < MOST_LOOKS_AHEAD; looks++) {
    const { state, config } = await streamInfo(access);
    const keptOfEach =
      config.max_msgs_per_subject > 0 ? config.max_msgs_per_subject : Number.POSITIVE_INFINITY;
    if (state.last_seq <= seen || (looks > 0 && state.last_seq - seen < keptOfEach)) return true;
    const range = { id: null, from: { kind: 'seq', seq: seen + 1 }, until: { seq: state.last_seq } } as const;
    seen = state.last_seq;
    for await (const batch of readStored(access, range, context.stopped)) {
      for (const message of batch) {
        const read = readEvent(message);
        if (!read.ok) continue;
        if (isWanted(read.job)) newest.put(make(read.job));
        else newest.drop(read.job.id, read.job.seq);
      }
    }
  }
  return false;
}

/** The newest valid event of each job, from one look back to the next. */
class Look {
  /** Whether what came was stored before what is wanted. */
  isBeforeBegin = false;
  readonly #after: number;
  /** Jobs whose newest valid event has come. */
  readonly #known = new Set<string>();
  /** Jobs of which only messages came that are no events. */
  readonly #invalid = new Set<string>();
  #found = new Map<string, JobEvent>();

  constructor(after: number) {
    this.#after = after;
  }

  async over(context: CliContext, access: StreamAccess, start: number, end: number): Promise<void> {
    const range = { id: null, from: { kind: 'seq', seq: start }, until: { seq: end } } as const;
    for await (const batch of readStored(access, range, context.stopped)) {
      for (const message of batch) {
        if (message.storedAt < this.#after) {
          this.isBeforeBegin = true;
          continue;
        }
        const id = idOf(message.subject);
        if (id === null || this.#known.has(id)) continue;
        const read = readEvent(message);
        if (read.ok) this.#found.set(id, read.job);
        else this.#invalid.add(id);
      }
    }
  }

  takeFound(): Iterable<JobEvent> {
    const found = this.#found;
    this.#found = new Map();
    for (const id of found.keys()) this.#known.add(id);
    return found.values();
  }

  tellInvalid(context: CliContext): void {
    const named = [...this.#invalid].slice(0, 3).join(', ');
    const more = this.#invalid.size > 3 ? ', …' : '';
    if (this.#invalid.size === 0) return;
    context.stderr(
      `headway: among what was read, messages of ${plural(this.#invalid.size, 'job')} are no valid events: ` +
        `${named}${more} (headway history ID says what is wrong)\n`,
    );
  }
}
