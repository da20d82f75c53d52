import type { EventLog } from '../eventlog/log.js';
import { hasTypeIn, mayBeInScope, type Scope } from '../eventlog/record.js';
import { frames } from './frames.js';
import type { EdgeContext } from './ports.js';

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

  /** The client goes on from `cursor`: it is told of what it may not have heard of, as far as the log remembers. */
  resume(cursor: number): void {
    this.#told ??= this.#log.goneFrom(cursor);
  }

  /**
   * Tells of the next jobs that left while the log's head was at `place` at most. Told in its place: a client that is
   * cut off with a cursor behind it would never hear of it.
   * @param cursor the client was sent everything up to here, which may be ahead of what the log has read
   * @returns whether there were any
   */
  tell(scope: Scope, cursor: number, place: number): boolean {
    const told = this.#told;
    if (told === null || told >= this.#log.goneCount) return false;
    const { jobs, next } = this.#log.goneSince(told, { cursor, place }, GONE_BATCH);
    for (const { id, jobType } of jobs) if (hasTypeIn(scope, jobType)) this.#send(frames.gone(id));
    this.#told = next;
    return next > told;
  }
}

/** The most jobs of which one client is yet to hear that they are stalled. */
const MAX_OWED_STALLS = 1_000;

const NOTHING: readonly string[] = [];

/** What a client knows of stalls. PROTOCOL.md, "stalled". */
export class StallNotice {
  readonly #edge: Pick<EdgeContext, 'log' | 'stalledFor'>;
  /** One job: whether it knows that it is stalled. */
  #isTold = false;
  /** All jobs: those that fell silent while it had yet to be sent what came before; null: none did. */
  #owed: Set<string> | null = null;

  constructor(edge: Pick<EdgeContext, 'log' | 'stalledFor'>) {
    this.#edge = edge;
  }

  /** Everybody was told of a stall; this client heard it or not. */
  told(isHeard: boolean): void {
    this.#isTold = isHeard;
  }

  /** All jobs: the next `take` has this one, if it is still silent then. */
  owe(id: string): void {
    this.#owed ??= new Set();
    if (this.#owed.size < MAX_OWED_STALLS) this.#owed.add(id);
  }

  /** The frames for a client that was not there, or not at the head, when others were told. */
  take(scope: Scope): readonly string[] {
    if (scope.kind === 'job') {
      const frame = this.#isTold ? null : this.#frame(scope, scope.id);
      if (frame === null) return NOTHING;
      this.#isTold = true;
      return [frame];
    }
    if (this.#owed === null) return NOTHING;
    const owed = [...this.#owed];
    this.#owed = null;
    return owed.flatMap((id) => this.#frame(scope, id) ?? []);
  }

  // null: nothing is to be said.
  #frame(scope: Scope, id: string): string | null {
    const silentMs = this.#edge.stalledFor?.(id) ?? null;
    if (silentMs === null || !mayBeInScope(scope, this.#edge.log.last(id))) return null;
    return frames.stalled(id, silentMs);
  }
}
