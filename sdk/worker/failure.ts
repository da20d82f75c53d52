import { jsonOf } from './state.js';
import { shorten } from './text.js';

export interface FailOptions {
  /** true: another attempt may follow. What the error's own `retryable` says, else false. */
  readonly retryable?: boolean;
  /** For programs. The error's own `code`, else its name. */
  readonly code?: string;
}

const MAX_CODE = 128;
const MAX_MESSAGE = 4_096;
const MAX_STACK = 16_384;

/**
 * The `error` of an event, as JSON: `code`, `message`, `retryable`, the error's own `details` if it has some, and its
 * stack if that was asked for. Of the error's other properties nothing is written.
 * @throws InvalidEventError when `details` cannot be written as JSON
 */
export function failureJson(
  error: unknown,
  options: FailOptions,
  includeStack: boolean,
  includeDetails = true,
): string {
  const own = propertiesOf(error);
  const code = options.code ?? (typeof own.code === 'string' && own.code !== '' ? own.code : nameOf(error));
  const message =
    error instanceof Error ? error.message : typeof error === 'string' ? error : 'The job failed.';
  const retryable = options.retryable ?? own.retryable === true;
  let text =
    `{"code":${JSON.stringify(shorten(code, MAX_CODE))},` +
    `"message":${JSON.stringify(shorten(message, MAX_MESSAGE))},"retryable":${retryable}`;
  if (includeDetails && own.details !== undefined)
    text += `,"details":${jsonOf(own.details, '/error/details')}`;
  if (includeStack && error instanceof Error && typeof error.stack === 'string') {
    text += `,"stack":${JSON.stringify(shorten(error.stack, MAX_STACK))}`;
  }
  return `${text}}`;
}

interface Properties {
  readonly code?: unknown;
  readonly retryable?: unknown;
  readonly details?: unknown;
}

const propertiesOf = (error: unknown): Properties =>
  typeof error === 'object' && error !== null ? error : {};

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'error';
  return error.name === 'Error' || error.name === '' ? 'error' : error.name;
}
