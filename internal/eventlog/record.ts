import { type DecodedEvent, type LivenessPolicy, updateFrame } from './decode.js';

/** What a connection follows: one job, or all jobs; of either only the events of these types (null: of every type). */
export type Scope =
  | { readonly kind: 'job'; readonly id: string; readonly jobTypes: ReadonlySet<string> | null }
  | { readonly kind: 'all'; readonly jobTypes: ReadonlySet<string> | null };

/** One valid event in memory. */
export interface LogRecord {
  readonly seq: number;
  /** The seq of the job's previous valid event; 0 when it is the first; null when not known. */
  readonly prevSeq: number | null;
  readonly id: string;
  readonly jobType: string | undefined;
  readonly status: DecodedEvent['status'];
  readonly finished: boolean;
  /** What a client must see change, see `DecodedEvent`. */
  readonly phase: string;
  /** Whether that is another than before, or may be. */
  readonly isChange: boolean;
  /** null: the job does not run. */
  readonly policy: LivenessPolicy | null;
  /** When JetStream stored it, in milliseconds since 1970. */
  readonly storedAt: number;
  /** As it is sent. Made when it is first asked for. */
  readonly frame: string;
  /** What it costs in memory, near enough to hold a limit by. */
  readonly bytes: number;
}

// Measured on V8 (Node 20): a record, its strings' headers and its places in the log's maps and arrays.
const RECORD_OVERHEAD_BYTES = 266;
/** What a frame has that the event has not: `"type":"progress_update","seq":1234567,"prev_seq":1234567,`. */
const FRAME_HEAD_BYTES = 57;

/**
 * @param last the job's record before this one: what both say is kept once
 */
export function makeRecord(
  event: DecodedEvent,
  seq: number,
  prevSeq: number | null,
  storedAt: number,
  isChange = true,
  last?: LogRecord,
): LogRecord {
  return new StoredRecord(event, seq, prevSeq, storedAt, isChange, last);
}

// Most events are never sent, and a frame costs time to put together, and pieces for the garbage collector. So the event's
// text is kept, and the frame takes its place when somebody asks for it.
class StoredRecord implements LogRecord {
  readonly seq: number;
  readonly prevSeq: number | null;
  readonly id: string;
  readonly jobType: string | undefined;
  readonly status: DecodedEvent['status'];
  readonly finished: boolean;
  readonly phase: string;
  readonly isChange: boolean;
  readonly policy: LivenessPolicy | null;
  readonly storedAt: number;
  readonly bytes: number;
  #text: string;
  #holds: 'event' | 'event_with_type' | 'frame';

  constructor(
    event: DecodedEvent,
    seq: number,
    prevSeq: number | null,
    storedAt: number,
    isChange: boolean,
    last: LogRecord | undefined,
  ) {
    this.seq = seq;
    this.prevSeq = prevSeq;
    this.id = last === undefined ? event.id : last.id;
    this.jobType = last !== undefined && last.jobType === event.jobType ? last.jobType : event.jobType;
    this.status = event.status;
    this.finished = event.finished;
    this.phase = event.phase;
    this.isChange = isChange;
    this.policy = event.policy;
    this.storedAt = storedAt;
    // Phases can be as long as frames, and of each event another one: those that are shared are counted as well.
    this.bytes = event.json.length + FRAME_HEAD_BYTES + event.phase.length + RECORD_OVERHEAD_BYTES;
    this.#text = event.json;
    this.#holds = event.hasType ? 'event_with_type' : 'event';
  }

  get frame(): string {
    if (this.#holds !== 'frame') {
      const hasType = this.#holds === 'event_with_type';
      this.#text = updateFrame({ json: this.#text, hasType }, this.seq, this.prevSeq);
      this.#holds = 'frame';
    }
    return this.#text;
  }
}

/** Whether a record is in the scope. One without a type passes only where nothing is filtered. */
export function inScope(scope: Scope, record: LogRecord): boolean {
  if (scope.kind === 'job' && record.id !== scope.id) return false;
  return hasTypeIn(scope, record.jobType);
}

/** Whether a job of this type (undefined: not known) passes the scope's filter. */
export function hasTypeIn({ jobTypes }: Scope, jobType: string | undefined): boolean {
  return jobTypes === null || (jobType !== undefined && jobTypes.has(jobType));
}

/** Whether a job is in a scope that may be its: by its newest event, or, where nobody knows that one, without a filter. */
export function mayBeInScope(scope: Scope, last: LogRecord | undefined): boolean {
  return last === undefined ? scope.jobTypes === null : inScope(scope, last);
}

/** The record's frame with a predecessor that the record itself did not know. */
export function withPrevSeq(record: LogRecord, prevSeq: number): string {
  // The first one in the text is ours: the event's own fields come behind it.
  return record.frame.replace('"prev_seq":null', `"prev_seq":${prevSeq}`);
}

/** The record's frame without its predecessor, for whoever was not shown that one. */
export function withoutPrevSeq(record: LogRecord): string {
  return record.frame.replace(`"prev_seq":${record.prevSeq}`, '"prev_seq":null');
}

/**
 * The record's frame for a reader of the scope, whose last record of the same job was `previous`; null: nobody knows
 * which that was. On all jobs readers keep track for themselves.
 */
export function frameInScope(record: LogRecord, scope: Scope, previous: number | null): string {
  const { prevSeq, frame } = record;
  if (scope.kind === 'all' || prevSeq === previous) return frame;
  if (prevSeq === null) return previous === null ? frame : withPrevSeq(record, previous);
  // What was kept back is not named either.
  return scope.jobTypes === null || prevSeq === 0 ? frame : withoutPrevSeq(record);
}

/** What `frameInScope` names as the predecessor; null: none. */
export function prevSeqInScope(record: LogRecord, scope: Scope, previous: number | null): number | null {
  const { prevSeq } = record;
  if (scope.kind === 'all' || prevSeq === previous) return prevSeq;
  if (prevSeq === null) return previous;
  return scope.jobTypes === null || prevSeq === 0 ? prevSeq : null;
}

/**
 * The record's frame as an update that stands for several events.
 * @param prevSeq the event before the first of them; null: it is not known, or not named
 * @param folded how many, itself included, from 1
 * @param resumeSeq the cursor behind this update, where that is not its own seq; null: it is
 */
export function foldedFrame(
  record: LogRecord,
  prevSeq: number | null,
  folded: number,
  resumeSeq: number | null,
): string {
  if (folded === 1 && resumeSeq === null && prevSeq === record.prevSeq) return record.frame;
  const count = folded === 1 ? '' : `"folded":${folded},`;
  const resume = resumeSeq === null ? '' : `"resume_seq":${resumeSeq},`;
  // The first one in the text is ours: the event's own fields come behind it.
  return record.frame.replace(`"prev_seq":${record.prevSeq},`, `"prev_seq":${prevSeq},${count}${resume}`);
}

/** The index of the first of `records` (rising seq) after `cursor`, looking from index `from`. */
export function firstAfter(records: ArrayLike<LogRecord>, cursor: number, from = 0): number {
  let low = from;
  let high = records.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((records[middle] as LogRecord).seq > cursor) high = middle;
    else low = middle + 1;
  }
  return low;
}
