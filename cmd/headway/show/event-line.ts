import type { JobEvent } from '../jobs/job-event.js';
import type { Io } from '../world/io.js';
import { dim, progressCell, statusCell, summaryCell, timeText } from './cells.js';
import { paintFor } from './paint.js';
import { type Cell, type Column, lineOf } from './table.js';

const COLUMNS: readonly Column[] = [
  { title: 'SEQ', align: 'right' },
  { title: 'JOB' },
  { title: 'STATUS' },
  { title: 'PROGRESS', align: 'right' },
  { title: 'MESSAGE' },
];
const WIDTHS = [8, 16, 10, 5, 0];
const TIME: Column = { title: 'STORED' };
const TIME_WIDTH = 24;

export interface EventLineOptions {
  readonly timestamps?: boolean;
  readonly color: boolean;
}

/** Events as lines without a title, in columns that stay: nobody knows what comes. */
export function eventLines(io: Io, options: EventLineOptions): (job: JobEvent) => string {
  const paint = paintFor(io, options);
  const width = io.terminal.out ? io.columns : () => Number.POSITIVE_INFINITY;
  return (job) => {
    const { attempt } = job.event;
    const again = attempt !== undefined && attempt > 1 ? `(attempt ${attempt}) ` : '';
    const cells: Cell[] = [
      { text: String(job.seq), dress: dim(paint) },
      { text: job.id },
      statusCell(job, paint),
      progressCell(job, false),
      { text: `${again}${summaryCell(job).text}` },
    ];
    if (!options.timestamps) return lineOf(COLUMNS, cells, WIDTHS, width());
    const time: Cell = { text: timeText(job.storedAt), dress: dim(paint) };
    return lineOf([TIME, ...COLUMNS], [time, ...cells], [TIME_WIDTH, ...WIDTHS], width());
  };
}
