import { firstAfter, type LogRecord } from './record.js';

/** Records in rising seq, appended at the back and let go at the front, both in constant amortised time. */
export class RecordQueue {
  #records: LogRecord[] = [];
  #start = 0;

  get length(): number {
    return this.#records.length - this.#start;
  }

  push(record: LogRecord): void {
    this.#records.push(record);
  }

  shift(): LogRecord | undefined {
    const record = this.#records[this.#start];
    if (record === undefined) return undefined;
    // The slot is emptied at once, for the memory; the array is compacted only now and then, for the time.
    (this.#records as (LogRecord | undefined)[])[this.#start] = undefined;
    this.#start++;
    if (this.#start > 32 && this.#start * 2 > this.#records.length) {
      this.#records = this.#records.slice(this.#start);
      this.#start = 0;
    }
    return record;
  }

  /** The place of the first record after `cursor`, for `at`. */
  indexAfter(cursor: number): number {
    return firstAfter(this.#records, cursor, this.#start) - this.#start;
  }

  at(index: number): LogRecord | undefined {
    return this.#records[this.#start + index];
  }
}
