import { type Command, createArgument } from 'commander';
import type { Event } from '../../../../schemas/event.js';
import { subjectOf } from '../../../../schemas/ids.js';
import { printable } from '../../../../schemas/text.js';
import { JobNotFoundError } from '../../../errors.js';
import { type ReadRange, readStored } from '../../../jetstream/read-stored.js';
import { newestSeq } from '../../../jetstream/stream.js';
import { addColorOption, addFollowOption, type ColorFlag } from '../../flags/command-line.js';
import {
  addFilterOptions,
  addLastOption,
  addOutputOption,
  addSinceOptions,
  addStartSequenceOption,
  addTimestampsOption,
  type FilterFlags,
  type LastFlag,
  matches,
  type OutputFlag,
  resolveStart,
  type SinceFlags,
  type StartSequenceFlag,
  type TimestampsFlag,
} from '../../flags/filters.js';
import { addJobs, isGlob, jobsMatcher, resolveJobs } from '../../flags/job-ids.js';
import { eventLines } from '../../output/event-line.js';
import { addPagerOption, checkFollow, isTable, type PagerFlag } from '../../output/format.js';
import { itemWriter } from '../../output/item-writer.js';
import { LineWriter } from '../../output/line-writer.js';
import { type JobEvent, readEvent, updateJson } from '../../reads/job-event.js';
import type { CliContext } from '../../runtime/cli-context.js';
import {
  addNatsOptions,
  type NatsFlags,
  type OpenStream,
  type StreamAccess,
  withStream,
} from '../../runtime/nats.js';
import { readStatus } from '../../runtime/status.js';
import { lastMatching, type Wanted } from './tail-buffer.js';

const DEFAULT_LAST = 10;

const EXAMPLES = `
Without -f it ends with the newest event there is. A stored message that is no valid event is named on stderr.

Examples:
  headway tail                                       the last 10 events of all jobs
  headway tail -f                                    and what comes
  headway tail -f --last 0 invoice-42 invoice-43     only what comes, of two jobs
  headway tail -f 'upload-*'                         of all jobs with such a name, also new ones
  headway tail --since 5m --status error             what failed in the last 5 minutes
  headway tail -f -o ndjson | jq -c .message         for programs
`;

/** `headway tail`: events as lines. */
export function addTailCommand(program: Command, context: CliContext): void {
  const command = program
    .command('tail')
    .summary('show the newest events; -f goes on with what comes')
    .description('Shows the newest events of all jobs or of some, and with -f what comes.')
    .addArgument(
      createArgument('[ids...]', "jobs, or patterns such as 'upload-*'; without any: all of them").argParser(
        addJobs,
      ),
    );
  addFollowOption(command, 'go on with what comes');
  addLastOption(command, ` (default: ${DEFAULT_LAST}, or all from where it begins)`);
  addSinceOptions(command);
  addStartSequenceOption(command);
  addFilterOptions(command);
  addOutputOption(command);
  addPagerOption(command);
  addTimestampsOption(command);
  addColorOption(command);
  addNatsOptions(command)
    .addHelpText('after', EXAMPLES)
    .action(async (ids: readonly string[], options: TailOptions) => {
      if (options.follow) checkFollow(options.output);
      resolveStart(options, 0);
      await withStream(context, options, 'tail', (opened) => tail(opened, ids, options));
    });
}

