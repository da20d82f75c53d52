import { count, plural } from '../../formatting.js';
import type { ReadObserver } from '../../jetstream/read-stored.js';
import type { CliContext } from './cli-context.js';

/** Says on stderr what interrupts a read, and what the stream no longer has. */
export function readStatus(context: CliContext): ReadObserver {
  return {
    gap: (asked, first) =>
      context.stderr(
        `headway: from seq ${asked} to ${first - 1} nothing is kept any more; it begins at ${first}\n`,
      ),
    lost: (reason) => context.stderr(`headway: reading was interrupted (${reason}); it goes on by itself\n`),
    resumed: () => context.stderr('headway: reading goes on\n'),
    replaced: () =>
      context.stderr(
        'headway: the stream was deleted and made again; it goes on from the first message of the new one\n',
      ),
  };
}

export interface Progress {
  /** Shows how far the work is, if enough time has passed; `total` null: nobody knows. */
  show(done: number, total: number | null): void;
  /** Takes it off the screen; to be called on every way out, and before anything else is written. */
  clear(): void;
}

const AFTER_MS = 400;
const EVERY_MS = 100;
const ERASE_LINE = '\r\u001b[K';

/** The progress of long work, on stderr, where that is a terminal; nothing of it remains. */
export function progressOf(context: CliContext, word: string): Progress {
  if (!context.terminal.note) return { show: () => undefined, clear: () => undefined };
  const startedAt = context.now();
  let shownAt = 0;
  return {
    show: (done, total) => {
      const now = context.now();
      if (now - startedAt < AFTER_MS || now - shownAt < EVERY_MS) return;
      shownAt = now;
      const share =
        total === null || total === 0 ? '' : ` of ${count(total)}, ${Math.floor((done / total) * 100)}%`;
      context.stderr(`${ERASE_LINE}${plural(done, word)}${share}`);
    },
    clear: () => {
      if (shownAt > 0) context.stderr(ERASE_LINE);
      shownAt = 0;
    },
  };
}
