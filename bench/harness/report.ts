/** What was measured, as a table for a terminal. */
import type { Measure } from './scenario.js';
import { ratiosTo, type Spread, spreadOf } from './turns.js';

/** Whether the aim is held by the ratio; undefined where nothing is aimed at. */
export function isHeld(measure: Measure): boolean | undefined {
  if (measure.aim === undefined) return undefined;
  const { median } = ratiosTo(
    measure.samples[measure.base] ?? [],
    measure.samples[measure.subject ?? 'headway'] ?? [],
  );
  return 'atMost' in measure.aim ? median <= measure.aim.atMost : median >= measure.aim.atLeast;
}

/** "at most 1.12" */
export function aimText(aim: Measure['aim']): string {
  if (aim === undefined) return '';
  return 'atMost' in aim ? `at most ${aim.atMost}` : `at least ${aim.atLeast}`;
}

/** Three digits that count: 0.123, 1.23, 12.3, 123, 1,234. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (value >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(value >= 10 ? 1 : value >= 1 ? 2 : 3);
}

const spread = ({ median, min, max }: Spread): string =>
  `${figure(median).padStart(8)} (${figure(min)} to ${figure(max)})`;

/** One measure, a line for each server. */
export function textOf(measure: Measure): string {
  const { what, unit, base, samples, aim } = measure;
  const lines = Object.entries(samples).map(([name, values]) => {
    const ratio = ratiosTo(samples[base] ?? [], values);
    return `    ${name.padEnd(16)} ${spread(spreadOf(values)).padEnd(34)} ${spread(ratio)} x ${base}`;
  });
  const held = isHeld(measure);
  const verdict = held === undefined ? '' : `; aim: ${aimText(aim)}, ${held ? 'held' : 'NOT HELD'}`;
  return [`  ${what}: ${unit}${verdict}`, ...lines].join('\n');
}
