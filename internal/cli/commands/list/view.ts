import { plural } from '../../../formatting.js';
import { ColumnWidths } from '../../output/table.js';
import { shorten } from '../../output/width.js';
import type { CliContext } from '../../runtime/cli-context.js';

import { RowPlaces } from './places.js';
import { columnsOf, type ListStyle, listTable, type Row } from './rows.js';

// Beside the title and the foot. The last line of a terminal stays free for the cursor.
const roomFor = (context: CliContext): number => Math.max(1, context.rows() - 3);

/** The picture: rows that keep their lines, in columns that keep their places while the terminal keeps its width. */
export class ListView {
  /** What the last picture showed, from the top. */
  shown: readonly Row[] = [];
  readonly #context: CliContext;
  readonly #style: ListStyle;
  readonly #places = new RowPlaces();
  #widths: ColumnWidths;
  #width = 0;

  constructor(context: CliContext, style: ListStyle) {
    this.#context = context;
    this.#style = style;
    this.#widths = new ColumnWidths(columnsOf(style));
  }

  /** @param rows all that could be shown, the newest first */
  draw(rows: readonly Row[]): string[] {
    // The last column of a terminal stays free: some break the line there.
    const width = Math.max(1, this.#context.columns() - 1);
    if (width !== this.#width) this.#widths = new ColumnWidths(columnsOf(this.#style));
    this.#width = width;
    const room = roomFor(this.#context);
    this.shown = this.#places.arrange(rows, room, this.#style.now());
    const { lines } = listTable(this.shown, { ...this.#style, width }, this.#widths);
    const more = rows.length > room ? `, ${room} shown` : '';
    const foot = shorten(`${plural(rows.length, 'job')}${more}; Ctrl-C ends`, width);
    return [...lines, this.#style.paint('dim', foot)];
  }
}
