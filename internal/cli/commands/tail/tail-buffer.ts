import type { StreamState } from 'nats';
import type { Event } from '../../../../schemas/event.js';
import { idOf, SUBJECT_PREFIX } from '../../../../schemas/ids.js';
import { type ReadFrom, readStored, type StoredMessage } from '../../../jetstream/read-stored.js';
import { type JobEvent, readEvent } from '../../reads/job-event.js';
import type { CliContext } from '../../runtime/cli-context.js';
import type { StreamAccess } from '../../runtime/nats.js';
import { progressOf } from '../../runtime/status.js';

export interface Wanted {
  /** None: all jobs. */
  readonly ids: ReadonlySet<string>;
  /** Whether a job is one of those that were named, by id or by pattern. */
  readonly isNamed: (id: string) => boolean;
  readonly isWanted: (event: Event) => boolean;
}

interface Invalid {
  readonly seq: number;
  readonly subject: string;
  readonly why: string;
}

export interface Found {
  /** In the order of the stream. */
  readonly jobs: readonly JobEvent[];
  /** What stands among them and is no event. */
  readonly invalid: readonly Invalid[];
  /** How many messages of the jobs were looked at. */
  readonly seen: number;
}

/** The first look back is over so many times what is wanted; each further one over so many times as much again. */
const FIRST_LOOK = 4;
const FIRST_LOOK_LEAST = 256;
const FURTHER = 8;

/** The newest `last` events that are wanted, at or after `from`; as little of the stream is read as that takes. */
export async function lastMatching(
  context: CliContext,
  access: StreamAccess,
  wanted: Wanted,
  last: number,
  from: ReadFrom | null,
  state: StreamState,
): Promise<Found> {
  const until = { seq: state.last_seq };
  const begins = from?.kind === 'time' ? from.ms : Number.NEGATIVE_INFINITY;
  const first = Math.max(state.first_seq, from?.kind === 'seq' ? from.seq : 1);
  const progress = progressOf(context, 'message');
  try {
    // What one job has is quickly read as a whole.
    if (wanted.ids.size > 0) {
      const ring = new Ring(last, wanted, begins);
      for (const id of wanted.ids) {
        for await (const batch of readStored(
          access,
          { id, from: from ?? { kind: 'first' }, until },
          context.stopped,
        )) {
          ring.take(batch);
        }
      }
      return ring.found();
    }
    for (let span = Math.max(FIRST_LOOK_LEAST, FIRST_LOOK * last); ; span *= FURTHER) {
      const ring = new Ring(last, wanted, begins);
      const start = Math.max(first, state.last_seq - span + 1);
      const range = { id: null, from: { kind: 'seq', seq: start }, until } as const;
      for await (const batch of readStored(access, range, context.stopped)) {
        ring.take(batch);
        progress.show(ring.seen, null);
      }
      if (ring.isFull || start <= first || ring.isBeforeBegin) return ring.found();
    }
  } finally {
    progress.clear();
  }
}

class Ring {
  seen = 0;
  /** Whether a message from before the beginning was seen: there is nothing further back. */
  isBeforeBegin = false;
  #jobs: JobEvent[] = [];
  #invalid: Invalid[] = [];

  constructor(
    private readonly last: number,
    private readonly wanted: Wanted,
    private readonly begins: number,
  ) {}

  get isFull(): boolean {
    return this.#jobs.length >= this.last;
  }

  take(batch: readonly StoredMessage[]): void {
    for (const message of batch) {
      if (!this.wanted.isNamed(message.subject.slice(SUBJECT_PREFIX.length))) {
        if (message.storedAt < this.begins) this.isBeforeBegin = true;
        continue;
      }
      this.seen++;
      if (message.storedAt < this.begins) {
        this.isBeforeBegin = true;
        continue;
      }
      const read = readEvent(message);
      if (!read.ok) {
        const { seq, subject } = message;
        this.#invalid.push({ seq, subject, why: `${read.reason}: ${read.detail}` });
      } else if (this.wanted.isWanted(read.job.event)) this.#jobs.push(read.job);
    }
    // Of several jobs each by itself is in order, so none of what is let go could be among the newest.
    if (this.#jobs.length > 4 * this.last + 1_000) this.#jobs = newest(this.#jobs, this.last);
    if (this.#invalid.length > 4 * this.last + 1_000) this.#invalid = newest(this.#invalid, this.last);
  }

  found(): Found {
    const jobs = newest(this.#jobs, this.last);
    const from = jobs.length < this.last ? 0 : (jobs[0]?.seq ?? 0);
    const invalid = newest(this.#invalid, this.last).filter(
      ({ seq, subject }) => seq >= from && idOf(subject),
    );
    return { jobs, invalid, seen: this.seen };
  }
}

const newest = <T extends { readonly seq: number }>(items: readonly T[], limit: number): T[] =>
  [...items].sort((one, other) => one.seq - other.seq).slice(-limit);
