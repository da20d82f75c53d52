import { show } from '../../schemas/explain.js';
import type { OnUnknown } from './json.js';
import type { JobUpdate, Step } from './state.js';

/**
 * An update without the amounts that say nothing. How much is done is computed, so sooner or later it is 0/0; that must
 * not end a job. A BigInt becomes a number.
 * @param onUnknown is told of each amount that was left out
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

/** The amount that a job starts with, or undefined where it says nothing. */
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

/** A finite number from `min` on, null for null, undefined for all that says nothing. */
function amountOf(value: unknown, min: number): number | null | undefined {
  if (value === null || value === undefined) return value;
  const number = typeof value === 'bigint' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) && number >= min ? number : undefined;
}

const unknownText = (path: string, value: unknown): string =>
  `${path} is ${typeof value === 'number' ? value : show(value)}; it is taken as unknown`;

/** While a job runs it never shows 100: that is the end's alone. */
export const MAX_WHILE_RUNNING = 99.9;

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
  return Math.max(before, Math.min(MAX_WHILE_RUNNING, Math.round(fraction * 1_000) / 10));
}

const clamp = (fraction: number): number => Math.min(1, Math.max(0, fraction));
