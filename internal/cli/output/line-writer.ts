import type { Io } from '../runtime/cli-context.js';

const CHUNK = 64 * 1024;

/** Lines of output, written in pieces: a line by itself would cost a call of the system each. */
export class Emitter {
  readonly #io: Io;
  #held = '';

  constructor(io: Io) {
    this.#io = io;
  }

  async line(text: string): Promise<void> {
    this.#held += `${text}\n`;
    if (this.#held.length >= CHUNK) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#held === '') return;
    const text = this.#held;
    this.#held = '';
    await this.#io.out(text);
  }
}

/** One JSON array, an item a line, that is whole only when `end` was called. */
export class ArrayEmitter {
  readonly #emitter: Emitter;
  #last: string | null = null;

  constructor(io: Io) {
    this.#emitter = new Emitter(io);
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
export async function writeLines(io: Io, lines: Iterable<string>): Promise<void> {
  const emitter = new Emitter(io);
  for (const line of lines) await emitter.line(line);
  await emitter.flush();
}
