import { type DestinationStream, type Logger, pino } from 'pino';
import { printableJson } from '../../schemas/text.js';

export type { Logger } from 'pino';

/**
 * The program's log: one JSON object a line, on standard output unless told otherwise.
 * @param bound fields of every line, such as the edge's id
 */
export function createLogger(
  level: string,
  bound: Readonly<Record<string, unknown>>,
  destination?: DestinationStream,
): Logger {
  const options = { level, base: bound, timestamp: pino.stdTimeFunctions.isoTime };
  const out = destination ?? pino.destination({ dest: 1, sync: true });
  return pino(options, { write: (line) => out.write(harmless(line)) });
}

/**
 * A line of JSON with what a terminal would obey, or what turns its reading direction, as escapes: subjects, origins and
 * reasons come from others. The values stay the same. JSON itself escapes the first 32 characters only.
 */
function harmless(line: string): string {
  return line.endsWith('\n') ? `${printableJson(line.slice(0, -1))}\n` : printableJson(line);
}

/**
 * Lets at most `limit` lines through in each `windowMs`, and tells how many it held back since the last one.
 * A flood of bad input must not become a flood of log lines.
 */
export class LogRateLimiter {
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #now: () => number;
  #windowStart = Number.NEGATIVE_INFINITY;
  #used = 0;
  #suppressed = 0;

  constructor(limit: number, windowMs: number, now: () => number) {
    this.#limit = limit;
    this.#windowMs = windowMs;
    this.#now = now;
  }

  /** null: say nothing; else how many were not said before this one. */
  acquire(): { readonly suppressed: number } | null {
    const now = this.#now();
    if (now - this.#windowStart >= this.#windowMs) {
      this.#windowStart = now;
      this.#used = 0;
    }
    if (this.#used >= this.#limit) {
      this.#suppressed++;
      return null;
    }
    this.#used++;
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return { suppressed };
  }
}
