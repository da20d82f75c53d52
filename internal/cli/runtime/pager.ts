import { type CliContext, type Pager, PipeClosed, UsageError } from './cli-context.js';

/** What `git` gives `less`: colours, nothing where one screen is enough, and what was read stays on the screen. */
const DEFAULT_PAGER = 'less -FRX';

/**
 * Does `use` with a `CliContext` whose output goes through a pager, when it is a terminal and the output is longer than
 * it. What is shorter is written as it is, at the end. Notes wait until the pager is closed: it has the screen.
 * @param isWanted false: the output is written as it comes
 * @throws what `use` throws; UsageError when there is no such pager
 */
export async function withPager<T>(
  context: CliContext,
  isWanted: boolean,
  use: (paged: CliContext) => Promise<T>,
): Promise<T> {
  const command = isWanted && context.terminal.out ? pagerOf(context) : null;
  if (command === null) return use(context);
  const output = new PagedOutput(context, command);
  try {
    const done = await use({
      ...context,
      stdout: (text) => output.write(text),
      stderr: (text) => output.note(text),
    });
    await output.end();
    return done;
  } catch (error) {
    // What was written before the error is shown as well.
    const noPager = await output.end().then(
      () => null,
      (reason: unknown) => reason,
    );
    // One that is not there may have closed the pipe before all was written.
    throw error instanceof PipeClosed && noPager instanceof UsageError ? noPager : error;
  }
}

/** null: none is wanted. An empty variable, or `cat`, says so. */
function pagerOf({ env, hasCommand }: CliContext): string | null {
  const said = env.HEADWAY_PAGER ?? env.PAGER;
  if (said !== undefined) return ['', 'cat'].includes(said.trim()) ? null : said;
  if (env.TERM === 'dumb') return null;
  return hasCommand('less') ? DEFAULT_PAGER : null;
}

class PagedOutput {
  readonly #context: CliContext;
  readonly #command: string;
  #held = '';
  #lines = 0;
  #notes = '';
  #pager: Pager | null = null;

  constructor(context: CliContext, command: string) {
    this.#context = context;
    this.#command = command;
  }

  async write(text: string): Promise<void> {
    if (this.#pager !== null) return this.#pager.write(text);
    this.#held += text;
    this.#lines += text.split('\n').length - 1;
    // The prompt of the shell needs the last line.
    if (this.#lines < this.#context.rows()) return;
    this.#pager = this.#context.page(this.#command);
    const held = this.#held;
    this.#held = '';
    await this.#pager.write(held);
  }

  note(text: string): void {
    if (this.#pager === null) this.#context.stderr(text);
    else this.#notes += text;
  }

  async end(): Promise<void> {
    const held = this.#held;
    this.#held = '';
    if (held !== '') await this.#context.stdout(held);
    if (this.#pager === null) return;
    const code = await this.#pager.end();
    if (this.#notes !== '') this.#context.stderr(this.#notes);
    this.#notes = '';
    // What a shell says of a command that it does not find, or may not run.
    if (code === 126 || code === 127) {
      throw new UsageError(
        `The pager "${this.#command}" cannot be run. Name one in HEADWAY_PAGER, or use --no-pager.`,
      );
    }
  }
}
