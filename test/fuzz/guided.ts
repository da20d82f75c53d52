/** Fuzzing that is guided by coverage: what reaches a new block of the code is kept, and changed further. */
import type { BlockCoverage, Ran } from './coverage.js';
import { type Chance, mutate } from './mutate.js';

export interface Target {
  readonly name: string;
  /** Inputs to begin with; one character for each byte. */
  readonly seeds: readonly string[];
  /** Words of the format, put in at random. */
  readonly words: readonly string[];
  readonly maxBytes: number;
  /** Throws when the code does what it never may. */
  run(input: string): void;
}

export interface Outcome {
  readonly executions: number;
  /** Blocks of the code that were reached. */
  readonly blocks: number;
  readonly features: number;
  /** A small set of inputs that were found to reach all of it. */
  readonly corpus: readonly string[];
}

/** The input that broke a target, as it can be put into the corpus. */
export class FuzzFailure extends Error {
  override readonly name = 'FuzzFailure';

  constructor(target: string, input: string, cause: unknown) {
    const what = cause instanceof Error ? cause.message : String(cause);
    super(`${target} breaks with ${JSON.stringify(input)}: ${what}`, { cause });
  }
}

/** @throws FuzzFailure when the target throws */
export function runOnce(target: Target, input: string): void {
  try {
    target.run(input);
  } catch (error) {
    throw new FuzzFailure(target.name, input, error);
  }
}

// To ask V8 for its counts takes some milliseconds, so it is asked once for many inputs. Only when they reached a new
// block, it is asked again for each half of them, and so on down to the one that did.
const BATCH = 128;

/**
 * Runs a target on changed inputs until `isOver` says so.
 * @param coverage begun before the code under test ran first: V8 counts no blocks of what it has compiled already
 * @throws FuzzFailure on the first input that breaks it
 */
export function fuzz(target: Target, coverage: BlockCoverage, pick: Chance, isOver: () => boolean): Outcome {
  const found = new Map<string, ReadonlySet<string>>();
  const seen = new Set<string>();
  const blocks = new Set<string>();
  let executions = 0;

  const runAll = (inputs: readonly string[]): Ran => {
    coverage.take();
    for (const input of inputs) runOnce(target, input);
    executions += inputs.length;
    return coverage.take();
  };
  const keepIfNew = (input: string, ran: Ran): void => {
    if (![...ran.features].every((feature) => seen.has(feature))) found.set(input, ran.features);
    for (const feature of ran.features) seen.add(feature);
    for (const block of ran.blocks) blocks.add(block);
  };
  const explore = (inputs: readonly string[]): void => {
    const [first] = inputs;
    if (first === undefined || isOver()) return;
    const ran = runAll(inputs);
    if (inputs.length === 1) {
      keepIfNew(first, ran);
    } else if ([...ran.blocks].some((block) => !blocks.has(block))) {
      explore(inputs.slice(0, inputs.length / 2));
      explore(inputs.slice(inputs.length / 2));
    }
  };

  for (const seed of target.seeds) keepIfNew(seed, runAll([seed]));
  while (!isOver()) {
    const inputs = [...found.keys()];
    const any = (): string => inputs[pick.below(inputs.length)] ?? '';
    // Half of the time one of the newest: what lies behind them is least known.
    const one = (): string =>
      pick.below(2) === 0
        ? any()
        : (inputs[inputs.length - 1 - pick.below(Math.min(20, inputs.length))] ?? '');
    const batch = Array.from({ length: BATCH }, () =>
      mutate(one(), any(), target.words, pick, target.maxBytes),
    );
    explore(batch);
    // How often a block ran within a batch says nothing of one input, so some are looked at by themselves.
    for (const input of batch.slice(0, 4)) explore([input]);
  }
  // Once more, now that more blocks are known.
  const reached = new Map([...found.keys()].map((input) => [input, runAll([input]).features]));
  return { executions, blocks: blocks.size, features: seen.size, corpus: smallestCover(reached) };
}

/** Greedy: the input that adds most, until nothing is added. Of equals the shortest. */
function smallestCover(found: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const left = [...found].toSorted(([a], [b]) => a.length - b.length);
  const covered = new Set<string>();
  const chosen: string[] = [];
  for (;;) {
    let best = -1;
    let most = 0;
    for (const [index, [, features]] of left.entries()) {
      let adds = 0;
      for (const feature of features) if (!covered.has(feature)) adds += 1;
      if (adds > most) [best, most] = [index, adds];
    }
    const [taken] = best < 0 ? [] : left.splice(best, 1);
    if (taken === undefined) return chosen;
    chosen.push(taken[0]);
    for (const feature of taken[1]) covered.add(feature);
  }
}
