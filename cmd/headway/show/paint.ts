import { styleText } from 'node:util';
import type { Event } from '../../../schemas/event.js';
import type { ColorFlag } from '../choice/selection.js';
import type { Io } from '../world/io.js';

type Format = Parameters<typeof styleText>[0];

/** Text in a colour or style, where there are any. */
export type Paint = (format: Format, text: string) => string;

/** Colours only at a terminal that has them, for somebody who wants them. https://no-color.org */
export function paintFor(io: Io, { color }: Partial<ColorFlag>): Paint {
  const isPlain = !io.terminal.out || color === false || Boolean(io.env.NO_COLOR) || io.env.TERM === 'dumb';
  // What the stream is was decided here; Node would look at its own.
  return isPlain
    ? (_format, text) => text
    : (format, text) => styleText(format, text, { validateStream: false });
}

/** The colour of a job's last event. */
export function statusFormat(event: Event): Format {
  switch (event.status) {
    case 'processing':
      return 'cyan';
    case 'completed':
      return 'green';
    case 'error':
      return event.error?.retryable === true ? 'yellow' : 'red';
  }
}
