import { EVENT_SCHEMA } from '../../schemas/event.generated.js';
import { mistakeIn, show } from '../../schemas/explain.js';
import { firstMismatch, type Schema } from '../../schemas/schema.js';
import { InvalidEventError } from './errors.js';
import { jsonOf, type OnUnknown } from './values.js';

export interface Step {
  readonly name?: string;
  readonly index?: number;
  readonly total?: number;
}

/**
 * What has changed. What you leave out stays as it was; `null` removes it. An amount that is NaN, infinite, or a total
 * below 0 counts as left out, with one warning for each job.
 */
export interface JobUpdate {
  /** How many units of work are done. */
  readonly current?: number | null;
  readonly total?: number | null;
  /** Percent, 0 to 100; wins over `current` and `total`. */
  readonly progress?: number | null;
  readonly message?: string | null;
  readonly step?: Step | null;
  readonly indeterminate?: boolean | null;
  /** The job's own fields: any JSON, kept in every event from then on; `null` takes one out. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** A job's whole current state. Immutable. */
export interface JobState {
  readonly attempt: number;
  readonly percent: number;
  /** The part that is done, 0 to 1; null while the job has not said it. */
  readonly done: number | null;
  readonly rateEstimate: RateEstimate;
  readonly current: number | null;
  readonly total: number | null;
  readonly message: string | null;
  readonly step: Step | null;
  readonly indeterminate: boolean | null;
  /** The job's own fields, each as JSON, so that later changes to the values are not sent by accident. */
  readonly own: ReadonlyMap<string, string>;
  /** The size of those in an event, in bytes. */
  readonly ownBytes: number;
}

const MAX_MESSAGE = 4_096;
const MAX_STEP_NAME = 256;
const NO_FIELDS: ReadonlyMap<string, string> = new Map();

/** Names that an update may not use: the reporter or the edge writes them. */
const RESERVED = new Set([
  ...Object.keys(EVENT_SCHEMA.properties),
  'seq',
  'prev_seq',
  'folded',
  'resume_seq',
]);
const KNOWN = new Set(['current', 'total', 'progress', 'message', 'step', 'indeterminate', 'fields']);

const GIVEN: Readonly<Record<string, Schema>> = {
  current: { type: 'number' },
  total: { type: 'number' },
  progress: { type: 'number' },
  message: { type: 'string' },
  indeterminate: { type: 'boolean' },
  step: {
    type: 'object',
    properties: {
      name: { type: 'string' },
      index: { type: 'integer', minimum: 0 },
      total: { type: 'integer', minimum: 0 },
    },
  },
};
const FIELDS: Schema = { type: 'object' };
const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });
const UPDATE: Schema = {
  type: 'object',
  properties: {
    ...Object.fromEntries(Object.entries(GIVEN).map(([name, schema]) => [name, orNull(schema)])),
    fields: FIELDS,
  },
};
// Without the nulls it can point to the place inside a field.
const EXPLAINING: Schema = { type: 'object', properties: { ...GIVEN, fields: FIELDS } };

/** A job at the start of an attempt. */
export function firstState(
  attempt: number,
  total: number | undefined,
  message: string | undefined,
): JobState {
  return {
    attempt,
    percent: 0,
    done: null,
    rateEstimate: NO_RATE,
    current: null,
    total: total ?? null,
    message: message === undefined ? null : truncate(message, MAX_MESSAGE),
    step: null,
    indeterminate: null,
    own: NO_FIELDS,
    ownBytes: 0,
  };
}

/**
 * The state after an update. Texts that are too long are truncated; numbers outside their range are clamped.
 * @param now milliseconds of a monotonic clock
 * @param onUnknown gets what counts as unknown, such as an amount that is NaN
 * @throws InvalidEventError for what no event can hold; then nothing has changed
 */
