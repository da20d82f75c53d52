import { firstAfter, type LogRecord } from './record.js';

/** Appended to at the back and let go at the front, both in constant amortised time. */
export class Queue<T extends object> {
  protected items: T[] = [];
  protected start = 0;

  get length(): number {
    return this.items.length - this.start;
  }

  push(item: T): void {
    this.items.push(item);
  }

  shift(): T | undefined {
    const item = this.items[this.start];
    if (item === undefined) return undefined;
    // The slot is emptied at once, for the memory; the array is compacted only now and then, for the time.
    (this.items as (T | undefined)[])[this.start] = undefined;
    this.start++;
    if (this.start > 32 && this.start * 2 > this.items.length) {
      this.items = this.items.slice(this.start);
      this.start = 0;
    }
    return item;
  }

  at(index: number): T | undefined {
    return this.items[this.start + index];
  }
}

/** Records in rising seq. */
export class RecordQueue extends Queue<LogRecord> {
  /** The place of the first record after `cursor`, for `at`. */
  indexAfter(cursor: number): number {
    return firstAfter(this.items, cursor, this.start) - this.start;
  }
}
