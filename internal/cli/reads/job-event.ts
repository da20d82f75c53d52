import type { Event } from '../../../schemas/event.js';
import { printable, printableJson } from '../../../schemas/text.js';
import { type DecodedEvent, decodeEvent, type InvalidReason, updateFrame } from '../../eventlog/decode.js';
import type { StoredMessage } from '../../jetstream/read-stored.js';

/** A valid event as commands show it. */
export interface JobEvent {
  readonly seq: number;
  /** ms since 1970. */
  readonly storedAt: number;
  readonly id: string;
  readonly event: Event;
  readonly decoded: DecodedEvent;
}

export type Read =
  | { readonly ok: true; readonly job: JobEvent }
  | { readonly ok: false; readonly reason: InvalidReason; readonly detail: string };

/** A stored message as an event, or why it is none. */
export function readEvent(message: StoredMessage): Read {
  const decoded = decodeEvent(message.subject, message.data);
  if (!decoded.ok) return decoded;
  return { ok: true, job: jobEvent(message.seq, message.storedAt, decoded.event) };
}

export function jobEvent(seq: number, storedAt: number, decoded: DecodedEvent): JobEvent {
  const event = JSON.parse(decoded.json) as Event;
  return { seq, storedAt, id: decoded.id, event, decoded };
}

/**
 * The event as an update object, on one line; `stored_at` comes first when it is wanted.
 * @param prevSeq null when it is not known
 */
export function updateJson(
  { decoded, seq, storedAt }: JobEvent,
  prevSeq: number | null,
  withTime = false,
): string {
  const frame = printableJson(updateFrame(decoded, seq, prevSeq)).trim();
  return withTime ? `{"stored_at":"${new Date(storedAt).toISOString()}",${frame.slice(1)}` : frame;
}

/** What the job is doing, in one line: its step, then what it says; of a failed one what failed. */
export function summary(event: Event): string {
  const { step, message, error } = event;
  const place =
    step === undefined
      ? ''
      : step.index !== undefined && step.total !== undefined
        ? `${step.index}/${step.total}`
        : '';
  const doing = [place, step?.name ?? ''].filter((part) => part !== '').join(' ');
  const said = event.status === 'error' ? [error?.code, error?.message ?? message] : [message];
  const words = said.filter((part) => part !== undefined && part !== '').join(': ');
  return printable([doing === '' ? '' : `[${doing}]`, words].filter((part) => part !== '').join(' '));
}

/** "40%", "33.3%"; "…" when the worker does not know. What is not done is never rounded up to 100%. */
export function percent({ progress, indeterminate, status }: Event): string {
  if (indeterminate === true && status === 'processing') return '…';
  return `${Number.isInteger(progress) ? progress : (Math.floor(progress * 10) / 10).toFixed(1)}%`;
}

/** The status; an error that another attempt may follow is "retrying". */
export function statusWord({ status, error }: Event): Event['status'] | 'retrying' {
  return status === 'error' && error?.retryable === true ? 'retrying' : status;
}
