import type { DecodedEvent } from '../../../eventlog/decode.js';
import type { StoredMessage } from '../../../jetstream/read-stored.js';
import type { ColorFlag } from '../../flags/command-line.js';
import type { OutputFormat } from '../../flags/filters.js';
import { eventLines } from '../../output/event-line.js';
import { type JobEvent, jobEvent, updateJson } from '../../reads/job-event.js';
import type { CliContext } from '../../runtime/cli-context.js';
import type { StatusLine } from '../../runtime/status.js';
import type { ReplaySink } from './player.js';

export interface PrintOptions extends ColorFlag {
  readonly output: OutputFormat;
  readonly timestamps: boolean;
  /** Nothing was ever deleted before the first message: a job that was not seen has no earlier event. */
  readonly isPristine: boolean;
}

/** Written out when so many characters wait. */
const FULL = 64 * 1024;
/** Of more jobs than this the previous event of some is forgotten: `prev_seq` is null then. */
const MAX_JOBS = 100_000;

/** A replay on stdout: the updates as clients get them, or a line for people. */
export class Printer implements ReplaySink {
  readonly #context: CliContext;
  readonly #options: PrintOptions;
  readonly #status: StatusLine;
  readonly #previous = new Map<string, number>();
  readonly #line: (job: JobEvent) => string;
  #hasForgotten = false;
  #text = '';

  constructor(context: CliContext, options: PrintOptions, status: StatusLine) {
    this.#context = context;
    this.#options = options;
    this.#status = status;
    this.#line = eventLines(context, { ...options, isWide: options.output === 'wide' });
  }

  get isFull(): boolean {
    return this.#text.length >= FULL;
  }

  show({ seq, storedAt }: StoredMessage, event: DecodedEvent | null): void {
    if (event === null) return;
    const { output, isPristine, timestamps } = this.#options;
    const job = jobEvent(seq, storedAt, event);
    if (output !== 'ndjson') {
      this.#text += `${this.#line(job)}\n`;
      return;
    }
    const first = isPristine && !this.#hasForgotten ? 0 : null;
    this.#text += `${updateJson(job, this.#previous.get(event.id) ?? first, timestamps)}\n`;
    this.#remember(event.id, seq);
  }

  async flush(): Promise<void> {
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    this.#status.clear();
    await this.#context.stdout(text);
  }

  #remember(id: string, seq: number): void {
    // The one that has been silent for the longest comes first.
    this.#previous.delete(id);
    this.#previous.set(id, seq);
    if (this.#previous.size <= MAX_JOBS) return;
    this.#hasForgotten = true;
    for (const oldest of this.#previous.keys()) {
      this.#previous.delete(oldest);
      return;
    }
  }
}
