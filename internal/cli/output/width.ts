import stringWidth from 'string-width';
import wrapAnsi from 'wrap-ansi';

// How much room text takes on a terminal: wide characters take two columns, combining ones none.

const ASCII = /^[\u0020-\u007e]*$/;
const segmenter = new Intl.Segmenter();

/** The columns that a text takes. */
// Most of what is shown is plain, and a table may have half a million rows.
export const widthOf = (text: string): number => (ASCII.test(text) ? text.length : stringWidth(text));

/** The text in at most `width` columns of a terminal; what is cut is marked. */
export function shorten(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  return width < 1 ? '' : `${leading(segmentsOf(text), width - 1).trimEnd()}…`;
}

/** The same with its middle cut: `3f6c…7a10`. The beginning gets one column more where they cannot be equal. */
export function shortenMiddle(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  if (width < 1) return '';
  const segments = segmentsOf(text);
  const tailWidth = Math.floor((width - 1) / 2);
  const head = leading(segments, width - 1 - tailWidth);
  const tail = leading([...segments].reverse(), tailWidth, (sum, one) => one + sum);
  return `${head}…${tail}`;
}

/** The text in lines of at most `width` columns, broken between words, and in words that are longer. */
export function wrapped(text: string, width: number): string[] {
  if (width === Number.POSITIVE_INFINITY) return [text];
  return wrapAnsi(text, Math.max(1, width), { hard: true }).split('\n');
}

const segmentsOf = (text: string): string[] => Array.from(segmenter.segment(text), ({ segment }) => segment);

function leading(
  segments: readonly string[],
  width: number,
  join: (sum: string, one: string) => string = (sum, one) => sum + one,
): string {
  let short = '';
  let used = 0;
  for (const segment of segments) {
    used += stringWidth(segment);
    if (used > width) break;
    short = join(short, segment);
  }
  return short;
}

/**
 * Text for a terminal that is narrower than it was written for: paragraphs flow, and a line that is set in is wrapped
 * under its own beginning. Text that fits stays as it is.
 */
export function wrapIndented(text: string, width: number): string {
  const lines = text.split('\n');
  if (lines.every((line) => widthOf(line) <= width)) return text;
  const joined: string[] = [];
  for (const line of lines) {
    const last = joined.at(-1) ?? '';
    const flows = /^\S.*[^:]$/.test(last) && /^\S/.test(line);
    if (flows) joined[joined.length - 1] = `${last} ${line}`;
    else joined.push(line);
  }
  return joined.flatMap((line) => wrappedLine(line, width)).join('\n');
}

function wrappedLine(line: string, width: number): string[] {
  if (widthOf(line) <= width) return [line];
  const indent = /^ */.exec(line)?.[0] ?? '';
  const rest = wrapAnsi(line.slice(indent.length), Math.max(1, width - indent.length - 2)).split('\n');
  return rest.map((one, index) => `${indent}${index === 0 || indent === '' ? '' : '  '}${one}`);
}
