import { isEpoch, isScopeId } from '../../schemas/ids.js';
import type { Resume } from '../session/ports.js';

// Frames as server-sent events. PROTOCOL.md, "Server-sent events".

/** Frames that say where the reader stands, by `type`. What is read of the others is their type alone. */
interface PositionFrame {
  readonly type: string;
  readonly epoch?: string;
  readonly scope?: string;
  readonly cursor?: number;
}

const UPDATE =
  /^\{(?:"type":"progress_update",)?"seq":(\d+),(?:"prev_seq":(?:\d+|null),(?:"folded":\d+,)?"resume_seq":(\d+),)?/;
const EVENT_ID = /^(\d{1,16})\.([^.]*)\.([^.]*)$/;

/**
 * Writes frames as events whose `id` is the whole cursor, so that `Last-Event-ID` alone resumes. It moves the cursor by
 * the rules that every client follows (PROTOCOL.md, "What a client must do").
 */
export class SseEncoder {
  #epoch: string;
  #scope: string;
  #isCaughtUp = false;

  /** @param resume what the client came back with; null: a fresh one */
  constructor(resume: Resume | null) {
    this.#epoch = resume?.epoch ?? '';
    this.#scope = resume?.scope ?? '';
  }

  /** The text of one frame as one event, its empty line included. */
  encode(frame: string): string {
    const [, seq, resumeSeq] = UPDATE.exec(frame) ?? [];
    if (seq !== undefined) return this.#event(this.#idAt(resumeSeq ?? seq), frame);
    const position = JSON.parse(frame) as PositionFrame;
    switch (position.type) {
      case 'hello': {
        const { epoch = '', scope = '' } = position;
        const isOther =
          (this.#epoch !== '' && epoch !== this.#epoch) || (this.#scope !== '' && scope !== this.#scope);
        [this.#epoch, this.#scope] = [epoch, scope];
        return this.#event(isOther ? 'id\n' : '', frame);
      }
      case 'reset':
        this.#epoch = position.epoch ?? this.#epoch;
        this.#isCaughtUp = false;
        // An empty id makes the browser forget the one before.
        return this.#event('id\n', frame);
      case 'caught_up':
        this.#isCaughtUp = true;
        return this.#event(this.#idAt(String(position.cursor)), frame);
      case 'heartbeat': {
        // A comment: pages are not woken by it. An id without data is kept all the same.
        const id = this.#isCaughtUp ? this.#idAt(String(position.cursor)) : '';
        return `: ${frame}\n${id}\n`;
      }
      default:
        return this.#event('', frame);
    }
  }

  #idAt(seq: string): string {
    return `id: ${seq}.${this.#epoch}.${this.#scope}\n`;
  }

  // The text of an event is its worker's own, and may have line breaks between its members.
  #event(id: string, frame: string): string {
    const data = /[\r\n]/.test(frame) ? frame.replace(/\r\n|\r|\n/g, '\ndata: ') : frame;
    return `${id}data: ${data}\n\n`;
  }
}

/** What the `id` of an event says; null: it is none of ours. */
export function resumeOfEventId(id: string): Resume | null {
  const [, seq, epoch = '', scope = ''] = EVENT_ID.exec(id) ?? [];
  const lastSeq = Number(seq);
  if (seq === undefined || !Number.isSafeInteger(lastSeq) || !isEpoch(epoch) || !isScopeId(scope))
    return null;
  return { lastSeq, epoch, scope };
}
