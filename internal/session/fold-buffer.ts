import type { LogRecord } from '../eventlog/record.js';

/** Events of one job that one update stands for: the newest of them. */
export interface Fold {
  readonly record: LogRecord;
  /** The event before the first of them; null: not known, or not named. */
  readonly prevSeq: number | null;
  readonly count: number;
  /** The cursor of a client that has it and all before it. */
  readonly cursor: number;
}

/** A fold while it grows. */
interface Growing {
  record: LogRecord;
  readonly prevSeq: number | null;
  readonly firstSeq: number;
  count: number;
  cursor: number;
  /** It ends with a change, which no later event may take in. */
  isClosed: boolean;
}

/**
 * What was read since the last update was sent, folded: of each job its newest event stands for those before it, but for
 * the changes, which no other event stands for. It holds what lies between two updates, never a queue: whoever owns it
 * empties it by `bytes`. PROTOCOL.md, "Conflation".
 */
export class FoldBuffer {
  readonly #latest = new Map<string, Growing>();
  /** Behind these came another one of the same job. */
  #closed: Growing[] = [];
  #bytes = 0;
  /** One job: its newest event that was taken in, sent or not. All jobs: nothing is kept of what was sent. */
  #last: LogRecord | null = null;
  readonly #isOneJob: boolean;

  constructor(isOneJob: boolean) {
    this.#isOneJob = isOneJob;
  }

  get isEmpty(): boolean {
    return this.#latest.size === 0 && this.#closed.length === 0;
  }

  /** What it holds, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes in the next record.
   * @param prevSeq what it would be sent with as `prev_seq`
   * @returns whether it is a change
   */
  add(record: LogRecord, prevSeq: number | null): boolean {
    const { id, seq, phase } = record;
    const latest = this.#latest.get(id);
    const before = latest?.record ?? this.#last;
    const isNext = before === null || record.prevSeq === null || record.prevSeq === before.seq;
    const isChange =
      record.finished || !isNext || (before === null ? record.isChange : before.phase !== phase);
    if (this.#isOneJob) this.#last = record;
    this.#bytes += record.bytes;
    if (latest !== undefined && !latest.isClosed && isNext) {
      this.#bytes -= latest.record.bytes;
      latest.record = record;
      latest.count++;
      latest.isClosed = isChange;
      return isChange;
    }
    if (latest !== undefined) this.#closed.push(latest);
    this.#latest.set(id, { record, prevSeq, firstSeq: seq, count: 1, cursor: seq, isClosed: isChange });
    return isChange;
  }

  /** Hands out what it holds, in rising seq, and is empty. */
  take(): readonly Fold[] {
    const folds = [...this.#closed, ...this.#latest.values()];
    folds.sort((one, other) => one.record.seq - other.record.seq);
    this.#clear();
    // Whoever is cut off between two of them has only what lies before the first event that a later one stands for.
    let firstOfLater = Number.POSITIVE_INFINITY;
    for (let at = folds.length - 1; at >= 0; at--) {
      const fold = folds[at] as Growing;
      fold.cursor = Math.min(fold.record.seq, firstOfLater - 1);
      firstOfLater = Math.min(firstOfLater, fold.firstSeq);
    }
    return folds;
  }

  /** What it holds is owed to nobody any more, and what comes follows nothing. */
  forget(): void {
    this.#clear();
    this.#last = null;
  }

  #clear(): void {
    this.#latest.clear();
    this.#closed = [];
    this.#bytes = 0;
  }
}
