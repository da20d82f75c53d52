import { styleText } from 'node:util';
import type { ColorFlag } from '../flags/command-line.js';

import type { DisplayStatus } from '../reads/job-status.js';
import type { Io } from '../runtime/cli-context.js';

type Format = Parameters<typeof styleText>[0];

/** Text in a colour or style, where there are any. */
export type Paint = (format: Format, text: string) => string;

/**
 * Whether there are colours: as --color says; else only at a terminal that has them, for somebody who wants them.
 * https://no-color.org
 */
export function isColoured(io: Pick<Io, 'env' | 'terminal'>, { color }: Partial<ColorFlag>): boolean {
  if (color === 'always') return true;
  if (color === 'never' || color === false) return false;
  return io.terminal.out && !io.env.NO_COLOR && io.env.TERM !== 'dumb';
}

export function paintFor(io: Io, flag: Partial<ColorFlag>): Paint {
  // What the stream is was decided here; Node would look at its own.
  return isColoured(io, flag)
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
