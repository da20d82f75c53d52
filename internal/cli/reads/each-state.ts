import { idOf } from '../../../schemas/ids.js';
import { printable } from '../../../schemas/text.js';
import { plural } from '../../formatting.js';
import { type LastState, type LastStatesObserver, readLastStates } from '../../jetstream/last-states.js';
import type { CliContext } from '../runtime/cli-context.js';
import type { StreamAccess } from '../runtime/nats.js';
import { type Progress, readStatus } from '../runtime/status.js';
import { type JobEvent, jobEvent } from './job-event.js';

/**
 * Calls `take` with the last state of every job, and says what hinders it.
 * @returns the sequence up to which this is everything
 */
export async function eachState(
  context: CliContext,
  access: StreamAccess,
  progress: Progress,
  take: (job: JobEvent) => void | Promise<void>,
): Promise<number> {
  const invalid = new InvalidLatest();
  const observer: LastStatesObserver = {
    ...readStatus(context),
    invalid: (seq, subject) => invalid.put(subject, seq),
    read: (done, total) => progress.show(done, total),
  };
  try {
    const states = readLastStates(access, context.stopped, observer);
    for (;;) {
      const next = await states.next();
      if (next.done === true) return next.value;
      for (const { seq, storedAt, event } of next.value as readonly LastState[]) {
        const job = jobEvent(seq, storedAt, event);
        invalid.found(job);
        const taken = take(job);
        if (taken !== undefined) await taken;
      }
    }
  } finally {
    progress.clear();
    for (const text of invalid.notes()) context.stderr(`headway: ${text}\n`);
  }
}

/** Jobs whose newest message is no event. */
class InvalidLatest {
  /** The seq of that message. Of these no valid event has come yet. */
  readonly #without = new Map<string, number>();
  readonly #older = new Set<string>();
  /** Subjects that name no job. */
  readonly #nameless = new Set<string>();

  put(subject: string, seq: number): void {
    const id = idOf(subject);
    if (id === null) {
      this.#nameless.add(printable(subject));
      return;
    }
    this.#older.delete(id);
    this.#without.set(id, seq);
  }

  found({ id, seq }: JobEvent): void {
    const newest = this.#without.get(id);
    // Nearly always it is none of them.
    if (newest === undefined) return;
    this.#without.delete(id);
    if (seq < newest) this.#older.add(id);
  }

  notes(): string[] {
    const without = this.#without.size;
    const older = this.#older.size;
    const nameless = this.#nameless.size;
    return [
      older > 0
        ? `the newest message of ${plural(older, 'job')} is not a valid event; what is shown is the newest that is ` +
          `one: ${some(this.#older)} (${WHY})`
        : '',
      without > 0
        ? `${plural(without, 'job')} without any valid event ${without === 1 ? 'is' : 'are'} left out: ` +
          `${some(this.#without.keys())} (${WHY})`
        : '',
      nameless > 0
        ? `${plural(nameless, 'subject')} that can name no job ${nameless === 1 ? 'is' : 'are'} left out: ` +
          `${some(this.#nameless)} (headway doctor tells of them, headway tail shows them)`
        : '',
    ].filter((text) => text !== '');
  }
}

const NAMED = 3;
const WHY = 'headway history ID says what is wrong';

/** The first few of them. */
function some(ids: Iterable<string>): string {
  const named = [...ids];
  return `${named.slice(0, NAMED).join(', ')}${named.length > NAMED ? ', …' : ''}`;
}
