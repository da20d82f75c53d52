import type { Colorize } from './color.js';
import { type Column, type Layout, layoutOf } from './layout.js';
import { shorten, shortenMiddle, widthOf, wrapped } from './width.js';

/** A cell: what it says, and how that is dressed at the end, which must not change its width. */
export interface Cell {
  readonly text: string;
  readonly dress?: (text: string) => string;
}

const GAP = '  ';

/**
 * A table in lines that are not wider than `width`, each column as wide as its widest cell, as terminals count.
 * @param width in columns of the terminal; Infinity where nothing needs to fit
 */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  width: number,
  dressTitle: (text: string) => string = (text) => text,
): string[] {
  const widths = new ColumnWidths(columns);
  for (const row of rows) widths.include(row);
  const layout = layoutOf(columns, widths.natural, width);
  return [titlesOf(columns, dressTitle), ...rows].map((row) => lineOf(columns, row, layout));
}

/** The titles as a row. */
export const titlesOf = (columns: readonly Column[], dress: (text: string) => string): Cell[] =>
  columns.map(({ title }) => ({ text: title, dress }));

/** How wide the columns are by the widest of their cells so far. */
export class ColumnWidths {
  readonly natural: number[];

  /** @param least how wide each is at least, beside its title */
  constructor(columns: readonly Column[], least: readonly number[] = []) {
    this.natural = columns.map(({ title }, at) => Math.max(title.length, least[at] ?? 0));
  }

  /** @returns whether a column had to grow */
  include(row: readonly Cell[]): boolean {
    let hasGrown = false;
    for (const [at, { text }] of row.entries()) {
      const width = widthOf(text);
      if (width <= (this.natural[at] ?? 0)) continue;
      this.natural[at] = width;
      hasGrown = true;
    }
    return hasGrown;
  }
}

/** One line of a table with this layout. It is never wider than the layout's width. */
export function lineOf(columns: readonly Column[], row: readonly Cell[], layout: Layout): string {
  const parts: string[] = [];
  let left = layout.width;
  for (const [nth, at] of layout.places.entries()) {
    const { align, cut } = columns[at] ?? { title: '' };
    const { text, dress = same } = row[at] ?? { text: '' };
    const known = layout.widths[at] ?? 0;
    // Where nothing needs to fit, nothing is cut: a row may come whose cells are wider than those before.
    const own = left === Number.POSITIVE_INFINITY ? Math.max(known, widthOf(text)) : Math.min(left, known);
    const fitted = cut === 'middle' ? shortenMiddle(text, own) : shorten(text, own);
    // Nothing follows the last one, unless its numbers have to stand below each other.
    const isLast = nth === layout.places.length - 1 && align !== 'right';
    const space = isLast ? '' : ' '.repeat(Math.max(0, own - widthOf(fitted)));
    parts.push(align === 'right' ? space + dress(fitted) : dress(fitted) + space);
    left = Math.max(0, left - own - GAP.length);
    if (left === 0) break;
  }
  return parts.join(GAP).trimEnd();
}

const same = (text: string): string => text;

export type Pair = readonly [name: string, value: string];

export interface PairsStyle {
  readonly paint: Colorize;
  /** How wide the names are, with the gap behind them. */
  readonly nameWidth: number;
  /** No line is wider; Infinity where nothing needs to fit. */
  readonly width: number;
}

/** Names with what is said of them, below each other. What is longer than a line goes on below itself. */
export function pairLines(pairs: readonly Pair[], { paint, nameWidth, width }: PairsStyle): string[] {
  return pairs.flatMap(([name, value]) => {
    const [first = '', ...rest] = wrapped(value, width - nameWidth);
    return [
      `${paint('dim', name)}${' '.repeat(Math.max(2, nameWidth - name.length))}${first}`.trimEnd(),
      ...rest.map((line) => ' '.repeat(nameWidth) + line),
    ];
  });
}
