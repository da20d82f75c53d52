import { HeadwayError } from '../internal/errors.js';

/** Why the demo cannot start or go on, as one paragraph for the person who runs it. */
export class DemoError extends HeadwayError {
  readonly code = 'demo';
}

/** The system's word for why a program could not be started. */
export class CannotStart extends DemoError {
  constructor(
    command: string,
    readonly reason: string,
  ) {
    super(`Cannot start "${command}" (${reason}).`);
  }
}

/** The reason of an abort that a person asked for (Ctrl-C, a closed terminal): the end, but no failure. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** What another program said last, as the end of a paragraph about it; nothing, when it said nothing. */
export function said(lines: readonly string[]): string {
  return lines.length === 0 ? '' : ` It said:\n${lines.map((line) => `\n    ${line}`).join('')}`;
}
