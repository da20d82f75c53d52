import { mistakeIn } from '../../schemas/explain.js';
import type { Schema } from '../../schemas/schema.js';
import { InvalidEventError } from './errors.js';
import { truncate } from './state.js';
import { jsonOf, type OnUnknown } from './values.js';

export interface FailOptions {
  /** true: another attempt may follow. What the error's own `retryable` says, else false. */
  readonly retryable?: boolean;
  /** For programs. The error's own `code`, else its name. */
  readonly code?: string;
}

const OPTIONS: Schema = {
  type: 'object',
  properties: { retryable: { type: 'boolean' }, code: { type: 'string' } },
};

const MAX_CODE = 128;
const MAX_MESSAGE = 4_096;
const MAX_STACK = 16_384;
const MAX_BRIEF_MESSAGE = 256;

/**
 * The `error` of an event, as JSON: `code`, `message`, `retryable`, the error's own `details` if it has some, and its
 * stack if that was asked for. Of the error's other properties nothing is written.
 * @throws InvalidEventError when `options` do not fit, or `details` cannot be written as JSON
 */
export function failureJson(
  error: unknown,
  options: FailOptions,
  includeStack: boolean,
  includeDetails = true,
  onUnknown: OnUnknown = () => {},
): string {
  const wrong = mistakeIn(OPTIONS, options);
  if (wrong !== null) throw new InvalidEventError(`/error${wrong.path}`, wrong.problem);
  const code = options.code ?? (textIn(error, 'code') || nameOf(error));
  const message = typeof error === 'string' ? error : (textIn(error, 'message') ?? 'The job failed.');
  const retryable = options.retryable ?? propertyOf(error, 'retryable') === true;
  const details = includeDetails ? propertyOf(error, 'details') : undefined;
  const stack = includeStack && isError(error) ? textIn(error, 'stack') : null;
  let text =
    `{"code":${JSON.stringify(truncate(code, MAX_CODE))},` +
    `"message":${JSON.stringify(truncate(message, MAX_MESSAGE))},"retryable":${retryable}`;
  if (details !== undefined) text += `,"details":${jsonOf(details, '/error/details', onUnknown)}`;
  if (stack !== null) text += `,"stack":${JSON.stringify(truncate(stack, MAX_STACK))}`;
  return `${text}}`;
}

/** The `error` of an event without what a worker can make large. */
export function minimalFailure(json: string): string {
  const { code, message, retryable } = JSON.parse(json) as Record<string, unknown>;
  return JSON.stringify({ code, message: truncate(String(message), MAX_BRIEF_MESSAGE), retryable });
}

// Anything can be thrown: what throws in its turn when it is looked at must not keep the job from its end.
function propertyOf(
  error: unknown,
  name: 'code' | 'details' | 'message' | 'name' | 'retryable' | 'stack',
): unknown {
  try {
    return typeof error === 'object' && error !== null ? (error as Record<string, unknown>)[name] : undefined;
  } catch {
    return undefined;
  }
}

function textIn(error: unknown, name: 'code' | 'message' | 'name' | 'stack'): string | null {
  const value = propertyOf(error, name);
  return typeof value === 'string' ? value : null;
}

function isError(error: unknown): boolean {
  try {
    return error instanceof Error;
  } catch {
    return false;
  }
}

function nameOf(error: unknown): string {
  const name = isError(error) ? textIn(error, 'name') : null;
  return name === null || name === '' || name === 'Error' ? 'error' : name;
}
