import { show } from '../../schemas/explain.js';
import type { OnUnknown } from './json.js';
import type { JobUpdate, Step } from './state.js';

/**
 * An estimate of the remaining time, given only where the rate is steady: an estimate that jumps is worse than none.
 *
 * Samples of (time, done) cover the whole attempt, evenly spaced. When there are `MAX_SAMPLES` of them, every second one
 * is dropped and the spacing doubles, so memory is bounded and the window grows with the job. The newer half of them
 * decides. The rate is steady when the rates between neighbours differ from their mean, weighted by time, by at most
 * `MAX_DEVIATION` of it on average, and the mean up to now differs from that mean by at most as much.
 */
export interface RateEstimate {
  readonly spacingMs: number;
  readonly samples: readonly Sample[];
  /** The rate of the newer half of the samples; null where it is not steady, or there are too few. */
  readonly steady: { readonly since: Sample; readonly rate: number } | null;
}

interface Sample {
  /** Milliseconds of a monotonic clock. */
  readonly at: number;
  /** The part that is done, 0 to 1. */
  readonly done: number;
}

const MAX_SAMPLES = 16;
const FIRST_SPACING_MS = 250;
/** Fewer samples, or less time, say nothing about a rate. */
const MIN_SAMPLES = 5;
const MIN_SPAN_MS = 2_000;
const MAX_DEVIATION = 0.25;

export const NO_RATE: RateEstimate = { spacingMs: FIRST_SPACING_MS, samples: [], steady: null };

/** Adds a sample. Cheap: mostly it returns what it got. */
export function addSample(rateEstimate: RateEstimate, at: number, done: number): RateEstimate {
  const last = rateEstimate.samples.at(-1);
  // Less than before: the amounts were corrected, so earlier samples do not predict later ones.
  if (last !== undefined && done < last.done) return { ...NO_RATE, samples: [{ at, done }] };
  if (last !== undefined && at - last.at < rateEstimate.spacingMs) return rateEstimate;
  const all = [...rateEstimate.samples, { at, done }];
  const isFull = all.length >= MAX_SAMPLES;
  const samples = isFull ? all.filter((_, index) => index % 2 === 1) : all;
  return {
    spacingMs: isFull ? rateEstimate.spacingMs * 2 : rateEstimate.spacingMs,
    samples,
    steady: steadyRate(samples),
  };
}

function steadyRate(samples: readonly Sample[]): RateEstimate['steady'] {
  if (samples.length < MIN_SAMPLES) return null;
  const points = samples.slice(-Math.max(MIN_SAMPLES, Math.ceil(samples.length / 2)));
  const since = points[0];
  const newest = points.at(-1);
  if (since === undefined || newest === undefined) return null;
  const elapsed = newest.at - since.at;
  const rate = (newest.done - since.done) / elapsed;
  if (elapsed < MIN_SPAN_MS || rate <= 0) return null;
  let deviation = 0;
  let before = since;
  for (const point of points.slice(1)) {
    // |rate - mean| x time, without dividing by the time.
    deviation += Math.abs(point.done - before.done - rate * (point.at - before.at));
    before = point;
  }
  return deviation > MAX_DEVIATION * rate * elapsed ? null : { since, rate };
}

/**
 * The seconds left, to a tenth below 10 and whole above; null where the rate is not steady, or not known yet.
 * @param done how much is done now, 0 to 1
 */
export function secondsLeft({ steady }: RateEstimate, at: number, done: number): number | null {
  if (steady === null) return null;
  const rate = (done - steady.since.done) / (at - steady.since.at);
  // Also the negation of NaN.
  if (!(Math.abs(rate - steady.rate) <= MAX_DEVIATION * steady.rate)) return null;
  const seconds = (1 - done) / rate / 1_000;
  return seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds);
}

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
