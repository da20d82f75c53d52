import type { StoredMessage } from '../../../internal/jetstream/read-stored.js';
import { printable, printableJson } from '../../../schemas/text.js';
import { showDuration } from '../choice/durations.js';
import { readEvent, updateJson } from '../jobs/job-event.js';
import { dim, progressCell, statusCell, summaryCell, timeText } from '../show/cells.js';
import { ArrayEmitter, Emitter } from '../show/emit.js';
import { type Paint, paintFor } from '../show/paint.js';
import { type Cell, type Column, lineOf } from '../show/table.js';
import type { Io } from '../world/io.js';
import type { Beginning } from './beginning.js';
import type { HistoryOptions } from './options.js';

/** Writes a history, in one of the formats. */
export interface HistoryWriter {
  /** Before the first message, when it is the first that is kept. */
  begin(beginning: Beginning): void;
  take(messages: readonly StoredMessage[]): Promise<void>;
  end(): Promise<void>;
}

export function historyWriter(io: Io, id: string, options: HistoryOptions): HistoryWriter {
  switch (options.output) {
    case 'table':
      return new TableWriter(io, options);
    case 'json': {
      const array = new ArrayEmitter(io);
      return new JsonWriter(
        io,
        id,
        options,
        (json) => array.item(json),
        () => array.end(),
      );
    }
    case 'ndjson': {
      const emitter = new Emitter(io);
      return new JsonWriter(
        io,
        id,
        options,
        (json) => emitter.line(json),
        () => emitter.flush(),
      );
    }
  }
}

/** What is missing before the first line; null: nothing is, as far as is known. */
function missing(beginning: Beginning): string | null {
  switch (beginning.kind) {
    case 'first':
      return null;
    case 'cut':
      return `earlier events of the job are not kept any more: ${beginning.because}`;
    case 'unknown':
      return 'the stream has let go of messages; whether the job has earlier events is not known';
  }
}

class JsonWriter implements HistoryWriter {
  readonly #io: Io;
  readonly #id: string;
  readonly #options: HistoryOptions;
  /** The seq of the valid event before; null: not known. */
  #previous: number | null = null;

  constructor(
    io: Io,
    id: string,
    options: HistoryOptions,
    private readonly item: (json: string) => Promise<void>,
    readonly end: () => Promise<void>,
  ) {
    this.#io = io;
    this.#id = id;
    this.#options = options;
  }

  begin(beginning: Beginning): void {
    if (beginning.kind === 'first') this.#previous = 0;
    const text = missing(beginning);
    if (text !== null) this.#io.note(`headway: ${text}\n`);
  }

  async take(messages: readonly StoredMessage[]): Promise<void> {
    for (const message of messages) {
      const read = readEvent(message);
      const { seq, storedAt } = message;
      if (read.ok) {
        await this.item(updateJson(read.job, this.#previous, this.#options.timestamps));
        this.#previous = seq;
      } else {
        const stored_at = timeText(storedAt);
        const { reason, detail } = read;
        const invalid = { type: 'invalid', seq, processing_id: this.#id, stored_at, reason, detail };
        await this.item(printableJson(JSON.stringify(invalid)));
      }
    }
  }
}

const COLUMNS: readonly Column[] = [
  { title: 'SEQ', align: 'right' },
  { title: 'ELAPSED', align: 'right' },
  { title: 'DELTA', align: 'right' },
  { title: 'STATUS' },
  { title: 'PROGRESS', align: 'right' },
  { title: 'MESSAGE' },
];
// A history is written as it is read, so the columns cannot wait for their widest cell.
const WIDTHS = [10, 8, 8, 10, 8, 0];
const TIME: Column = { title: 'STORED' };
const TIME_WIDTH = 24;

class TableWriter implements HistoryWriter {
  readonly #emitter: Emitter;
  readonly #paint: Paint;
  readonly #withTime: boolean;
  readonly #width: number;
  #missing: string | null = null;
  #first: number | null = null;
  #last = 0;
  #attempt: number | null = null;

  constructor(io: Io, options: HistoryOptions) {
    this.#emitter = new Emitter(io);
    this.#paint = paintFor(io, options);
    this.#withTime = options.timestamps === true;
    this.#width = io.terminal.out ? io.columns() : Number.POSITIVE_INFINITY;
  }

  begin(beginning: Beginning): void {
    this.#missing = missing(beginning);
  }

  async take(messages: readonly StoredMessage[]): Promise<void> {
    for (const message of messages) await this.#one(message);
    await this.#emitter.flush();
  }

  end(): Promise<void> {
    return this.#emitter.flush();
  }

  async #one(message: StoredMessage): Promise<void> {
    const { seq, storedAt } = message;
    if (this.#first === null) {
      const titles = COLUMNS.map(({ title }) => ({ text: title, dress: dim(this.#paint) }));
      await this.#line({ text: TIME.title, dress: dim(this.#paint) }, titles);
      if (this.#missing !== null) await this.#emitter.line(this.#paint('yellow', `… ${this.#missing}`));
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
      { text: String(seq) },
      { text: showDuration(storedAt - this.#first) },
      { text: `+${showDuration(storedAt - this.#last)}` },
    ];
    this.#last = storedAt;
    const rest: Cell[] = read.ok
      ? [statusCell(read.job, this.#paint), progressCell(read.job, false), summaryCell(read.job)]
      : [
          { text: 'invalid', dress: (text) => this.#paint('red', text) },
          { text: '-' },
          { text: printable(`${read.reason}: ${read.detail}`) },
        ];
    await this.#line({ text: timeText(storedAt) }, [...times, ...rest]);
  }

  async #line(time: Cell, cells: readonly Cell[]): Promise<void> {
    const line = this.#withTime
      ? lineOf([TIME, ...COLUMNS], [time, ...cells], [TIME_WIDTH, ...WIDTHS], this.#width)
      : lineOf(COLUMNS, cells, WIDTHS, this.#width);
    await this.#emitter.line(line);
  }
}
