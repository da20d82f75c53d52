import { showAge } from '../choice/durations.js';
import { type JobEvent, percent, statusWord, summary } from '../jobs/job-event.js';
import { type Paint, statusFormat } from './paint.js';
import type { Cell } from './table.js';

// How parts of an event stand in a table.

const BAR_CELLS = 10;

/** Ten cells of progress. @param value percent */
export function bar(value: number): string {
  const full = Math.floor((Math.min(100, Math.max(0, value)) / 100) * BAR_CELLS);
  return '█'.repeat(full) + '░'.repeat(BAR_CELLS - full);
}

export function statusCell({ event }: JobEvent, paint: Paint): Cell {
  const format = statusFormat(event);
  return { text: statusWord(event), dress: (text) => paint(format, text) };
}

/** @param withBar on a terminal */
export function progressCell({ event }: JobEvent, withBar: boolean): Cell {
  const value = percent(event);
  if (!withBar) return { text: value };
  const shown =
    event.indeterminate === true && event.status === 'processing'
      ? '·'.repeat(BAR_CELLS)
      : bar(event.progress);
  return { text: `${shown} ${value.padStart(4)}` };
}

/** @param now ms since 1970, by the clock that stamps events */
export const ageCell = ({ storedAt }: JobEvent, now: number): Cell => ({ text: showAge(now - storedAt) });

export const timeText = (ms: number): string => new Date(ms).toISOString();

export const summaryCell = ({ event }: JobEvent): Cell => ({ text: summary(event) });

export const dim =
  (paint: Paint) =>
  (text: string): string =>
    paint('dim', text);
