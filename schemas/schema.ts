import { codePoints, isRfc3339 } from './formats.js';

/**
 * The part of JSON Schema that events and the options of a worker are written in. TypeBox's schemas are such objects as
 * well. Everything here works without TypeBox, so that a package for workers need not bring it along.
 */
export interface Schema {
  readonly description?: string;
  readonly type?: 'object' | 'string' | 'number' | 'integer' | 'boolean' | 'null';
  readonly const?: string | number | boolean;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly pattern?: string;
  readonly format?: 'date-time';
  /** In Unicode code points. */
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
}

/** Where a value breaks its schema. */
export interface Mismatch {
  /** A JSON Pointer; '' for the whole value. */
  readonly path: string;
  /** What is asked for there. */
  readonly schema: Schema;
  /** What is there; undefined: nothing. */
  readonly value: unknown;
}

const patterns = new Map<string, RegExp>();

/**
 * The first place where a value breaks its schema: members that are missing come first, then the others in the order of
 * the schema. null: it fits. Members that the schema does not name may be anything, and one that is undefined counts as
 * missing. What a getter of the value throws is thrown.
 */
export function firstMismatch(schema: Schema, value: unknown): Mismatch | null {
  return schema.type === 'object'
    ? firstInObject(schema, value)
    : fits(schema, value)
      ? null
      : here(schema, value);
}

const here = (schema: Schema, value: unknown): Mismatch => ({ path: '', schema, value });

function firstInObject(schema: Schema, value: unknown): Mismatch | null {
  if (!isPlain(value)) return here(schema, value);
  const { properties = {}, required = [] } = schema;
  for (const name of required) {
    if (value[name] === undefined)
      return { path: `/${name}`, schema: properties[name] ?? {}, value: undefined };
  }
  for (const name in properties) {
    const member = value[name];
    const wanted = properties[name];
    if (member === undefined || wanted === undefined) continue;
    const wrong = firstMismatch(wanted, member);
    if (wrong !== null) return { ...wrong, path: `/${name}${wrong.path}` };
  }
  return null;
}

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  !(value instanceof Date || value instanceof Uint8Array);

function fits(schema: Schema, value: unknown): boolean {
  if (schema.anyOf !== undefined) return schema.anyOf.some((one) => firstMismatch(one, value) === null);
  if (schema.const !== undefined) return value === schema.const;
  const { type } = schema;
  if (type === undefined) return true;
  switch (type) {
    case 'string':
      return typeof value === 'string' && isText(schema, value);
    case 'number':
      return typeof value === 'number' && Number.isFinite(value) && isInRange(schema, value);
    case 'integer':
      return typeof value === 'number' && Number.isInteger(value) && isInRange(schema, value);
    case 'boolean':
      return typeof value === 'boolean';
    case 'null':
      return value === null;
    case 'object':
      return firstInObject(schema, value) === null;
  }
}

function isText({ pattern, format, maxLength }: Schema, text: string): boolean {
  if (maxLength !== undefined && text.length > maxLength && codePoints(text) > maxLength) return false;
  if (format !== undefined && !isRfc3339(text)) return false;
  return pattern === undefined || compiled(pattern).test(text);
}

function compiled(pattern: string): RegExp {
  const known = patterns.get(pattern);
  if (known !== undefined) return known;
  const made = new RegExp(pattern);
  patterns.set(pattern, made);
  return made;
}

function isInRange({ minimum, maximum, exclusiveMinimum }: Schema, value: number): boolean {
  return (
    (minimum === undefined || value >= minimum) &&
    (maximum === undefined || value <= maximum) &&
    (exclusiveMinimum === undefined || value > exclusiveMinimum)
  );
}