export function updated(
  state: JobState,
  given: JobUpdate,
  now: number,
  onUnknown: OnUnknown = () => {},
): JobState {
  if (typeof given !== 'object' || given === null) throw invalidUpdate(given);
  const update = withSoundAmounts(given, onUnknown);
  if (!isUsual(update) && firstMismatch(UPDATE, update) !== null) throw invalidUpdate(update);
  checkNames(update);
  const own = update.fields === undefined ? state.own : ownFields(state.own, update.fields, onUnknown);
  const current = pick(update.current, state.current);
  const total = pick(update.total, state.total);
  // Amounts of an earlier report do not count for this one, so a message alone does not move the percent.
  const isAmount = update.current !== undefined || update.total !== undefined;
  const fraction = fractionOf({
    progress: update.progress ?? undefined,
    current: isAmount ? (current ?? undefined) : undefined,
    total: total ?? undefined,
  });
  return {
    attempt: state.attempt,
    percent: nextPercent(state.percent, fraction),
    done: fraction ?? state.done,
    rateEstimate: fraction === null ? state.rateEstimate : addSample(state.rateEstimate, now, fraction),
    current,
    total,
    message:
      update.message == null ? pick(update.message, state.message) : truncate(update.message, MAX_MESSAGE),
    step: update.step == null ? pick(update.step, state.step) : stepOf(update.step),
    indeterminate: pick(update.indeterminate, state.indeterminate),
    own,
    ownBytes: own === state.own ? state.ownBytes : sizeOf(own),
  };
}

/** The same state at the start of another attempt: nothing that has been reported is lost. */
export function inAttempt(state: JobState, attempt: number): JobState {
  return { ...state, attempt };
}

/** The same state without message, step and own fields: it always fits into an event. */
export function minimalState(state: JobState): JobState {
  return { ...state, message: null, step: null, own: NO_FIELDS, ownBytes: 0 };
}

// What nearly all reports are: amounts and a message, which are quicker to check one by one. The schema says about all
// others whether they fit.
function isUsual(update: JobUpdate): boolean {
  const { current, total, progress, message, step, indeterminate, fields } = update;
  return (
    Object.getPrototypeOf(update) === Object.prototype &&
    isAmount(current) &&
    isAmount(total) &&
    isAmount(progress) &&
    (message === undefined || typeof message === 'string') &&
    step === undefined &&
    indeterminate === undefined &&
    fields === undefined
  );
}

const isAmount = (value: unknown): boolean => value === undefined || Number.isFinite(value);

function invalidUpdate(update: unknown): InvalidEventError {
  const given = Object.entries(Object(update)).filter(([, value]) => value !== null);
  const wrong = mistakeIn(EXPLAINING, Object.fromEntries(given));
  return new InvalidEventError(wrong?.path ?? '', wrong?.problem ?? 'does not fit');
}

function sizeOf(own: ReadonlyMap<string, string>): number {
  let bytes = 0;
  for (const [name, json] of own)
    bytes += Buffer.byteLength(JSON.stringify(name)) + Buffer.byteLength(json) + 2;
  return bytes;
}

const pick = <T>(given: T | null | undefined, before: T | null): T | null =>
  given === undefined ? before : given;

function stepOf({ name, index, total }: Step): Step {
  return {
    ...(name !== undefined && { name: truncate(name, MAX_STEP_NAME) }),
    ...(index !== undefined && { index }),
    ...(total !== undefined && { total }),
  };
}

// A misspelt name would become a field that nobody reads.
function checkNames(update: JobUpdate): void {
  for (const name in update) {
    if (KNOWN.has(name)) continue;
    throw new InvalidEventError(
      `/${name}`,
      'is nothing that a report has; fields of your own go into "fields"',
    );
  }
}

function ownFields(
  before: ReadonlyMap<string, string>,
  given: Readonly<Record<string, unknown>>,
  onUnknown: OnUnknown,
): ReadonlyMap<string, string> {
  let fields: Map<string, string> | null = null;
  for (const name of Object.keys(given)) {
    const value = given[name];
    if (value === undefined) continue;
    if (RESERVED.has(name) || KNOWN.has(name)) {
      throw new InvalidEventError(`/${name}`, 'is a name of the protocol that a field may not have');
    }
    fields ??= new Map(before);
    if (value === null) fields.delete(name);
    else fields.set(name, jsonOf(value, `/${name}`, onUnknown));
  }
  return fields ?? before;
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
 * The first `max` characters (Unicode code points) of a text; a longer one ends with "…". Half of a surrogate pair is no
 * character, and is replaced by U+FFFD.
 */
export function truncate(text: string, max: number): string {
  if (text.length <= max) return text.toWellFormed();
  let count = 0;
  let end = 0;
  let cut = 0;
  for (const character of text) {
    count += 1;
    if (count === max) cut = end;
    if (count > max) return `${text.slice(0, cut).toWellFormed()}…`;
    end += character.length;
  }
  return text.toWellFormed();
}
