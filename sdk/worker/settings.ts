import { show } from '../../schemas/explain.js';
import { InvalidOptionError } from './errors.js';
import type { ReporterWarning } from './warning.js';

/** All have defaults; what does not fit is an InvalidOptionError. */
export interface ReporterOptions {
  /** The stream that holds the events: `PROGRESS`. Only needed to read a job's last event. */
  readonly stream?: string;
  /** The prefix of the JetStream API: `$JS.API`, or what your account imports it as. */
  readonly apiPrefix?: string;
  /** The prefix of the inbox for acknowledgements; by default the connection's. */
  readonly inboxPrefix?: string;
  /** Updates a second for each job, above 0: 10. With `Infinity` only acknowledgements limit them. */
  readonly maxUpdatesPerSecond?: number;
  /** Events of all jobs that may be in flight at once, from 1: 4,096. */
  readonly maxInFlight?: number;
  /** Bytes of events that may wait for NATS, from 64 KiB: 64 MiB. */
  readonly maxPendingBytes?: number;
  /** Seconds between two heartbeats of a job: 5. 0 sends none. */
  readonly heartbeatSeconds?: number;
  /** How long one try waits for its acknowledgement, in milliseconds: 5,000. */
  readonly ackTimeoutMs?: number;
  /** How long `start` waits for the first event to be acknowledged, in milliseconds: 2,000. */
  readonly startTimeoutMs?: number;
  /**
   * How long an end waits to be stored, in milliseconds: 300,000. After it `complete`, `fail` and `run` reject with a
   * NotAcknowledgedError, and the end is still sent when it can be. `Infinity` waits for as long as it takes. Where NATS
   * refuses the credentials or the permission, which waiting does not fix, the wait is `closeTimeoutMs` at most.
   */
  readonly endTimeoutMs?: number;
  /** How long `close` waits for what is pending, in milliseconds: 10,000. */
  readonly closeTimeoutMs?: number;
  /** Whether the stack of an error is published with it: false. */
  readonly includeStack?: boolean;
  /** Called with problems that the reporter handles itself. Without it: Node's warnings. */
  readonly onWarning?: (warning: ReporterWarning) => void;
}

/** The options, complete. */
export type Settings = Readonly<Required<Omit<ReporterOptions, 'onWarning' | 'inboxPrefix'>>>;

const DEFAULTS: Settings = {
  stream: 'PROGRESS',
  apiPrefix: '$JS.API',
  maxUpdatesPerSecond: 10,
  maxInFlight: 4_096,
  maxPendingBytes: 64 * 1024 * 1024,
  heartbeatSeconds: 5,
  ackTimeoutMs: 5_000,
  startTimeoutMs: 2_000,
  endTimeoutMs: 300_000,
  closeTimeoutMs: 10_000,
  includeStack: false,
};

interface Range {
  readonly min: number;
  /** `min` itself does not fit. */
  readonly isAbove?: boolean;
  readonly isWhole?: boolean;
  /** Without an end it would never be. */
  readonly isBounded?: boolean;
}

const RANGES = {
  maxUpdatesPerSecond: { min: 0, isAbove: true },
  maxInFlight: { min: 1, isWhole: true },
  maxPendingBytes: { min: 64 * 1024 },
  heartbeatSeconds: { min: 0, isBounded: true },
  // A reply can be lost, so the wait for it needs a limit.
  ackTimeoutMs: { min: 1, isBounded: true },
  startTimeoutMs: { min: 0 },
  endTimeoutMs: { min: 0 },
  closeTimeoutMs: { min: 0 },
} satisfies Record<string, Range>;

/** @throws InvalidOptionError */
export function settingsOf(options: ReporterOptions): Settings {
  checkObject('options', options);
  const settings: Record<string, unknown> = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) {
    const given = options[name as keyof ReporterOptions];
    if (given !== undefined) settings[name] = given;
  }
  for (const [name, range] of Object.entries(RANGES)) checkNumber(name, settings[name], range);
  const { stream, includeStack } = settings;
  check('stream', stream, isText(stream, /^[^\s.*>/\\]+$/), 'the name of a stream, such as PROGRESS');
  checkPrefix('apiPrefix', settings.apiPrefix, '$JS.API');
  if (options.inboxPrefix !== undefined) checkPrefix('inboxPrefix', options.inboxPrefix, '_INBOX');
  check('includeStack', includeStack, typeof includeStack === 'boolean', 'true or false');
  const { onWarning } = options;
  check('onWarning', onWarning, ['undefined', 'function'].includes(typeof onWarning), 'a function');
  return settings as unknown as Settings;
}

/** @throws InvalidOptionError when it is no number of this range */
export function checkNumber(name: string, value: unknown, range: Range): void {
  const { min, isAbove = false, isWhole = false, isBounded = false } = range;
  const kind = isWhole ? 'an integer' : isBounded ? 'a finite number' : 'a number';
  const isFit =
    typeof value === 'number' &&
    (isAbove ? value > min : value >= min) &&
    (!isWhole || Number.isSafeInteger(value)) &&
    (!isBounded || Number.isFinite(value));
  check(name, value, isFit, `${kind} ${isAbove ? 'above' : 'from'} ${min}`);
}

/** @throws InvalidOptionError when it holds nothing that could be an option */
export function checkObject(name: string, value: unknown): void {
  if (typeof value === 'object' && value !== null) return;
  // It may be an address with a password in it.
  throw new InvalidOptionError(name, `is ${value === null ? 'null' : typeof value}; expected an object`);
}

/** @throws InvalidOptionError when it is there, and no text */
export function checkText(name: string, value: unknown): void {
  check(name, value, value === undefined || typeof value === 'string', 'a text');
}

function checkPrefix(name: string, value: unknown, example: string): void {
  const isPrefix = isText(value, /^[^\s.*>]+(\.[^\s.*>]+)*$/);
  check(name, value, isPrefix, `the beginning of a subject, such as ${example}`);
}

const isText = (value: unknown, form: RegExp): boolean => typeof value === 'string' && form.test(value);

function check(name: string, value: unknown, isFit: boolean, expected: string): void {
  if (isFit) return;
  const shown = typeof value === 'number' ? String(value) : show(value);
  throw new InvalidOptionError(name, `is ${shown}; expected ${expected}`);
}
