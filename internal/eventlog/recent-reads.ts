import { EncodedFrames, type LogRead } from './log-read.js';
import type { Scope } from './record.js';

/** A read of the tail that brought something, or found its end. */
type TailRead = Extract<LogRead, { kind: 'records' | 'head' }>;

/** What the frames of all that is kept may have, in bytes. Then it is let go, and begins anew. */
const MAX_BYTES = 4 * 1024 * 1024;
/** What a place to keep two reads in costs, about. */
const PLACE_BYTES = 512;

/** One read: what was asked, and the answer. */
class Slot {
  /** As which the log was read. */
  version = -1;
  jobTypes: ReadonlySet<string> | null = null;
  cursor = 0;
  maxBytes = 0;
  read: TailRead | null = null;
  /** Of its frames. */
  bytes = 0;

  isOf(jobTypes: ReadonlySet<string> | null, cursor: number, maxBytes: number): boolean {
    return this.cursor === cursor && this.maxBytes === maxBytes && this.jobTypes === jobTypes;
  }
}

/** The last two reads of one job, or of all jobs. */
class LastTwo {
  newest = new Slot();
  #older = new Slot();

  find(jobTypes: ReadonlySet<string> | null, cursor: number, maxBytes: number): Slot | null {
    if (this.newest.isOf(jobTypes, cursor, maxBytes)) return this.newest;
    return this.#older.isOf(jobTypes, cursor, maxBytes) ? this.#older : null;
  }

  /** Makes room for one more, in place of the older one. */
  next(): Slot {
    const slot = this.#older;
    this.#older = this.newest;
    this.newest = slot;
    return slot;
  }
}

/**
 * The last two reads of each job since the log changed, and of all jobs together. Whoever is live with a job stands at the
 * same cursor, and whoever comes back with thousands of others stands where many of them do: what they read alike is looked
 * for once, and becomes bytes once.
 */
export class RecentReads {
  /** How often the log has changed. Who reads another job than the one that changed has to look again all the same: the head moved. */
  #version = 0;
  #all = new LastTwo();
  readonly #jobs = new Map<string, LastTwo>();
  #bytes = 0;

  /** What was answered to the same question; null: it is to be read. */
  find(scope: Scope, cursor: number, maxBytes: number): TailRead | null {
    const slot = this.#of(scope)?.find(typesOf(scope), cursor, maxBytes) ?? null;
    if (slot === null || slot.version !== this.#version) return null;
    const { read } = slot;
    // From the second who reads it on. To one alone the text is sent as it is: that costs less than the bytes.
    if (read?.kind === 'records') read.encoded ??= new EncodedFrames(read.records);
    return read;
  }

  /** Keeps an answer. */
  keep(scope: Scope, cursor: number, maxBytes: number, read: TailRead): void {
    const jobTypes = typesOf(scope);
    const before = this.#of(scope)?.find(jobTypes, cursor, maxBytes) ?? null;
    // The log has changed, but nothing of this: what was made into bytes holds.
    if (before !== null && read.kind === 'records') read.encoded = encodedAlready(before.read, read);
    const slot = before ?? this.#room(scope);
    const bytes = bytesOf(read);
    this.#bytes += bytes - slot.bytes;
    slot.bytes = bytes;
    slot.version = this.#version;
    slot.jobTypes = jobTypes;
    slot.cursor = cursor;
    slot.maxBytes = maxBytes;
    slot.read = read;
    if (this.#bytes > MAX_BYTES) this.#letGo();
  }

  /** What was read may not be the answer any more. */
  forget(): void {
    this.#version++;
  }

  #of(scope: Scope): LastTwo | undefined {
    return scope.kind === 'all' ? this.#all : this.#jobs.get(scope.id);
  }

  #room(scope: Scope): Slot {
    const reads = this.#of(scope);
    if (reads !== undefined) return reads.next();
    const made = new LastTwo();
    if (scope.kind === 'job') this.#jobs.set(scope.id, made);
    this.#bytes += PLACE_BYTES;
    return made.next();
  }

  #letGo(): void {
    this.#all = new LastTwo();
    this.#jobs.clear();
    this.#bytes = 0;
  }
}

// Of one job every event is read, whatever types the scope lets pass.
function typesOf(scope: Scope): ReadonlySet<string> | null {
  return scope.kind === 'job' ? null : scope.jobTypes;
}

function bytesOf(read: TailRead): number {
  let bytes = 0;
  if (read.kind === 'records') for (const { frame } of read.records) bytes += frame.length;
  return bytes;
}

// Of one scope in order: between the same first and last record lie the same others, where there are as many.
function encodedAlready(
  before: TailRead | null,
  { records }: Extract<TailRead, { kind: 'records' }>,
): EncodedFrames | null {
  if (before?.kind !== 'records' || before.records.length !== records.length) return null;
  const isSame = before.records[0] === records[0] && before.records.at(-1) === records.at(-1);
  return isSame ? (before.encoded ?? new EncodedFrames(records)) : null;
}
