import { printable, printableJson } from '../../../../schemas/text.js';
import type { StoredMessage } from '../../../jetstream/read-stored.js';
import type { ColorFlag } from '../../flags/command-line.js';
import { showDuration } from '../../flags/durations.js';
import type { TimestampsFlag } from '../../flags/filters.js';
import { dim, progressCell, statusCell, summaryCell, timeText } from '../../output/cells.js';
import { type Colorize, colorizer } from '../../output/color.js';
import { LineTable, widthFor } from '../../output/event-line.js';
import { isTable, type OutputFlag } from '../../output/format.js';
import { type ItemWriter, itemWriter } from '../../output/item-writer.js';
import type { Column } from '../../output/layout.js';
import { LineWriter } from '../../output/line-writer.js';
import { type Cell, titlesOf } from '../../output/table.js';
import { wrapped } from '../../output/width.js';
import { readEvent, statusWord, updateJson } from '../../reads/job-event.js';
import type { HistoryStart } from '../../reads/retention.js';
import type { CliContext } from '../../runtime/cli-context.js';

/** How a history is written. */
type HistoryStyle = OutputFlag & TimestampsFlag & ColorFlag;

/** Writes a history, in one of the formats. */
export interface HistoryWriter {
  /** Before the first message, when it is the first that is kept. */
  begin(beginning: HistoryStart): void;
  take(messages: readonly StoredMessage[]): Promise<void>;
  /** What was taken leaves, as far as it can: somebody may be waiting for it. */
  flush(): Promise<void>;
  end(): Promise<void>;
}

export async function historyWriter(
  context: CliContext,
  id: string,
  options: HistoryStyle,
): Promise<HistoryWriter> {
  const { output } = options;
  return isTable(output)
    ? new TableWriter(context, options)
    : new DataWriter(context, id, options, await itemWriter(context, output));
}

/** What is missing before the first line; null: nothing is, as far as is known. */
function missing(beginning: HistoryStart): string | null {
  switch (beginning.kind) {
    case 'first':
      return null;
    case 'cut':
      return `earlier events of the job are not kept any more: ${beginning.because}`;
    case 'unknown':
      return 'messages have left the stream; whether the job had earlier events is not known';
  }
}

class DataWriter implements HistoryWriter {
  readonly #context: CliContext;
  readonly #id: string;
  readonly #withTime: boolean;
  readonly #writer: ItemWriter;
  /** The seq of the valid event before; null: not known. */
  #previous: number | null = null;

  constructor(context: CliContext, id: string, { timestamps, output }: HistoryStyle, writer: ItemWriter) {
    this.#context = context;
    this.#id = id;
    this.#withTime = timestamps === true || output === 'csv';
    this.#writer = writer;
  }

  flush(): Promise<void> {
    return this.#writer.flush();
  }

  end(): Promise<void> {
    return this.#writer.end();
  }

  begin(beginning: HistoryStart): void {
    if (beginning.kind === 'first') this.#previous = 0;
    const text = missing(beginning);
    if (text !== null) this.#context.stderr(`headway: ${text}\n`);
  }

  async take(messages: readonly StoredMessage[]): Promise<void> {
    for (const message of messages) {
      const read = readEvent(message);
      const { seq, storedAt } = message;
      if (read.ok) {
        await this.#writer.item(updateJson(read.job, this.#previous, this.#withTime));
        this.#previous = seq;
      } else {
        const stored_at = timeText(storedAt);
        const { reason, detail } = read;
        const invalid = { type: 'invalid', seq, processing_id: this.#id, stored_at, reason, detail };
        await this.#writer.item(printableJson(JSON.stringify(invalid)));
      }
    }
  }
}

const COLUMNS: readonly Column[] = [
  { title: 'STORED' },
  { title: 'SEQ', align: 'right', expendable: 2 },
  { title: 'ELAPSED', align: 'right', expendable: 1 },
  { title: 'DELTA', align: 'right', expendable: 3 },
  { title: 'STATUS' },
  { title: 'PROGRESS', align: 'right' },
  { title: 'MESSAGE' },
];
const WIDTHS = [24, 10, 8, 8, 10, 8];

class TableWriter implements HistoryWriter {
  readonly #emitter: LineWriter;
  readonly #paint: Colorize;
  readonly #table: LineTable;
  readonly #width: () => number;
  /** How many columns are left out in front. */
  readonly #skipped: number;
  #missing: string | null = null;
  #first: number | null = null;
  #last = 0;
  #attempt: number | null = null;

  constructor(context: CliContext, options: HistoryStyle) {
    this.#emitter = new LineWriter(context);
    this.#paint = colorizer(context, options);
    this.#skipped = options.timestamps === true ? 0 : 1;
    this.#width = widthFor(context, options.output === 'wide');
    this.#table = new LineTable(COLUMNS.slice(this.#skipped), WIDTHS.slice(this.#skipped), this.#width);
  }

  begin(beginning: HistoryStart): void {
    this.#missing = missing(beginning);
  }

  async take(messages: readonly StoredMessage[]): Promise<void> {
    for (const message of messages) await this.#one(message);
    await this.#emitter.flush();
  }

  flush(): Promise<void> {
    return this.#emitter.flush();
  }

  end(): Promise<void> {
    return this.#emitter.flush();
  }

  async #one(message: StoredMessage): Promise<void> {
    const { seq, storedAt } = message;
    if (this.#first === null) {
      await this.#line(titlesOf(COLUMNS, dim(this.#paint)));
      if (this.#missing !== null) {
        for (const line of wrapped(`… ${this.#missing}`, this.#width())) {
          await this.#emitter.line(this.#paint('yellow', line));
        }
      }
      this.#first = storedAt;
      this.#last = storedAt;
    }
    const read = readEvent(message);
    const attempt = read.ok ? (read.job.event.attempt ?? 1) : this.#attempt;
    if (attempt !== this.#attempt) {
      if (this.#attempt !== null || attempt !== 1) {
        await this.#emitter.line(this.#paint('bold', `── attempt ${attempt} ──`));
      }
      this.#attempt = attempt;
    }
    const times = [
      { text: timeText(storedAt) },
      { text: String(seq) },
      { text: showDuration(storedAt - this.#first) },
      { text: `+${showDuration(storedAt - this.#last)}` },
    ];
    this.#last = storedAt;
    const rest: Cell[] = read.ok
      ? [
          statusCell(statusWord(read.job.event), this.#paint),
          progressCell(read.job, false),
          summaryCell(read.job),
        ]
      : [
          { text: 'invalid', dress: (text) => this.#paint('red', text) },
          { text: '-' },
          { text: printable(`${read.reason}: ${read.detail}`) },
        ];
    await this.#line([...times, ...rest]);
  }

  #line(cells: readonly Cell[]): Promise<void> {
    return this.#emitter.line(this.#table.line(cells.slice(this.#skipped)));
  }
}
