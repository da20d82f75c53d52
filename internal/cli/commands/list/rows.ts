import { ageCell, dim, progressText, statusCell, timeText } from '../../output/cells.js';
import type { Colorize } from '../../output/color.js';
import { type Column, JOB_COLUMN, type Layout, layoutOf, TYPE_COLUMN } from '../../output/layout.js';
import { type Cell, ColumnWidths, lineOf, titlesOf } from '../../output/table.js';
import { type JobEvent, statusWord, summary } from '../../reads/job-event.js';
import { allowedSilence, type DisplayStatus, silentFrom } from '../../reads/job-status.js';

/** How the rows of `headway list` look. */
export interface ListStyle {
  readonly paint: Colorize;
  /** Bars. */
  readonly isTerminal: boolean;
  readonly timestamps: boolean;
  /** Everything whole, and each job's sequence. */
  readonly isWide: boolean;
  /** ms since 1970, by the clock that stamps events. */
  readonly now: () => number;
  /** No line is wider; Infinity where nothing needs to fit. */
  readonly width: number;
  /** How long ago a heartbeat of the job was heard, in ms; Infinity: none was. Without it nobody listens. */
  readonly silenceMs?: (row: Row) => number;
}

/** What a row keeps of an event: with half a million of them each field counts. */
export interface Row {
  readonly id: string;
  readonly seq: number;
  readonly storedAt: number;
  /** When it is stalled, as far as its events tell: ms since 1970; Infinity: never. */
  readonly silentFrom: number;
  /** How long it may be silent, in ms. */
  readonly allowedMs: number;
  readonly type: string;
  readonly status: DisplayStatus;
  readonly progress: string;
  readonly attempt: number;
  readonly said: string;
}

/** A message beyond this is cut in every table: more of it is in `headway get`. */
const SUMMARY_LENGTH = 200;

// Half a character beyond 16 bits is none.
const cut = (text: string): string => `${text.slice(0, SUMMARY_LENGTH - 1).replace(/[\ud800-\udbff]$/, '')}…`;

const TIME_PLACE = 5;

export function columnsOf({ timestamps, isWide }: ListStyle): readonly Column[] {
  return [
    JOB_COLUMN,
    TYPE_COLUMN,
    { title: 'STATUS' },
    // Only beside times there may be no room for it.
    { title: 'PROGRESS', align: 'right', ...(timestamps && { expendable: 3 }) },
    { title: 'ATTEMPT', align: 'right', expendable: 1 },
    timestamps ? { title: 'STORED' } : { title: 'AGE', align: 'right' },
    ...(isWide ? [{ title: 'SEQ', align: 'right' } as const] : []),
    { title: 'MESSAGE' },
  ];
}

export function rowOf(job: JobEvent, { isTerminal, isWide }: ListStyle): Row {
  const { event } = job;
  const said = summary(event);
  return {
    id: job.id,
    seq: job.seq,
    storedAt: job.storedAt,
    silentFrom: silentFrom(job),
    allowedMs: allowedSilence(job),
    type: event.job_type ?? '-',
    status: statusWord(event),
    progress: progressText(event, isTerminal),
    attempt: event.attempt ?? 1,
    said: isWide || said.length <= SUMMARY_LENGTH ? said : cut(said),
  };
}

// The age changes while a row is kept, and a job falls silent, so cells are made when they are shown.
function cellsOf(row: Row, style: ListStyle, now: number): readonly Cell[] {
  const { paint, timestamps, isWide } = style;
  const cells: Cell[] = [
    { text: row.id },
    { text: row.type },
    statusCell(isStalled(row, style, now) ? 'stalled' : row.status, paint),
    { text: row.progress },
    { text: String(row.attempt) },
    timestamps ? { text: timeText(row.storedAt) } : ageCell(row, now),
    { text: row.said },
  ];
  if (isWide) cells.splice(TIME_PLACE + 1, 0, { text: String(row.seq) });
  return cells;
}

const isStalled = (row: Row, { silenceMs }: ListStyle, now: number): boolean =>
  now > row.silentFrom && (silenceMs === undefined || silenceMs(row) > row.allowedMs);

export interface ListTable {
  /** Made as they are taken: half a million of them would be a second copy of all rows. */
  readonly lines: Iterable<string>;
  /** A further row, in the same columns. */
  readonly add: (row: Row) => string;
}

/**
 * The rows as a table.
 * @param widths what the columns were as wide as before, so that those of a list that is redrawn do not move; it grows
 */
export function listTable(
  rows: readonly Row[],
  style: ListStyle,
  widths: ColumnWidths = new ColumnWidths(columnsOf(style)),
): ListTable {
  const columns = columnsOf(style);
  const now = style.now();
  for (const row of rows) widths.include(cellsOf(row, style, now));
  const layout = layoutOf(columns, widths.natural, style.width);
  const add = (row: Row): string => lineOf(columns, cellsOf(row, style, style.now()), layout);
  const title = lineOf(columns, titlesOf(columns, dim(style.paint)), layout);
  return { lines: linesOf(title, rows, style, layout, now), add };
}

// By one clock: the ages of all rows, and of the widths that were measured, are as of the same moment.
function* linesOf(
  title: string,
  rows: readonly Row[],
  style: ListStyle,
  layout: Layout,
  now: number,
): Generator<string> {
  const columns = columnsOf(style);
  yield title;
  for (const row of rows) yield lineOf(columns, cellsOf(row, style, now), layout);
}
