import { compareKeys } from '../../output/format.js';
import { eachState } from '../../reads/each-state.js';
import type { JobEvent } from '../../reads/job-event.js';
import { displayStatus } from '../../reads/job-status.js';
import type { CliContext } from '../../runtime/cli-context.js';
import { type StreamAccess, streamInfo } from '../../runtime/nats.js';
import type { Progress } from '../../runtime/status.js';
import { LatestById } from './latest-by-id.js';
import type { ListOptions, SortField } from './options.js';
import { readRecent } from './recent.js';

/** What is read of the stream, and what is wanted of it. */
export interface Wanted {
  readonly options: ListOptions;
  readonly isWanted: (job: JobEvent) => boolean;
  /** ms since 1970: nothing older is wanted; -Infinity: whatever its age. */
  readonly after: number;
  /** ms since 1970, by the server's clock. */
  readonly now: () => number;
}

interface Sortable<T> {
  readonly id: string;
  readonly seq: number;
  readonly key: string | number;
  readonly made: T;
}

/** The value that a job is sorted by. Jobs without a type come first. */
function keyOf(field: SortField, job: JobEvent, now: number): string | number {
  switch (field) {
    case 'age':
      return -job.seq;
    case 'job':
      return job.id;
    case 'type':
      return job.event.job_type ?? '';
    case 'status':
      return displayStatus(job, now);
    case 'progress':
      return job.event.progress;
    case 'attempt':
      return job.event.attempt ?? 1;
  }
}

/**
 * The jobs that are wanted, in the order that was asked for, at most `--limit`.
 *
 * The newest first is the order of the stream: there `--limit` and `--since` end the reading early. In any other order the
 * last states of all jobs have to be read.
 */
export async function collect<T>(
  context: CliContext,
  access: StreamAccess,
  { options, isWanted, after, now }: Wanted,
  progress: Progress,
  make: (job: JobEvent) => T,
): Promise<T[]> {
  const { sortBy = 'age', reverse = false, limit = Number.POSITIVE_INFINITY } = options;
  const isNewestFirst = sortBy === 'age' && !reverse;
  const asOf = now();
  const newest = new LatestById<Sortable<T>>(isNewestFirst ? limit : Number.POSITIVE_INFINITY);
  const sortable = (job: JobEvent): Sortable<T> => ({
    id: job.id,
    seq: job.seq,
    key: keyOf(sortBy, job, asOf),
    made: make(job),
  });
  const endsEarly = isNewestFirst && (limit < Number.POSITIVE_INFINITY || Number.isFinite(after));
  const isDone =
    endsEarly &&
    (await readRecent(
      context,
      access,
      { isWanted, limit, after },
      newest,
      sortable,
      (
        await streamInfo(access)
      ).state,
    ));
  while (!isDone) {
    newest.clear();
    await eachState(context, access, progress, (job) => {
      if (isWanted(job)) newest.put(sortable(job));
      else newest.drop(job.id, job.seq);
    });
    if (!newest.isShortOf(limit)) break;
  }
  const found = newest.sorted();
  if (sortBy !== 'age') found.sort((one, other) => compareKeys(one.key, other.key));
  if (reverse) found.reverse();
  return found.slice(0, limit).map(({ made }) => made);
}
