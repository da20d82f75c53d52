/** How many milliseconds of the past go by in one of the present; `Infinity`: as fast as the events can be shown. */
export type Speed = number;

/** The steps that the keys go through. */
const LADDER: readonly Speed[] = [0.1, 0.25, 0.5, 1, 2, 5, 10, 25, 50, 100, 1_000, Number.POSITIVE_INFINITY];
const SLOWEST = 0.001;
const FASTEST = 1_000_000;

/** What `parseSpeed` takes, for an error message. */
export const SPEED_EXPECTED = 'a number above 0 such as 0.5x, 1x or 10x (the x may be left out), or max';

/** Reads `0.5x`, `10` or `max`; null when it is no speed. */
export function parseSpeed(text: string): Speed | null {
  if (text === 'max') return Number.POSITIVE_INFINITY;
  const [, digits] = /^(\d{1,7}(?:\.\d{1,6})?)x?$/.exec(text) ?? [];
  const speed = Number(digits);
  return speed >= SLOWEST && speed <= FASTEST ? speed : null;
}

/** As people write it: `0.5x`, `max`. */
export const showSpeed = (speed: Speed): string =>
  speed === Number.POSITIVE_INFINITY ? 'max' : `${String(speed)}x`;

/** The next step up; the fastest stays as it is. */
export const faster = (speed: Speed): Speed => LADDER.find((step) => step > speed) ?? speed;

/** The next step down; the slowest stays as it is. */
export const slower = (speed: Speed): Speed => LADDER.findLast((step) => step < speed) ?? speed;
