import type { ColorFlag } from '../flags/command-line.js';

import { type JobEvent, statusWord } from '../reads/job-event.js';
import type { CliContext } from '../runtime/cli-context.js';
import { dim, progressCell, statusCell, summaryCell, timeText } from './cells.js';
import { colorizer } from './color.js';
import { type Column, JOB_COLUMN, type Layout, layoutOf } from './layout.js';
import { type Cell, ColumnWidths, lineOf } from './table.js';

const COLUMNS: readonly Column[] = [
  { title: 'STORED' },
  { title: 'SEQ', align: 'right', expendable: 1 },
  JOB_COLUMN,
  { title: 'STATUS' },
  { title: 'PROGRESS', align: 'right', expendable: 2 },
  { title: 'MESSAGE' },
];
/** Nobody knows how wide the cells will be that come. An id of a UUID is the usual one. */
const LEAST = [24, 8, 16, 10, 5, 0];
const UUID_WIDTH = 36;

export interface EventLineOptions extends ColorFlag {
  readonly timestamps?: boolean;
  /** Ids are whole, and lines may be wider than the terminal. */
  readonly isWide?: boolean;
}

/**
 * Columns of lines that are written one by one, and so before the widest of them is known. A column that had to grow
 * stays as wide.
 */
export class GrowingTable {
  readonly #columns: readonly Column[];
  readonly #width: () => number;
  readonly #widths: ColumnWidths;
  #layout: Layout | null = null;

  /** @param width in columns of the terminal, asked for each line: its window may be made larger or smaller */
  constructor(columns: readonly Column[], least: readonly number[], width: () => number) {
    this.#columns = columns;
    this.#width = width;
    // Lines without titles: only the cells count.
    this.#widths = new ColumnWidths(
      columns.map((column) => ({ ...column, title: '' })),
      least,
    );
  }

  line(row: readonly Cell[]): string {
    const width = this.#width();
    const hasGrown = this.#widths.include(row);
    if (this.#layout === null || hasGrown || this.#layout.width !== width) {
      this.#layout = layoutOf(this.#columns, this.#widths.natural, width);
    }
    return lineOf(this.#columns, row, this.#layout);
  }
}

/** How wide lines may be; Infinity where they may be of any width. */
export const widthFor = (context: CliContext, isWide = false): (() => number) =>
  context.terminal.out && !isWide ? context.columns : () => Number.POSITIVE_INFINITY;

/** Events as lines without a title, in columns that stay: nobody knows what comes. */
export function eventLines(context: CliContext, options: EventLineOptions): (job: JobEvent) => string {
  const paint = colorizer(context, options);
  const skipped = options.timestamps ? 0 : 1;
  const least = LEAST.slice(skipped);
  if (context.terminal.out && !options.isWide) least[2 - skipped] = UUID_WIDTH;
  const table = new GrowingTable(COLUMNS.slice(skipped), least, widthFor(context, options.isWide));
  return (job) => {
    const { attempt } = job.event;
    const again = attempt !== undefined && attempt > 1 ? `(attempt ${attempt}) ` : '';
    const cells: Cell[] = [
      { text: timeText(job.storedAt), dress: dim(paint) },
      { text: String(job.seq), dress: dim(paint) },
      { text: job.id },
      statusCell(statusWord(job.event), paint),
      progressCell(job, false),
      { text: `${again}${summaryCell(job).text}` },
    ];
    return table.line(cells.slice(skipped));
  };
}
