import type { Event } from '../../../../schemas/event.js';
import { printable, printableJson } from '../../../../schemas/text.js';
import { plural } from '../../../formatting.js';
import { showAge, showDuration } from '../../flags/durations.js';
import { bar, timeText } from '../../output/cells.js';
import { type Colorize, statusFormat } from '../../output/color.js';
import { pairLines } from '../../output/table.js';
import { type JobEvent, percent, statusWord } from '../../reads/job-event.js';
import { allowedSilence, displayStatus, lastHeardAt } from '../../reads/job-status.js';

/** What the stream keeps of a job. */
export interface Kept {
  readonly messages: number;
  readonly first: { readonly seq: number; readonly storedAt: number } | null;
  /** The seq of the valid event before the newest; null: none is kept. */
  readonly previous: number | null;
}

export interface DescribeStyle {
  readonly paint: Colorize;
  /** ms since 1970. */
  readonly now: number;
  readonly withBar: boolean;
  /** No line is wider; Infinity where nothing needs to fit. */
  readonly width: number;
}

const KNOWN = new Set<string>([
  'processing_id',
  'status',
  'progress',
  'timestamp',
  'type',
  'message',
  'job_type',
  'attempt',
  'step',
  'indeterminate',
  'eta_seconds',
  'stall_after_seconds',
  'timeout_seconds',
  'result',
  'error',
  // Ours, in an update.
  'seq',
  'prev_seq',
]);

/** A job's last event for people: a line for each thing it says. */
export function describeJob(
  job: JobEvent,
  kept: Kept,
  prevSeq: number | null,
  { paint, now, withBar, width }: DescribeStyle,
): string[] {
  const { event, seq, storedAt } = job;
  const status = displayStatus(job, now);
  const shownBar = withBar && event.indeterminate !== true ? `${bar(event.progress)} ` : '';
  const before = prevSeq === null ? '' : prevSeq === 0 ? ', the first of the job' : `, after seq ${prevSeq}`;
  const first = kept.first;
  const rows: (readonly [string, string] | null)[] = [
    ['Job', job.id],
    row('Type', event.job_type),
    ['Status', `${paint(statusFormat(status), status)}${statusNote(job, now)}`],
    ['Progress', `${shownBar}${percent(event)}${event.indeterminate ? ' (the worker does not know)' : ''}`],
    row('Step', stepText(event.step)),
    row('Message', text(event.message)),
    ['Attempt', String(event.attempt ?? 1)],
    row(
      'Time left',
      event.eta_seconds === undefined ? undefined : `${span(event.eta_seconds)}, by the worker`,
    ),
    row('Error code', text(event.error?.code)),
    row('Error', text(event.error?.message)),
    row('Details', json(event.error?.details)),
    row('Result', json(event.result)),
    row('Stalls', event.stall_after_seconds && `after ${span(event.stall_after_seconds)} of silence`),
    row('Times out', event.timeout_seconds && `after ${span(event.timeout_seconds)} of silence`),
    ['Stored', `${timeText(storedAt)}, ${showAge(now - storedAt)} ago; seq ${seq}${before}`],
    ['Made', `${text(event.timestamp) ?? ''}, by the worker's clock`],
    first === null
      ? null
      : [
          'Kept',
          `${plural(kept.messages, 'message')}, from seq ${first.seq} of ${timeText(first.storedAt)} on`,
        ],
    ...Object.entries(event)
      .filter(([name]) => !KNOWN.has(name))
      .map(([name, value]): [string, string] => [printable(name), json(value) ?? '']),
  ];
  const shown = rows.filter((one) => one !== null);
  const nameWidth = Math.max(...shown.map(([name]) => Math.min(24, name.length)));
  return pairLines(shown, { paint, nameWidth: nameWidth + 2, width });
}

// Beside a word that is not the event's own.
function statusNote(job: JobEvent, now: number): string {
  if (displayStatus(job, now) === 'stalled') {
    const silence = `no event of its worker for ${showDuration(now - lastHeardAt(job))}`;
    const status = statusWord(job.event);
    return ` (${status}; ${silence}, more than ${showDuration(allowedSilence(job))})`;
  }
  return statusWord(job.event) === 'retrying' ? ' (another attempt may follow)' : '';
}

function row(name: string, value: string | undefined | 0): readonly [string, string] | null {
  return value ? [name, value] : null;
}

function stepText(step: Event['step']): string | undefined {
  if (step === undefined) return undefined;
  const { index, total, name } = step;
  const place = index === undefined ? '' : total === undefined ? `${index}` : `${index} of ${total}`;
  return [place, printable(name ?? '')].filter((part) => part !== '').join(': ');
}

const text = (value: string | undefined): string | undefined =>
  value === undefined ? undefined : printable(value);
const json = (value: unknown): string | undefined =>
  value === undefined ? undefined : printableJson(JSON.stringify(value));
const span = (seconds: number): string => showDuration(seconds * 1_000);
