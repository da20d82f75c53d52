import type { Difference } from './facts.js';

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

/** A time in its two largest units: "2 d 3 h", "4 min 10 s", "0.3 s". Never negative. */
export function time(ms: number): string {
  const left = Math.abs(ms);
  if (left < 1_000) return `${(left / 1000).toFixed(1)} s`;
  const at = UNITS.findIndex(([, size]) => left >= size);
  const [unit, size] = UNITS[at] ?? ['s', 1_000];
  const smaller = UNITS[at + 1];
  const whole = `${Math.floor(left / size)} ${unit}`;
  const rest = smaller === undefined ? 0 : Math.floor((left % size) / smaller[1]);
  return smaller === undefined || rest === 0 ? whole : `${whole} ${rest} ${smaller[0]}`;
}

/** 0.853 as "85 %". */
export const percent = (share: number): string => `${Math.floor(share * 100)} %`;

/** A field that is other than it was made: "max_age is "1h"; Headway makes it "7d0h"". */
export const shown = ({ field, is, shouldBe }: Difference, maker = 'Headway'): string =>
  `${field} is ${JSON.stringify(is)}; ${maker} makes it ${JSON.stringify(shouldBe)}`;

/** The commands of NATS that mend a stream. All of them were tried with its command line, 0.5, as they are here. */

/** `nats stream edit PROGRESS …`, which shows what would change and asks before it does. */
export const edit = (stream: string, ...flags: readonly string[]): string =>
  `\`nats stream edit ${stream} ${flags.join(' ')}\``;

/** A new stream in the place of one that cannot be edited. Its events can be kept, but not be put into the new one. */
export const makeAnew = (stream: string): string =>
  `stop the workers and edges, keep the events if they matter (\`headway export\`), \`nats stream rm ${stream}\`, then \`headway init\``;
