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

const ERASE_LINE = '\r\u001b[K';
/** No oftener than this: it is for eyes. */
const EVERY_MS = 100;

/**
 * One line on stderr that says how far long work is. Only on a terminal; elsewhere all of this does nothing. When
 * stdout is the same terminal it has to be cleared before data is written. Nothing of it remains.
 */
export class StatusLine {
  readonly #context: Pick<CliContext, 'stderr' | 'columns'>;
  readonly #isOn: boolean;
  #isShown = false;
  #drawnAt = Number.NEGATIVE_INFINITY;

  constructor(context: Pick<CliContext, 'stderr' | 'columns' | 'terminal' | 'env'>) {
    this.#context = context;
    this.#isOn = context.terminal.note && context.env.TERM !== 'dumb';
  }

  /** Whether `draw` would be seen: it is not worth making a text for nothing, nor too often. @param now ms */
  wants(now: number): boolean {
    return this.#isOn && now - this.#drawnAt >= EVERY_MS;
  }

  /** @param text of characters that are one column wide @param now ms, by the clock of `wants` */
  draw(text: string, now: number): void {
    if (!this.#isOn) return;
    this.#drawnAt = now;
    this.#isShown = true;
    this.#context.stderr(`${ERASE_LINE}${text.slice(0, Math.max(1, this.#context.columns() - 1))}`);
  }

  clear(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    this.#drawnAt = Number.NEGATIVE_INFINITY;
    this.#context.stderr(ERASE_LINE);
  }
}

/** Shows a line while it waits for `work`. */
export async function withStatus<T>(context: CliContext, text: string, work: Promise<T>): Promise<T> {
  const line = new StatusLine(context);
  line.draw(text, context.now());
  try {
    return await work;
  } finally {
    line.clear();
  }
}

export interface Progress {
  /** Shows how far the work is, if enough time has passed; `total` null: nobody knows. */
  show(done: number, total: number | null): void;
  /** Takes it off the screen; to be called on every way out, and before anything else is written. */
  clear(): void;
}

/** Short work needs no word. */
const AFTER_MS = 400;

/** The progress of a read that may take long: how many were read, of how many. */
export function progressOf(context: CliContext, word: string): Progress {
  const line = new StatusLine(context);
  const startedAt = context.now();
  return {
    show: (done, total) => {
      const now = context.now();
      if (now - startedAt < AFTER_MS || !line.wants(now)) return;
      const share =
        total === null || total === 0 ? '' : ` of ${count(total)}, ${Math.floor((done / total) * 100)}%`;
      line.draw(`${plural(done, word)}${share}`, now);
    },
    clear: () => line.clear(),
  };
}
