import { EncodedFrames, type LogRead } from './log-read.js';
import type { Scope } from './record.js';

/** A read of the tail that brought something, or found its end. */
type TailRead = Extract<LogRead, { kind: 'records' | 'head' }>;

/** One read: what was asked, and the answer. */
class Slot {
  scope: Scope | null = null;
  cursor = 0;
  maxBytes = 0;
  read: TailRead | null = null;
}

/**
 * The last two reads of the tail since it changed: of a job that moves what came, and the head behind it. Everybody who is
 * live with it stands at the same cursor and reads the same, thousands of times in one turn: it is looked for once, and
 * becomes bytes once.
 */
export class RecentReads {
  #newest = new Slot();
  #older = new Slot();

  /** What was answered to the same question; null: it is to be read. */
  find(scope: Scope, cursor: number, maxBytes: number): TailRead | null {
    const slot = isOf(this.#newest, scope, cursor, maxBytes) ? this.#newest : this.#older;
    if (!isOf(slot, scope, cursor, maxBytes)) return null;
    const { read } = slot;
    // From the second who reads it on. To one alone the text is sent as it is: that costs less than the bytes.
    if (read?.kind === 'records') read.encoded ??= new EncodedFrames(read.records);
    return read;
  }

  /** Keeps an answer in place of the older one. */
  keep(scope: Scope, cursor: number, maxBytes: number, read: TailRead): void {
    const slot = this.#older;
    this.#older = this.#newest;
    this.#newest = slot;
    slot.scope = scope;
    slot.cursor = cursor;
    slot.maxBytes = maxBytes;
    slot.read = read;
  }

  /** What was read may not be the answer any more. */
  forget(): void {
    this.#newest.scope = null;
    this.#newest.read = null;
    this.#older.scope = null;
    this.#older.read = null;
  }
}

function isOf(slot: Slot, scope: Scope, cursor: number, maxBytes: number): boolean {
  const asked = slot.scope;
  if (asked === null || slot.cursor !== cursor || slot.maxBytes !== maxBytes) return false;
  // Of one job every event is read, whatever types the scope lets pass.
  if (scope.kind === 'job') return asked.kind === 'job' && asked.id === scope.id;
  return asked.kind === 'all' && asked.jobTypes === scope.jobTypes;
}
