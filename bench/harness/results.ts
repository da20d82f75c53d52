/** What was measured and kept: bench/results.json, of which docs/performance.md and its plots are made. */
import type { Measure } from './scenario.js';

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly natsServer: string;
}

/** One scenario, measured in one go. */
export interface Result {
  readonly title: string;
  /** Of the commit that was measured. */
  readonly commit: string;
  /** "2026-11-30" */
  readonly date: string;
  readonly measures: readonly Measure[];
}

export interface Results {
  readonly machine: Machine;
  /** Of what Headway was compared with: "ws 8.23.0". */
  readonly versions: readonly string[];
  /** By the scenario's name, in the order in which they are told. */
  readonly scenarios: Readonly<Record<string, Result>>;
}

/** Four digits that count are more than the spread leaves. */
const rounded = (value: number): number => Number(value.toPrecision(4));

/** The same with fewer digits, for a file that people read. */
export function roundedMeasure(measure: Measure): Measure {
  const samples = Object.entries(measure.samples).map(([name, values]) => [name, values.map(rounded)]);
  return { ...measure, samples: Object.fromEntries(samples) };
}

/**
 * The new ones in place of the old ones of the same scenarios. What was measured on another machine, or with other
 * versions of Node and nats-server, is not kept beside them.
 */
export function merged(old: Results | undefined, now: Results, order: readonly string[]): Results {
  const isSame = old !== undefined && JSON.stringify(old.machine) === JSON.stringify(now.machine);
  const all = { ...(isSame ? old.scenarios : {}), ...now.scenarios };
  const scenarios = order.flatMap((name) => {
    const result = all[name];
    return result === undefined ? [] : [[name, result] as const];
  });
  return { ...now, scenarios: Object.fromEntries(scenarios) };
}

/** The file's text, in which the figures of all turns are on one line. */
export function resultsText(results: Results): string {
  const text = JSON.stringify(results, null, 2);
  return `${text.replaceAll(/\[\s+([-\d.,\s]+?)\s+\]/g, (_, list: string) => `[${list.replaceAll(/\s+/g, ' ')}]`)}\n`;
}
