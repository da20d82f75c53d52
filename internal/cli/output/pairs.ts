import type { Paint } from './color.js';
import { wrapped } from './width.js';

export type Pair = readonly [name: string, value: string];

export interface PairsStyle {
  readonly paint: Paint;
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
