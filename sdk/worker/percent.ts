/** While a job runs it never shows 100: that is the end's alone. */
export const MOST_WHILE_RUNNING = 99.9;

/** How much is done, as a report says it. */
export interface Amount {
  readonly progress?: number | undefined;
  readonly current?: number | undefined;
  readonly total?: number | undefined;
}

/** The part that is done, from 0 to 1; null when the amounts do not say it. `progress` wins over `current`. */
export function fractionOf({ progress, current, total }: Amount): number | null {
  if (progress !== undefined) return clamp(progress / 100);
  if (current === undefined || total === undefined || total <= 0) return null;
  return clamp(current / total);
}

/**
 * The percent to show: to a tenth, never below the one before, and at most 99.9.
 * @param before what was shown last, 0 at the start of an attempt
 * @param fraction what is done, from 0 to 1; null leaves the percent as it was
 */
export function nextPercent(before: number, fraction: number | null): number {
  if (fraction === null) return before;
  return Math.max(before, Math.min(MOST_WHILE_RUNNING, Math.round(fraction * 1_000) / 10));
}

const clamp = (fraction: number): number => Math.min(1, Math.max(0, fraction));
