import type { Event } from '../../../../schemas/event.js';
import { type Decoded, decodeEvent } from '../../../eventlog/decode.js';
import type { StoredMessage } from '../../../jetstream/read-stored.js';
import type { FilterFlags } from '../../flags/filters.js';

import { matches } from '../../flags/filters.js';

/** Which of the messages of a range are exported. */
export interface ExportFilter extends FilterFlags {
  /** Leaves out what is no event. */
  readonly validOnly?: boolean;
}

/** What became of one message. */
export type Exported =
  | { readonly kind: 'event' | 'invalid'; readonly line: string }
  /** The filter names other events, or what is not valid is not wanted. */
  | { readonly kind: 'filtered' | 'invalid left out' };

const utf8 = new TextDecoder();

/**
 * The line of a stored message, with its line feed: `{"seq", "epoch", "stored_at", "event"}`, the event as the worker
 * wrote it; or for what is no event `{"seq", "epoch", "stored_at", "subject", "invalid": {"reason", "detail"},
 * "body_base64"}`. What is no event has neither type nor status, so a filter by these leaves it out.
 */
export function exportLine(message: StoredMessage, epoch: string, filter: ExportFilter): Exported {
  const { seq, subject, storedAt, data } = message;
  const decoded = decodeEvent(subject, data);
  const isFiltered = filter.jobType !== undefined || filter.status !== undefined;
  const head = `{"seq":${seq},"epoch":"${epoch}","stored_at":"${new Date(storedAt).toISOString()}"`;
  if (!decoded.ok) {
    if (isFiltered || filter.validOnly === true) return { kind: 'invalid left out' };
    return { kind: 'invalid', line: `${head},${invalidPart(subject, decoded, data)}}\n` };
  }
  const text = utf8.decode(data);
  if (isFiltered && !matches(filter, JSON.parse(text) as Event)) return { kind: 'filtered' };
  return { kind: 'event', line: `${head},"event":${onOneLine(text)}}\n` };
}

// Where JSON allows a line feed it is a space between two of its parts; inside a text it is written as \n.
function onOneLine(json: string): string {
  return json.includes('\n') || json.includes('\r') ? json.replace(/[\r\n]+/g, ' ') : json;
}

function invalidPart(
  subject: string,
  { reason, detail }: Extract<Decoded, { ok: false }>,
  data: Uint8Array,
): string {
  const body = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
  const invalid = JSON.stringify({ reason, detail });
  return `"subject":${JSON.stringify(subject)},"invalid":${invalid},"body_base64":"${body}"`;
}

/** What the last line of an earlier export says of where it stopped. */
export interface ExportPosition {
  readonly seq: number;
  readonly epoch: string;
  /** The job of the last line; null: of a subject that is none of a job. */
  readonly id: string | null;
}

const SUBJECT = /^progress\.(.+)$/s;

/** Reads a line of an export, without its line feed; null when it is none. */
export function parseExportLine(line: string): ExportPosition | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { seq, epoch, stored_at, event, subject } = value as Record<string, unknown>;
  if (typeof epoch !== 'string' || typeof stored_at !== 'string') return null;
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1) return null;
  if (typeof subject === 'string') return { seq, epoch, id: SUBJECT.exec(subject)?.[1] ?? null };
  const id = (event as Partial<Event> | null | undefined)?.processing_id;
  return typeof id === 'string' ? { seq, epoch, id } : null;
}
