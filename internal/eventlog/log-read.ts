import type { Gap } from './gaps.js';
import type { LogRecord } from './record.js';

/** Nothing lies behind the cursor. */
export interface HeadRead {
  readonly kind: 'head';
  readonly cursor: number;
  readonly gap: Gap | null;
}

/**
 * The answer to a read:
 * - `records`, and the cursor after them;
 * - the `head`;
 * - `out_of_range`: memory does not reach back to the cursor;
 * - `unverified`: messages after the cursor were deleted unread. None of them was this job's if the stream still keeps
 *   its event at `anchor`; who has found that out says so by `verified`.
 *
 * On all jobs the first two name the gap that lies between the cursor before and after, if there is one.
 */
export type LogRead =
  | {
      readonly kind: 'records';
      readonly records: readonly LogRecord[];
      readonly cursor: number;
      readonly scanned: number;
      readonly gap: Gap | null;
      /** What a read behind these would say, where they are the last ones; null: there may be more. */
      readonly head: HeadRead | null;
      /** The frames as bytes, where several read the same; null: nobody else has. */
      encoded: EncodedFrames | null;
    }
  | HeadRead
  | { readonly kind: 'unverified'; readonly anchor: number; readonly gapSeq: number }
  | { readonly kind: 'out_of_range' };

const encoder = new TextEncoder();

/** The frames of records as bytes: each is made when it is first asked for, and once for everybody. */
export class EncodedFrames {
  readonly #records: readonly LogRecord[];
  readonly #frames: Uint8Array[] = [];

  constructor(records: readonly LogRecord[]) {
    this.#records = records;
  }

  /** The frame of the record at this index, as UTF-8. */
  at(index: number): Uint8Array {
    const made = this.#frames[index];
    if (made !== undefined) return made;
    const frame = encoder.encode(this.#records[index]?.frame);
    this.#frames[index] = frame;
    return frame;
  }
}
