import { plural } from '../../../formatting.js';
import { ColumnWidths } from '../../output/table.js';
import { shorten } from '../../output/width.js';
import type { CliContext } from '../../runtime/cli-context.js';
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

/** A job that said nothing for so long may make room for one that does. */
const QUIET_MS = 10_000;

/**
 * Which jobs a list that is redrawn shows, and in which line: a job keeps its line, so that a person can read while
 * others report. It gives it away only to a job with newer news for which there is no room, and only when it is finished or
 * quiet. The first picture has the newest jobs, the newest on top; further ones come below.
 */
export class RowPlaces {
  #ids: string[] = [];

  /**
   * @param rows all that could be shown, the newest first
   * @param room for so many rows
   * @param now ms since 1970, by the clock that stamps events
   * @returns what is shown, from the top
   */
  arrange(rows: readonly Row[], room: number, now: number): Row[] {
    const byId = new Map(rows.map((row) => [row.id, row]));
    const shown = this.#ids.flatMap((id) => byId.get(id) ?? []);
    // A terminal that was made smaller: the newest stay.
    while (shown.length > room) shown.splice(shown.indexOf(oldestOf(shown)), 1);
    const isShown = new Set(shown.map(({ id }) => id));
    for (const row of rows) {
      if (isShown.has(row.id)) continue;
      if (shown.length < room) shown.push(row);
      else {
        const leaving = shown.filter(
          (one) => one.seq < row.seq && (!Number.isFinite(one.silentFrom) || now - one.storedAt > QUIET_MS),
        );
        // The others are older still.
        if (leaving.length === 0) break;
        shown[shown.indexOf(oldestOf(leaving))] = row;
      }
    }
    this.#ids = shown.map(({ id }) => id);
    return shown;
  }
}

const oldestOf = (rows: readonly Row[]): Row =>
  rows.reduce((oldest, row) => (row.seq < oldest.seq ? row : oldest));
