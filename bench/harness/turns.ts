/**
 * The machine that a measurement runs on is never as quiet as one would like. So whatever is compared is measured in
 * short turns, A B C, A B C, all in one run, and what counts are the ratios within each turn.
 */

/** By the name of what was measured: one figure for each turn, in the order of the turns. */
export type Samples = Readonly<Record<string, readonly number[]>>;

/**
 * Measures each in turn, so many times.
 * @param measure gives the figure of one turn
 * @param warmUp one turn goes before that and does not count
 */
export async function inTurns<T extends { readonly name: string }>(
  all: readonly T[],
  turns: number,
  measure: (one: T) => Promise<number>,
  warmUp = true,
): Promise<Samples> {
  const samples: Record<string, number[]> = Object.fromEntries(all.map(({ name }) => [name, []]));
  for (let turn = warmUp ? 0 : 1; turn <= turns; turn++) {
    for (const one of all) {
      const figure = await measure(one);
      if (turn > 0) samples[one.name]?.push(figure);
    }
  }
  return samples;
}

/** The same where each turn has several figures. @returns by the figure, then by the name */
export async function severalInTurns<T extends { readonly name: string }, Figure extends string>(
  all: readonly T[],
  turns: number,
  measure: (one: T) => Promise<Readonly<Record<Figure, number>>>,
): Promise<Readonly<Record<Figure, Samples>>> {
  const samples: Record<string, Record<string, number[]>> = {};
  for (let turn = 0; turn <= turns; turn++) {
    for (const one of all) {
      const figures = Object.entries<number>(await measure(one));
      if (turn === 0) continue;
      for (const [figure, value] of figures) {
        const byName = samples[figure] ?? {};
        samples[figure] = byName;
        byName[one.name] = [...(byName[one.name] ?? []), value];
      }
    }
  }
  return samples as Record<Figure, Record<string, number[]>>;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** NaN where there is nothing. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
  return { median, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}

/** How many times the figure of `base` each of the same turn was. */
export function ratiosTo(base: readonly number[], values: readonly number[]): Spread {
  return spreadOf(values.map((value, turn) => value / (base[turn] ?? Number.NaN)));
}

/** Opens one after the other; what is given back closes them all. */
export async function openAll<N, T extends AsyncDisposable>(
  names: readonly N[],
  open: (name: N) => Promise<T>,
): Promise<{ readonly all: readonly T[] } & AsyncDisposable> {
  const all: T[] = [];
  const close = async (): Promise<void> => {
    await Promise.allSettled(all.splice(0).map((one) => one[Symbol.asyncDispose]()));
  };
  try {
    for (const name of names) all.push(await open(name));
  } catch (error) {
    await close();
    throw error;
  }
  return { all, [Symbol.asyncDispose]: close };
}
