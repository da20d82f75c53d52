import type { EventLog } from '../eventlog/log.js';
import { hasTypeIn, mayBeInScope, type Scope } from '../eventlog/record.js';
import { frames } from './frames.js';

/** The most frames between two looks at whether the socket is full. */
export const GONE_BATCH = 64;

/** What a client on all jobs was told of the jobs that left the stream. PROTOCOL.md, "gone". */
export class GoneNotices {
  readonly #log: EventLog;
  readonly #send: (text: string) => void;
  /** Of how many jobs the client knows, by the log's count; null: it shows none yet. */
  #told: number | null = null;

  constructor(log: EventLog, send: (text: string) => void) {
    this.#log = log;
    this.#send = send;
  }

  /** The client is about to be shown all jobs as they are now. */
  startFresh(): void {
    this.#told = this.#log.goneCount;
  }

  /**
   * The client goes on from `cursor`: it is told of what has left since, as far as the log remembers.
   * @param now milliseconds that never go back
   */
  resume(cursor: number, now: number): void {
    this.#told ??= this.#log.goneFrom(cursor, now);
  }

  /**
   * Tells of the next jobs that left while the stream's head was at `upTo` at most. Told in its place: a client that is
   * cut off with a cursor behind it would never hear of it.
   * @returns whether there were any
   */
  tell(scope: Scope, upTo: number): boolean {
    const told = this.#told;
    if (told === null || told >= this.#log.goneCount) return false;
    const { jobs, next } = this.#log.goneSince(told, upTo, GONE_BATCH);
    for (const { id, jobType } of jobs) if (hasTypeIn(scope, jobType)) this.#send(frames.gone(id));
    this.#told = next;
    return next > told;
  }
}

/** Whether a client on one job knows that it is stalled. PROTOCOL.md, "stalled". */
export class StallNotice {
  readonly #log: EventLog;
  readonly #stalledFor: (id: string) => number | null;
  #isTold = false;

  /** @param stalledFor for how many milliseconds a job whose stall was told has been silent; null: it is not stalled */
  constructor(log: EventLog, stalledFor: (id: string) => number | null) {
    this.#log = log;
    this.#stalledFor = stalledFor;
  }

  /** Everybody was told of a stall; this client heard it or not. */
  told(isHeard: boolean): void {
    this.#isTold = isHeard;
  }

  /** The frame for a client that was not there, or not at the head, when it was told; null: nothing is to be said. */
  take(scope: Scope): string | null {
    if (scope.kind !== 'job' || this.#isTold) return null;
    const silentMs = this.#stalledFor(scope.id);
    if (silentMs === null || !mayBeInScope(scope, this.#log.last(scope.id))) return null;
    this.#isTold = true;
    return frames.stalled(scope.id, silentMs);
  }
}
