import { show } from '../../schemas/explain.js';
import { isTooDeep, MAX_LEVELS } from '../../schemas/nesting.js';
import { InvalidEventError } from './errors.js';

/** Called with a value that counts as unknown: where it is and what it is, for people. */
export type OnUnknown = (problem: string) => void;

/**
 * A value as JSON. NaN and Infinity become null, because JSON does not have them.
 * @param path its JSON Pointer in the event, for the error: each part is a level
 * @param onUnknown gets the first NaN or Infinity
 * @throws InvalidEventError with the path of what JSON cannot hold: a function, a BigInt, a circular reference, a value
 * that throws; or when it is nested too deeply for an event
 */
export function jsonOf(value: unknown, path: string, onUnknown: OnUnknown = () => {}): string {
  let json: string | undefined;
  let problem = `is ${typeof value === 'object' ? 'an object' : show(value)} without a form in JSON`;
  let at = path;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    problem = `cannot be written as JSON (${reasonIn(error)})`;
    at = pathOf(value, path, isUnwritable) ?? path;
  }
  if (json === undefined) throw new InvalidEventError(at, problem);
  if (isTooDeep(json, MAX_LEVELS - (path.split('/').length - 1))) {
    throw new InvalidEventError(path, `makes the event more than ${MAX_LEVELS} levels deep`);
  }
  if (json.includes('null')) {
    const place = pathOf(value, path, isNoNumber);
    if (place !== null) onUnknown(`${place} is a number that JSON does not have; it is sent as null`);
  }
  return json;
}

/** A test of a value, with the objects that contain it. */
type Predicate = (value: unknown, within: readonly object[]) => boolean;

const isNoNumber: Predicate = (value) => typeof value === 'number' && !Number.isFinite(value);

const isUnwritable: Predicate = (value, within) =>
  typeof value === 'bigint' || within.some((outer) => outer === value);

/** The path of the first value that matches, or that throws when it is read; null: there is none. */
function pathOf(
  value: unknown,
  path: string,
  matches: Predicate,
  within: readonly object[] = [],
): string | null {
  try {
    if (matches(value, within)) return path;
    if (typeof value !== 'object' || value === null || within.length > MAX_LEVELS) return null;
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON === 'function') {
      const written: unknown = toJSON.call(value, path.slice(path.lastIndexOf('/') + 1));
      return written === value ? null : pathOf(written, path, matches, [...within, value]);
    }
    for (const name of Object.keys(value)) {
      const inner = `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      let member: unknown;
      try {
        member = (value as Record<string, unknown>)[name];
      } catch {
        return inner;
      }
      const found = pathOf(member, inner, matches, [...within, value]);
      if (found !== null) return found;
    }
    return null;
  } catch {
    return path;
  }
}

// `toJSON` of a value can throw anything.
function reasonIn(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error).split('\n')[0] ?? '';
  } catch {
    return 'unknown';
  }
}
