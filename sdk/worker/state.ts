import { EVENT_SCHEMA } from '../../schemas/event.generated.js';
import { mistakeIn } from '../../schemas/explain.js';
import { firstMismatch, type Schema } from '../../schemas/schema.js';
import { InvalidEventError } from './errors.js';
import { jsonOf, type OnUnknown, truncate } from './json.js';
import {
  addSample,
  fractionOf,
  NO_RATE,
  nextPercent,
  type RateEstimate,
  withSoundAmounts,
} from './progress.js';

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
const RESERVED = new Set([...Object.keys(EVENT_SCHEMA.properties), 'seq', 'prev_seq']);
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
  if (firstMismatch(UPDATE, update) !== null) throw invalidUpdate(update);
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
