/** What a file of bench/scenarios/ is: one thing that is measured, or several that need the same servers. */
import type { Samples } from './turns.js';

export interface Measure {
  /** Stays the same for ever: results and the guard are kept by it. */
  readonly id: string;
  /** In words, for a table: "1 job x 1,000 clients, 1 event a turn". */
  readonly what: string;
  /** Of the figures: "µs of CPU for each update". */
  readonly unit: string;
  /** What the others are compared with: a name of the samples. */
  readonly base: string;
  /** Of what the aim is, by its name in the samples; `headway` unless it is said. */
  readonly subject?: string;
  /** As a ratio to `base`; undefined: nothing is aimed at. */
  readonly aim?: { readonly atMost: number } | { readonly atLeast: number };
  readonly samples: Samples;
}

export interface Run {
  /** Under two minutes for all scenarios together, and fewer of everything. */
  readonly isQuick: boolean;
  /** How many turns. */
  readonly turns: number;
  /** Says on stderr what goes on. */
  readonly say: (text: string) => void;
}

export interface Scenario {
  readonly name: string;
  /** Above its table. */
  readonly title: string;
  readonly run: (run: Run) => Promise<readonly Measure[]>;
}
