import { bytes, count, plural } from '../../../formatting.js';
import { showDuration } from '../../flags/durations.js';
import type { Colorize } from '../../output/color.js';
import { type Pair, pairLines } from '../../output/table.js';
import type { BenchFigures } from './run.js';

const INDENT = '  ';
/** From this share of a core on, it may be this program that is slow. */
const BUSY = 0.8;

/** The figures for people. */
export function describeFigures(figures: BenchFigures, paint: Colorize, width: number): string[] {
  const { clients, behind, jobs } = figures;
  const pairs: Pair[] = [
    ['Caught up', caughtUp(figures)],
    ['Updates', updates(figures)],
    ['Check', check(figures)],
    ...(figures.turned_away === 0 ? [] : [['Waited', waited(figures)] as const]),
    ['Own CPU', ownCpu(figures.own_cpu)],
  ];
  return [
    paint(
      'bold',
      `${plural(clients, 'client')} of ${plural(jobs, 'job')} came back, ${plural(behind, 'event')} behind`,
    ),
    ...pairLines(pairs, { paint, nameWidth: 11, width: width - INDENT.length }).map((line) => INDENT + line),
  ];
}

function caughtUp({ caught_up, clients, caught_up_ms }: BenchFigures): string {
  if (caught_up_ms === null) return `none of ${count(clients)}`;
  const { p50, p99, last } = caught_up_ms;
  const of = caught_up === clients ? `all ${count(clients)}` : `${count(caught_up)} of ${count(clients)}`;
  return `${of}: p50 ${showDuration(p50)}, p99 ${showDuration(p99)}, the last after ${showDuration(last)}`;
}

function updates({ updates, updates_per_second, bytes: size }: BenchFigures): string {
  const rate = updates_per_second === null ? '' : `, ${count(updates_per_second)} a second`;
  return `${count(updates)}${rate}, ${bytes(size)}`;
}

function check({ missed, outstanding, repeated, wrong, resets, reset_reason }: BenchFigures): string {
  const faults = [
    ...(missed > 0 ? [`${count(missed)} MISSED`] : []),
    ...(outstanding > 0 ? [`${count(outstanding)} did not come in time`] : []),
    ...(repeated > 0 ? [`${count(repeated)} CAME TWICE`] : []),
    ...(wrong > 0 ? [`${count(wrong)} with a seq or prev_seq that does not fit`] : []),
    ...(resets > 0 ? [`${plural(resets, 'reset')} (${reset_reason}): the cursor could not be served`] : []),
  ];
  return faults.length > 0 ? faults.join(', ') : 'none missed, none twice, by seq and prev_seq';
}

const waited = ({ turned_away, turned_away_by }: BenchFigures): string =>
  `${plural(turned_away, 'time')} a client was turned away or cut off, and came again: ${turned_away_by}`;

const ownCpu = (share: number): string =>
  `${count(Math.round(share * 100))}% of a core${share < BUSY ? '' : '; the edge may be faster than this program could see'}`;
