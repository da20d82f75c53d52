import { InvalidOptionError } from './errors.js';
import type { Trouble } from './trouble.js';

/** All have defaults; what does not fit is an InvalidOptionError. */
export interface ReporterOptions {
  /** The stream that holds the events: `PROGRESS`. Only needed to read a job's last event. */
  readonly stream?: string;
  /** What the JetStream API begins with: `$JS.API`, or what your account imports it as. */
  readonly apiPrefix?: string;
  /** What the inbox for acknowledgements begins with; the connection's own, unless given. */
  readonly inboxPrefix?: string;
  /** Updates a second for each job, above 0: 10. `Infinity` lets every one go that the acknowledgements allow. */
  readonly maxUpdatesPerSecond?: number;
  /** Events of all jobs that may be on their way at once, from 1: 4,096. */
  readonly maxInFlight?: number;
  /** Bytes of events that may wait for NATS, from 64 KiB: 64 MiB. */
  readonly maxPendingBytes?: number;
  /** Seconds between two signs of life of a job: 5. 0 sends none. */
  readonly heartbeatSeconds?: number;
  /** How long one try waits for its acknowledgement, in milliseconds: 5,000. */
  readonly ackTimeoutMs?: number;
  /** How long `start` waits for the first event to be acknowledged, in milliseconds: 2,000. */
  readonly startTimeoutMs?: number;
  /**
   * How long an end waits to be stored, in milliseconds: 300,000. After it `complete`, `fail` and `run` reject with a
   * NotAcknowledgedError, and the end is still sent when it can be. `Infinity` waits for as long as it takes. Where NATS
   * refuses the credentials or the permission, which waiting does not mend, the wait is `closeTimeoutMs` at most.
   */
  readonly endTimeoutMs?: number;
  /** How long `close` waits for what is pending, in milliseconds: 10,000. */
  readonly closeTimeoutMs?: number;
  /** Whether the stack of an error is published with it: false. */
  readonly includeStack?: boolean;
  /** Is told what the reporter copes with by itself. Without it: Node's warnings. */
  readonly onTrouble?: (trouble: Trouble) => void;
}

/** The options, complete. */
export type Settings = Readonly<Required<Omit<ReporterOptions, 'onTrouble' | 'inboxPrefix'>>>;

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

/** The least that each may be. */
const LEAST: Readonly<Record<string, number>> = {
  maxUpdatesPerSecond: Number.MIN_VALUE,
  maxInFlight: 1,
  maxPendingBytes: 64 * 1024,
  heartbeatSeconds: 0,
  ackTimeoutMs: 1,
  startTimeoutMs: 0,
  endTimeoutMs: 0,
  closeTimeoutMs: 0,
};

/** @throws InvalidOptionError */
export function settingsOf(options: ReporterOptions): Settings {
  const settings: Record<string, unknown> = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) {
    const given = options[name as keyof ReporterOptions];
    if (given !== undefined) settings[name] = given;
  }
  for (const [name, least] of Object.entries(LEAST)) {
    const value = settings[name];
    if (typeof value === 'number' && value >= least) continue;
    const wanted = least === Number.MIN_VALUE ? 'above 0' : `from ${least}`;
    throw new InvalidOptionError(name, `is ${String(value)}; expected a number ${wanted}`);
  }
  for (const name of ['stream', 'apiPrefix'] as const) {
    if (!/^[^\s*>]+$/.test(String(settings[name])))
      throw new InvalidOptionError(name, 'is no part of a subject');
  }
  return settings as unknown as Settings;
}
