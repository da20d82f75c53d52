import type { CliContext } from '../../runtime/cli-context.js';

const CLEAR = '\r\u001b[2K';
const EVERY_MS = 200;

/**
 * One line on stderr that says how far long work is. Only on a terminal; elsewhere all of this does nothing. When
 * stdout is the same terminal it has to be cleared before data is written.
 */
export class StatusLine {
  readonly #context: Pick<CliContext, 'stderr' | 'columns'>;
  readonly #isOn: boolean;
  #isShown = false;
  #drawnAt = Number.NEGATIVE_INFINITY;

  constructor(context: CliContext) {
    this.#context = context;
    this.#isOn = context.terminal.note && context.env.TERM !== 'dumb';
  }

  /** Whether `draw` would be seen: it is not worth making a text for nothing, nor too often. @param now ms */
  wants(now: number): boolean {
    return this.#isOn && now - this.#drawnAt >= EVERY_MS;
  }

  /** @param text of characters that are one column wide */
  draw(text: string, now: number): void {
    if (!this.#isOn) return;
    this.#drawnAt = now;
    this.#isShown = true;
    this.#context.stderr(`${CLEAR}${text.slice(0, Math.max(1, this.#context.columns() - 1))}`);
  }

  clear(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    this.#drawnAt = Number.NEGATIVE_INFINITY;
    this.#context.stderr(CLEAR);
  }
}
