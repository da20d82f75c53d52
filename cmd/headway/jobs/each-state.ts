import {
  type LastState,
  type LastStatesObserver,
  readLastStates,
} from '../../../internal/jetstream/reading-last.js';
import type { Io } from '../world/io.js';
import type { StreamAccess } from '../world/nats.js';
import { noting, type Progress, plural } from '../world/notes.js';
import { type JobEvent, jobEvent } from './job-event.js';

/**
 * Calls `take` with the last state of every job, and says what hinders it.
 * @returns the sequence up to which this is everything
 */
export async function eachState(
  io: Io,
  access: StreamAccess,
  progress: Progress,
  take: (job: JobEvent) => void | Promise<void>,
): Promise<number> {
  let invalid = 0;
  const observer: LastStatesObserver = {
    ...noting(io),
    invalid: () => {
      invalid++;
    },
    read: (done, total) => progress.show(done, total),
  };
  try {
    const states = readLastStates(access, io.stopped, observer);
    for (;;) {
      const next = await states.next();
      if (next.done === true) return next.value;
      for (const { seq, storedAt, event } of next.value as readonly LastState[]) {
        const taken = take(jobEvent(seq, storedAt, event));
        if (taken !== undefined) await taken;
      }
    }
  } finally {
    progress.clear();
    if (invalid > 0) {
      io.note(
        `headway: the newest message of ${plural(invalid, 'job')} is not a valid event; what is shown is the newest ` +
          'that is one (headway history ID says what is wrong)\n',
      );
    }
  }
}
