import { createLogUpdate } from 'log-update';
import type { Io } from '../runtime/cli-context.js';

/** Text that replaces itself at the end of a terminal. Only where `io.terminal.out`. */
export class Redraw {
  readonly #io: Io;
  readonly #render: ReturnType<typeof createLogUpdate>;
  #written = '';

  constructor(io: Io) {
    this.#io = io;
    const stream = {
      write: (text: string) => {
        this.#written += text;
        return true;
      },
      get columns() {
        return io.columns();
      },
      get rows() {
        return io.rows();
      },
    };
    // It only ever asks for these three. Its hiding of the cursor would go to the process's own stderr.
    this.#render = createLogUpdate(stream as unknown as NodeJS.WriteStream, { showCursor: true });
  }

  /** Shows these lines in the place of those before. They must fit the terminal. */
  async draw(lines: readonly string[]): Promise<void> {
    this.#render(lines.join('\n'));
    const text = this.#written;
    this.#written = '';
    if (text !== '') await this.#io.out(text);
  }
}
