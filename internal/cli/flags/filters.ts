import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Event, isFinished } from '../../../schemas/event.js';
import { isJobType, isProcessingId } from '../../../schemas/ids.js';
import { isRfc3339 } from '../../../schemas/text.js';
import type { ReadFrom } from '../../jetstream/read-stored.js';
import { statusWord } from '../reads/job-event.js';
import { UsageError } from '../runtime/cli-context.js';
import { addAlias } from './command-line.js';
import { durationOption, parseDuration } from './durations.js';

// What several commands let a person choose: which events, how they are shown. Each option is added by a function, and
// what it leaves in the command's options is the interface beside it.

export { addOutputOption, type OutputFlag, type OutputFormat } from '../output/format.js';

/**
 * `--status`: what an event says. `error` is any error, `retrying` one that another attempt may follow; finished and
 * unfinished are several of them.
 */
export const EVENT_STATUSES = [
  'processing',
  'completed',
  'error',
  'retrying',
  'finished',
  'unfinished',
] as const;
/** `stalled` is about a job, now: an event of it does not tell. */
export const JOB_STATUSES = [...EVENT_STATUSES, 'stalled'] as const;
export type StatusFilter = (typeof JOB_STATUSES)[number];

/** A place in time: absolute, or so long before now. ms. */
export type TimeSpec =
  | { readonly kind: 'at'; readonly ms: number }
  | { readonly kind: 'ago'; readonly ms: number };

export interface SinceFlags {
  /** ms before now. */
  readonly since?: number;
  /** ms since 1970. */
  readonly sinceTime?: number;
}
export interface UntilFlag {
  readonly until?: TimeSpec;
}
export interface StartSequenceFlag {
  readonly startSequence?: number;
}
export interface LastFlag {
  readonly last?: number;
}
export interface JobTypeFlag {
  readonly jobType?: readonly string[];
}
export interface FilterFlags extends JobTypeFlag {
  readonly status?: readonly StatusFilter[];
}
export interface TimestampsFlag {
  readonly timestamps?: true;
}

export function addSinceOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--since <duration>', 'only what is newer than this, such as 10m or 2h').argParser(
        durationOption,
      ),
    )
    .addOption(
      new Option('--since-time <time>', 'only what is newer than this time, RFC 3339').argParser(timeOption),
    );
}

export function addUntilOption(command: Command): Command {
  return command.addOption(
    new Option('--until <time>', 'nothing newer than this: RFC 3339, or so long ago, such as 5m').argParser(
      momentOption,
    ),
  );
}

export function addStartSequenceOption(command: Command): Command {
  return command.addOption(
    new Option('--start-sequence <n>', "from this sequence of the stream on ('seq')").argParser(positive),
  );
}

/** `-n, --last`, also `--tail`. @param description what it says beside "the newest so many events" */
export function addLastOption(command: Command, description = ''): Command {
  const text = `the newest so many events, also --tail${description}`;
  return addAlias(
    command.addOption(new Option('-n, --last <n>', text).argParser(count)),
    '--tail <n>',
    '--last',
  );
}

export function addJobTypeOption(command: Command): Command {
  const text = 'only jobs of this type; may be repeated, or a,b (also --type)';
  return addAlias(command.option('--job-type <type>', text, addType), '--type <type>', '--job-type');
}

/** --job-type and --status. @param statuses what --status may be */
export function addFilterOptions(
  command: Command,
  statuses: readonly StatusFilter[] = EVENT_STATUSES,
): Command {
  const text = `only these; may be repeated, or a,b (choices: ${statuses.join(', ')})`;
  return addJobTypeOption(command).addOption(
    new Option('--status <status>', text).argParser((said: string, all?: readonly StatusFilter[]) =>
      addStatus(said, statuses, all),
    ),
  );
}

export function addTimestampsOption(command: Command): Command {
  return command.option('--timestamps', 'show when each event was stored');
}

/**
 * Where a read begins.
 * @param now ms since 1970
 * @returns null when nothing was said
 * @throws UsageError when more was said than goes together
 */
export function resolveStart(flags: SinceFlags & StartSequenceFlag, now: number): ReadFrom | null {
  const said = [
    flags.since === undefined ? null : '--since',
    flags.sinceTime === undefined ? null : '--since-time',
    flags.startSequence === undefined ? null : '--start-sequence',
  ].filter((name) => name !== null);
  if (said.length > 1)
    throw new UsageError(`${said.join(' and ')} do not go together: say where it begins once.`);
  if (flags.startSequence !== undefined) return { kind: 'seq', seq: flags.startSequence };
  if (flags.since !== undefined) return { kind: 'time', ms: now - flags.since };
  if (flags.sinceTime !== undefined) return { kind: 'time', ms: flags.sinceTime };
  return null;
}

