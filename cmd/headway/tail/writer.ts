import { printable } from '../../../schemas/text.js';
import { type JobEvent, updateJson } from '../jobs/job-event.js';
import { dim, progressCell, statusCell, summaryCell, timeText } from '../show/cells.js';
import { ArrayEmitter, Emitter } from '../show/emit.js';
import { paintFor } from '../show/paint.js';
import { type Cell, type Column, lineOf } from '../show/table.js';
import type { Io } from '../world/io.js';
import type { TailOptions } from './options.js';

/** Writes events as they come. */
export interface TailWriter {
  take(jobs: readonly JobEvent[]): Promise<void>;
  /** A message that is no event. */
  invalid(seq: number, subject: string, why: string): void;
  end(): Promise<void>;
}

const COLUMNS: readonly Column[] = [
  { title: 'SEQ', align: 'right' },
  { title: 'JOB' },
  { title: 'STATUS' },
  { title: 'PROGRESS', align: 'right' },
  { title: 'MESSAGE' },
];
const WIDTHS = [8, 16, 10, 5, 0];

export function tailWriter(io: Io, options: TailOptions): TailWriter {
  const invalid = (seq: number, subject: string, why: string): void =>
    io.note(`headway: seq ${seq} on ${printable(subject)} is not a valid event: ${printable(why)}\n`);
  const emitter = new Emitter(io);
  switch (options.output) {
    case 'table': {
      const lineText = lines(io, options);
      return { invalid, take: each(emitter, lineText), end: () => emitter.flush() };
    }
    case 'ndjson': {
      const json = (job: JobEvent) => updateJson(job, null, options.timestamps);
      return { invalid, take: each(emitter, json), end: () => emitter.flush() };
    }
    case 'json': {
      const array = new ArrayEmitter(io);
      const take = async (jobs: readonly JobEvent[]): Promise<void> => {
        for (const job of jobs) await array.item(updateJson(job, null, options.timestamps));
      };
      return { invalid, take, end: () => array.end() };
    }
  }
}

// Each batch leaves at once: somebody may be waiting for it.
function each(emitter: Emitter, textOf: (job: JobEvent) => string) {
  return async (jobs: readonly JobEvent[]): Promise<void> => {
    for (const job of jobs) await emitter.line(textOf(job));
    await emitter.flush();
  };
}

/** Lines without a title, in columns that stay: nobody knows what comes. */
function lines(io: Io, options: TailOptions): (job: JobEvent) => string {
  const paint = paintFor(io, options);
  const width = io.terminal.out ? io.columns : () => Number.POSITIVE_INFINITY;
  return (job) => {
    const { attempt } = job.event;
    const said = summaryCell(job).text;
    const again = attempt !== undefined && attempt > 1 ? `(attempt ${attempt}) ` : '';
    const cells: Cell[] = [
      { text: String(job.seq), dress: dim(paint) },
      { text: job.id },
      statusCell(job, paint),
      progressCell(job, false),
      { text: `${again}${said}` },
    ];
    if (!options.timestamps) return lineOf(COLUMNS, cells, WIDTHS, width());
    const time: Cell = { text: timeText(job.storedAt), dress: dim(paint) };
    return lineOf([{ title: 'STORED' }, ...COLUMNS], [time, ...cells], [24, ...WIDTHS], width());
  };
}
