import type { Event } from '../../../../schemas/event.js';
import { readStored } from '../../../jetstream/read-stored.js';
import { type JobEvent, readEvent } from '../../reads/job-event.js';
import type { CliContext } from '../../runtime/cli-context.js';
import type { StreamAccess } from '../../runtime/nats.js';
import { readStatus } from '../../runtime/status.js';

/** Where a job stands, by all that the stream keeps of it. */
export interface Standing {
  /** The seq of the newest message, valid or not; 0 when there is none. */
  readonly lastSeq: number;
  /** The newest valid event. */
  readonly newest: JobEvent | null;
  /** The highest attempt of the history; 0 before attempt 1. */
  readonly attempt: number;
}

/** Reads all that is kept of the job: only its whole history tells the attempt. */
export async function readStanding(context: CliContext, access: StreamAccess, id: string): Promise<Standing> {
  let standing: Standing = { lastSeq: 0, newest: null, attempt: 0 };
  const range = { id, from: { kind: 'first' }, until: 'head' } as const;
  for await (const batch of readStored(access, range, context.stopped, readStatus(context))) {
    for (const message of batch) {
      const read = readEvent(message);
      standing = {
        lastSeq: message.seq,
        newest: read.ok ? read.job : standing.newest,
        attempt: read.ok ? attemptAfter(standing.attempt, read.job.event) : standing.attempt,
      };
    }
  }
  return standing;
}

/**
 * The highest attempt of a history with one event more. PROTOCOL.md, "Attempts".
 * @param before the highest so far; 0: none
 */
export function attemptAfter(before: number, { attempt, status }: Event): number {
  if (attempt !== undefined) return Math.max(before, attempt);
  // An end that names no attempt, before any that does, is the end of attempt 1.
  return before === 0 && status !== 'processing' ? 1 : before;
}
