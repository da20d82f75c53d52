import type { EventLog } from '../../../eventlog/log.js';
import type { LogRecord, Scope } from '../../../eventlog/record.js';
import type { HistorySource, Page, ResetRequired } from '../../../session/ports.js';

/** What a replay has shown is in memory or nowhere: the stream behind it holds what is still to come as well. */
export class ReplayedHistory implements HistorySource {
  readonly #log: EventLog;
  readonly #begin: () => number;

  /** @param begin the seq after which the replay began */
  constructor(log: EventLog, begin: () => number) {
    this.#log = log;
    this.#begin = begin;
  }

  async lastState(id: string): Promise<LogRecord | null> {
    const known = this.#log.last(id);
    if (known !== undefined || this.#log.knowsAllJobs) return known ?? null;
    throw new Error('memory has let this job go');
  }

  async records(): Promise<readonly LogRecord[]> {
    throw new Error('memory has let these jobs go');
  }

  // In the world of the replay nothing was before its beginning. What memory has let go since is gone for good.
  async page({ kind }: Scope, after: number): Promise<Page | ResetRequired> {
    const begin = this.#begin();
    const nothing = { kind: 'page', records: [], previous: null, pending: 0 } as const;
    const { tailStart: floor } = this.#log;
    if (floor <= begin) return { ...nothing, cursor: Math.max(after, begin), gap: null };
    if (kind === 'job') return this.#refusal('retention');
    return { ...nothing, cursor: floor, gap: { after, before: floor + 1 } };
  }

  async oldest(): Promise<Pick<Page, 'records' | 'cursor'>> {
    return { records: [], cursor: Math.max(this.#begin(), this.#log.tailStart) };
  }

  async isKept(): Promise<boolean> {
    return false;
  }

  async reached(cursor: number): Promise<{ readonly kind: 'ok' } | ResetRequired> {
    return cursor <= this.#log.head ? { kind: 'ok' } : this.#refusal('ahead');
  }

  #refusal(reason: ResetRequired['reason']): ResetRequired {
    return { kind: 'refused', reason, firstSeq: this.#log.tailStart + 1, lastSeq: this.#log.head };
  }
}
