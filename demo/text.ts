const numbers = new Intl.NumberFormat('en');

/** A number as people write it: 12,345. */
export const count = (value: number): string => numbers.format(value);

/** A number with its word: "1 page", "14 pages". */
export const plural = (value: number, word: string): string =>
  `${count(value)} ${word}${value === 1 ? '' : 's'}`;

/** "1.04 s" */
export const seconds = (value: number): string => `${value.toFixed(2)} s`;

/** At most this many runs are written out; on a stream that others use too, the numbers have many gaps. */
const MAX_RUNS = 4;

/** Rising sequences as people write them: "seq 13–19", "seq 13–15, 17". */
export function seqRanges(seqs: readonly number[]): string {
  const runs: { first: number; last: number }[] = [];
  for (const seq of seqs) {
    const run = runs.at(-1);
    if (run !== undefined && seq === run.last + 1) run.last = seq;
    else runs.push({ first: seq, last: seq });
  }
  const shown = runs.length > MAX_RUNS ? [...runs.slice(0, MAX_RUNS - 1), ...runs.slice(-1)] : runs;
  const words = shown.map(({ first, last }) => (first === last ? `${first}` : `${first}–${last}`));
  if (shown.length < runs.length) words.splice(-1, 0, '…');
  return `seq ${words.join(', ')}`;
}

/** The text in at most `width` characters; what is cut is marked. */
export function shorten(text: string, width: number): string {
  const characters = Array.from(text);
  if (characters.length <= width) return text;
  return `${characters
    .slice(0, Math.max(0, width - 1))
    .join('')
    .trimEnd()}…`;
}
