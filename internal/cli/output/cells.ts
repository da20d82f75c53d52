import { showAge } from '../flags/durations.js';
import type { JobEvent } from '../reads/job-event.js';
import { percent, summary } from '../reads/job-event.js';
import type { DisplayStatus } from '../reads/job-status.js';
import { type Colorize, statusFormat } from './color.js';
import type { Cell } from './table.js';

// How parts of an event stand in a table.

const BAR_CELLS = 10;
/** As wide as the widest percentage: bars stand below each other. */
const PERCENT_WIDTH = '33.3%'.length;

/** Ten cells of progress. @param value percent */
export function bar(value: number): string {
  const full = Math.floor((Math.min(100, Math.max(0, value)) / 100) * BAR_CELLS);
  return '█'.repeat(full) + '░'.repeat(BAR_CELLS - full);
}

export const statusCell = (status: DisplayStatus, paint: Colorize): Cell => ({
  text: status,
  dress: (text) => paint(statusFormat(status), text),
});

/** @param withBar on a terminal */
export function progressCell({ event }: Pick<JobEvent, 'event'>, withBar: boolean): Cell {
  return { text: progressText(event, withBar) };
}

/** "██░░░░░░░░   20%"; without a bar "20%". */
export function progressText(event: Parameters<typeof percent>[0], withBar: boolean): string {
  const value = percent(event);
  if (!withBar) return value;
  const isUnknown = event.indeterminate === true && event.status === 'processing';
  const shown = isUnknown ? '·'.repeat(BAR_CELLS) : bar(event.progress);
  return `${shown} ${value.padStart(PERCENT_WIDTH)}`;
}

/** @param now ms since 1970, by the clock that stamps events */
export const ageCell = ({ storedAt }: Pick<JobEvent, 'storedAt'>, now: number): Cell => ({
  text: showAge(now - storedAt),
});

export const timeText = (ms: number): string => new Date(ms).toISOString();

export const summaryCell = ({ event }: JobEvent): Cell => ({ text: summary(event) });

export const dim =
  (paint: Colorize) =>
  (text: string): string =>
    paint('dim', text);
