/** Inputs from inputs. Texts hold one character for each byte (latin1), so that any bytes can be made. */

export interface Chance {
  /** An integer from 0 to below `end`. */
  below(end: number): number;
}

/** Mulberry32: the same seed gives the same row of numbers. */
export function chance(seed: number): Chance {
  let state = seed >>> 0;
  return {
    below(end) {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) % end;
    },
  };
}

type Mutation = (input: string, pick: Chance, words: readonly string[], other: string) => string;

const at = (text: string, pick: Chance): number => pick.below(text.length + 1);
const splice = (text: string, from: number, length: number, piece: string): string =>
  text.slice(0, from) + piece + text.slice(from + length);
const INTERESTING = [
  '0',
  '-0',
  '-1',
  '1e999',
  '9007199254740993',
  '0.1',
  '\x00',
  '\x7f',
  '\xff',
  '\xed\xa0\x80',
];

const MUTATIONS: readonly Mutation[] = [
  (text, pick) => splice(text, at(text, pick), 1, String.fromCharCode(pick.below(256))),
  (text, pick) => splice(text, at(text, pick), 0, String.fromCharCode(pick.below(256))),
  (text, pick) => splice(text, at(text, pick), 1 + pick.below(8), ''),
  (text, pick) => splice(text, at(text, pick), pick.below(20), ''),
  (text, pick, words) => splice(text, at(text, pick), 0, words[pick.below(words.length)] ?? ''),
  (text, pick, words) =>
    splice(text, at(text, pick), 1 + pick.below(12), words[pick.below(words.length)] ?? ''),
  (text, pick) => splice(text, at(text, pick), 0, INTERESTING[pick.below(INTERESTING.length)] ?? ''),
  // A number for a number.
  (text, pick) =>
    text.replace(/-?\d+(?:\.\d+)?/g, (old) => (pick.below(3) ? old : (INTERESTING[pick.below(6)] ?? old))),
  // A piece once more, or many times.
  (text, pick) => {
    const from = at(text, pick);
    const piece = text.slice(from, from + 1 + pick.below(24));
    return splice(text, from, 0, piece.repeat(1 + (pick.below(4) ? 0 : pick.below(80))));
  },
  // The beginning of one, the end of another.
  (text, pick, _words, other) => text.slice(0, at(text, pick)) + other.slice(at(other, pick)),
  // A piece of another within this one.
  (text, pick, _words, other) => {
    const from = at(other, pick);
    return splice(text, at(text, pick), pick.below(16), other.slice(from, from + 1 + pick.below(40)));
  },
];

/** One to eight changes, one after the other. The result has at most `maxBytes` bytes. */
export function mutate(
  input: string,
  other: string,
  words: readonly string[],
  pick: Chance,
  maxBytes: number,
): string {
  let text = input;
  for (let left = 1 << pick.below(4); left > 0; left--) {
    const mutation = MUTATIONS[pick.below(MUTATIONS.length)];
    if (mutation !== undefined) text = mutation(text, pick, words, other).slice(0, maxBytes);
  }
  return text;
}
