import { frameAfter, frameAlone, type LogRecord } from '../eventlog/record.js';
import type { Scope } from '../eventlog/scope.js';
import type { Outlet } from './ports.js';

/** What a record that was looked at costs, sent or not, in bytes of a session's share of a turn. */
export const SCAN_BYTES = 16;

/** What a session has sent: how updates are worded by what went before, what it cost, and when the last frame left. */
export class Sender {
  readonly #outlet: Outlet;
  readonly #now: () => number;
  /** One job: the valid event that the next one to be sent follows; null where that is not known. */
  #previous: number | null = null;
  #sentAt: number;
  #cost = 0;

  /** @param now milliseconds that never go back */
  constructor(outlet: Outlet, now: () => number) {
    this.#outlet = outlet;
    this.#now = now;
    this.#sentAt = now();
  }

  /** Bytes sent, and what looking for them cost. */
  get cost(): number {
    return this.#cost;
  }

  /** When the last frame was sent, by `now`. */
  get sentAt(): number {
    return this.#sentAt;
  }

  /** So many records were looked at. @returns what that cost */
  scanned(records: number): number {
    const cost = records * SCAN_BYTES;
    this.#cost += cost;
    return cost;
  }

  send(text: string): void {
    this.#sentAt = this.#now();
    this.#cost += text.length;
    this.#outlet.send(text);
  }

  /** Sends a record in scope as the update that it is after those before. */
  update(record: LogRecord, scope: Scope): void {
    this.send(this.#frame(record, scope));
    this.#previous = record.seq;
  }

  /** The next update follows this event of the job, whichever were sent; null: nobody knows which. */
  follows(seq: number | null): void {
    this.#previous = seq;
  }

  #frame(record: LogRecord, scope: Scope): string {
    const { prevSeq, frame } = record;
    const previous = this.#previous;
    if (scope.kind === 'all' || prevSeq === previous) return frame;
    if (prevSeq === null) return previous === null ? frame : frameAfter(record, previous);
    // What was kept back is not named either.
    return scope.jobTypes === null || prevSeq === 0 ? frame : frameAlone(record);
  }
}
