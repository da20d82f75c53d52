import type { ColorFlag } from '../flags/command-line.js';

import { type JobEvent, statusWord } from '../reads/job-event.js';
import type { CliContext } from '../runtime/cli-context.js';
import { dim, progressCell, statusCell, summaryCell, timeText } from './cells.js';
import { colorizer } from './color.js';
import { type Column, JOB_COLUMN, LAST_LEAST, type Layout, layoutOf } from './layout.js';
import { type Cell, lineOf } from './table.js';
import { widthOf } from './width.js';

const COLUMNS: readonly Column[] = [
  { title: 'STORED' },
  { title: 'SEQ', align: 'right', expendable: 1 },
  JOB_COLUMN,
  { title: 'STATUS' },
  { title: 'PROGRESS', align: 'right', expendable: 2 },
  { title: 'MESSAGE' },
];
/** As wide as an id that is a UUID, and as "processing" and "33.3%". */
const WIDTHS = [24, 8, 36, 10, 5];

export interface EventLineOptions extends ColorFlag {
  readonly timestamps?: boolean;
  /** Ids are whole, and lines may be wider than the terminal. */
  readonly isWide?: boolean;
}

/**
 * Columns of lines that are written one by one, before anybody knows what comes. Lines that have left cannot be moved, so
 * a column keeps the width that it begins with: what is longer is cut, or, where lines may be of any width, moves its
 * own line alone. Only numbers widen their column, since a number must not be cut.
 */
export class LineTable {
  readonly #columns: readonly Column[];
  readonly #width: () => number;
  readonly #widths: number[];
  #layout: Layout | null = null;

  /**
   * @param widths of all columns but the last one, which has what is left of the line
   * @param width in columns of the terminal, asked for each line: its window may be made larger or smaller
   */
  constructor(columns: readonly Column[], widths: readonly number[], width: () => number) {
    this.#columns = columns;
    this.#width = width;
    this.#widths = [...widths, LAST_LEAST];
  }

  line(row: readonly Cell[]): string {
    const width = this.#width();
    if (this.#layout === null || this.#widen(row) || this.#layout.width !== width) {
      this.#layout = layoutOf(this.#columns, this.#widths, width);
    }
    return lineOf(this.#columns, row, this.#layout);
  }

  /** @returns whether a number came that is wider than its column */
  #widen(row: readonly Cell[]): boolean {
    let hasGrown = false;
    for (const [at, { align }] of this.#columns.entries()) {
      const own = widthOf(row[at]?.text ?? '');
      if (align !== 'right' || own <= (this.#widths[at] ?? 0)) continue;
      this.#widths[at] = own;
      hasGrown = true;
    }
    return hasGrown;
  }
}

/** How wide lines may be; Infinity where they may be of any width. */
export const widthFor = (context: CliContext, isWide = false): (() => number) =>
  context.terminal.out && !isWide ? context.columns : () => Number.POSITIVE_INFINITY;

/** Events as lines without a title. */
export function eventLines(context: CliContext, options: EventLineOptions): (job: JobEvent) => string {
  const paint = colorizer(context, options);
  const skipped = options.timestamps ? 0 : 1;
  const width = widthFor(context, options.isWide);
  const table = new LineTable(COLUMNS.slice(skipped), WIDTHS.slice(skipped), width);
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
