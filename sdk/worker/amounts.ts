import { show } from '../../schemas/explain.js';
import type { OnUnknown } from './json.js';
import type { JobUpdate, Step } from './state.js';

/**
 * An update without unusable amounts. Amounts are computed, so sooner or later one is 0/0; that must not fail a job. A
 * BigInt becomes a number.
 * @param onUnknown gets each amount that was left out
 */
export function withSoundAmounts(update: JobUpdate, onUnknown: OnUnknown): JobUpdate {
  // Nearly always.
  if (isSound(update)) return update;
  const { current, total, progress, step, ...rest } = update;
  const amount = (name: string, value: unknown, min: number) => {
    const number = amountOf(value, min);
    if (number === undefined && value !== undefined) onUnknown(unknownText(`/${name}`, value));
    return number === undefined ? {} : { [name]: number };
  };
  return {
    ...rest,
    ...amount('current', current, Number.NEGATIVE_INFINITY),
    ...amount('total', total, 0),
    ...amount('progress', progress, Number.NEGATIVE_INFINITY),
    ...(step !== undefined && { step: isObject(step) ? soundStep(step, onUnknown) : step }),
  };
}

/** The total that a job starts with, or undefined where it is unusable. */
export function soundTotal(total: unknown, onUnknown: OnUnknown): number | undefined {
  const number = amountOf(total, 0);
  if (number === undefined && total !== undefined) onUnknown(unknownText('/total', total));
  return number ?? undefined;
}

const isObject = (value: unknown): value is Step => typeof value === 'object' && value !== null;

function isSound({ current, total, progress, step }: JobUpdate): boolean {
  return (
    (current == null || Number.isFinite(current)) &&
    (progress == null || Number.isFinite(progress)) &&
    (total == null || (Number.isFinite(total) && total >= 0)) &&
    (!isObject(step) || (isPlace(step.index) && isPlace(step.total)))
  );
}

const isPlace = (value: unknown): boolean =>
  value === undefined || (Number.isSafeInteger(value) && Number(value) >= 0);

function soundStep(step: Step, onUnknown: OnUnknown): Step {
  const { index, total, ...rest } = step;
  const place = (name: string, value: unknown) => {
    if (isPlace(value)) return value === undefined ? {} : { [name]: value };
    onUnknown(unknownText(`/step/${name}`, value));
    return {};
  };
  return { ...rest, ...place('index', index), ...place('total', total) };
}

/** A finite number from `min` on, null for null, undefined for everything else. */
function amountOf(value: unknown, min: number): number | null | undefined {
  if (value === null || value === undefined) return value;
  const number = typeof value === 'bigint' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) && number >= min ? number : undefined;
}

const unknownText = (path: string, value: unknown): string =>
  `${path} is ${typeof value === 'number' ? value : show(value)}; it is taken as unknown`;

/** A running job never shows 100: only a completed one does. */
export const MAX_WHILE_RUNNING = 99.9;

/** The amounts of a report. */
export interface Amount {
  readonly progress?: number | undefined;
  readonly current?: number | undefined;
  readonly total?: number | undefined;
}

/** The part that is done, from 0 to 1; null if the amounts do not tell. `progress` wins over `current`. */
export function fractionOf({ progress, current, total }: Amount): number | null {
  if (progress !== undefined) return clamp(progress / 100);
  if (current === undefined || total === undefined || total <= 0) return null;
  return clamp(current / total);
}

/**
 * The percent to show: rounded to a tenth, never below the one before, and at most 99.9.
 * @param before what was shown last, 0 at the start of an attempt
 * @param fraction what is done, from 0 to 1; null leaves the percent as it was
 */
export function nextPercent(before: number, fraction: number | null): number {
  if (fraction === null) return before;
  return Math.max(before, Math.min(MAX_WHILE_RUNNING, Math.round(fraction * 1_000) / 10));
}

const clamp = (fraction: number): number => Math.min(1, Math.max(0, fraction));
