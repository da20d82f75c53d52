import { isEpoch, isScopeId } from '../../schemas/ids.js';
import type { JobMark, JointPosition, Resume } from '../session/ports.js';

// Frames as server-sent events. PROTOCOL.md, "Server-sent events".

/** Writes what one stream consists of. */
export interface StreamEncoder {
  /** Whether a write waits for what else is sent in this turn, since `position` counts for all of it. */
  readonly isJoint: boolean;
  /** The text of one frame as one event, its empty line included. */
  encode(frame: string): string;
  /** What stands behind the last frame of a write; '': nothing. */
  position(): string;
}

/** Frames that say where the reader stands, by `type`. What is read of the others is their type alone. */
interface PositionFrame {
  readonly type: string;
  readonly epoch?: string;
  readonly scope?: string;
  readonly cursor?: number;
}

const UPDATE =
  /^\{(?:"type":"progress_update",)?"seq":(\d+),(?:"prev_seq":(?:\d+|null),(?:"folded":\d+,)?"resume_seq":(\d+),)?/;
const EVENT_ID = /^(\d{1,16})\.([^.]*)\.([^.]*)(?:\.([A-Za-z0-9_-]*))?$/;
/** An empty id makes the browser forget the one before. */
const FORGET = 'id\n';

/**
 * Writes frames as events whose `id` is the whole cursor, so that `Last-Event-ID` alone resumes. It moves the cursor by
 * the rules that every client follows (PROTOCOL.md, "What a client must do").
 */
export class SseEncoder implements StreamEncoder {
  readonly isJoint = false;
  #epoch: string;
  #scope: string;
  #isCaughtUp = false;

  /** @param resume what the client came back with; null: a fresh one */
  constructor(resume: Resume | null) {
    this.#epoch = resume?.epoch ?? '';
    this.#scope = resume?.scope ?? '';
  }

  encode(frame: string): string {
    const [, seq, resumeSeq] = UPDATE.exec(frame) ?? [];
    if (seq !== undefined) return eventOf(this.#idAt(resumeSeq ?? seq), frame);
    const position = JSON.parse(frame) as PositionFrame;
    switch (position.type) {
      case 'hello': {
        const { epoch = '', scope = '' } = position;
        const isOther =
          (this.#epoch !== '' && epoch !== this.#epoch) || (this.#scope !== '' && scope !== this.#scope);
        [this.#epoch, this.#scope] = [epoch, scope];
        return eventOf(isOther ? FORGET : '', frame);
      }
      case 'reset':
        this.#epoch = position.epoch ?? this.#epoch;
        this.#isCaughtUp = false;
        return eventOf(FORGET, frame);
      case 'caught_up':
        this.#isCaughtUp = true;
        return eventOf(this.#idAt(String(position.cursor)), frame);
      case 'heartbeat': {
        // A comment: pages are not woken by it. An id without data is kept all the same.
        const id = this.#isCaughtUp ? this.#idAt(String(position.cursor)) : '';
        return `: ${frame}\n${id}\n`;
      }
      default:
        return eventOf('', frame);
    }
  }

  position(): string {
    return '';
  }

  #idAt(seq: string): string {
    return `id: ${seq}.${this.#epoch}.${this.#scope}\n`;
  }
}

/**
 * Writes the frames of several jobs. Within a turn these are in no order across the jobs, so that no single one says
 * where all of them stand: the `id` comes behind all that is sent in the turn, as an event of its own that wakes no page.
 */
export class JointEncoder implements StreamEncoder {
  readonly isJoint = true;
  readonly #resume: Resume | null;
  readonly #scope: string;
  readonly #position: () => JointPosition | null;
  /** The id that the browser holds; null: what it came back with. */
  #told: string | null;

  /**
   * @param resume what the client came back with; null: a fresh one
   * @param scope names what the stream follows
   * @param position where the client stands with all that was encoded so far; null: that cannot be said now
   */
  constructor(resume: Resume | null, scope: string, position: () => JointPosition | null) {
    this.#resume = resume;
    this.#told = resume === null ? '' : null;
    this.#scope = scope;
    this.#position = position;
  }

  encode(frame: string): string {
    if (UPDATE.test(frame)) return eventOf('', frame);
    const { type, epoch = '', scope = '' } = JSON.parse(frame) as PositionFrame;
    switch (type) {
      case 'hello': {
        const isOther = (this.#resume?.epoch ?? epoch) !== epoch || (this.#resume?.scope ?? scope) !== scope;
        if (!isOther) return eventOf('', frame);
        this.#told = '';
        return eventOf(FORGET, frame);
      }
      case 'reset': {
        // Not behind it: a client that is cut off in between has no state of this job, and nothing to go on from.
        const id = this.#next();
        return eventOf(id ?? '', frame);
      }
      case 'heartbeat':
        return `: ${frame}\n\n`;
      default:
        return eventOf('', frame);
    }
  }

  position(): string {
    const id = this.#next();
    return id === null ? '' : `${id}\n`;
  }

  // The line of the id, if it is another than the one before.
  #next(): string | null {
    const position = this.#position();
    if (position === null) return null;
    const id = eventIdOf(position, this.#scope);
    if (id === this.#told) return null;
    this.#told = id;
    return id === '' ? FORGET : `id: ${id}\n`;
  }
}

// The text of an event is its worker's own, and may have line breaks between its members.
function eventOf(id: string, frame: string): string {
  const data = /[\r\n]/.test(frame) ? frame.replace(/\r\n|\r|\n/g, '\ndata: ') : frame;
  return `${id}data: ${data}\n\n`;
}

/** What the `id` of an event says; null: it is none of ours. `marks` is what it says of single jobs. */
export function positionOfEventId(id: string): { readonly resume: Resume; readonly marks: string } | null {
  const [, seq, epoch = '', scope = '', marks = ''] = EVENT_ID.exec(id) ?? [];
  const lastSeq = Number(seq);
  if (seq === undefined || !Number.isSafeInteger(lastSeq) || !isEpoch(epoch) || !isScopeId(scope))
    return null;
  return { resume: { lastSeq, epoch, scope }, marks };
}

const MARKS: readonly JobMark[] = ['follows', 'anew', 'over'];
const BITS = 2;
const MARKS_PER_BYTE = 8 / BITS;

/** The `id` for a position; '': the client has nothing to go on from. */
export function eventIdOf({ cursor, epoch, marks }: JointPosition, scope: string): string {
  if (marks.every((mark) => mark === 'anew')) return '';
  const text = encodeMarks(marks);
  return `${cursor}.${epoch}.${scope}${text === '' ? '' : `.${text}`}`;
}

// Two bits a job; what lies behind the last job of which there is something to say is left out.
function encodeMarks(marks: readonly JobMark[]): string {
  const last = marks.findLastIndex((mark) => mark !== 'follows');
  const bytes = Buffer.alloc(Math.ceil((last + 1) / MARKS_PER_BYTE));
  for (const [index, mark] of marks.entries()) {
    const value = MARKS.indexOf(mark) << ((index % MARKS_PER_BYTE) * BITS);
    const at = Math.floor(index / MARKS_PER_BYTE);
    if (value > 0) bytes[at] = (bytes[at] ?? 0) | value;
  }
  return bytes.toString('base64url');
}

/** The marks of an `id`, one for each of so many jobs in the order of their ids. Of what it does not say everything follows. */
export function decodeMarks(text: string, jobs: number): readonly JobMark[] {
  const bytes = Buffer.from(text, 'base64url');
  return Array.from({ length: jobs }, (_, index): JobMark => {
    const byte = bytes[Math.floor(index / MARKS_PER_BYTE)] ?? 0;
    return MARKS[(byte >> ((index % MARKS_PER_BYTE) * BITS)) & 3] ?? 'anew';
  });
}
