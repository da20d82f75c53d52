export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** How a cell is cut that is too wide: an id in its middle, since ids may begin or end alike. */
  readonly cut?: 'end' | 'middle';
  /** The column may be made as narrow as this. Without it, it is as wide as its widest cell. */
  readonly least?: number;
  /** A terminal that is too narrow for all columns does without this one; the lowest number goes first. */
  readonly expendable?: number;
}

/** A column of job ids. `3f6c…7a10` is its narrowest. */
export const JOB_COLUMN: Column = { title: 'JOB', cut: 'middle', least: 9 };
/** A column of job types. */
export const TYPE_COLUMN: Column = { title: 'TYPE', least: 8, expendable: 2 };

/** Which columns of a table are shown, and how wide. */
export interface Layout {
  /** Places among the columns, rising. */
  readonly places: readonly number[];
  /** By place, in columns of a terminal; Infinity: as wide as the cell. */
  readonly widths: readonly number[];
  /** No line is wider. */
  readonly width: number;
}

const GAP_WIDTH = 2;
/** The last column is what most lines are read for: it keeps so much before others are left out. */
export const LAST_LEAST = 16;
/** Ids are cut to this before another column is left out, and to the column's `least` only when none is left. */
const READABLE_ID = 13;
/** A longer id than a UUID, or a longer type than this, does not take the room of what is said. */
const LONG_ID = 36;
const LONG_TYPE = 24;

/**
 * Fits columns into a width. First ids and types are made narrower, then columns that can be done without are left out,
 * at last ids are made as narrow as they may be.
 * @param natural how wide each column is by its widest cell
 * @param width in columns of the terminal; Infinity where nothing needs to fit
 */
export function layoutOf(columns: readonly Column[], natural: readonly number[], width: number): Layout {
  const all = columns.map((_, at) => at);
  if (width === Number.POSITIVE_INFINITY) {
    const last = columns.length - 1;
    // Nothing is padded to the last column's width, and nothing is cut.
    const isOpen = columns[last]?.align !== 'right';
    return { places: all, widths: natural.map((own, at) => (isOpen && at === last ? width : own)), width };
  }
  const needed = natural.reduce((sum, own) => sum + own + GAP_WIDTH, -GAP_WIDTH);
  const wanted = natural.map((own, at) => (needed > width ? Math.min(own, usual(columns[at])) : own));
  const expendable = all
    .filter((at) => columns[at]?.expendable !== undefined)
    .sort((one, other) => (columns[one]?.expendable ?? 0) - (columns[other]?.expendable ?? 0));
  for (let without = 0; without <= expendable.length; without++) {
    const dropped = new Set(expendable.slice(0, without));
    const places = all.filter((at) => !dropped.has(at));
    const isEnd = without === expendable.length;
    const widths = fitted(columns, wanted, places, width, isEnd);
    if (widths !== null) return { places, widths, width };
  }
  return { places: all, widths: natural, width };
}

function usual({ least, cut }: Partial<Column> = {}): number {
  if (least === undefined) return Number.POSITIVE_INFINITY;
  return cut === 'middle' ? LONG_ID : LONG_TYPE;
}

/** @param isEnd whether it must do: what is still too wide is cut at the end of the line. @returns null: too wide */
function fitted(
  columns: readonly Column[],
  natural: readonly number[],
  places: readonly number[],
  width: number,
  isEnd: boolean,
): readonly number[] | null {
  const widths = [...natural];
  const last = places.at(-1) ?? 0;
  const isOpen = columns[last]?.align !== 'right' && columns[last]?.least === undefined;
  if (isOpen) widths[last] = Math.min(natural[last] ?? 0, LAST_LEAST);
  let over = places.reduce((sum, at) => sum + (widths[at] ?? 0) + GAP_WIDTH, -GAP_WIDTH) - width;
  for (const at of places) {
    const { least, cut } = columns[at] ?? {};
    if (least === undefined) continue;
    const floor = cut === 'middle' && !isEnd ? Math.max(least, READABLE_ID) : least;
    const given = Math.max(0, Math.min(over, (widths[at] ?? 0) - floor));
    widths[at] = (widths[at] ?? 0) - given;
    over -= given;
  }
  if (over > 0 && !isEnd) return null;
  // The rest of the line is its own.
  if (isOpen) widths[last] = Math.max(0, (widths[last] ?? 0) - over);
  return widths;
}
