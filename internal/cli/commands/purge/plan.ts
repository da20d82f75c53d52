import type { PurgeOpts } from 'nats';
import { SUBJECT_FILTER, subjectOf } from '../../../../schemas/ids.js';
import { HeadwayError } from '../../../errors.js';
import { newestValid } from '../../../jetstream/last-states.js';
import { isApiError } from '../../../jetstream/nats-errors.js';
import { firstSince } from '../../reads/retention.js';
import type { OpenStream, StreamAccess } from '../../runtime/nats.js';
import { readStatus } from '../../runtime/status.js';

export interface PurgeRequest {
  /** A job; null: all of them. */
  readonly id: string | null;
  /** Only what was stored before this, in ms since 1970; null: whenever it was stored. */
  readonly before: number | null;
  /** The newest so many stay. */
  readonly keep: number;
}

/** What the API calls them; without any of them everything goes. */
interface StreamPurgeRequest {
  /** A subject. */
  readonly filter?: string;
  /** Up to, and without, this sequence. */
  readonly seq?: number;
  /** The newest so many stay. */
  readonly keep?: number;
}

/** What a purge would do. */
export interface PurgePlan {
  /** How many events would go. Where others publish meanwhile, the server's own number may differ a little. */
  readonly events: number;
  /** How many there are of the job, or in all. */
  readonly of: number;
  /** What the server is asked; null when there is nothing to purge, and then nothing must be asked. */
  readonly request: StreamPurgeRequest | null;
  /** Whether the job is still going on; null when that is not known, or when it is about all jobs. */
  readonly isUnfinished: boolean | null;
}

/** NATS has the request and does not carry it out: the stream forbids it, say. */
export class PurgeRefusedError extends HeadwayError {
  readonly code = 'purge_refused';
  constructor(stream: string, detail: string) {
    super(
      `NATS does not purge the stream ${stream}: ${detail}. A stream with deny_purge, or one that is sealed, cannot be ` +
        'purged.',
    );
  }
}

/** Looks at what would go, and changes nothing. */
export async function planPurge(opened: OpenStream, wish: PurgeRequest): Promise<PurgePlan> {
  const { access, info } = opened;
  const { state, config } = info;
  // What a stream keeps of other subjects is not ours: nothing shows it, no export has it, and a purge leaves it.
  const isOurs = config.subjects?.length === 1 && config.subjects[0] === SUBJECT_FILTER;
  const filter = wish.id === null ? (isOurs ? null : SUBJECT_FILTER) : subjectOf(wish.id);
  const of =
    filter === null
      ? state.messages
      : wish.id === null
        ? (await firstSince(access, filter, 0)).kept
        : await eventsOf(access, filter);
  const isUnfinished = filter === null || wish.id === null ? null : await isRunning(opened, filter);
  const plan = (events: number, request: StreamPurgeRequest): PurgePlan => ({
    events,
    of,
    request: events > 0 ? request : null,
    isUnfinished,
  });
  const byJob = filter === null ? {} : { filter };
  if (wish.before !== null) {
    const { seq, kept } = await firstSince(access, filter ?? SUBJECT_FILTER, wish.before);
    // Below 1 it would mean everything, to nats-server 2.10.
    if (seq <= Math.max(1, state.first_seq)) return plan(0, byJob);
    return plan(Math.max(0, of - kept), { ...byJob, seq });
  }
  if (wish.keep > 0) return plan(Math.max(0, of - wish.keep), { ...byJob, keep: wish.keep });
  return plan(of, byJob);
}

/**
 * Purges as it was planned.
 * @returns how many events are gone
 * @throws PurgeRefusedError
 */
export async function carryOut({ jsm, stream }: StreamAccess, request: StreamPurgeRequest): Promise<number> {
  if (request.seq !== undefined && request.seq <= 1) throw new RangeError('a purge below seq 1');
  try {
    const { purged } = await jsm.streams.purge(stream, request as PurgeOpts);
    return purged;
  } catch (error) {
    if (!isApiError(error)) throw error;
    throw new PurgeRefusedError(stream, (error as Error).message);
  }
}

async function eventsOf({ jsm, stream }: StreamAccess, subject: string): Promise<number> {
  const { state } = await jsm.streams.info(stream, { subjects_filter: subject });
  return state.subjects?.[subject] ?? 0;
}

async function isRunning({ access, context }: OpenStream, subject: string): Promise<boolean | null> {
  const newest = await newestValid(access, subject, context.stopped, readStatus(context));
  return newest === null ? null : !newest.event.finished;
}
