import stringWidth from 'string-width';

/** A cell: what it says, and how that is dressed at the end, which must not change its width. */
export interface Cell {
  readonly text: string;
  readonly dress?: (text: string) => string;
}

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

const GAP = '  ';
/** Columns that the last cell of a line has at least, where a line may wrap: it is what the line is read for. */
const LAST_LEAST = 16;

/**
 * A table in lines, each column as wide as its widest cell, as terminals count. The last column is cut where the lines
 * would be longer than `width`, which is Infinity where nothing needs to fit; a little of it stays also when they wrap.
 */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  width: number,
  dressTitle: (text: string) => string = (text) => text,
): string[] {
  const widths = columns.map(({ title }) => stringWidth(title));
  for (const row of rows) {
    for (const [at, { text }] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, widthOf(text));
  }
  const titles = columns.map(({ title }): Cell => ({ text: title, dress: dressTitle }));
  return [titles, ...rows].map((row) => lineOf(columns, row, widths, width));
}

/**
 * One line of a table whose columns have these widths.
 * @param mustFit cuts any cell at `width`, and not only the last: for lines that are redrawn
 */
export function lineOf(
  columns: readonly Column[],
  row: readonly Cell[],
  widths: readonly number[],
  width: number,
  mustFit = false,
): string {
  const parts: string[] = [];
  let left = width;
  for (const [at, { text, dress = same }] of row.entries()) {
    // Nothing follows the last one, unless its numbers have to stand below each other.
    const isLast = at === row.length - 1 && columns[at]?.align !== 'right';
    // Where a line may wrap only the last cell is cut: half a job's id would be of no use.
    const whole = isLast ? widthOf(text) : Math.max(widths[at] ?? 0, widthOf(text));
    const room = mustFit ? left : Math.max(left, LAST_LEAST);
    const own = isLast || mustFit ? Math.min(room, whole) : whole;
    const fitted = isLast || mustFit ? shorten(text, own) : text;
    const space = isLast ? '' : ' '.repeat(Math.max(0, own - widthOf(fitted)));
    parts.push(columns[at]?.align === 'right' ? space + dress(fitted) : dress(fitted) + space);
    left = Math.max(0, left - own - GAP.length);
    if (mustFit && left === 0) break;
  }
  return parts.join(GAP).trimEnd();
}

const same = (text: string): string => text;
const ASCII = /^[\u0020-\u007e]*$/;

// Most of what is shown is plain, and a table may have half a million rows.
const widthOf = (text: string): number => (ASCII.test(text) ? text.length : stringWidth(text));

/** The text in at most `width` columns of a terminal; what is cut is marked. */
export function shorten(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let short = '';
  let used = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    const own = stringWidth(segment);
    if (used + own > width - 1) break;
    used += own;
    short += segment;
  }
  return width < 1 ? '' : `${short.trimEnd()}…`;
}
