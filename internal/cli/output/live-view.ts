import { createLogUpdate } from 'log-update';
import type { CliContext } from '../runtime/cli-context.js';

/** Text that replaces itself at the end of a terminal. Only where `io.terminal.out`. */
export class LiveView {
  readonly #context: CliContext;
  readonly #render: ReturnType<typeof createLogUpdate>;
  #written = '';

  constructor(context: CliContext) {
    this.#context = context;
    const stream = {
      write: (text: string) => {
        this.#written += text;
        return true;
      },
      get columns() {
        return context.columns();
      },
      get rows() {
        return context.rows();
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
    if (text !== '') await this.#context.stdout(text);
  }
}
