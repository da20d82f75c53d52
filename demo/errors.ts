import { HeadwayError } from '../internal/errors/catalogue.js';

/** Why the demo cannot start or go on, as one paragraph for the person who runs it. */
export class DemoError extends HeadwayError {
  readonly code = 'demo';
}

/** The reason of an abort that a person asked for (Ctrl-C, a closed terminal): the end, but no failure. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** A text of several lines, moved to the right, for quoting what another program said. */
export function quoted(lines: readonly string[]): string {
  return lines.map((line) => `\n    ${line}`).join('');
}
