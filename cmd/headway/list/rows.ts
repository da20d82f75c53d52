import type { JobEvent } from '../jobs/job-event.js';
import { ageCell, dim, progressCell, statusCell, summaryCell, timeText } from '../show/cells.js';
import type { Paint } from '../show/paint.js';
import { type Cell, type Column, lineOf } from '../show/table.js';

/** How the rows of `headway list` look. */
export interface ListStyle {
  readonly paint: Paint;
  /** Bars, and lines cut to the width. */
  readonly isTerminal: boolean;
  readonly timestamps: boolean;
  /** ms since 1970, by the clock that stamps events. */
  readonly now: () => number;
  /** Columns of the terminal. */
  readonly width: number;
  /** No line is wider than the terminal: what matters least is left out. Lines that are redrawn must fit. */
  readonly mustFit?: true;
}

/** What a row keeps of an event: with half a million of them each field counts. */
export interface Row {
  readonly id: string;
  readonly seq: number;
  readonly storedAt: number;
  readonly cells: readonly Cell[];
}

/** A message beyond this is cut in every table: more of it is in `headway get`. */
const SUMMARY_LENGTH = 200;

// A copy: a piece of the message would keep all of it in memory. Half a character beyond 16 bits is none.
const cut = (text: string): string => `${text.slice(0, SUMMARY_LENGTH - 1).replace(/[\ud800-\udbff]$/, '')}…`;

export function columnsOf({ timestamps }: ListStyle): readonly Column[] {
  return [
    { title: 'JOB' },
    { title: 'TYPE' },
    { title: 'STATUS' },
    { title: 'PROGRESS', align: 'right' },
    { title: 'ATTEMPT', align: 'right' },
    { title: timestamps ? 'STORED' : 'AGE', align: timestamps ? 'left' : 'right' },
    { title: 'MESSAGE' },
  ];
}

export function rowOf(job: JobEvent, style: ListStyle): Row {
  const { event } = job;
  const said = summaryCell(job).text;
  return {
    id: job.id,
    seq: job.seq,
    storedAt: job.storedAt,
    cells: [
      { text: job.id },
      { text: event.job_type ?? '-' },
      statusCell(job, style.paint),
      progressCell(job, style.isTerminal),
      { text: String(event.attempt ?? 1) },
      { text: said.length > SUMMARY_LENGTH ? cut(said) : said },
    ],
  };
}

// The age changes while a row is kept, so it is made when it is shown.
function shownCells(row: Row, style: ListStyle): readonly Cell[] {
  const time = style.timestamps
    ? { text: timeText(row.storedAt) }
    : ageCell({ storedAt: row.storedAt } as JobEvent, style.now());
  return [...row.cells.slice(0, -1), time, ...row.cells.slice(-1)];
}

/** What is left out of a narrow terminal, first the first: the attempt, then the type. Places among the columns. */
const EXPENDABLE = [4, 1];
const GAP_WIDTH = 2;
/** A message shorter than this, in columns, says nothing. */
const MIN_MESSAGE = 16;

// The places of the columns that are shown.
function shownColumns(widths: readonly number[], { mustFit, width }: ListStyle): readonly number[] {
  let places = widths.map((_, at) => at);
  for (const least of mustFit ? EXPENDABLE : []) {
    const needed = places.slice(0, -1).reduce((sum, at) => sum + (widths[at] ?? 0) + GAP_WIDTH, MIN_MESSAGE);
    if (needed > width) places = places.filter((at) => at !== least);
  }
  return places;
}

const pick = <T>(from: readonly T[], places: readonly number[]): T[] =>
  places.flatMap((at) => from[at] ?? []);

export interface ListTable {
  /** Made as they are taken: half a million of them would be a second copy of all rows. */
  readonly lines: Iterable<string>;
  /** A further row, in the same columns. */
  readonly add: (row: Row) => string;
}

export function listTable(rows: readonly Row[], style: ListStyle): ListTable {
  const columns = columnsOf(style);
  const widths = columns.map(({ title }) => title.length);
  for (const row of rows) {
    // All but the last column hold what is as wide as it is long.
    for (const [at, { text }] of shownCells(row, style).entries()) {
      if (at < columns.length - 1) widths[at] = Math.max(widths[at] ?? 0, text.length);
    }
  }
  const places = shownColumns(widths, style);
  const line = (cells: readonly Cell[]): string =>
    lineOf(pick(columns, places), pick(cells, places), pick(widths, places), style.width, style.mustFit);
  const titles = columns.map(({ title }): Cell => ({ text: title, dress: dim(style.paint) }));
  const add = (row: Row): string => line(shownCells(row, style));
  return { lines: linesOf(line(titles), rows, add), add };
}

function* linesOf(title: string, rows: readonly Row[], add: (row: Row) => string): Generator<string> {
  yield title;
  for (const row of rows) yield add(row);
}
