const FIRST_MS = 100;
const MOST_MS = 5_000;

/**
 * How long to wait before the next try, in milliseconds: full jitter, from 0 to a bound that doubles with each try, up
 * to 5 s.
 * @param tries how many have failed, from 1
 * @param chance from 0 to 1
 */
export function backoffMs(tries: number, chance: number): number {
  return chance * Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(tries - 1, 16));
}