/**
 * The end that --until names, in ms since 1970; null when it was not said.
 * @param now ms since 1970
 * @throws UsageError when it lies before where the read begins
 */
export function untilOf(flags: UntilFlag & SinceFlags, now: number): number | null {
  const { until, since, sinceTime } = flags;
  if (until === undefined) return null;
  const end = until.kind === 'at' ? until.ms : now - until.ms;
  const begin = sinceTime ?? (since === undefined ? null : now - since);
  if (begin !== null && end < begin) {
    throw new UsageError(
      `--until lies before ${sinceTime === undefined ? '--since' : '--since-time'}: there is nothing between.`,
    );
  }
  return end;
}

/**
 * Whether an event is among those that --job-type and --status name.
 * @param isStalled whether its job is stalled now; only commands that show jobs know
 */
export function matches({ jobType, status }: FilterFlags, event: Event, isStalled = false): boolean {
  if (jobType !== undefined && (event.job_type === undefined || !jobType.includes(event.job_type)))
    return false;
  return status === undefined || status.some((one) => hasStatus(event, one, isStalled));
}

function hasStatus(event: Event, status: StatusFilter, isStalled: boolean): boolean {
  switch (status) {
    case 'stalled':
      return isStalled;
    case 'retrying':
      return statusWord(event) === 'retrying';
    case 'finished':
      return isFinished(event);
    case 'unfinished':
      return !isFinished(event);
    default:
      return event.status === status;
  }
}

/** For an `Argument` or `Option`: a processing_id. @throws InvalidArgumentError */
export function jobIdArgument(text: string): string {
  if (isProcessingId(text)) return text;
  throw new InvalidArgumentError("Expected a job's processing_id: 1 to 128 of A-Z a-z 0-9 _ -");
}

/** For a repeatable option: a job_type. @throws InvalidArgumentError */
export function addType(type: string, types: readonly string[] = []): readonly string[] {
  const said = type.split(',');
  if (said.every(isJobType)) return [...types, ...said];
  throw new InvalidArgumentError('Expected 1 to 64 of A-Z a-z 0-9 _ . -');
}

function addStatus(
  text: string,
  statuses: readonly StatusFilter[],
  all: readonly StatusFilter[] = [],
): readonly StatusFilter[] {
  const known = text.split(',').map((word) => statuses.find((one) => one === word));
  if (known.every((one) => one !== undefined)) return [...all, ...known];
  throw new InvalidArgumentError(`Allowed choices are ${statuses.join(', ')}.`);
}

/** An integer from 1. @throws InvalidArgumentError */
export function positive(text: string): number {
  return integer(text, 1);
}

/** An integer from 0. @throws InvalidArgumentError */
export function count(text: string): number {
  return integer(text, 0);
}

function integer(text: string, least: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : -1;
  if (value >= least && value <= Number.MAX_SAFE_INTEGER) return value;
  const most = value > least ? ` to ${Number.MAX_SAFE_INTEGER}` : '';
  throw new InvalidArgumentError(`Expected an integer from ${least}${most}.`);
}

// The server counts nanoseconds since 1970 in 64 bits, and beyond 1677 and 2262 they turn around: what is newer than the
// year 1600 would be nothing, and what is older all. No event is stored before the first of these, or after the last.
const FIRST_MS = 0;
const LAST_MS = Date.UTC(2200, 0, 1);
/** Before now, that is after `FIRST_MS` for ever. */
const LONGEST_AGO_MS = Date.UTC(2020, 0, 1);

/** The ms since 1970 of a text by RFC 3339, or of what comes nearest among the times that can be stored; null: none. */
function timeOf(text: string): number | null {
  const ms = isRfc3339(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? null : Math.min(LAST_MS, Math.max(FIRST_MS, ms));
}

/** A time as RFC 3339 writes it, in ms since 1970. @throws InvalidArgumentError */
export function timeOption(text: string): number {
  const ms = timeOf(text);
  if (ms !== null) return ms;
  throw new InvalidArgumentError('Expected a time by RFC 3339, such as 2026-03-01T03:00:00Z.');
}

/** A time by RFC 3339, or a duration before now. @throws InvalidArgumentError */
export function momentOption(text: string): TimeSpec {
  const ago = parseDuration(text);
  if (ago !== null) return { kind: 'ago', ms: Math.min(ago, LONGEST_AGO_MS) };
  const ms = timeOf(text);
  if (ms !== null) return { kind: 'at', ms };
  throw new InvalidArgumentError(
    'Expected a time by RFC 3339, such as 2026-03-01T03:00:00Z, or a duration such as 5m.',
  );
}
