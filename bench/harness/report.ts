/** What was measured, as a table for a terminal. */
import type { Measure } from './scenario.js';
import { ratiosTo, type Spread, spreadOf } from './turns.js';

/** What the aim is about: the median of the ratios within the turns. */
function ratioOf({ samples, base, subject = 'headway' }: Measure): number {
  return ratiosTo(samples[base] ?? [], samples[subject] ?? []).median;
}

/** Whether the aim is held by the ratio; undefined where nothing is aimed at. */
export function isHeld(measure: Measure): boolean | undefined {
  if (measure.aim === undefined) return undefined;
  const median = ratioOf(measure);
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

/** A ratio may be so many times what it was: two machines, or two days on one, differ by less. */
const MARGIN = 1.5;

/** A line for each ratio that has become worse than that. What was not measured before is passed over. */
export function worsened(
  before: Readonly<Record<string, { readonly measures: readonly Measure[] }>>,
  now: Readonly<Record<string, { readonly measures: readonly Measure[] }>>,
): string[] {
  const old = new Map(Object.values(before).flatMap(({ measures }) => measures.map((one) => [one.id, one])));
  return Object.values(now)
    .flatMap(({ measures }) => measures)
    .flatMap((measure) => {
      const known = old.get(measure.id);
      if (known === undefined) return [];
      const [was, is] = [ratioOf(known), ratioOf(measure)];
      const isMoreBetter = measure.aim !== undefined && 'atLeast' in measure.aim;
      const isWorse = isMoreBetter ? is < was / MARGIN : is > was * MARGIN;
      return isWorse ? [`WORSE: ${measure.what}: ${figure(is)} x ${measure.base}, was ${figure(was)}`] : [];
    });
}
