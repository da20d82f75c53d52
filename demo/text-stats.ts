// One locale for every machine: otherwise the same document would have another count elsewhere.
const words = new Intl.Segmenter('en', { granularity: 'word' });

/** The longest heading, in characters. */
export const MAX_HEADING = 80;

/** The number of words in `text` in any script, by Unicode's rules: punctuation and spaces are none. */
export function countWords(text: string): number {
  let count = 0;
  for (const segment of words.segment(text)) {
    if (segment.isWordLike) count += 1;
  }
  return count;
}

/** The number of Unicode characters (code points, as `wc -m` counts them), line ends included. */
export function countCharacters(text: string): number {
  let count = 0;
  // A loop and not [...text].length, which would hold every character as a string of its own.
  for (const _ of text) count += 1;
  return count;
}

/** The first line that says something, at most 80 characters; a stand-in for a page without text. */
export function headingOf(text: string): string {
  const line = /[^\s\p{Cc}][^\r\n\f]*/u.exec(text)?.[0] ?? '';
  // Cut long before the exact cut: a damaged file may hold one line of many megabytes.
  const clean = line
    .slice(0, MAX_HEADING * 16)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .replace(/\p{Cs}/gu, '\uFFFD')
    .trim();
  if (clean === '') return '(no text on this page)';
  const characters = Array.from(clean);
  if (characters.length <= MAX_HEADING) return clean;
  return `${characters
    .slice(0, MAX_HEADING - 1)
    .join('')
    .trimEnd()}…`;
}