async function tail(
  { context, access, info: { state } }: OpenStream,
  jobs: readonly string[],
  options: TailOptions,
): Promise<void> {
  // Jobs that a pattern fits may begin while it follows, so they are told apart as they come.
  const ids: ReadonlySet<string> = new Set(jobs.some(isGlob) ? [] : jobs);
  const from = resolveStart(options, context.now());
  const last = options.last ?? (from === null ? DEFAULT_LAST : Number.POSITIVE_INFINITY);
  const wanted: Wanted = { ids, isNamed: jobsMatcher(jobs), isWanted: (event) => isWanted(options, event) };
  const writer = await tailWriter(context, options);
  const only = ids.size === 1 ? ([...ids][0] ?? null) : null;
  let seen = 0;
  if (last === Number.POSITIVE_INFINITY && from !== null) {
    const range = { id: only, from, until: { seq: state.last_seq } };
    seen = await write(context, access, range, wanted, writer);
  } else if (last > 0) {
    const found = await lastMatching(context, access, wanted, last, from, state);
    seen = found.seen;
    for (const message of found.invalid) writer.invalid(message.seq, message.subject, message.why);
    await writer.take(found.jobs);
  }
  if (seen === 0 && jobs.length > 0 && !options.follow) {
    await checkKept(access, new Set(await resolveJobs(access, jobs)));
  }
  if (options.follow) {
    const begin = from?.kind === 'seq' ? Math.max(from.seq, state.last_seq + 1) : state.last_seq + 1;
    await write(
      context,
      access,
      { id: only, from: { kind: 'seq', seq: begin }, until: 'forever' },
      wanted,
      writer,
    );
  }
  await writer.end();
}

// That there is nothing in the range does not say whether there is anything.
async function checkKept({ jsm, stream }: StreamAccess, ids: ReadonlySet<string>): Promise<void> {
  for (const id of ids) if ((await newestSeq(jsm, stream, subjectOf(id))) > 0) return;
  throw new JobNotFoundError([...ids].join(', '), stream);
}

/** @returns how many messages of the wanted jobs there were */
async function write(
  context: CliContext,
  access: StreamAccess,
  range: ReadRange,
  { isNamed, isWanted: passes }: Wanted,
  writer: TailWriter,
): Promise<number> {
  let seen = 0;
  for await (const batch of readStored(access, range, context.stopped, readStatus(context))) {
    const jobs = [];
    for (const message of batch) {
      if (!isNamed(message.subject.slice('progress.'.length))) continue;
      seen++;
      const read = readEvent(message);
      if (!read.ok) writer.invalid(message.seq, message.subject, `${read.reason}: ${read.detail}`);
      else if (passes(read.job.event)) jobs.push(read.job);
    }
    await writer.take(jobs);
  }
  return seen;
}

export type TailOptions = NatsFlags &
  SinceFlags &
  StartSequenceFlag &
  LastFlag &
  FilterFlags &
  OutputFlag &
  TimestampsFlag &
  ColorFlag &
  PagerFlag & { readonly follow?: true };

/** Whether an event, whatever came after it, is one of those that were asked for. */
export const isWanted = (options: TailOptions, event: Event): boolean => matches(options, event);

/** Writes events as they come. */
export interface TailWriter {
  take(jobs: readonly JobEvent[]): Promise<void>;
  /** A message that is no event. */
  invalid(seq: number, subject: string, why: string): void;
  end(): Promise<void>;
}

export async function tailWriter(context: CliContext, options: TailOptions): Promise<TailWriter> {
  const invalid = (seq: number, subject: string, why: string): void =>
    context.stderr(`headway: seq ${seq} on ${printable(subject)} is not a valid event: ${printable(why)}\n`);
  const { output } = options;
  if (isTable(output)) {
    const emitter = new LineWriter(context);
    const lineText = eventLines(context, { ...options, isWide: output === 'wide' });
    const take = async (jobs: readonly JobEvent[]): Promise<void> => {
      for (const job of jobs) await emitter.line(lineText(job));
      // Each batch leaves at once: somebody may be waiting for it.
      await emitter.flush();
    };
    return { invalid, take, end: () => emitter.flush() };
  }
  const writer = await itemWriter(context, output);
  const withTime = options.timestamps === true || output === 'csv';
  const take = async (jobs: readonly JobEvent[]): Promise<void> => {
    for (const job of jobs) await writer.item(updateJson(job, null, withTime));
    await writer.flush();
  };
  return { invalid, take, end: () => writer.end() };
}
