import { styleText } from 'node:util';
import type { ColorFlag } from '../flags/command-line.js';

import type { DisplayStatus } from '../reads/job-status.js';
import type { CliContext } from '../runtime/cli-context.js';

type Format = Parameters<typeof styleText>[0];

/** Text in a colour or style, where there are any. */
export type Colorize = (format: Format, text: string) => string;

/**
 * Whether there are colours: as --color says; else only at a terminal that has them, for somebody who wants them.
 * https://no-color.org
 */
export function isColored(
  context: Pick<CliContext, 'env' | 'terminal'>,
  { color }: Partial<ColorFlag>,
): boolean {
  if (color === 'always') return true;
  if (color === 'never' || color === false) return false;
  return context.terminal.out && !context.env.NO_COLOR && context.env.TERM !== 'dumb';
}

export function colorizer(context: CliContext, flag: Partial<ColorFlag>): Colorize {
  // What the stream is was decided here; Node would look at its own.
  return isColored(context, flag)
    ? (format, text) => styleText(format, text, { validateStream: false })
    : (_format, text) => text;
}

/** The colour of a job's status. */
export function statusFormat(status: DisplayStatus): Format {
  switch (status) {
    case 'processing':
      return 'cyan';
    case 'completed':
      return 'green';
    case 'error':
      return 'red';
    case 'retrying':
      return 'yellow';
    case 'stalled':
      return 'magenta';
  }
}
