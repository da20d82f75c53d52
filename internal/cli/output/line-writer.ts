import type { CliContext } from '../runtime/cli-context.js';

const CHUNK = 64 * 1024;

/** Lines of output, written in pieces: a line by itself would cost a call of the system each. */
export class LineWriter {
  readonly #context: CliContext;
  #held = '';

  constructor(context: CliContext) {
    this.#context = context;
  }

  async line(text: string): Promise<void> {
    this.#held += `${text}\n`;
    if (this.#held.length >= CHUNK) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#held === '') return;
    const text = this.#held;
    this.#held = '';
    await this.#context.stdout(text);
  }
}

/** One JSON array, an item a line, that is whole only when `end` was called. */
export class JsonArrayWriter {
  readonly #emitter: LineWriter;
  #last: string | null = null;

  constructor(context: CliContext) {
    this.#emitter = new LineWriter(context);
  }

  async item(json: string): Promise<void> {
    await this.#emitter.line(this.#last === null ? '[' : `${this.#last},`);
    this.#last = json;
  }

  async end(): Promise<void> {
    if (this.#last === null) await this.#emitter.line('[]');
    else {
      await this.#emitter.line(this.#last);
      await this.#emitter.line(']');
    }
    await this.#emitter.flush();
  }
}

/** Writes lines, and leaves nothing unwritten. */
export async function writeLines(context: CliContext, lines: Iterable<string>): Promise<void> {
  const emitter = new LineWriter(context);
  for (const line of lines) await emitter.line(line);
  await emitter.flush();
}
